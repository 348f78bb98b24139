"""Hierarchical algorithms: through the window inside a domain, by messages between domains.

The slowest links carry the least that is possible, and where domains have several ranks, several ranks share the work
of a border. Domains may differ in size: work is cut into as many pieces as the smallest domain has ranks ("workers":
the first ranks of each domain).
"""

from __future__ import annotations

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    IntLike,
    Program,
    ProgramBuilder,
    Value,
    ceil_div,
    hookimpl,
    log2_ceil,
    maximum,
    minimum,
    pieces,
    select,
)
from distos_coll.schedules.binomial import levels
from distos_coll.schedules.parts import Span, fair_chunk, lined, piece, share


def _member(p: ProgramBuilder, domain: IntLike, local: IntLike) -> Value:
    """The rank of a domain's member."""
    return p.domain_members[p.domain_start[domain] + local]


def all_reduce() -> Program:
    """Lane 0 works the window: it reduces block k, and shares block k - lag, which lane 1 has meanwhile reduced over
    the domains in a ring per worker. With one block there is nothing to overlap, hence no lag beyond one round.
    """
    p = ProgramBuilder("hier", Collective.ALL_REDUCE)
    workers = p.min_local_size
    largest_share = lined(p, maximum(minimum(p.segment, p.slot) // (workers + 1), 1))
    block = workers * largest_share
    blocks = ceil_div(p.count, block)
    lag = minimum(blocks, 2)
    inside, outside = p.event(), p.event()

    def mine_of(k: Value) -> tuple[Value, Value, Value, Span]:
        """Offset, length and share of block k, and this rank's share of it (none for those who do not work)."""
        off, length = piece(p.count, block, k)
        chunk = fair_chunk(p, length, workers, largest_share)
        start, n = share(length, chunk, p.local_rank)
        return off, length, chunk, (start, select(p.local_rank < workers, n, 0))

    for k in p.loop(0, blocks + lag):
        off, length, _, (own, n) = mine_of(k)
        shared_off, shared_length, shared_chunk, (shared_own, shared_n) = mine_of(k - lag)
        with p.round():
            p.put(0, p.input, off, own)
            p.put(own + n, p.input, off + own + n, length - own - n)
            p.wait(outside, k - lag + 1)
            p.put(block, p.output, shared_off + shared_own, shared_n)
        p.pull_reduce(own, (p.output, off + own), (p.input, off + own), n, finalize=False)
        p.signal(inside)
        for i in p.loop(0, p.local_size):
            owner = (p.local_rank + i) % p.local_size
            theirs, their_n = share(shared_length, shared_chunk, owner)
            wanted = (owner < workers) * owner.ne(p.local_rank)
            p.pull(owner, block, p.output, shared_off + theirs, select(wanted, their_n, 0))
    with p.lane(1):
        for k in p.loop(0, blocks):
            off, _, _, (own, n) = mine_of(k)
            p.wait(inside, k + 1)
            _ring_between(p, off + own, n)
            p.signal(outside)
    return p.build()


def _ring_between(p: ProgramBuilder, base: Value, length: Value) -> None:
    """All-reduce in place over the ranks with this local rank, one of each domain."""
    left = _member(p, (p.domain - 1) % p.domains, p.local_rank)
    right = _member(p, (p.domain + 1) % p.domains, p.local_rank)
    chunk = ceil_div(length, p.domains)

    def part(steps: IntLike) -> Span:
        off, n = share(length, chunk, (p.domain - steps) % p.domains)
        return base + off, n

    for s in p.loop(0, p.domains - 1):
        with p.group():
            p.send(right, p.output, *part(s))
            off, n = part(s + 1)
            p.recv_reduce(left, (p.output, off), (p.output, off), n)
    p.finalize(p.output, *part(p.domains - 1))
    for s in p.loop(0, p.domains - 1):
        with p.group():
            p.send(right, p.output, *part(s - 1))
            p.recv(left, p.output, *part(s))


class _Leaders:
    """One rank a domain: the root, and in the other domains the first. They form a binomial tree of domains."""

    def __init__(self, p: ProgramBuilder) -> None:
        self._p = p
        self._root_domain = p.domain_of[p.root]
        self.v = (p.domain - self._root_domain) % p.domains
        self.levels = levels(p.domains)
        self.local = select(self.v.eq(0), p.local_index[p.root], 0)
        self.is_leader = p.local_rank.eq(self.local)

    def _rank(self, v: Value) -> Value:
        domain = (v + self._root_domain) % self._p.domains
        return select(v.eq(0), self._p.root, _member(self._p, domain, 0))

    def child(self, bit: Value) -> Value:
        mine = self.is_leader * (self.v % (2 * bit)).eq(0) * (self.v + bit < self._p.domains)
        return select(mine, self._rank(self.v + bit), -1)

    def parent(self, bit: Value) -> Value:
        mine = self.is_leader * (self.v % (2 * bit)).eq(bit)
        return select(mine, self._rank(self.v - bit), -1)


def broadcast() -> Program:
    p = ProgramBuilder("hier", Collective.BROADCAST)
    leaders = _Leaders(p)
    step = minimum(p.segment, p.slot)
    n_pieces = ceil_div(p.count, step)
    arrived = p.event()
    for k in p.loop(0, n_pieces):
        off, n = piece(p.count, step, k)
        with p.round():
            p.wait(arrived, select(leaders.is_leader, k + 1, 0))
            p.put(0, p.output, off, select(leaders.is_leader, n, 0))
        p.pull(leaders.local, 0, p.output, off, select(leaders.is_leader, 0, n))
    with p.lane(1):
        for k in p.loop(0, n_pieces):
            off, n = piece(p.count, step, k)
            for j in p.loop(0, leaders.levels):
                bit = 1 << (leaders.levels - 1 - j)
                p.recv(leaders.parent(bit), p.output, off, n)
                p.send(leaders.child(bit), p.output, off, n)
            p.signal(arrived)
    return p.build()


def reduce() -> Program:
    """The leaders collect their domains through the window, then combine among themselves."""
    p = ProgramBuilder("hier", Collective.REDUCE)
    leaders = _Leaders(p)
    at_root = p.rank.eq(p.root)
    step = minimum(p.segment, p.slot)
    p.use_scratch(select(leaders.is_leader * (1 - at_root), minimum(step, p.count), 0))
    for k in p.loop(0, ceil_div(p.count, step)):
        off, n = piece(p.count, step, k)
        with p.round():
            p.put(0, p.input, off, select(leaders.is_leader, 0, n))
        source = (p.input, off)
        alone = select(leaders.is_leader * (1 - at_root), n, 0)
        p.pull_reduce(0, (p.output, off), source, select(at_root, n, 0), finalize=False)
        p.pull_reduce(0, (p.scratch, 0), source, alone, finalize=False)
        for j in p.loop(0, leaders.levels):
            bit = 1 << j
            child, parent = leaders.child(bit), leaders.parent(bit)
            to_root, to_other = select(at_root, child, -1), select(at_root, -1, child)
            p.recv_reduce(to_root, (p.output, off), (p.output, off), n)
            p.recv_reduce(to_other, (p.scratch, 0), (p.scratch, 0), n)
            p.send(parent, p.scratch, 0, n)
        p.finalize(p.output, off, select(at_root, n, 0))
    return p.build()


def barrier() -> Program:
    """Everybody meets inside, the leaders between, and everybody again."""
    p = ProgramBuilder("hier", Collective.BARRIER)
    leader = p.local_rank.eq(0)
    p.use_scratch(2)
    with p.round():
        pass
    p.await_all()
    for k in p.loop(0, levels(p.domains)):
        bit = 1 << k
        to, source = (p.domain + bit) % p.domains, (p.domain - bit) % p.domains
        with p.group():
            p.send(select(leader, _member(p, to, 0), -1), p.scratch, 0, 1)
            p.recv(select(leader, _member(p, source, 0), -1), p.scratch, 1, 1)
    with p.round():
        pass
    p.await_all()
    return p.build()


def _ring_us(c: CostInput, size: float) -> float:
    """The rings of all workers together: `size` bytes all-reduced between domains."""
    steps = 2 * (c.domains - 1)
    return steps * c.remote_hop_us(size / c.domains)


def _all_reduce_us(c: CostInput) -> float:
    n = pieces(c.bytes, c.min_local * max(min(c.segment, c.slot) // (c.min_local + 1), 1))
    moved = c.copy_us(2 * c.bytes) + c.reduce_us(c.bytes * c.local / c.min_local)
    inside = n * c.sync_us() + moved
    outside = _ring_us(c, c.bytes / n)
    # The longer of the two runs through, the other shows at the ends.
    return c.sync_us() + inside / n + n * outside if n * outside > inside else inside + outside


def _pipeline_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    inside = c.sync_us() + 2 * c.copy_us(c.bytes / n)
    width = log2_ceil(c.domains)
    outside = width * (c.remote_hop_us(c.bytes / n) - c.remote_hop_us(0))
    first = inside + outside + width * c.remote_hop_us(0)
    return first + (n - 1) * max(inside, outside)


def _reduce_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    inside = c.sync_us() + c.copy_us(c.bytes / n) + c.reduce_us(c.local * c.bytes / n)
    outside = log2_ceil(c.domains) * c.remote_hop_us(c.bytes / n)
    return n * (inside + outside)


def _barrier_us(c: CostInput) -> float:
    return 2 * c.sync_us() + log2_ceil(c.domains) * c.remote_hop_us(1)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    segments = (1 << 16, 1 << 18, 1 << 20)
    return [
        AlgorithmSpec(
            "hier", collective, build, cost, doc="inside domains, then between", segments=segments
        )
        for collective, build, cost in (
            (Collective.ALL_REDUCE, all_reduce, _all_reduce_us),
            (Collective.BROADCAST, broadcast, _pipeline_us),
            (Collective.REDUCE, reduce, _reduce_us),
            (Collective.BARRIER, barrier, _barrier_us),
        )
    ]
