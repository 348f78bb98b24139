"""Constants of NCCL 2.30's tuning (src/graph/tuning.cc there), as tables. Microseconds, GB/s."""

from enum import Enum, IntEnum
from math import inf
from typing import TypeAlias

from distos_coll.api import Collective, DType, ReduceOp


class Algorithm(IntEnum):
    """In the order in which NCCL looks through them, so that the first of equals wins."""

    TREE = 0
    RING = 1
    COLLNET_DIRECT = 2
    COLLNET_CHAIN = 3
    NVLS = 4
    NVLS_TREE = 5
    PAT = 6

    @property
    def text(self) -> str:
        """As NCCL_ALGO has it, in lower case."""
        return self.name.lower().replace("_", "")


class Protocol(IntEnum):
    LL = 0
    LL128 = 1
    SIMPLE = 2

    @property
    def text(self) -> str:
        return self.name.lower()


class Hardware(Enum):
    NVLINK = "NVLink"
    PCI = "PCI"
    NET = "network"


class Generation(IntEnum):
    VOLTA = 0
    AMPERE = 1
    HOPPER = 2
    BLACKWELL = 3


A, P, H = Algorithm, Protocol, Hardware

ByProtocol: TypeAlias = tuple[float, float, float]
"""LL, LL128, Simple."""
ByNodes: TypeAlias = tuple[float, float, float]
"""One node, two, more."""

ALGORITHMS = {
    Collective.ALL_REDUCE: (A.TREE, A.RING, A.COLLNET_DIRECT, A.COLLNET_CHAIN, A.NVLS, A.NVLS_TREE),
    Collective.ALL_GATHER: (A.RING, A.COLLNET_DIRECT, A.NVLS, A.PAT),
    Collective.REDUCE_SCATTER: (A.RING, A.COLLNET_DIRECT, A.NVLS, A.PAT),
    Collective.BROADCAST: (A.RING,),
    Collective.REDUCE: (A.RING,),
}
"""What NCCL has for each collective; of the others it states no time."""

ELEMENT_BYTES = {
    DType.INT8: 1,
    DType.UINT8: 1,
    DType.INT32: 4,
    DType.INT64: 8,
    DType.FLOAT16: 2,
    DType.BFLOAT16: 2,
    DType.FLOAT32: 4,
    DType.FLOAT64: 8,
    DType.FLOAT8_E4M3: 1,
    DType.FLOAT8_E5M2: 1,
}
"""Of the types that NCCL has."""


def _simple(us: float) -> ByProtocol:
    """Of what has the Simple protocol only."""
    return (inf, inf, us)


BASE_US: dict[Algorithm, ByProtocol] = {
    A.TREE: (6.8, 14.0, 8.4),
    A.RING: (6.6, 14.0, 8.4),
    A.COLLNET_DIRECT: _simple(0.0),
    A.COLLNET_CHAIN: _simple(0.0),
    A.NVLS: _simple(0.0),
    A.NVLS_TREE: _simple(0.0),
    A.PAT: _simple(8.0),
}

HARDWARE_US: dict[Hardware, dict[Algorithm, ByProtocol]] = {
    H.NVLINK: {
        A.TREE: (0.6, 1.25, 4.0),
        A.RING: (0.6, 1.9, 3.4),
        A.COLLNET_DIRECT: _simple(3.7),
        A.COLLNET_CHAIN: _simple(2.8),
        A.NVLS: _simple(25.0),
        A.NVLS_TREE: _simple(25.0),
        A.PAT: _simple(4.0),
    },
    H.PCI: {
        A.TREE: (1.0, 1.9, 4.0),
        A.RING: (1.0, 2.5, 5.7),
        A.COLLNET_DIRECT: _simple(3.7),
        A.COLLNET_CHAIN: _simple(2.8),
        A.NVLS: _simple(0.0),
        A.NVLS_TREE: _simple(0.0),
        A.PAT: _simple(4.0),
    },
    H.NET: {
        A.TREE: (5.0, 8.5, 14.0),
        A.RING: (2.7, 4.0, 14.0),
        A.COLLNET_DIRECT: _simple(31.0),
        A.COLLNET_CHAIN: _simple(30.0),
        A.NVLS: _simple(18.0),
        A.NVLS_TREE: _simple(20.9),
        A.PAT: _simple(14.0),
    },
}
"""Of a step."""

# By generation of the GPU; LL_GBPS on several nodes by processor instead (bandwidth.py).
LL_GBPS: tuple[ByNodes, ...] = (
    (39.0, 39.0, 20.4),
    (87.7, 22.5, 19.0),
    (141.0, 45.0, 35.0),
    (282.0, 90.0, 70.0),
)
"""The most that LL carries, all channels together."""

# The most of one channel.
RING_LL128_GBPS: tuple[ByNodes, ...] = (
    (20.0, 20.0, 20.0),
    (20.0, 20.0, 20.0),
    (36.7, 36.7, 36.7),
    (40.0, 40.0, 40.0),
)
TREE_LL128_GBPS: tuple[ByNodes, ...] = (
    (20.0, 20.0, 20.0),
    (20.0, 20.0, 20.0),
    (36.7, 36.7, 29.0),
    (55.6, 31.67, 20.0),
)
TREE_GBPS: tuple[ByNodes, ...] = (
    (26.5, 18.5, 10.0),
    (24.0, 23.6, 17.8),
    (38.7, 41.4, 36.0),
    (70.0, 42.8, 24.0),
)
NVLS_TREE_GBPS: tuple[ByNodes, ...] = (
    (26.5, 18.5, 10.0),
    (24.0, 23.6, 17.8),
    (0.0, 57.7, 45.5),
    (0.0, 96.0, 80.0),
)
NVLS_EFFICIENCY = (0.0, 0.0, 0.85, 0.74)

TREE_CORRECTION = tuple(
    tuple(map(float, row.split()))
    for row in (
        # LL, LL128, Simple
        "1 1 1 1 .9 .8 .7 .7 .7 .7 .6 .5 .4 .4 .5 .6 .7 .8 .9 1 1 1 1 1",
        "1 1 1 1 1 .9 .8 .8 .8 .7 .6 .6 .6 .6 .6 .6 .8 .9 .9 .9 .9 1 1 1",
        ".9 .9 .9 .9 .9 .9 .9 .8 .7 .6 .6 .5 .5 .5 .5 .6 .7 .8 .7 .7 .8 .9 .9 .9",
    )
)
"""A factor on the bandwidth, by the powers of two from 64 bytes on."""
CORRECTED_TREE_SIZES = 23
CORRECTED_NVLS_TREE_SIZES = 24

RING_PLATEAU = 1.4
RING_PLATEAU_VOLTA = 1.9
PLATEAU_BYTES = 64
"""Of each rank and channel: from there on Simple rings between nodes have more latency."""
DEEP_FP8_RANKS = 8
DEEP_FP8_PENALTY = 1024.0
"""Rings of more ranks lose too much of float8's precision to be chosen."""

BATCH_OPERATIONS = 8
"""Operations that share a latency but on rings: 1,024 bytes of descriptions of 128 bytes each."""

# Launch.
WARP = 32
MOST_THREADS = 640
SIMPLE_THREADS = 512
SLOW_RING_THREADS = 256
LL_THREADS = 512
LL128_THREADS = 640
SLOW_RING_GBPS = 12.0
"""PCI generation 3: up to that a Simple ring has fewer threads."""
FEWEST_WARPS = 3

LL_THRESHOLD = 8
LL128_THRESHOLD = 8
SIMPLE_THRESHOLD = 64
COLLNET_THRESHOLD = 512
"""Bytes of each thread: with less there are fewer channels, then fewer threads."""

# Buffers of a channel and peer, which hold so many steps.
BUFFER_STEPS = 8
BUFFER_BYTES = (512 << 10, 4_915_200, 4 << 20)
PROTOCOL_SHARE = (0.5, 120 / 128, 1.0)
"""Of what is sent: the part that is data, not flags."""


def payload(protocol: Protocol, size: int) -> int:
    """Return how many bytes of data fit into so much buffer."""
    if protocol is Protocol.LL:
        return size // 2
    return size // 16 * 15 if protocol is Protocol.LL128 else size


# What there is.
COLLNET_NODES = 2
COLLNET_LOCAL = 8
NVLS_CHANNELS = 2
NVLS_LOCAL = 32
"""Of collectives other than all_reduce."""
PAT_CAPABILITY = 60
LL128_CAPABILITY = 70
HOPPER_CAPABILITY = 90

OPERATIONS = (ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.MIN, ReduceOp.MAX, ReduceOp.AVERAGE)
_SUM = frozenset({ReduceOp.SUM})
_SUM_MIN_MAX = frozenset({ReduceOp.SUM, ReduceOp.MIN, ReduceOp.MAX})
NVLS_OPERATIONS = {
    DType.INT32: _SUM_MIN_MAX,
    DType.INT64: _SUM_MIN_MAX,
    DType.FLOAT16: _SUM_MIN_MAX,
    DType.BFLOAT16: _SUM_MIN_MAX,
    DType.FLOAT32: _SUM,
    DType.FLOAT64: _SUM,
}
"""What NVSwitches reduce; averages are multiplied first, which they do not."""
