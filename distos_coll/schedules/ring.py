"""The ring: every rank talks to its two neighbours only. Optimal in bandwidth, linear in latency.

Positions on the ring come from the plan's `order`, which keeps a domain's ranks together, so that
each border between domains is crossed once per lap. Every chunk is reduced at one place per step
and then copied: all ranks get the same bits.
"""

from collections.abc import Callable

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
    Value,
    ceil_div,
    hookimpl,
    minimum,
    pieces,
    select,
)
from distos_coll.schedules.parts import Span, piece, share


class Ring:
    """The neighbours, and who is how many positions behind."""

    def __init__(self, p: ProgramBuilder) -> None:
        self._p = p
        self.position = p.position[p.rank]
        self.left = p.order[(self.position - 1) % p.size]
        self.right = p.order[(self.position + 1) % p.size]

    def behind(self, steps: IntLike) -> Value:
        """The position that many steps against the direction of travel."""
        return (self.position - steps) % self._p.size

    def rank_behind(self, steps: IntLike) -> Value:
        return self._p.order[self.behind(steps)]


def all_reduce() -> Program:
    p = ProgramBuilder("ring", Collective.ALL_REDUCE)
    ring = Ring(p)
    steps = p.size - 1
    with p.when(p.size.eq(1)):
        p.copy((p.output, 0), (p.input, 0), p.count)
        p.finalize(p.output, 0, p.count)
    # Blocks of at most one segment per rank keep what is being reduced in cache.
    block = p.size * p.segment
    for b in p.loop(0, ceil_div(p.count, block) * (steps > 0)):
        base, length = piece(p.count, block, b)
        chunk = ceil_div(length, p.size)

        def part(steps_behind: IntLike) -> Span:
            off, n = share(length, chunk, ring.behind(steps_behind))  # noqa: B023 - used at once
            return base + off, n  # noqa: B023

        # The first step sends this rank's own input; afterwards what was reduced in the step
        # before.
        with p.group():
            p.send(ring.right, p.input, *part(0))
            off, n = part(1)
            p.recv_reduce(ring.left, (p.output, off), (p.input, off), n)
        for s in p.loop(1, steps):
            with p.group():
                p.send(ring.right, p.output, *part(s))
                off, n = part(s + 1)
                p.recv_reduce(ring.left, (p.output, off), (p.input, off), n)
        p.finalize(p.output, *part(steps))
        for s in p.loop(0, steps):
            with p.group():
                p.send(ring.right, p.output, *part(s - 1))
                p.recv(ring.left, p.output, *part(s))
    return p.build()


def _gather(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    """Own block in, then each step passes on what the last one brought."""
    ring = Ring(p)
    off, n = span(p.rank)
    p.copy((p.output, off), (p.input, 0), n)
    for s in p.loop(0, p.size - 1):
        with p.group():
            p.send(ring.right, p.output, *span(ring.rank_behind(s)))
            p.recv(ring.left, p.output, *span(ring.rank_behind(s + 1)))
    return p.build()


def all_gather() -> Program:
    p = ProgramBuilder("ring", Collective.ALL_GATHER)
    return _gather(p, lambda rank: (rank * p.count, p.count))


def all_gather_v() -> Program:
    p = ProgramBuilder("ring", Collective.ALL_GATHER_V)
    return _gather(p, lambda rank: (p.recv_offsets[rank], p.recv_counts[rank]))


def _scatter(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    """The chunk of the rank at position x starts at x + 1 and collects a contribution per step."""
    ring = Ring(p)
    segment = minimum(p.segment, p.count)
    p.use_scratch(select(p.size > 2, 2 * segment, 0))
    with p.when(p.size.eq(1)):
        off, n = span(p.rank)
        p.copy((p.output, 0), (p.input, off), n)
        p.finalize(p.output, 0, n)
    for k in p.loop(0, ceil_div(p.count, p.segment)):
        base = k * p.segment
        for s in p.loop(0, p.size - 1):
            first, last = s.eq(0), s.eq(p.size - 2)
            out_off, out_total = span(ring.rank_behind(s + 1))
            in_off, in_total = span(ring.rank_behind(s + 2))
            out_n, in_n = minimum(out_total - base, segment), minimum(in_total - base, segment)
            source = (p.input, in_off + base)
            with p.group():
                p.send(select(first, ring.right, -1), p.input, out_off + base, out_n)
                p.send(select(first, -1, ring.right), p.scratch, (s + 1) % 2 * segment, out_n)
                to_scratch = (p.scratch, s % 2 * segment)
                p.recv_reduce(select(last, -1, ring.left), to_scratch, source, in_n)
                p.recv_reduce(select(last, ring.left, -1), (p.output, base), source, in_n)
        own = minimum(span(p.rank)[1] - base, segment)
        p.finalize(p.output, base, select(p.size > 1, own, 0))
    return p.build()


def reduce_scatter() -> Program:
    p = ProgramBuilder("ring", Collective.REDUCE_SCATTER)
    return _scatter(p, lambda rank: (rank * p.count, p.count))


def reduce_scatter_v() -> Program:
    p = ProgramBuilder("ring", Collective.REDUCE_SCATTER_V)
    return _scatter(p, lambda rank: (p.send_offsets[rank], p.send_counts[rank]))


def broadcast() -> Program:
    """A chain from the root round the ring; a rank passes on one segment while it receives the
    next.
    """
    p = ProgramBuilder("ring", Collective.BROADCAST)
    ring = Ring(p)
    distance = (ring.position - p.position[p.root]) % p.size
    source = select(distance.eq(0), -1, ring.left)
    target = select(distance.eq(p.size - 1), -1, ring.right)
    for k in p.loop(0, ceil_div(p.count, p.segment) + 1):
        with p.group():
            p.recv(source, p.output, *piece(p.count, p.segment, k))
            p.send(target, p.output, *piece(p.count, p.segment, k - 1))
    return p.build()


def reduce() -> Program:
    """The chain of `broadcast` the other way: it starts behind the root and ends there."""
    p = ProgramBuilder("ring", Collective.REDUCE)
    ring = Ring(p)
    distance = (ring.position - p.position[p.root]) % p.size
    segment = minimum(p.segment, p.count)
    inner = distance > 1
    p.use_scratch(select(inner, 2 * segment, 0))
    with p.when(p.size.eq(1)):
        p.copy((p.output, 0), (p.input, 0), p.count)
    for k in p.loop(0, (ceil_div(p.count, p.segment) + 1) * (p.size > 1)):
        off, n = piece(p.count, p.segment, k)
        last_off, last_n = piece(p.count, p.segment, k - 1)
        with p.group():
            p.recv_reduce(
                select(inner, ring.left, -1), (p.scratch, k % 2 * segment), (p.input, off), n
            )
            p.recv_reduce(select(distance.eq(0), ring.left, -1), (p.output, off), (p.input, off), n)
            p.send(select(inner, ring.right, -1), p.scratch, (k + 1) % 2 * segment, last_n)
            p.send(select(distance.eq(1), ring.right, -1), p.input, last_off, last_n)
    p.finalize(p.output, 0, select(distance.eq(0), p.count, 0))
    return p.build()


def _lap_us(c: CostInput, laps: int, *, reducing: bool) -> float:
    """`laps` times n - 1 steps in which every rank passes on 1/n of the data, a block after the
    other.
    """
    if c.size == 1:
        return c.copy_us(c.bytes)
    steps = laps * (c.size - 1)
    blocks = pieces(c.bytes, c.size * c.segment) if reducing else 1
    step = c.bytes / c.size
    spill = c.spill(min(step, c.segment)) if reducing else 1.0
    moved = (c.hop_us(step, Over.RING) - c.hop_us(0, Over.RING)) * spill
    added = c.reduce_us(2 * step) * spill * (c.size - 1) if reducing else c.copy_us(step)
    return blocks * c.chain_alpha_us(steps, laps) + steps * moved + added


def _chain_us(c: CostInput) -> float:
    if c.size == 1:
        return c.copy_us(c.bytes)
    n = pieces(c.bytes, c.segment)
    hop = c.hop_us(c.bytes / n, Over.RING)
    return c.chain_alpha_us(c.size - 1, 1) + (n + c.size - 2) * hop


def _all_reduce_us(c: CostInput) -> float:
    return _lap_us(c, 2, reducing=True)


def _gather_us(c: CostInput) -> float:
    return _lap_us(c, 1, reducing=False)


def _scatter_us(c: CostInput) -> float:
    return _lap_us(c, 1, reducing=True)


def _reduce_us(c: CostInput) -> float:
    return _chain_us(c) + c.reduce_us(2 * c.bytes)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[Collective, Build, Cost]] = [
        (Collective.ALL_REDUCE, all_reduce, _all_reduce_us),
        (Collective.ALL_GATHER, all_gather, _gather_us),
        (Collective.ALL_GATHER_V, all_gather_v, _gather_us),
        (Collective.REDUCE_SCATTER, reduce_scatter, _scatter_us),
        (Collective.REDUCE_SCATTER_V, reduce_scatter_v, _scatter_us),
        (Collective.BROADCAST, broadcast, _chain_us),
        (Collective.REDUCE, reduce, _reduce_us),
    ]
    return [
        AlgorithmSpec(
            "ring",
            collective,
            build,
            cost,
            doc="neighbours on a ring",
            segments=(1 << 16, 1 << 18, 1 << 20, 1 << 22),
        )
        for collective, build, cost in table
    ]
