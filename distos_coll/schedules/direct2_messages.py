"""Direct, two shots, over messages: each rank collects its share from everyone, then sends it on.

Works where not all ranks share memory, and beats the ring there for few ranks and small sizes. The
only all_reduce and reduce over messages that reduces in the order of ranks.
"""

from collections.abc import Callable, Iterator

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    IntLike,
    Program,
    ProgramBuilder,
    ceil_div,
    hookimpl,
    minimum,
    select,
)
from distos_coll.schedules.pairwise import (
    collect,
    collect_us,
    collected_pieces,
    exchange_us,
    partners,
)
from distos_coll.schedules.parts import Span, piece, share


def _blocks(p: ProgramBuilder) -> Iterator[Callable[[IntLike], Span]]:
    """Blocks of at most one segment for each rank; how each is shared out."""
    block = minimum(p.size * p.segment, p.count)
    p.use_scratch(p.size * ceil_div(block, p.size))
    for b in p.loop(0, ceil_div(p.count, p.size * p.segment)):
        base, length = piece(p.count, p.size * p.segment, b)
        chunk = ceil_div(length, p.size)

        def share_of(rank: IntLike) -> Span:
            off, n = share(length, chunk, rank)  # noqa: B023 - used at once
            return base + off, n  # noqa: B023

        yield share_of


def all_reduce() -> Program:
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


def reduce() -> Program:
    p = ProgramBuilder("direct2", Collective.REDUCE)
    at_root = p.rank.eq(p.root)
    for share_of in _blocks(p):
        own, n = share_of(p.rank)
        collect(p, share_of)
        p.fold(0, (p.output, own), (p.input, own), select(at_root, n, 0))
        # The others have no output; nothing was received for their own place in scratch.
        result = p.rank * n
        p.fold(0, (p.scratch, result), (p.input, own), select(at_root, 0, n))
        p.send(select(at_root, -1, p.root), p.scratch, result, n)
        with p.when(at_root):
            for _, _, source in partners(p):
                p.recv(source, p.output, *share_of(source))
    return p.build()


def _cost_us(c: CostInput) -> float:
    return collect_us(c) + exchange_us(c, collected_pieces(c))


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    return [
        AlgorithmSpec(
            "direct2",
            collective,
            build,
            _cost_us,
            doc="owners collect their shares by messages, then send them on",
            variant="messages",
            segments=(1 << 16, 1 << 18, 1 << 20),
        )
        for collective, build in ((Collective.ALL_REDUCE, all_reduce), (Collective.REDUCE, reduce))
    ]
