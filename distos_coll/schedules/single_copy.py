"""The single-copy variants of direct1 and direct2: buffers are exposed and read in place.

An exposed buffer must not change under its readers, so all meet once more before anyone returns;
and one-shot all_reduce has no such variant, because in place it would overwrite what others still
read. With other needs they are the variants for registered memory too (registered.py).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from distos_coll.api import (
    AlgorithmSpec,
    Buffer,
    Build,
    Collective,
    Cost,
    CostInput,
    Need,
    Program,
    ProgramBuilder,
    Value,
    hookimpl,
    maximum,
    select,
)
from distos_coll.schedules.direct1 import only, others
from distos_coll.schedules.parts import Span, fair_chunk, share

_C = Collective
_NEEDS = Need.ONE_DOMAIN | Need.SINGLE_COPY
_PIECE_BYTES = 1 << 16
"""As cpp/exec/run_exposed.cc has it."""


@contextmanager
def _exposed(p: ProgramBuilder, buf: Buffer) -> Iterator[None]:
    # Registered memory is exposed from the start, and reads are of inputs.
    if Need.REGISTERED not in p.needs:
        with p.round():
            p.expose(buf)
    yield


def meet(p: ProgramBuilder) -> Program:
    with p.round():
        pass
    p.await_all()
    return p.build()


def all_reduce() -> Program:
    p = ProgramBuilder("direct2", _C.ALL_REDUCE, _NEEDS)
    chunk = fair_chunk(p, p.count, p.size, maximum(p.count, 1))
    own, n = share(p.count, chunk, p.rank)
    with _exposed(p, p.input):
        p.read_reduce(own, (p.output, own), (p.input, own), n)
    # Only its owner read share i of the inputs, and it has arrived here: in place, overwriting it
    # is safe.
    with _exposed(p, p.output):
        for member in others(p):
            off, theirs = share(p.count, chunk, member)
            p.read(member, off, p.output, off, theirs)
    return meet(p)


def reduce(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.REDUCE, needs)
    with _exposed(p, p.input):
        n = only(p.rank.eq(p.root), p.count)
        p.read_reduce(0, (p.output, 0), (p.input, 0), n)
    return meet(p)


def broadcast(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.BROADCAST, needs)
    with _exposed(p, p.output):
        p.read(p.root, 0, p.output, 0, select(p.rank.eq(p.root), 0, p.count))
    return meet(p)


def _gather_all(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    with _exposed(p, p.input):
        off, n = span(p.rank)
        p.copy((p.output, off), (p.input, 0), n)
        for member in others(p):
            off, n = span(member)
            p.read(member, 0, p.output, off, n)
    return meet(p)


def all_gather(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.ALL_GATHER, needs)
    return _gather_all(p, lambda rank: (rank * p.count, p.count))


def all_gather_v(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.ALL_GATHER_V, needs)
    return _gather_all(p, lambda rank: (p.recv_offsets[rank], p.recv_counts[rank]))


def reduce_scatter(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.REDUCE_SCATTER, needs)
    with _exposed(p, p.input):
        own = p.rank * p.count
        p.read_reduce(own, (p.output, 0), (p.input, own), p.count)
    return meet(p)


def reduce_scatter_v(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.REDUCE_SCATTER_V, needs)
    with _exposed(p, p.input):
        own = p.send_offsets[p.rank]
        p.read_reduce(own, (p.output, 0), (p.input, own), p.send_counts[p.rank])
    return meet(p)


def all_to_all(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.ALL_TO_ALL, needs)
    own = p.rank * p.count
    with _exposed(p, p.input):
        p.copy((p.output, own), (p.input, own), p.count)
        for member in others(p):
            p.read(member, own, p.output, member * p.count, p.count)
    return meet(p)


def gather(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.GATHER, needs)
    with _exposed(p, p.input), p.when(p.rank.eq(p.root)):
        p.copy((p.output, p.rank * p.count), (p.input, 0), p.count)
        for member in others(p):
            p.read(member, 0, p.output, member * p.count, p.count)
    return meet(p)


def scatter(needs: Need = _NEEDS) -> Program:
    p = ProgramBuilder("direct1", _C.SCATTER, needs)
    at_root = p.rank.eq(p.root)
    own = p.rank * p.count
    with _exposed(p, p.input):
        p.copy((p.output, 0), (p.input, own), only(at_root, p.count))
        p.read(p.root, own, p.output, 0, select(at_root, 0, p.count))
    return meet(p)


def _reads_us(c: CostInput, read: float, reads: float) -> float:
    return reads * c.read_alpha_us() + c.read_us(read)


def _reduced_us(c: CostInput, read: float, reduced: float) -> float:
    """What is reduced is read piece by piece, so that it is in a cache then."""
    reads = max(c.size - 1, read / _PIECE_BYTES)
    return _reads_us(c, read, reads) + c.reduce_us(reduced)


def _meetings_us(c: CostInput) -> float:
    return 2 * c.sync_us()


def _all_reduce_us(c: CostInput) -> float:
    shares = _reads_us(c, c.bytes * (c.size - 1) / c.size, c.size - 1)
    reduced = _reduced_us(c, c.bytes * (c.size - 1) / c.size, c.bytes)
    return _meetings_us(c) + c.sync_us() + reduced + shares


def _reduce_us(c: CostInput) -> float:
    reduced = _reduced_us(c, c.bytes * (c.size - 1), c.bytes * c.size)
    return _meetings_us(c) + c.one_way_us(reduced, 0)


def _broadcast_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(0, _reads_us(c, c.bytes, 1))


def _gather_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(_reads_us(c, c.bytes, c.size - 1), 0)


def _scatter_us(c: CostInput) -> float:
    return _meetings_us(c) + c.one_way_us(0, _reads_us(c, c.bytes / c.size, 1))


def _exchange_us(c: CostInput) -> float:
    return _meetings_us(c) + _reads_us(c, c.bytes, c.size - 1)


def _reduce_scatter_us(c: CostInput) -> float:
    return _meetings_us(c) + _reduced_us(c, c.bytes * (c.size - 1) / c.size, c.bytes)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[str, Collective, Build, Cost]] = [
        ("direct2", _C.ALL_REDUCE, all_reduce, _all_reduce_us),
        ("direct1", _C.REDUCE, reduce, _reduce_us),
        ("direct1", _C.BROADCAST, broadcast, _broadcast_us),
        ("direct1", _C.ALL_GATHER, all_gather, _exchange_us),
        ("direct1", _C.ALL_GATHER_V, all_gather_v, _exchange_us),
        ("direct1", _C.REDUCE_SCATTER, reduce_scatter, _reduce_scatter_us),
        ("direct1", _C.REDUCE_SCATTER_V, reduce_scatter_v, _reduce_scatter_us),
        ("direct1", _C.ALL_TO_ALL, all_to_all, _exchange_us),
        ("direct1", _C.GATHER, gather, _gather_us),
        ("direct1", _C.SCATTER, scatter, _scatter_us),
    ]
    return [
        AlgorithmSpec(
            name,
            collective,
            build,
            cost,
            needs=_NEEDS,
            doc="reads the others' private buffers in place",
            variant="single_copy",
        )
        for name, collective, build, cost in table
    ]
