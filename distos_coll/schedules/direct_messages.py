"""The message variants of direct1 and direct2, for groups that do not all share memory.

Contributions are collected before they are reduced, so these keep the order of ranks anywhere. For
few ranks and small sizes they also beat what reduces hop by hop.
"""

from collections.abc import Callable, Iterator

from distos_coll.api import (
    AlgorithmSpec,
    Build,
    Collective,
    Cost,
    CostInput,
    IntLike,
    Over,
    Program,
    ProgramBuilder,
    ceil_div,
    hookimpl,
    minimum,
    pieces,
    select,
)
from distos_coll.schedules.pairwise import (
    collect,
    collect_us,
    collected_pieces,
    exchange_us,
    fold_us,
    partners,
)
from distos_coll.schedules.parts import Span, piece, share


def reduce_one_shot() -> Program:
    """The root collects everything, one segment after the other."""
    p = ProgramBuilder("direct1", Collective.REDUCE)
    at_root = p.rank.eq(p.root)
    p.use_scratch(select(at_root, p.size * minimum(p.segment, p.count), 0))
    for k in p.loop(0, ceil_div(p.count, p.segment)):
        off, n = piece(p.count, p.segment, k)
        p.send(select(at_root, -1, p.root), p.input, off, n)
        with p.when(at_root):
            for _, _, source in partners(p):
                p.recv(source, p.scratch, source * n, n)
            p.fold(0, (p.output, off), (p.input, off), n)
    return p.build()


# Exchanges of one group. Each group costs its slowest link's latency, but two ranks pay for the
# places that they do not use.
_AT_ONCE = 2
_ALL_REDUCE = Collective.ALL_REDUCE


def all_reduce_one_shot() -> Program:
    """Everybody sends everything to all: one message's latency, where two_shots has two."""
    p = ProgramBuilder("direct1", Collective.ALL_REDUCE)
    p.use_scratch(p.size * minimum(p.segment, p.count))
    for k in p.loop(0, ceil_div(p.count, p.segment)):
        off, n = piece(p.count, p.segment, k)
        for g in p.loop(0, ceil_div(p.size - 1, _AT_ONCE)):
            with p.group():
                for i in range(1, _AT_ONCE + 1):
                    s = g * _AT_ONCE + i
                    source = (p.rank + p.size - s) % p.size
                    p.send(select(s < p.size, (p.rank + s) % p.size, -1), p.input, off, n)
                    p.recv(select(s < p.size, source, -1), p.scratch, source * n, n)
        p.fold(0, (p.output, off), (p.input, off), n)
    return p.build()


def _blocks(p: ProgramBuilder) -> Iterator[Callable[[IntLike], Span]]:
    """Blocks of at most one segment for each rank: how each is shared out."""
    block = p.size * p.segment
    p.use_scratch(p.size * ceil_div(minimum(block, p.count), p.size))
    for b in p.loop(0, ceil_div(p.count, block)):
        base, length = piece(p.count, block, b)
        chunk = ceil_div(length, p.size)

        def share_of(rank: IntLike) -> Span:
            off, n = share(length, chunk, rank)  # noqa: B023 - used at once
            return base + off, n  # noqa: B023

        yield share_of


def all_reduce_two_shots() -> Program:
    """Each rank collects its share, reduces it and sends it to all."""
    p = ProgramBuilder("direct2", Collective.ALL_REDUCE)
    for share_of in _blocks(p):
        own, n = share_of(p.rank)
        collect(p, share_of)
        p.fold(0, (p.output, own), (p.input, own), n)
        for _, to, source in partners(p):
            with p.group():
                p.send(to, p.output, own, n)
                p.recv(source, p.output, *share_of(source))
    return p.build()


def reduce_two_shots() -> Program:
    """As all_reduce, but reduced shares go to the root only."""
    p = ProgramBuilder("direct2", Collective.REDUCE)
    at_root = p.rank.eq(p.root)
    for share_of in _blocks(p):
        own, n = share_of(p.rank)
        collect(p, share_of)
        p.fold(0, (p.output, own), (p.input, own), select(at_root, n, 0))
        # The others have no output, but their own place in scratch is free.
        place = p.rank * n
        p.fold(0, (p.scratch, place), (p.input, own), select(at_root, 0, n))
        p.send(select(at_root, -1, p.root), p.scratch, place, n)
        with p.when(at_root):
            for _, _, source in partners(p):
                p.recv(source, p.output, *share_of(source))
    return p.build()


def _one_shot_us(c: CostInput) -> float:
    """Everybody sends at once, but the root takes in one message after the other."""
    n = pieces(c.bytes, c.segment)
    remote, sent = c.size - c.local, c.bytes / n
    arriving = c.remote_hop_us(remote * sent, Over.IN_TURN) if remote else 0.0
    taken = (c.size - 1) * c.local_hop_us(sent)
    return n * (arriving + taken) + fold_us(c, c.size * c.bytes)


def _exchange_all_us(c: CostInput) -> float:
    """The members of a domain share its border."""
    n = pieces(c.bytes, c.segment)
    remote, sent = c.size - c.local, c.bytes / n
    groups = -(-remote // _AT_ONCE)
    latency = (groups - 1) * c.remote_hop_us(0, Over.IN_TURN) if groups else 0.0
    crossing = c.remote_hop_us(remote * c.local * sent, Over.IN_TURN) if remote else 0.0
    taken = (c.local - 1) * c.local_hop_us(sent)
    return n * (latency + crossing + taken) + fold_us(c, c.size * c.bytes)


def _two_shots_us(c: CostInput) -> float:
    return collect_us(c) + exchange_us(c, collected_pieces(c))


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[str, Collective, Build, Cost, str]] = [
        ("direct1", Collective.REDUCE, reduce_one_shot, _one_shot_us, "the root collects all"),
        ("direct2", Collective.REDUCE, reduce_two_shots, _two_shots_us, "owners collect shares"),
        ("direct1", _ALL_REDUCE, all_reduce_one_shot, _exchange_all_us, "all collect all"),
        ("direct2", _ALL_REDUCE, all_reduce_two_shots, _two_shots_us, "owners collect shares"),
    ]
    return [
        AlgorithmSpec(
            name,
            collective,
            build,
            cost,
            doc=f"{doc} by messages",
            variant="messages",
            segments=(1 << 16, 1 << 18, 1 << 20),
        )
        for name, collective, build, cost, doc in table
    ]
