"""Direct, two shots, over messages: each rank collects its share from everyone, then sends it to
everyone.

Works where not all ranks share memory, and beats the ring there for few ranks and small sizes.
"""

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    IntLike,
    Program,
    ProgramBuilder,
    ceil_div,
    hookimpl,
)
from distos_coll.schedules.pairwise import collect, exchange_us, partners
from distos_coll.schedules.parts import Span, share


def all_reduce() -> Program:
    p = ProgramBuilder("direct2", Collective.ALL_REDUCE)
    chunk = ceil_div(p.count, p.size)

    def share_of(rank: IntLike) -> Span:
        return share(p.count, chunk, rank)

    own, n = share_of(p.rank)
    p.use_scratch(chunk)
    # A share is reduced at its owner only, so all ranks get the same bits.
    collect(p, p.scratch, share_of)
    p.copy((p.output, own), (p.scratch, 0), n)
    for _, to, source in partners(p):
        with p.group():
            p.send(to, p.scratch, 0, n)
            p.recv(source, p.output, *share_of(source))
    return p.build()


def _all_reduce_us(c: CostInput) -> float:
    return 2 * exchange_us(c) + c.reduce_us(2 * c.bytes)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    return [
        AlgorithmSpec(
            "direct2",
            Collective.ALL_REDUCE,
            all_reduce,
            _all_reduce_us,
            doc="owners collect their shares by messages, then send them to all",
            variant="messages",
        )
    ]
