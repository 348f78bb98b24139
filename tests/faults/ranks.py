"""Rank processes that are killed in tests: each trains nothing, but holds DataLoader workers and
loops a collective.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

COLLECTIVES = (
    "all_reduce",
    "reduce",
    "broadcast",
    "all_gather",
    "reduce_scatter",
    "all_to_all",
    "gather",
    "scatter",
    "barrier",
    "send_recv",
)


def loop_of(name: str, rank: int, size: int, count: int) -> Any:
    """A function that runs the collective once, on tensors made here."""
    import torch
    import torch.distributed as dist

    x = torch.ones(count)
    many = [torch.ones(count) for _ in range(size)]
    wide = torch.ones(count * size)
    peers = [r for r in range(size) if r != rank]
    calls = {
        "all_reduce": lambda: dist.all_reduce(x),
        "reduce": lambda: dist.reduce(x, 0),
        "broadcast": lambda: dist.broadcast(x, 0),
        "all_gather": lambda: dist.all_gather(many, x),
        "reduce_scatter": lambda: dist.reduce_scatter_tensor(x, wide),
        "all_to_all": lambda: dist.all_to_all_single(torch.empty_like(wide), wide),
        "gather": lambda: dist.gather(x, many if rank == 0 else None, 0),
        "scatter": lambda: dist.scatter(x, many if rank == 0 else None, 0),
        "barrier": dist.barrier,
    }

    def ring() -> None:
        works = [dist.isend(x, (rank + 1) % size), dist.irecv(many[0], (rank - 1) % size)]
        for work in works:
            assert work is not None
            work.wait()

    return ring if name == "send_recv" and peers else calls[name]


def own_sockets() -> set[str]:
    """The names of this process's Unix sockets that the library made."""
    inodes = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            inodes.add(str(link.readlink()))
        except OSError:
            continue
    rows = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {
        row[7]
        for row in rows
        if len(row) > 7 and "@distos" in row[7] and f"socket:[{row[6]}]" in inodes
    }


class _Numbers:
    """A data set that never ends, so that its workers live as long as the rank."""

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, index: int) -> int:
        return index


def run(
    rank: int, size: int, address: tuple[str, int], name: str, count: int, pipe: Connection
) -> None:
    """Reports ("ready", pids of workers, names of sockets), then ("raised", when, text)."""
    import torch
    import torch.distributed as dist
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    store = dist.TCPStore(  # type: ignore[attr-defined]
        address[0], address[1], size, rank == 0, timeout=timedelta(seconds=60)
    )
    dist.init_process_group(
        "distos", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    step = loop_of(name, rank, size, count)
    step()
    # All that a loader asks of a data set is these two methods.
    numbers: Any = _Numbers()
    loader: DataLoader[int] = DataLoader(numbers, num_workers=2, multiprocessing_context="fork")
    batches = iter(loader)
    next(batches)
    # torch does not declare it, and has no other way to the workers.
    workers = [worker.pid for worker in vars(batches)["_workers"]]
    step()
    pipe.send(("ready", workers, own_sockets()))
    try:
        while True:
            step()
    except Exception as error:  # noqa: BLE001  whatever it is, the test reads it
        pipe.send(("raised", time.monotonic(), f"{type(error).__name__}: {error}"))
    # Not dist.destroy_process_group(): what a program leaves when it just ends is part of
    # the test.
    del batches
    sys.stdout.flush()
    os._exit(0)
