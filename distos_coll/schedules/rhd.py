"""Recursive halving and doubling: log2(n) exchanges with partners at distances n/2, n/4, ... and
back.

With a number of ranks that is not a power of two, the first 2r ranks (r = what is over) work in
pairs: the even one hands its data to the odd one and gets the result at the end.
"""

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    IntLike,
    Over,
    Program,
    ProgramBuilder,
    Value,
    ceil_div,
    floor_log2,
    hookimpl,
    log2_ceil,
    log2_floor,
    select,
)
from distos_coll.schedules.binomial import levels
from distos_coll.schedules.parts import Span, share


def all_reduce() -> Program:
    p = ProgramBuilder("rhd", Collective.ALL_REDUCE)
    steps = floor_log2(p.size)
    power: Value = 1 << steps
    over = p.size - power
    me = p.position[p.rank]
    paired = me < 2 * over
    gives, takes = paired * (me % 2).eq(0), paired * (me % 2)
    partner = p.order[me ^ 1]
    node = select(paired, me // 2, me - over)
    chunk = ceil_div(p.count, power)

    p.send(select(gives, partner, -1), p.input, 0, p.count)
    p.recv_reduce(select(takes, partner, -1), (p.output, 0), (p.input, 0), p.count)
    p.copy((p.output, 0), (p.input, 0), select(paired, 0, p.count))

    def rank_of(other: Value) -> Value:
        return p.order[select(other < over, 2 * other + 1, other + over)]

    def chunks(first: Value, n: IntLike) -> Span:
        return share(p.count, chunk * n, first // n)

    with p.when(1 - gives):
        for k in p.loop(0, steps):
            bit = power >> (k + 1)
            other = node ^ bit
            with p.group():
                p.send(rank_of(other), p.output, *chunks(other // bit * bit, bit))
                off, n = chunks(node // bit * bit, bit)
                p.recv_reduce(rank_of(other), (p.output, off), (p.output, off), n)
        p.finalize(p.output, *share(p.count, chunk, node))
        for k in p.loop(0, steps):
            bit = 1 << k
            other = node ^ bit
            with p.group():
                p.send(rank_of(other), p.output, *chunks(node // bit * bit, bit))
                p.recv(rank_of(other), p.output, *chunks(other // bit * bit, bit))
    p.send(select(takes, partner, -1), p.output, 0, p.count)
    p.recv(select(gives, partner, -1), p.output, 0, p.count)
    return p.build()


def barrier() -> Program:
    """Dissemination: after step k everybody has heard, indirectly, of 2^(k + 1) ranks."""
    p = ProgramBuilder("rhd", Collective.BARRIER)
    p.use_scratch(2)
    for k in p.loop(0, levels(p.size)):
        bit = 1 << k
        with p.group():
            p.send((p.rank + bit) % p.size, p.scratch, 0, 1)
            p.recv((p.rank - bit) % p.size, p.scratch, 1, 1)
    return p.build()


def _all_reduce_us(c: CostInput) -> float:
    """Every rank of a domain crosses its border at once, in the steps with large distances."""
    if c.size == 1:
        return c.copy_us(c.bytes)
    remote_steps = min(log2_ceil(c.domains), log2_floor(c.size))
    local_steps = log2_floor(c.size) - remote_steps
    spill = c.spill(c.bytes)
    total = (c.copy_us(c.bytes) + c.reduce_us(2 * c.bytes)) * spill
    left = float(c.bytes)
    for step in range(remote_steps + local_steps):
        left /= 2
        hop = (
            c.remote_hop_us(left * c.local, Over.HALVING)
            if step < remote_steps
            else c.local_hop_us(left * spill)
        )
        total += 2 * hop
    if c.size != 1 << log2_floor(c.size):
        total += 2 * c.hop_us(c.bytes, Over.HALVING) + c.reduce_us(2 * c.bytes)
    return total


def _barrier_us(c: CostInput) -> float:
    return log2_ceil(c.size) * c.hop_us(1, Over.BINOMIAL)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    return [
        AlgorithmSpec(
            "rhd",
            Collective.ALL_REDUCE,
            all_reduce,
            _all_reduce_us,
            doc="recursive halving, then doubling",
        ),
        AlgorithmSpec(
            "rhd", Collective.BARRIER, barrier, _barrier_us, doc="dissemination in log2(n) steps"
        ),
    ]
