"""What the layout may do, and what it assumes where a topology says nothing."""

from dataclasses import dataclass
from enum import IntEnum

from distos_coll.errors import InvalidArgument
from distos_coll.topology.model import Gpu

CHANNELS_AT_MOST = 64
"""NCCL's."""
UNKNOWN_GBPS = 0.1
"""Of a hop of which the topology knows nothing. NCCL's last resort, too."""


class CrossNic(IntEnum):
    """NCCL_CROSS_NIC: whether a channel may enter a host by one port and leave it by another."""

    NEVER = 0
    ALWAYS = 1
    IF_BETTER = 2


@dataclass(frozen=True)
class Policy:
    cross_nic: CrossNic = CrossNic.IF_BETTER
    relays: bool = True
    """PXN: to a port through the GPU next to it."""
    most_channels: int = CHANNELS_AT_MOST
    channel_gbps: float | None = None
    """The most that one channel is laid out for; None: what a thread block of the GPUs carries."""

    def __post_init__(self) -> None:
        if not 1 <= self.most_channels <= 1024:
            raise InvalidArgument(
                f"a layout of at most {self.most_channels} channels: it has 1 to 1,024"
            )
        if self.channel_gbps is not None and not 0 < self.channel_gbps < float("inf"):
            raise InvalidArgument(
                f"channels of at most {self.channel_gbps} GB/s: it must be a positive number"
            )


DEFAULT = Policy()

_OF_GENERATION = ((100, 48.0), (90, 36.0), (80, 24.0), (0, 24.0))
"""Near to what NCCL's tables let one channel of a ring or tree carry. A channel laid out for more
would not get it; more channels cost memory and latency.
"""
_AMD_GBPS = 64.0
"""One xGMI link of an MI300X."""


def channel_gbps(gpu: Gpu | None) -> float:
    """The most that one channel of such GPUs is laid out for."""
    if gpu is not None and gpu.gcn is not None:
        return _AMD_GBPS
    sm = (gpu.sm if gpu is not None else None) or 0
    return next(gbps for since, gbps in _OF_GENERATION if sm >= since)
