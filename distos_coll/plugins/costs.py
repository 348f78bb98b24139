"""The alpha-beta-gamma model: what a step costs, given the links of a cluster.

Times are microseconds, sizes bytes. The model ranks candidates; it does not promise times. Its
shape follows the cost model that NCCL documents (latency per hop plus bytes over bandwidth, inter
and intra hops counted apart).
"""

from dataclasses import dataclass
from enum import IntEnum


@dataclass(frozen=True)
class LinkCost:
    alpha_us: float
    gbps: float
    """Gigabytes a second of one rank."""
    far_gbps: float = 0.0
    """Of data that come from memory, not from a cache. 0: no other than `gbps`."""

    def us(self, size: float) -> float:
        return size / (self.gbps * 1000)

    def us_of(self, size: float, whole: int, cache_bytes: int) -> float:
        """`size` bytes of buffers of `whole` bytes, of which a cache keeps the first."""
        if not self.far_gbps or whole <= cache_bytes:
            return self.us(size)
        near = cache_bytes / whole
        return self.us(near * size) + (1 - near) * size / (self.far_gbps * 1000)


@dataclass(frozen=True)
class Figures:
    """What a machine can do; `distos-coll bench --calibrate` measures one's own
    (docs/decisions/0007). Those that stand here chose best among the candidates as they were
    measured in groups of 2, 3, 4 and 8 ranks on two cores of an EPYC (docs/results/figures.md).
    """

    mapped: LinkCost = LinkCost(alpha_us=0.8, gbps=60.0, far_gbps=24.0)
    """A window round of all members, and copies through memory that ranks share."""
    single_copy: LinkCost = LinkCost(alpha_us=4.0, gbps=26.0, far_gbps=10.0)
    """A read of another rank's private memory."""
    message: LinkCost = LinkCost(alpha_us=20.0, gbps=12.0)
    """A frame on a shared-memory ring: copied in and out, with headers, credits, and a peer that
    polls.
    """
    tcp: LinkCost = LinkCost(alpha_us=25.0, gbps=2.5)
    reduce: LinkCost = LinkCost(alpha_us=0.0, gbps=100.0, far_gbps=40.0)
    """Bytes of inputs that the reduction kernels read."""
    half_reduce: LinkCost = LinkCost(alpha_us=0.0, gbps=80.0, far_gbps=32.0)
    """The same for float16 and bfloat16."""
    switch_us: float = 6.0
    """A rank that shares its core must be scheduled before it can arrive."""
    cache_bytes: int = 4 << 20
    """What a core's cache keeps until it is used again."""
    spill: float = 1.2
    """What does not fit there comes from memory once more: a factor on the work. Not measured."""


TREE_HALVES = 4.6
"""What a rank of the double tree takes in, in halves of the data: as an inner node of one tree two
from its children and one from its parent, as a leaf of the other one; and what waiting for a whole
segment at each level loses.
"""


class Over(IntEnum):
    """Which links between domains a program's messages take; links need not be alike."""

    ANY = 0
    """Perhaps the worst one: for who does not say."""
    RING = 1
    """From each domain to the next one of the plan's order."""
    TREE = 2
    """The edges of the double tree over the plan's order for trees."""
    IN_TURN = 3
    """Each domain to every other, one after the other."""
    BINOMIAL = 4
    """Ranks whose numbers differ by a power of two."""
    DOMAIN_BINOMIAL = 5
    """Domains whose numbers do."""
    HALVING = 6
    """Positions of the plan's order that differ in one bit."""


@dataclass(frozen=True)
class CostInput:
    bytes: int
    """As in a choice row: the larger of a rank's input and output."""
    segment: int
    size: int
    domains: int
    local: int
    """Ranks in the largest domain."""
    min_local: int
    slot: int
    sharing: float
    """Ranks per core in the fullest domain, at least 1: they take turns."""
    figures: Figures
    remote: tuple[LinkCost, ...] = ()
    """By Over, what a message between domains costs there; empty: everywhere `figures.tcp`."""

    def copy_us(self, size: float) -> float:
        """One rank copies through mapped memory."""
        return self._memory_us(self.figures.mapped, size)

    def pull_us(self, size: float) -> float:
        """One rank copies out of slots: what it reads is in a cache, whatever there is of it."""
        near = self.figures.mapped.us(size) * self.sharing
        return (near + self.copy_us(size)) / 2

    def read_alpha_us(self) -> float:
        """What a read of another rank's private memory costs besides its bytes."""
        return self.figures.single_copy.alpha_us * self.sharing

    def read_us(self, size: float) -> float:
        """One rank copies out of another's private memory."""
        return self._memory_us(self.figures.single_copy, size)

    def reduce_us(self, size: float) -> float:
        """One rank reads `size` bytes of inputs and accumulates them."""
        return self._memory_us(self.figures.reduce, size)

    def _memory_us(self, cost: LinkCost, size: float) -> float:
        return cost.us_of(size, self.bytes, self.figures.cache_bytes) * self.sharing

    def one_way_us(self, root: float, others: float) -> float:
        """The root works so long, and each other rank so long, as told for ranks that all work at
        once: who has less to do leaves its core to the rest.
        """
        at_least = max(root, others) / self.sharing
        return max(at_least, (root + (self.size - 1) * others) / self.size)

    def sync_us(self, members: int | None = None) -> float:
        """A window round: every member sees every other arrive."""
        n = self.local if members is None else members
        return self.figures.mapped.alpha_us * round_factor(n) * self.sharing + self._switch_us

    @property
    def _switch_us(self) -> float:
        return self.figures.switch_us * (self.sharing - 1)

    def spill(self, working_set: float) -> float:
        """A factor on memory work whose data are used again after `working_set` bytes of others."""
        return self.figures.spill if working_set > self.figures.cache_bytes else 1.0

    def local_hop_us(self, size: float) -> float:
        """A message inside a domain."""
        message = self.figures.message
        alpha = message.alpha_us * self.sharing + self._switch_us
        return alpha + self._memory_us(message, size)

    def remote_hop_us(self, size: float, over: Over = Over.ANY) -> float:
        """A message between domains; `size` is what crosses the domain's border in one
        direction.
        """
        link = self.remote[over] if self.remote else self.figures.tcp
        return link.alpha_us + link.us(size)

    def hop_us(self, size: float, over: Over = Over.ANY) -> float:
        """A message over the slowest kind of link there is."""
        return self.remote_hop_us(size, over) if self.domains > 1 else self.local_hop_us(size)

    def chain_alpha_us(self, steps: int, laps: float) -> float:
        """Latency of a dependency chain of `steps` hops that goes round the order `laps` times."""
        remote = min(steps, round(laps * self.domains)) if self.domains > 1 else 0
        return remote * self.remote_hop_us(0, Over.RING) + (steps - remote) * self.local_hop_us(0)

    def tree_alpha_us(self) -> float:
        """Latency from a leaf to the root of a tree over the order."""
        remote = log2_ceil(self.domains) * self.remote_hop_us(0, Over.TREE)
        return remote + log2_ceil(self.local) * self.local_hop_us(0)


def round_factor(members: int) -> float:
    """What a window round of so many members costs, in alphas."""
    return 1 + 0.1 * members


def log2_ceil(n: int) -> int:
    return max(n - 1, 0).bit_length()


def log2_floor(n: int) -> int:
    return n.bit_length() - 1


def pieces(size: int, piece: int) -> int:
    """How many pieces of at most `piece` bytes; at least one."""
    return max(1, -(-size // max(piece, 1)))
