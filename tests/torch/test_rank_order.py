"""DISTOS_COLL_DETERMINISTIC through torch: one order of reduction, whatever runs underneath."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import functools
import os
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from world import run_ranks

ON = {"DISTOS_COLL_DETERMINISTIC": "1"}
COUNT = 5003


def scattered(rank: int, count: int, dtype: torch.dtype) -> torch.Tensor:
    """Magnitudes so different that every order of a sum rounds otherwise."""
    made = torch.Generator().manual_seed(rank)
    exponents = torch.randint(-6, 7, (count,), generator=made)
    return (torch.randn(count, generator=made) * 10.0**exponents).to(dtype)


def fold(inputs: list[torch.Tensor]) -> torch.Tensor:
    """In the order of ranks, in float32, rounded once."""
    total = functools.reduce(torch.add, [x.float() for x in inputs])
    return total.to(inputs[0].dtype)


def is_the_fold(rank: int, size: int) -> bool:
    """Whether every reduction gave its bits on this rank."""
    same = []
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [scattered(r, COUNT * size, dtype) for r in range(size)]
        wanted = fold(inputs)
        tensor = inputs[rank].clone()
        dist.all_reduce(tensor)
        same.append(torch.equal(tensor, wanted))
        tensor = inputs[rank].clone()
        dist.reduce(tensor, dst=size - 1)
        same.append(torch.equal(tensor, wanted if rank == size - 1 else inputs[rank]))
        part = torch.empty(COUNT, dtype=dtype)
        dist.reduce_scatter_tensor(part, inputs[rank])
        same.append(torch.equal(part, wanted.chunk(size)[rank]))
        lengths = [COUNT + 7 * (r - 1) for r in range(size)]
        lengths[-1] = COUNT * size - sum(lengths[:-1])
        part = torch.empty(lengths[rank], dtype=dtype)
        dist.reduce_scatter(part, list(inputs[rank].split(lengths)))
        same.append(torch.equal(part, wanted.split(lengths)[rank]))
    return all(same)


def across_hosts(rank: int, size: int, store: str) -> bool:
    """Ranks 0, 2 and 1, 3 share memory, so that domains are no runs of ranks."""
    os.environ["DISTOS_COLL_HOST_ID"] = str(rank % 2)
    dist.init_process_group("distos", store=dist.FileStore(store, size), rank=rank, world_size=size)
    return is_the_fold(rank, size)


@pytest.mark.parametrize(
    ("size", "environment"),
    [
        (3, {}),
        (4, {"DISTOS_COLL_ALGO": "direct1;all_reduce:direct2"}),
        (3, {"DISTOS_COLL_ALGO": "pairwise;all_reduce:direct1;reduce:direct2"}),
        (4, {"DISTOS_COLL_DOMAIN_LIMIT": "2"}),
        (3, {"DISTOS_COLL_SHM": "0"}),
    ],
)
def test_the_bits_are_those_of_the_fold(size: int, environment: dict[str, str]) -> None:
    assert run_ranks(is_the_fold, size, environment={**ON, **environment}) == [True] * size


def test_domains_that_interleave(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    assert run_ranks(across_hosts, 4, store, backend="", environment=ON) == [True] * 4


def test_without_it_another_order_shows() -> None:
    """Else the tests above would say nothing."""
    environment = {"DISTOS_COLL_ALGO": "ring", "DISTOS_COLL_SHM": "0"}
    assert run_ranks(is_the_fold, 3, environment=environment) == [False] * 3
