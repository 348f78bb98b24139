"""A training step of DistributedDataParallel: what communication adds, with distos and with gloo.

    python bench/ddp_step.py [--ranks 2] [--repeats 9] [--steps 20] [--private]

A model of 10 M parameters on random data, one thread a rank. Steps without communication
(DDP.no_sync), with distos and with gloo take turns in one run, so that all see the same machine.
Communication is a step's time less that of one without; the ratio is the median of the repeats'.
Gradients lie in registered memory, unless --private; which algorithm reduced them is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import statistics
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

WIDTH = 1290
LAYERS = 6
BATCH = 32


def step(model: Any, optimizer: Any, data: Any, target: Any) -> None:
    from torch.nn.functional import mse_loss

    optimizer.zero_grad(set_to_none=False)
    mse_loss(model(data), target).backward()
    optimizer.step()


def run(rank: int, size: int, port: int, options: argparse.Namespace, queue: Any) -> None:
    os.environ["DDP_DISABLE_COMM_MEM"] = "1" if options.private else "0"
    import torch
    import torch.distributed as dist
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    torch.set_num_threads(1)
    torch.manual_seed(0)
    store = dist.TCPStore("127.0.0.1", port, size, rank == 0, timeout=timedelta(seconds=120))
    dist.init_process_group("distos", store=store, rank=rank, world_size=size)
    groups = {"distos": dist.group.WORLD, "gloo": dist.new_group(backend="gloo")}
    data, target = torch.randn(BATCH, WIDTH), torch.randn(BATCH, WIDTH)

    def stepper(group: Any) -> tuple[Any, Any]:
        layers = [layer for _ in range(LAYERS) for layer in (nn.Linear(WIDTH, WIDTH), nn.ReLU())]
        model = nn.Sequential(*layers)
        wrapped = DistributedDataParallel(model, process_group=group, gradient_as_bucket_view=True)
        return wrapped, torch.optim.SGD(model.parameters(), lr=0.01)

    def timed(name: str) -> float:
        model, optimizer = models[name]
        quiet = model.no_sync() if name == "alone" else contextlib.nullcontext()
        dist.barrier()
        start = time.perf_counter()
        with quiet:
            for _ in range(options.steps):
                step(model, optimizer, data, target)
        dist.barrier()
        return (time.perf_counter() - start) / options.steps * 1e3

    models = {name: stepper(group) for name, group in groups.items()}
    models["alone"] = models["distos"]
    names = ["alone", "distos", "gloo"]
    times: dict[str, list[float]] = {name: [] for name in names}
    for repeat in range(options.repeats + 1):
        for name in names if repeat % 2 else reversed(names):
            elapsed = timed(name)
            if repeat > 0:  # the first warms up
                times[name].append(elapsed)
    if rank == 0:
        parameters = sum(p.numel() for p in models["distos"][0].parameters())
        queue.put((times, parameters, algorithms()))
    dist.barrier()
    dist.destroy_process_group()


def algorithms() -> dict[str, int]:
    """Return which programs reduced the latest buckets, and how many."""
    import distos_coll
    from distos_coll.flight import dump

    with tempfile.TemporaryDirectory() as folder:
        (path,) = distos_coll.dump_flight_record(folder + "/")
        calls = [call for view in dump.read(Path(path)).views for call in view.calls]
    large = [c for c in calls if c.call.startswith("all_reduce") and int(c.call.split()[2]) > WIDTH]
    return dict(Counter(c.algorithm for c in large[-20:]))


def report(times: dict[str, list[float]], parameters: int, used: dict[str, int]) -> None:
    for name, of_one in times.items():
        print(f"{name:8} {statistics.median(of_one):8.2f} ms a step")
    added = {
        name: [max(mine - alone, 0.0) for mine, alone in zip(of_one, times["alone"], strict=True)]
        for name, of_one in times.items()
    }
    for name in ("distos", "gloo"):
        print(f"{name:8} {statistics.median(added[name]):8.2f} ms of it communication")
    ratios = sorted(g / max(d, 1e-3) for d, g in zip(added["distos"], added["gloo"], strict=True))
    low, middle, high = statistics.quantiles(ratios, n=4)
    print(f"{parameters} parameters; gloo's communication takes {middle:.1f} times distos's")
    print(f"(quartiles {low:.1f} and {high:.1f}); the last buckets were reduced by {used}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--private", action="store_true", help="gradients in ordinary memory")
    options = parser.parse_args()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    import torch.multiprocessing as mp

    queue = mp.get_context("spawn").SimpleQueue()
    children = mp.spawn(run, (options.ranks, port, options, queue), options.ranks, join=False)
    report(*queue.get())
    children.join()


if __name__ == "__main__":
    main()
