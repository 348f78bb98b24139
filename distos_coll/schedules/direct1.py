"""Direct, one shot: every rank takes what it needs straight from the others' memory. Lowest latency
in a domain.

Two variants of each. Through the window: pieces pass the mapped slots. Single copy: buffers are
exposed for the time of the operation and read in place, which saves the copy into the slot and
costs a system call per read.
"""

from collections.abc import Callable, Iterator

from distos_coll.api import (
    AlgorithmSpec,
    Build,
    Collective,
    Cost,
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
from distos_coll.schedules.parts import Span

_C = Collective
_WHOLE = frozenset({_C.BROADCAST, _C.ALL_GATHER, _C.ALL_GATHER_V})


def start(collective: Collective) -> ProgramBuilder:
    return ProgramBuilder("direct1", collective, Need.ONE_DOMAIN)


def others(p: ProgramBuilder) -> Iterator[Value]:
    """The other ranks, from the next one on: so that all do not read the same slot at once."""
    for i in p.loop(1, p.size):
        yield (p.rank + i) % p.size


def rounds(p: ProgramBuilder, step: Value) -> Iterator[Value]:
    """The offsets of the pieces of `count`; every rank runs through all of them."""
    for k in p.loop(0, ceil_div(p.count, step)):
        yield k * step


def _whole(p: ProgramBuilder) -> Value:
    return minimum(p.segment, p.slot)


def _per_rank(p: ProgramBuilder) -> Value:
    """A slot that holds one piece for each rank."""
    return maximum(_whole(p) // p.size, 1)


def only(cond: Value, length: Value) -> Value:
    return select(cond, length, 0)


def all_reduce() -> Program:
    p = start(_C.ALL_REDUCE)
    step = _whole(p)
    for off in rounds(p, step):
        n = minimum(p.count - off, step)
        with p.round():
            p.put(0, p.input, off, n)
        p.pull_reduce(0, (p.output, off), (p.input, off), n)
    return p.build()


def reduce() -> Program:
    p = start(_C.REDUCE)
    step = _whole(p)
    at_root = p.rank.eq(p.root)
    for off in rounds(p, step):
        n = minimum(p.count - off, step)
        with p.round():
            p.put(0, p.input, off, select(at_root, 0, n))
        p.pull_reduce(0, (p.output, off), (p.input, off), only(at_root, n))
    return p.build()


def broadcast() -> Program:
    p = start(_C.BROADCAST)
    step = _whole(p)
    at_root = p.rank.eq(p.root)
    for off in rounds(p, step):
        n = minimum(p.count - off, step)
        with p.round():
            p.put(0, p.output, off, only(at_root, n))
        p.pull(p.root, 0, p.output, off, select(at_root, 0, n))
    return p.build()


def _gather_all(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    step = _whole(p)
    for off in rounds(p, step):
        own_off, own_n = span(p.rank)
        n = minimum(own_n - off, step)
        with p.round():
            p.put(0, p.input, off, n)
        p.copy((p.output, own_off + off), (p.input, off), n)
        for member in others(p):
            at, total = span(member)
            p.pull(member, 0, p.output, at + off, minimum(total - off, step))
    return p.build()


def all_gather() -> Program:
    p = start(_C.ALL_GATHER)
    return _gather_all(p, lambda rank: (rank * p.count, p.count))


def all_gather_v() -> Program:
    p = start(_C.ALL_GATHER_V)
    return _gather_all(p, lambda rank: (p.recv_offsets[rank], p.recv_counts[rank]))


def _scatter_reduced(p: ProgramBuilder, span: Callable[[Value], Span]) -> Program:
    step = _per_rank(p)
    for off in rounds(p, step):
        with p.round():
            for member in others(p):
                at, total = span(member)
                p.put(member * step, p.input, at + off, minimum(total - off, step))
        at, total = span(p.rank)
        n = minimum(total - off, step)
        p.pull_reduce(p.rank * step, (p.output, off), (p.input, at + off), n)
    return p.build()


def reduce_scatter() -> Program:
    p = start(_C.REDUCE_SCATTER)
    return _scatter_reduced(p, lambda rank: (rank * p.count, p.count))


def reduce_scatter_v() -> Program:
    p = start(_C.REDUCE_SCATTER_V)
    return _scatter_reduced(p, lambda rank: (p.send_offsets[rank], p.send_counts[rank]))


def all_to_all() -> Program:
    p = start(_C.ALL_TO_ALL)
    step = _per_rank(p)
    for off in rounds(p, step):
        n = minimum(p.count - off, step)
        with p.round():
            for member in others(p):
                p.put(member * step, p.input, member * p.count + off, n)
        at = p.rank * p.count + off
        p.copy((p.output, at), (p.input, at), n)
        for member in others(p):
            p.pull(member, p.rank * step, p.output, member * p.count + off, n)
    return p.build()


def gather() -> Program:
    p = start(_C.GATHER)
    step = _whole(p)
    at_root = p.rank.eq(p.root)
    for off in rounds(p, step):
        n = minimum(p.count - off, step)
        with p.round():
            p.put(0, p.input, off, select(at_root, 0, n))
        with p.when(at_root):
            p.copy((p.output, p.rank * p.count + off), (p.input, off), n)
            for member in others(p):
                p.pull(member, 0, p.output, member * p.count + off, n)
    return p.build()


def scatter() -> Program:
    p = start(_C.SCATTER)
    step = _per_rank(p)
    at_root = p.rank.eq(p.root)
    for off in rounds(p, step):
        n = minimum(p.count - off, step)
        with p.round(), p.when(at_root):
            for member in others(p):
                p.put(member * step, p.input, member * p.count + off, n)
        p.copy((p.output, off), (p.input, p.rank * p.count + off), only(at_root, n))
        p.pull(p.root, p.rank * step, p.output, off, select(at_root, 0, n))
    return p.build()


def barrier() -> Program:
    p = start(_C.BARRIER)
    with p.round():
        pass
    p.await_all()
    return p.build()


def rounds_us(c: CostInput, moved: float, n_pieces: int) -> float:
    """A first piece cannot overlap with anything; each round costs a meeting of all."""
    return n_pieces * c.sync_us() + moved * (1 + 0.5 / n_pieces)


def _all_reduce_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    return rounds_us(c, c.copy_us(c.bytes) + c.reduce_us(c.size * c.bytes), n)


def _one_way_us(c: CostInput, root: float, others: float, n_pieces: int) -> float:
    """Who only sends does not wait for the others: it works on the next pieces meanwhile."""
    return c.sync_us() + c.one_way_us(root, others) + min(root, others) / n_pieces


def _reduce_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    return _one_way_us(c, c.reduce_us(c.size * c.bytes), c.copy_us(c.bytes), n)


def _broadcast_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    return _one_way_us(c, c.copy_us(c.bytes), c.pull_us(c.bytes), n)


def _gather_us(c: CostInput) -> float:
    n = pieces(c.bytes, c.size * min(c.segment, c.slot))
    return _one_way_us(c, c.pull_us(c.bytes), c.copy_us(c.bytes / c.size), n)


def _scatter_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    return _one_way_us(c, c.copy_us(c.bytes), c.pull_us(c.bytes / c.size), n)


def _exchange_us(c: CostInput) -> float:
    """Every byte of the larger buffer is put or pulled once, and the smaller one's too."""
    n = pieces(c.bytes, c.size * min(c.segment, c.slot))
    return rounds_us(c, c.copy_us(c.bytes / c.size) + c.pull_us(c.bytes), n)


def _all_to_all_us(c: CostInput) -> float:
    """A rank's own block is copied once, the others twice."""
    moved = c.copy_us(c.bytes * (1 - 1 / c.size)) + c.pull_us(c.bytes)
    return rounds_us(c, moved, pieces(c.bytes, min(c.segment, c.slot)))


def _reduce_scatter_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    return rounds_us(c, c.copy_us(c.bytes) + c.reduce_us(c.bytes), n)


def _barrier_us(c: CostInput) -> float:
    return c.sync_us()


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[Collective, Build, Cost]] = [
        (_C.ALL_REDUCE, all_reduce, _all_reduce_us),
        (_C.REDUCE, reduce, _reduce_us),
        (_C.BROADCAST, broadcast, _broadcast_us),
        (_C.ALL_GATHER, all_gather, _exchange_us),
        (_C.ALL_GATHER_V, all_gather_v, _exchange_us),
        (_C.REDUCE_SCATTER, reduce_scatter, _reduce_scatter_us),
        (_C.REDUCE_SCATTER_V, reduce_scatter_v, _reduce_scatter_us),
        (_C.ALL_TO_ALL, all_to_all, _all_to_all_us),
        (_C.GATHER, gather, _gather_us),
        (_C.SCATTER, scatter, _scatter_us),
        (_C.BARRIER, barrier, _barrier_us),
    ]
    return [
        AlgorithmSpec(
            "direct1",
            collective,
            build,
            cost,
            needs=Need.ONE_DOMAIN,
            doc="straight from the others' slots, one shot",
            # Where all that is in a slot goes to the same place, larger ones only leave the caches.
            segments=(1 << 18,) if collective in _WHOLE else (1 << 18, 1 << 20),
        )
        for collective, build, cost in table
    ]
