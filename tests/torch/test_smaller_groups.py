"""shrink_group() of torch on the distos backend; tests/faults/test_shrink.py trains with it."""

# torch types only part of torch.distributed.
# mypy: disable-error-code="attr-defined,no-untyped-call"

import contextlib
import os

import pytest

torch = pytest.importorskip("torch")
from world import run_ranks  # noqa: E402  after it is known that there is torch


def total(group: object = None) -> float:
    import torch
    import torch.distributed as dist

    one = torch.ones(1)
    dist.all_reduce(one, group=group)
    return float(one.item())


def default_group(rank: int, size: int) -> tuple[int, int, float, float]:
    import torch.distributed as dist

    if rank == 1:
        os._exit(0)
    dist.shrink_group([1])
    part = dist.new_group([0, 1])
    of_part = total(part) if dist.get_rank() < 2 else 0.0
    return dist.get_rank(), dist.get_world_size(), total(), of_part


def test_the_default_group_is_the_smaller_one_from_there_on() -> None:
    found = run_ranks(default_group, 4, may_die=frozenset({1}))
    assert found == [(0, 3, 3.0, 2.0), None, (1, 3, 3.0, 2.0), (2, 3, 3.0, 0.0)]


def not_all_said(rank: int, size: int) -> tuple[str, float]:
    import torch.distributed as dist

    if rank in (1, 2):
        os._exit(0)
    with contextlib.suppress(dist.DistNetworkError):
        dist.all_reduce(torch.ones(1))
    try:
        dist.shrink_group([1])
    except dist.DistBackendError as error:
        text = str(error)
    dist.shrink_group([1, 2])
    return text, total()


def test_ranks_that_ended_and_were_not_said_are_named() -> None:
    found = run_ranks(not_all_said, 4, may_die=frozenset({1, 2}))
    for each in (found[0], found[3]):
        assert "ranks 2 have ended or were excluded by others, too" in each[0]
        assert "ranks_to_exclude=[1, 2]" in each[0]
        assert each[1] == 2.0


def abort_first(rank: int, size: int) -> tuple[str, float]:
    import torch
    import torch.distributed as dist

    work = dist.all_reduce(torch.ones(1), async_op=True) if rank == 0 else None
    if rank == 2:
        # What was called before it was left out fails there, too.
        try:
            dist.all_reduce(torch.ones(1))
        except RuntimeError as error:
            return str(error), 0.0
    dist.shrink_group([2], shrink_flags=1)  # SHRINK_ABORT
    text = ""
    if work is not None:
        try:
            work.wait()
        except RuntimeError as error:
            text = str(error)
    return text, total()


def test_shrink_abort_ends_what_is_in_flight() -> None:
    first, second, third = run_ranks(abort_first, 3)
    assert "SHRINK_ABORT" in first[0]
    assert first[1] == second[1] == 2.0
    assert "SHRINK_ABORT" in third[0]
