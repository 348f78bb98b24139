"""Direct, two shots: each rank reduces its share of every block, then all take the shares from
their owners.

Moves less than one shot from three ranks on, for one more meeting. The second shot of a block
shares its round with the first shot of the next block, so b blocks take b + 1 rounds.
"""

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    Need,
    Program,
    ProgramBuilder,
    Value,
    ceil_div,
    hookimpl,
    maximum,
    minimum,
    pieces,
    select,
)
from distos_coll.schedules.direct1 import others, rounds_us
from distos_coll.schedules.parts import fair_chunk, lined, piece, share


class _Blocks:
    """A slot holds a block, one share a rank, and behind it this rank's share of the block before,
    reduced.
    """

    def __init__(self, p: ProgramBuilder) -> None:
        self._p = p
        self.largest_share = lined(p, maximum(minimum(p.segment, p.slot) // (p.size + 1), 1))
        self.block = p.size * self.largest_share
        blocks = ceil_div(p.count, self.block)
        self.rounds = blocks + minimum(blocks, 1)

    def at(self, k: Value) -> tuple[Value, Value, Value]:
        """Offset, length and length of a share of block k."""
        off, length = piece(self._p.count, self.block, k)
        return off, length, fair_chunk(self._p, length, self._p.size, self.largest_share)

    def put(self, k: Value) -> tuple[Value, Value, Value]:
        """Puts block k but for this rank's own share; returns where that is, and its length."""
        p = self._p
        off, length, chunk = self.at(k)
        own, n = share(length, chunk, p.rank)
        p.put(0, p.input, off, own)
        p.put(own + n, p.input, off + own + n, length - own - n)
        return own, off + own, n


def all_reduce() -> Program:
    p = ProgramBuilder("direct2", Collective.ALL_REDUCE, Need.ONE_DOMAIN)
    blocks = _Blocks(p)
    for k in p.loop(0, blocks.rounds):
        last_off, last_length, last_chunk = blocks.at(k - 1)
        with p.round():
            slot_off, off, n = blocks.put(k)
            own, last_n = share(last_length, last_chunk, p.rank)
            p.put(blocks.block, p.output, last_off + own, last_n)
        p.pull_reduce(slot_off, (p.output, off), (p.input, off), n)
        for member in others(p):
            theirs, their_n = share(last_length, last_chunk, member)
            p.pull(member, blocks.block, p.output, last_off + theirs, their_n)
    return p.build()


def reduce() -> Program:
    p = ProgramBuilder("direct2", Collective.REDUCE, Need.ONE_DOMAIN)
    blocks = _Blocks(p)
    at_root = p.rank.eq(p.root)
    p.use_scratch(select(at_root, 0, minimum(blocks.largest_share, p.count)))
    for k in p.loop(0, blocks.rounds):
        last_off, last_length, last_chunk = blocks.at(k - 1)
        with p.round():
            slot_off, off, n = blocks.put(k)
            last_n = share(last_length, last_chunk, p.rank)[1]
            p.put(blocks.block, p.scratch, 0, select(at_root, 0, last_n))
        source = (p.input, off)
        p.pull_reduce(slot_off, (p.output, off), source, select(at_root, n, 0))
        p.pull_reduce(slot_off, (p.scratch, 0), source, select(at_root, 0, n))
        with p.when(at_root):
            for member in others(p):
                theirs, their_n = share(last_length, last_chunk, member)
                p.pull(member, blocks.block, p.output, last_off + theirs, their_n)
    return p.build()


def _blocks_in(c: CostInput) -> int:
    return pieces(c.bytes, c.size * max(min(c.segment, c.slot) // (c.size + 1), 1))


def _all_reduce_us(c: CostInput) -> float:
    share = c.bytes / c.size
    moved = c.copy_us(c.bytes) + c.pull_us(c.bytes - share) + c.reduce_us(c.bytes)
    return rounds_us(c, moved, _blocks_in(c)) + c.sync_us()


def _reduce_us(c: CostInput) -> float:
    return _all_reduce_us(c)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    return [
        AlgorithmSpec(
            "direct2",
            collective,
            build,
            cost,
            needs=Need.ONE_DOMAIN,
            doc="owners reduce their shares in place, then all copy them",
            segments=(1 << 18, 1 << 20),
        )
        for collective, build, cost in (
            (Collective.ALL_REDUCE, all_reduce, _all_reduce_us),
            (Collective.REDUCE, reduce, _reduce_us),
        )
    ]
