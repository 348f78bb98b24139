"""The variants of direct1 and direct2 for registered memory: every rank maps every other's buffers.

They start when all have arrived, which their costs count, and meet before anyone returns. All but
all_reduce do what those of single copy do, without its system calls and its copies of what is
reduced.
"""

from collections.abc import Callable
from functools import partial

from distos_coll.api import (
    AlgorithmSpec,
    Build,
    Collective,
    Cost,
    CostInput,
    Need,
    Program,
    ProgramBuilder,
    hookimpl,
    maximum,
)
from distos_coll.schedules import single_copy
from distos_coll.schedules.parts import fair_chunk, share

_C = Collective
_NEEDS = Need.ONE_DOMAIN | Need.REGISTERED


def all_reduce() -> Program:
    p = ProgramBuilder("direct2", _C.ALL_REDUCE, _NEEDS)
    chunk = fair_chunk(p, p.count, p.size, maximum(p.count, 1))
    own, n = share(p.count, chunk, p.rank)
    p.reduce_to_all(own, own, n)
    return single_copy.meet(p)


def _meetings_us(c: CostInput) -> float:
    return 2 * c.sync_us()


def _all_reduce_us(c: CostInput) -> float:
    to_others = c.bytes * (c.size - 1) / c.size
    return _meetings_us(c) + c.reduce_us(c.bytes) + c.copy_us(to_others)


def _reduce_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(c.reduce_us(c.size * c.bytes), 0)


def _copy_us(c: CostInput) -> float:
    return _meetings_us(c) + c.copy_us(c.bytes)


def _reduce_scatter_us(c: CostInput) -> float:
    return _meetings_us(c) + c.reduce_us(c.bytes)


def _broadcast_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(0, c.copy_us(c.bytes))


def _gather_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(c.copy_us(c.bytes), 0)


def _scatter_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(0, c.copy_us(c.bytes / c.size))


def _read(build: Callable[[Need], Program]) -> Build:
    return partial(build, _NEEDS)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[str, Collective, Build, Cost]] = [
        ("direct2", _C.ALL_REDUCE, all_reduce, _all_reduce_us),
        ("direct1", _C.REDUCE, _read(single_copy.reduce), _reduce_us),
        ("direct1", _C.BROADCAST, _read(single_copy.broadcast), _broadcast_us),
        ("direct1", _C.ALL_GATHER, _read(single_copy.all_gather), _copy_us),
        ("direct1", _C.ALL_GATHER_V, _read(single_copy.all_gather_v), _copy_us),
        ("direct1", _C.REDUCE_SCATTER, _read(single_copy.reduce_scatter), _reduce_scatter_us),
        ("direct1", _C.REDUCE_SCATTER_V, _read(single_copy.reduce_scatter_v), _reduce_scatter_us),
        ("direct1", _C.ALL_TO_ALL, _read(single_copy.all_to_all), _copy_us),
        ("direct1", _C.GATHER, _read(single_copy.gather), _gather_us),
        ("direct1", _C.SCATTER, _read(single_copy.scatter), _scatter_us),
    ]
    return [
        AlgorithmSpec(
            name,
            collective,
            build,
            cost,
            needs=_NEEDS,
            doc="uses the others' registered buffers in place",
            variant="registered",
        )
        for name, collective, build, cost in table
    ]
