"""Pairwise exchange: in step s a rank sends to the one s further and receives from the one s
behind.
"""

from collections.abc import Callable, Iterator

from distos_coll.api import (
    AlgorithmSpec,
    Buffer,
    Build,
    Collective,
    Cost,
    CostInput,
    Program,
    ProgramBuilder,
    Value,
    hookimpl,
    select,
)
from distos_coll.schedules.parts import Span

_C = Collective


def partners(p: ProgramBuilder) -> Iterator[tuple[Value, Value, Value]]:
    """The steps: their number, whom this rank sends to, and whom it receives from."""
    for s in p.loop(1, p.size):
        yield s, (p.rank + s) % p.size, (p.rank - s) % p.size


def _exchange(
    p: ProgramBuilder, out: Callable[[Value], Span], into: Callable[[Value], Span]
) -> Program:
    out_off, n = out(p.rank)
    p.copy((p.output, into(p.rank)[0]), (p.input, out_off), n)
    for _, to, source in partners(p):
        with p.group():
            p.send(to, p.input, *out(to))
            p.recv(source, p.output, *into(source))
    return p.build()


def all_to_all() -> Program:
    p = ProgramBuilder("pairwise", _C.ALL_TO_ALL)
    return _exchange(
        p, lambda rank: (rank * p.count, p.count), lambda rank: (rank * p.count, p.count)
    )


def all_to_all_v() -> Program:
    p = ProgramBuilder("pairwise", _C.ALL_TO_ALL_V)
    return _exchange(
        p,
        lambda rank: (p.send_offsets[rank], p.send_counts[rank]),
        lambda rank: (p.recv_offsets[rank], p.recv_counts[rank]),
    )


def all_gather() -> Program:
    p = ProgramBuilder("pairwise", _C.ALL_GATHER)
    return _exchange(p, lambda _: (p.symbol(0), p.count), lambda rank: (rank * p.count, p.count))


def all_gather_v() -> Program:
    p = ProgramBuilder("pairwise", _C.ALL_GATHER_V)
    return _exchange(
        p,
        lambda _: (p.symbol(0), p.recv_counts[p.rank]),
        lambda rank: (p.recv_offsets[rank], p.recv_counts[rank]),
    )


def collect(p: ProgramBuilder, into: Buffer, span: Callable[[Value], Span]) -> None:
    """Each rank accumulates its own share at the start of `into`, one contribution a step."""
    own, n = span(p.rank)
    p.copy((into, 0), (p.input, own), select(p.size.eq(1), n, 0))
    for s, to, source in partners(p):
        first = s.eq(1)
        with p.group():
            p.send(to, p.input, *span(to))
            p.recv_reduce(select(first, source, -1), (into, 0), (p.input, own), n)
            p.recv_reduce(select(first, -1, source), (into, 0), (into, 0), n)
    p.finalize(into, 0, n)


def _reduce_scatter(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    collect(p, p.output, span)
    return p.build()


def reduce_scatter() -> Program:
    p = ProgramBuilder("pairwise", _C.REDUCE_SCATTER)
    return _reduce_scatter(p, lambda rank: (rank * p.count, p.count))


def reduce_scatter_v() -> Program:
    p = ProgramBuilder("pairwise", _C.REDUCE_SCATTER_V)
    return _reduce_scatter(p, lambda rank: (p.send_offsets[rank], p.send_counts[rank]))


def exchange_us(c: CostInput) -> float:
    """What leaves a domain shares its border with what its other ranks send."""
    remote = c.size - c.local
    block = c.bytes / c.size
    exchanged = remote * c.remote_hop_us(block * c.local) + (c.local - 1) * c.local_hop_us(block)
    return exchanged + c.copy_us(block)


def _reduce_scatter_us(c: CostInput) -> float:
    return exchange_us(c) + c.reduce_us(2 * c.bytes)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[Collective, Build, Cost]] = [
        (_C.ALL_TO_ALL, all_to_all, exchange_us),
        (_C.ALL_TO_ALL_V, all_to_all_v, exchange_us),
        (_C.ALL_GATHER, all_gather, exchange_us),
        (_C.ALL_GATHER_V, all_gather_v, exchange_us),
        (_C.REDUCE_SCATTER, reduce_scatter, _reduce_scatter_us),
        (_C.REDUCE_SCATTER_V, reduce_scatter_v, _reduce_scatter_us),
    ]
    return [
        AlgorithmSpec("pairwise", collective, build, cost, doc="with every other rank in turn")
        for collective, build, cost in table
    ]
