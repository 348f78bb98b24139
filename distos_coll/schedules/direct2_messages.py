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
    select,
)
from distos_coll.schedules.parts import Span, share


def all_reduce() -> Program:
    p = ProgramBuilder("direct2", Collective.ALL_REDUCE)
    chunk = ceil_div(p.count, p.size)

    def share_of(rank: IntLike) -> Span:
        return share(p.count, chunk, rank)

    own, n = share_of(p.rank)
    p.use_scratch(chunk)
    p.copy((p.scratch, 0), (p.input, own), select(p.size.eq(1), n, 0))
    # A share is reduced at its owner only, so all ranks get the same bits.
    for s in p.loop(1, p.size):
        to, source = (p.rank + s) % p.size, (p.rank - s) % p.size
        first = s.eq(1)
        with p.group():
            p.send(to, p.input, *share_of(to))
            p.recv_reduce(select(first, source, -1), (p.scratch, 0), (p.input, own), n)
            p.recv_reduce(select(first, -1, source), (p.scratch, 0), (p.scratch, 0), n)
    p.finalize(p.scratch, 0, n)
    p.copy((p.output, own), (p.scratch, 0), n)
    for s in p.loop(1, p.size):
        to, source = (p.rank + s) % p.size, (p.rank - s) % p.size
        with p.group():
            p.send(to, p.scratch, 0, n)
            p.recv(source, p.output, *share_of(source))
    return p.build()


def _all_reduce_us(c: CostInput) -> float:
    """What leaves a domain shares its border with what its other ranks send."""
    remote = c.size - c.local
    block = c.bytes / c.size
    exchanged = remote * c.remote_hop_us(block * c.local) + (c.local - 1) * c.local_hop_us(block)
    return 2 * exchanged + c.reduce_us(2 * c.bytes) + c.copy_us(block)


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
