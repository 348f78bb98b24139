"""Pairwise exchange: in step s a rank sends to the one s further and receives from the one s
behind.
"""

from collections.abc import Callable, Iterator

from distos_coll.api import (
    AlgorithmSpec,
    Build,
    Collective,
    Cost,
    CostInput,
    Over,
    Program,
    ProgramBuilder,
    Value,
    ceil_div,
    hookimpl,
    minimum,
    pieces,
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


def collect(p: ProgramBuilder, span: Callable[[Value], Span]) -> None:
    """Each rank receives the others' contributions to its own span into scratch, ready for fold().

    All are there before they are reduced, because that is what the order of ranks takes.
    """
    n = span(p.rank)[1]
    for _, to, source in partners(p):
        with p.group():
            p.send(to, p.input, *span(to))
            p.recv(source, p.scratch, source * n, n)


def _reduce_scatter(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    segment = minimum(p.segment, p.count)
    p.use_scratch(p.size * segment)
    for k in p.loop(0, ceil_div(p.count, p.segment)):
        base = k * p.segment

        def part(rank: Value) -> Span:
            off, total = span(rank)
            return off + base, minimum(total - base, segment)  # noqa: B023 - used at once

        own, n = part(p.rank)
        collect(p, part)
        p.fold(0, (p.output, base), (p.input, own), n)
    return p.build()


def reduce_scatter() -> Program:
    p = ProgramBuilder("pairwise", _C.REDUCE_SCATTER)
    return _reduce_scatter(p, lambda rank: (rank * p.count, p.count))


def reduce_scatter_v() -> Program:
    p = ProgramBuilder("pairwise", _C.REDUCE_SCATTER_V)
    return _reduce_scatter(p, lambda rank: (p.send_offsets[rank], p.send_counts[rank]))


def exchange_us(c: CostInput, n_pieces: int = 1) -> float:
    """What leaves a domain shares its border with what its other ranks send."""
    remote = c.size - c.local
    block = c.bytes / c.size
    sent = block / n_pieces
    exchanged = remote * c.remote_hop_us(sent * c.local, Over.IN_TURN)
    exchanged += (c.local - 1) * c.local_hop_us(sent)
    return n_pieces * exchanged + c.copy_us(block)


def collected_pieces(c: CostInput) -> int:
    return pieces(c.bytes, c.size * c.segment)


def fold_us(c: CostInput, contributions: float) -> float:
    """Receives into scratch and reads from there, by when much else may have been received."""
    return c.reduce_us(2 * contributions) * c.spill(min(contributions, c.size * c.segment))


def collect_us(c: CostInput) -> float:
    """With the reduction."""
    return exchange_us(c, collected_pieces(c)) + fold_us(c, c.bytes)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    whole: tuple[int, ...] = (1 << 18,)
    in_pieces = (1 << 16, 1 << 18, 1 << 20)
    table: list[tuple[Collective, Build, Cost, tuple[int, ...]]] = [
        (_C.ALL_TO_ALL, all_to_all, exchange_us, whole),
        (_C.ALL_TO_ALL_V, all_to_all_v, exchange_us, whole),
        (_C.ALL_GATHER, all_gather, exchange_us, whole),
        (_C.ALL_GATHER_V, all_gather_v, exchange_us, whole),
        (_C.REDUCE_SCATTER, reduce_scatter, collect_us, in_pieces),
        (_C.REDUCE_SCATTER_V, reduce_scatter_v, collect_us, in_pieces),
    ]
    doc = "with every other rank in turn"
    return [
        AlgorithmSpec("pairwise", collective, build, cost, doc=doc, segments=segments)
        for collective, build, cost, segments in table
    ]
