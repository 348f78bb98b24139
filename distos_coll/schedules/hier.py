"""Hierarchical algorithms: through the window inside a domain, by messages between domains.

The slowest links carry the least that is possible, and where domains have several ranks, several
ranks share the work of a border. Domains may differ in size: work is cut into as many pieces as the
smallest domain has ranks ("workers": the first ranks of each domain).
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
    hookimpl,
    log2_ceil,
    maximum,
    minimum,
    pieces,
    select,
)
from distos_coll.schedules.binomial import levels
from distos_coll.schedules.direct1 import rounds_us
from distos_coll.schedules.parts import Span, fair_chunk, lined, piece, share


def _member(p: ProgramBuilder, domain: IntLike, local: IntLike) -> Value:
    """The rank of a domain's member."""
    return p.domain_members[p.domain_start[domain] + local]


class _Shares:
    """Blocks of one share a worker. A share may be larger than what a slot takes: it passes in
    several rounds.
    """

    def __init__(self, p: ProgramBuilder) -> None:
        self._p = p
        self.workers = p.min_local_size
        self._largest = lined(p, p.segment)
        self._block = self.workers * self._largest
        self.n = ceil_div(p.count, self._block)
        # A slot holds a piece for each worker, and behind them one of what was reduced before.
        self.piece = lined(p, maximum(p.slot // (self.workers + 1), 1))

    def at(self, k: Value) -> tuple[Value, Value, Value]:
        """Offset, length and length of a share of block k."""
        off, length = piece(self._p.count, self._block, k)
        return off, length, fair_chunk(self._p, length, self.workers, self._largest)

    def of(self, k: Value, worker: Value) -> Span:
        """A worker's share of block k; empty for those who do not work."""
        off, length, chunk = self.at(k)
        start, n = share(length, chunk, worker)
        return off + start, select(worker < self.workers, n, 0)

    def part(self, k: Value, worker: Value, t: Value) -> Span:
        """What of that share passes in round t."""
        off, n = self.of(k, worker)
        start, n = piece(n, self.piece, t)
        return off + start, n


def all_reduce() -> Program:
    """Lane 0 works the window: it reduces block k, and shares block k - lag, which lane 1 has
    meanwhile reduced over the domains, in a ring per worker. With one block there is nothing to
    overlap, hence a lag of one.
    """
    p = ProgramBuilder("hier", Collective.ALL_REDUCE)
    shares = _Shares(p)
    lag = minimum(shares.n, 2)
    inside, outside = p.event(), p.event()
    for k in p.loop(0, shares.n + lag):
        longest = maximum(shares.at(k)[2], shares.at(k - lag)[2])
        for t in p.loop(0, ceil_div(longest, shares.piece)):
            with p.round():
                for i in p.loop(1, shares.workers + 1):
                    worker = (p.local_rank + i) % shares.workers
                    off, n = shares.part(k, worker, t)
                    wanted = worker.ne(p.local_rank)
                    p.put(worker * shares.piece, p.input, off, select(wanted, n, 0))
                p.wait(outside, k - lag + 1)
                back = shares.workers * shares.piece
                p.put(back, p.output, *shares.part(k - lag, p.local_rank, t))
            off, n = shares.part(k, p.local_rank, t)
            slot_off = p.local_rank * shares.piece
            p.pull_reduce(slot_off, (p.output, off), (p.input, off), n, finalize=False)
            for i in p.loop(1, p.local_size):
                owner = (p.local_rank + i) % p.local_size
                p.pull(owner, back, p.output, *shares.part(k - lag, owner, t))
        p.signal(inside)
    with p.lane(1):
        for k in p.loop(0, shares.n):
            p.wait(inside, k + 1)
            _ring_between(p, *shares.of(k, p.local_rank))
            p.signal(outside)
    return p.build()


def _ring_between(p: ProgramBuilder, base: Value, length: Value) -> None:
    """All-reduce in place over the ranks with this local rank, one of each domain."""
    place = p.domain_place[p.domain]
    left = _member(p, p.domain_ring[(place - 1) % p.domains], p.local_rank)
    right = _member(p, p.domain_ring[(place + 1) % p.domains], p.local_rank)
    chunk = ceil_div(length, p.domains)

    def part(steps: IntLike) -> Span:
        off, n = share(length, chunk, (place - steps) % p.domains)
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
    """One rank a domain: the root, and in the other domains the first. They form a binomial tree of
    domains.
    """

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


def _overlapped(inside: float, outside: float, blocks: int) -> float:
    """The longer of the two runs through; one block of the other shows at the ends."""
    return max(inside, outside) + min(inside, outside) / blocks


def _all_reduce_us(c: CostInput) -> float:
    share = c.bytes / c.min_local
    rounds = pieces(c.bytes, c.min_local * max(c.slot // (c.min_local + 1), 1))
    blocks = pieces(c.bytes, c.min_local * c.segment)
    lag = min(blocks, 2)
    moved = c.copy_us(2 * c.bytes - share) + c.reduce_us(c.local * share)
    inside = rounds_us(c, moved, rounds) + pieces(rounds, blocks) * lag * c.sync_us()
    if c.domains == 1:
        return inside + c.sync_us()
    # The rings of all workers together fill the borders.
    steps = 2 * (c.domains - 1)
    outside = blocks * steps * c.remote_hop_us(c.bytes / blocks / c.domains, Over.RING)
    return _overlapped(inside, outside, blocks)


def _broadcast_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    inside = rounds_us(c, 2 * c.copy_us(c.bytes), n) + c.sync_us()
    width = log2_ceil(c.domains)
    latency = c.remote_hop_us(0, Over.DOMAIN_BINOMIAL)
    outside = n * width * (c.remote_hop_us(c.bytes / n, Over.DOMAIN_BINOMIAL) - latency)
    return _overlapped(inside, outside, n) + width * latency


def _reduce_us(c: CostInput) -> float:
    n = pieces(c.bytes, min(c.segment, c.slot))
    moved = c.copy_us(c.bytes) + c.reduce_us(c.local * c.bytes)
    inside = rounds_us(c, moved, n) + c.sync_us()
    hop = c.remote_hop_us(c.bytes / n, Over.DOMAIN_BINOMIAL)
    return inside + n * log2_ceil(c.domains) * hop


def _barrier_us(c: CostInput) -> float:
    return 2 * c.sync_us() + log2_ceil(c.domains) * c.remote_hop_us(1, Over.DOMAIN_BINOMIAL)


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    segments = (1 << 18, 1 << 20, 1 << 22)
    return [
        AlgorithmSpec(
            "hier",
            collective,
            build,
            cost,
            doc="inside domains, then between",
            segments=segments,
            # In one domain it is direct1 or direct2 with rounds to spare.
            between_domains=True,
        )
        for collective, build, cost in (
            (Collective.ALL_REDUCE, all_reduce, _all_reduce_us),
            (Collective.BROADCAST, broadcast, _broadcast_us),
            (Collective.REDUCE, reduce, _reduce_us),
            (Collective.BARRIER, barrier, _barrier_us),
        )
    ]
