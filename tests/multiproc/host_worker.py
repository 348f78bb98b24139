"""One rank in a network namespace: runs every algorithm that a caller can force and prints what it
found as JSON.

Arguments: rank, size, store address, store port.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from typing import Any


def check_algorithm(rank: int, size: int, name: str) -> str:
    import torch
    import torch.distributed as dist

    os.environ["DISTOS_COLL_ALGO"] = f"allreduce:{name}" if name else ""
    group = dist.new_group(list(range(size)), timeout=timedelta(seconds=40))
    backend = group._get_backend(torch.device("cpu"))
    for count in (1, 1000, 300_001):
        x = torch.arange(count, dtype=torch.int64) + rank
        dist.all_reduce(x, group=group)
        expected = size * torch.arange(count) + sum(range(size))
        if not torch.equal(x, expected):
            return f"wrong at {count}"
    y = torch.full((7,), float(rank))
    dist.broadcast(y, size - 1, group=group)
    if not bool((y == size - 1).all()):
        return "wrong broadcast"
    return str(backend.choice(0, 8 * 1000))


def main() -> None:
    rank, size, address, port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    import torch.distributed as dist

    store = dist.TCPStore(  # type: ignore[attr-defined]
        address, port, size, rank == 0, timeout=timedelta(seconds=60)
    )
    dist.init_process_group(
        "distos", store=store, rank=rank, world_size=size, timeout=timedelta(seconds=60)
    )
    import torch

    names = ["", "ring", "tree", "rhd", "hier", "direct2"]
    found = {name: check_algorithm(rank, size, name) for name in names}
    world = dist.group.WORLD
    assert world is not None
    backend: Any = world._get_backend(torch.device("cpu"))
    domains, hosts = list(backend.topology[1]), list(backend.topology[4])
    report = {"rank": rank, "domains": domains, "hosts": hosts, "found": found}
    print(json.dumps(report), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
