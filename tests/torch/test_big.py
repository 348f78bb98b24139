"""Counts past 2^31: 3 GiB of int8 on two ranks, in place."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from world import run_ranks

COUNT = 3 << 30


def available_bytes() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def reduce_large(rank: int, size: int) -> tuple[bool, int]:
    x = torch.full((COUNT,), rank + 1, dtype=torch.int8)
    # Where a 32-bit count or offset would go astray.
    marks = [0, 1, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, COUNT - 1]
    x[marks] = torch.tensor([10 + i + rank for i in range(len(marks))], dtype=torch.int8)
    dist.all_reduce(x)
    right = [int(x[m]) for m in marks] == [21 + 2 * i for i in range(len(marks))]
    # In pieces: a comparison of the whole would take as much memory again, its sum eight times
    # that.
    return right, sum(int(torch.count_nonzero(piece == 3)) for piece in x.split(1 << 26))


@pytest.mark.slow
@pytest.mark.skipif(available_bytes() < 10 << 30, reason="two ranks need 10 GiB of memory")
def test_an_all_reduce_of_three_gibibytes() -> None:
    for right, threes in run_ranks(reduce_large, 2, timeout=200):
        assert right
        assert threes == COUNT - 6
