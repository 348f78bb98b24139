"""What the backend refuses, on the rank that asks for it, before anything is sent."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_page import raises
from world import run_ranks

Op = dist.ReduceOp


def refused(rank: int, size: int) -> None:
    """A refusal is local and leaves the group whole."""
    for row, call in (*wrong_reductions(), *wrong_sizes(rank, size), *wrong_peers(rank, size)):
        with raises(row, torch=True):
            call()
    with raises("torch-sparse-shape", torch=True):
        dist.all_reduce(sparse(2 + rank))
    tensor = torch.ones(1)
    dist.all_reduce(tensor)
    assert tensor.item() == size


Wrong = list[tuple[str, Any]]
"""Rows of docs/errors.md, and calls. Where torch checks before it, the backend itself is called."""


def ones(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.ones(*shape, dtype=dtype)


def wrong_reductions() -> Wrong:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    size = dist.get_world_size()
    complex_list = [ones(1, dtype=torch.complex64)] * size
    scale = dist._make_nccl_premul_sum(2.0)
    return [
        ("torch-bool-average", lambda: dist.all_reduce(ones(2, dtype=torch.bool), op=Op.AVG)),
        ("torch-bits-of-floats", lambda: dist.all_reduce(ones(2), op=Op.BAND)),
        ("torch-not-reducible", lambda: dist.all_reduce(ones(2).to(torch.float8_e5m2))),
        ("torch-unsigned", lambda: dist.all_reduce(ones(2).to(torch.uint16), op=Op.MAX)),
        ("torch-premul-dtype", lambda: dist.all_reduce(ones(2, dtype=torch.int32), op=scale)),
        (
            "torch-complex",
            lambda: backend.reduce_scatter(complex_list[:1], [complex_list], _options(Op.MAX)),
        ),
        ("torch-sparse-op", lambda: dist.all_reduce(sparse(2), op=Op.MAX)),
        ("torch-sparse-dims", lambda: dist.all_reduce(sparse(2, *[1] * 62))),
        ("torch-layout", lambda: backend.broadcast([sparse(2)], _root(0))),
    ]


def wrong_sizes(rank: int, size: int) -> Wrong:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    each = [ones(1) for _ in range(size)]
    short = [ones(1 + (r == rank)) for r in range(size)]
    gather, scatter = dist.GatherOptions(), dist.ScatterOptions()
    gather.rootRank = scatter.rootRank = rank
    other_gather, other_scatter = dist.GatherOptions(), dist.ScatterOptions()
    other_gather.rootRank = other_scatter.rootRank = (rank + 1) % size
    rows = ones(size + 1)
    return [
        ("torch-device", lambda: backend.allgather([[ones(1).to("meta")] * size], [ones(1)])),
        ("torch-one-tensor", lambda: backend.allreduce([ones(1), ones(1)])),
        (
            "torch-dtypes",
            lambda: backend._allgather_base(ones(size), ones(1, dtype=torch.int64)),
        ),
        ("torch-output-size", lambda: backend._allgather_base(ones(size + 1), ones(1))),
        ("torch-input-size", lambda: backend._reduce_scatter_base(ones(1), ones(size + 1))),
        ("torch-list-length", lambda: backend.allgather([each[1:]], [ones(1)])),
        ("torch-list-of-outputs", lambda: backend.allgather([each, each], [ones(1)])),
        ("torch-own-output", lambda: backend.allgather([short], [ones(1)])),
        (
            "torch-output-list",
            lambda: backend.allgather_coalesced([[ones(1)]] * size, [ones(1), ones(1)]),
        ),
        ("torch-list-of-inputs", lambda: backend.reduce_scatter([ones(1)], [each, each])),
        ("torch-own-input", lambda: backend.reduce_scatter([ones(1)], [short])),
        ("torch-root-outputs", lambda: backend.gather([], [ones(1)], gather)),
        ("torch-same-size-out", lambda: backend.gather([short], [ones(1)], gather)),
        ("torch-only-root-out", lambda: backend.gather([each], [ones(1)], other_gather)),
        ("torch-root-inputs", lambda: backend.scatter([ones(1)], [], scatter)),
        ("torch-same-size-in", lambda: backend.scatter([ones(1)], [short], scatter)),
        ("torch-only-root-in", lambda: backend.scatter([ones(1)], [each], other_scatter)),
        (
            "torch-outputs-for-inputs",
            lambda: dist.group.WORLD.allgather_into_tensor_coalesced([ones(size)], [ones(1)] * 2),
        ),
        ("torch-split-rows", lambda: backend.alltoall_base(rows, rows, [], [])),
        ("torch-split-count", lambda: backend.alltoall_base(rows, rows, [], [size + 1])),
        ("torch-split-negative", lambda: backend.alltoall_base(rows, rows, [], [-1] * size)),
        ("torch-split-sum", lambda: backend.alltoall_base(rows, rows, [9] * size, [1] * size)),
        ("torch-no-splits", lambda: backend.alltoall_base(ones(size), ones(2 * size), [], [])),
    ]


def wrong_peers(rank: int, size: int) -> Wrong:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    second = _root(0)
    second.rootTensor = 1
    return [
        ("torch-root", lambda: backend.broadcast([ones(1)], _root(size))),
        ("torch-root-tensor", lambda: backend.broadcast([ones(1)], second)),
        ("torch-peer-self", lambda: backend.send([ones(1)], rank, 0)),
        ("torch-peer-range", lambda: backend.recv([ones(1)], size, 0)),
        ("torch-timeout", lambda: backend.set_timeout(timedelta(0))),
    ]


def _options(op: Any) -> Any:
    options = dist.ReduceScatterOptions()
    options.reduceOp = op
    return options


def _root(root: int) -> Any:
    options = dist.BroadcastOptions()
    options.rootRank = root
    return options


def sparse(*shape: int) -> torch.Tensor:
    return torch.ones(*shape).to_sparse()


def misused(rank: int, size: int) -> None:
    """Works that have not ended, hooks and brackets that do not fit."""
    import distos_coll.torch as distos

    group = dist.new_group()
    backend = group._get_backend(torch.device("cpu"))
    if rank == 0:
        work = dist.all_reduce(ones(1), group=group, async_op=True)
        for row, call in (
            ("torch-result-early", work.result),
            ("torch-duration", work._get_duration),
            ("torch-source-rank", work.source_rank),
        ):
            with raises(row, torch=True):
                call()
        dist.distributed_c10d._get_default_store().set("asked", "1")
    else:
        dist.distributed_c10d._get_default_store().wait(["asked"], timedelta(seconds=30))
        dist.all_reduce(ones(1), group=group)

    with raises("torch-coalescing-none", torch=True):
        backend._end_coalescing()
    backend._start_coalescing()
    with ThreadPoolExecutor(1) as other, raises("torch-coalescing-other", torch=True):
        other.submit(backend._start_coalescing).result()
    backend._end_coalescing()

    group._register_on_completion_hook(lambda info: None)
    with raises("torch-hook", torch=True):
        group._register_on_completion_hook(lambda info: None)
    with raises("torch-other-backend", torch=True):
        distos.explain(dist.new_group(backend="gloo"), "all_reduce")


class Broken(dist.Store):  # type: ignore[name-defined]
    """Its process is gone from the n-th call on."""

    def __init__(self, good: int) -> None:
        super().__init__()
        self.good = good
        self.kept: dict[str, bytes] = {}

    def set(self, key: str, value: Any) -> None:
        self.good -= 1
        if self.good < 0:
            raise RuntimeError("Broken pipe")

    def get(self, key: str) -> bytes:
        raise RuntimeError("Broken pipe")

    def wait(self, *arguments: Any) -> None:
        raise RuntimeError("Broken pipe")

    def check(self, keys: list[str]) -> bool:
        raise RuntimeError("Broken pipe")


def alone(rank: int, size: int) -> None:
    """What is said where there is no group yet."""
    import distos_coll.torch as distos

    with raises("torch-no-group", torch=True):
        distos.explain(None, "all_reduce")
    # The profile and the card are written before anything is read.
    for good, row in ((0, "torch-store-set"), (2, "torch-store-get")):
        with raises(row, "Broken pipe", torch=True):
            dist.init_process_group(
                "distos", store=Broken(good), rank=0, world_size=2, timeout=timedelta(seconds=20)
            )


def unplanned(rank: int, size: int) -> None:
    with raises("algo-unknown", "distos: planning failed", torch=True):
        dist.init_process_group("distos", store=dist.HashStore(), rank=0, world_size=1)


def shrunk(rank: int, size: int) -> None:
    """Two ranks have died, and torch is told to exclude one."""
    dist.barrier()
    if rank >= 2:
        os.kill(os.getpid(), signal.SIGKILL)
    with raises("torch-shrink", torch=True):
        dist.shrink_group([2])


def test_refusals() -> None:
    run_ranks(refused, 2)


def test_misuse() -> None:
    run_ranks(misused, 2)


def test_a_shrink_that_excludes_too_few() -> None:
    run_ranks(shrunk, 4, may_die=frozenset({2, 3}))


@pytest.mark.parametrize(
    ("scenario", "environment"), [(alone, {}), (unplanned, {"DISTOS_COLL_ALGO": "rign"})]
)
def test_before_there_is_a_group(scenario: Any, environment: dict[str, str]) -> None:
    run_ranks(scenario, 1, backend="", environment=environment)
