"""The alpha-beta-gamma model: what a step costs, given the links of a cluster.

Times are microseconds, sizes bytes. The model ranks candidates; it does not promise times. Its
shape follows the cost model that NCCL documents (latency per hop plus bytes over bandwidth, inter
and intra hops counted apart).
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinkCost:
    alpha_us: float
    gbps: float
    """Gigabytes a second of one rank."""

    def us(self, size: float) -> float:
        return size / (self.gbps * 1000)


# A frame on a shared-memory ring is copied in and out, needs headers and credits, and a peer that
# polls.
_MESSAGE_COPIES = 1.3
_MESSAGE_ALPHA = 6
# A rank that shares its core must be scheduled before it can arrive.
_SWITCH_US = 100
# What does not fit in a core's cache until it is used again comes from memory once more.
_CACHE = 1 << 20
_SPILL = 1.2


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
    mapped: LinkCost
    single_copy: LinkCost
    tcp: LinkCost
    reduce: LinkCost

    def copy_us(self, size: float) -> float:
        """One rank copies through mapped memory."""
        return self.mapped.us(size) * self.sharing

    def read_us(self, size: float) -> float:
        """One rank copies out of another's private memory."""
        return self.single_copy.us(size) * self.sharing

    def reduce_us(self, size: float) -> float:
        """One rank reads `size` bytes of inputs and accumulates them."""
        return self.reduce.us(size) * self.sharing

    def sync_us(self, members: int | None = None) -> float:
        """A window round: every member sees every other arrive."""
        n = self.local if members is None else members
        return self.mapped.alpha_us * (1 + 0.1 * n) * self.sharing + self._switch_us

    @property
    def _switch_us(self) -> float:
        return _SWITCH_US * (self.sharing - 1)

    def spill(self, working_set: float) -> float:
        """A factor on memory work whose data are used again after `working_set` bytes of others."""
        return _SPILL if working_set > _CACHE else 1.0

    def local_hop_us(self, size: float) -> float:
        """A message inside a domain."""
        alpha = _MESSAGE_ALPHA * self.mapped.alpha_us * self.sharing + self._switch_us
        return alpha + _MESSAGE_COPIES * self.copy_us(size)

    def remote_hop_us(self, size: float) -> float:
        """A message between domains; `size` is what crosses the domain's border in one
        direction.
        """
        return self.tcp.alpha_us + self.tcp.us(size)

    def hop_us(self, size: float) -> float:
        """A message over the slowest kind of link there is."""
        return self.remote_hop_us(size) if self.domains > 1 else self.local_hop_us(size)

    def chain_alpha_us(self, steps: int, laps: float) -> float:
        """Latency of a dependency chain of `steps` hops that goes round the order `laps` times."""
        remote = min(steps, round(laps * self.domains)) if self.domains > 1 else 0
        return remote * self.remote_hop_us(0) + (steps - remote) * self.local_hop_us(0)

    def tree_alpha_us(self) -> float:
        """Latency from a leaf to the root of a tree over the order."""
        remote = log2_ceil(self.domains) * self.remote_hop_us(0)
        return remote + log2_ceil(self.local) * self.local_hop_us(0)


def log2_ceil(n: int) -> int:
    return max(n - 1, 0).bit_length()


def log2_floor(n: int) -> int:
    return n.bit_length() - 1


def pieces(size: int, piece: int) -> int:
    """How many pieces of at most `piece` bytes; at least one."""
    return max(1, -(-size // max(piece, 1)))
