"""all_reduce through torch.distributed: distos against gloo, interleaved in one run.

    python bench/torch_vs_gloo.py [--ranks 2] [--repeats 9] [--json FILE]

Each cell is the median over repeats of the mean time of a call; a repeat times distos and gloo back
to back, so that both see the same machine. The ratio is the median of the repeats' ratios. Cells
whose ratio spreads by more than 10 % between the quartiles are marked.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

# In bytes.
SIZES = [4, 64, *(1 << shift for shift in (10, 12, 14, 16, 18, 20, 22, 24, 26))]


def iterations(nbytes: int) -> int:
    return max(2, min(300, (48 << 20) // max(nbytes, 1 << 16)))


def time_one(dist: Any, group: Any, tensor: Any, count: int) -> float:
    dist.barrier(group=group)
    start = time.perf_counter()
    for _ in range(count):
        dist.all_reduce(tensor, group=group)
    return (time.perf_counter() - start) / count


def run(rank: int, size: int, port: int, repeats: int, queue: Any) -> None:
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    store = dist.TCPStore("127.0.0.1", port, size, rank == 0, timeout=timedelta(seconds=120))
    dist.init_process_group("distos", store=store, rank=rank, world_size=size)
    groups = {"distos": dist.group.WORLD, "gloo": dist.new_group(backend="gloo")}
    # torch offers no other way to it.
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))  # noqa: SLF001
    rows = []
    for nbytes in SIZES:
        tensor = torch.zeros(max(nbytes // 4, 1))
        count = iterations(nbytes)
        times: dict[str, list[float]] = {name: [] for name in groups}
        for repeat in range(repeats + 1):
            for name in sorted(groups, reverse=repeat % 2 == 1):
                elapsed = time_one(dist, groups[name], tensor, count)
                if repeat > 0:  # the first warms up
                    times[name].append(elapsed)
        ratios = sorted(g / d for d, g in zip(times["distos"], times["gloo"], strict=True))
        quartiles = statistics.quantiles(ratios, n=4)
        rows.append(
            {
                "bytes": nbytes,
                "distos_us": statistics.median(times["distos"]) * 1e6,
                "gloo_us": statistics.median(times["gloo"]) * 1e6,
                "ratio": statistics.median(ratios),
                "spread": (quartiles[2] - quartiles[0]) / quartiles[1],
                "algorithm": backend.choice(0, nbytes),
            }
        )
    if rank == 0:
        queue.put(rows)
    dist.barrier()
    dist.destroy_process_group()


def table(rows: list[dict[str, Any]]) -> str:
    lines = ["| bytes | algorithm | distos us | gloo us | gloo / distos |", "|---|---|---|---|---|"]
    for row in rows:
        mark = " (spread)" if row["spread"] > 0.1 else ""
        lines.append(
            f"| {row['bytes']} | {row['algorithm']} | {row['distos_us']:.1f} "
            f"| {row['gloo_us']:.1f} | {row['ratio']:.1f}{mark} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import socket

    import torch.multiprocessing as mp

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = mp.get_context("spawn")
    queue = context.SimpleQueue()
    children = mp.spawn(
        run, (options.ranks, port, options.repeats, queue), options.ranks, join=False
    )
    rows = queue.get()
    children.join()
    machine = platform.processor() or platform.machine()
    print(f"# all_reduce float32, {options.ranks} ranks, {os.cpu_count()} cores, {machine}")
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"ranks": options.ranks, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
