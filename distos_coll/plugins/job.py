"""What a cost model is told: a job on a machine, and an operation. Values only."""

from dataclasses import dataclass, field, fields
from enum import Enum, IntEnum
from math import isfinite

from distos_coll._vocabulary import Collective, DType, ReduceOp
from distos_coll.errors import InvalidArgument
from distos_coll.plugins.costs import Figures
from distos_coll.topology.path_type import PathType


class Pattern(IntEnum):
    """What NCCL searched for, by the numbers of its graph files."""

    BALANCED_TREE = 1
    SPLIT_TREE = 2
    TREE = 3
    RING = 4
    NVLS = 5
    COLLNET_DIRECT = 6


class Cpu(Enum):
    """Whose processors the nodes have."""

    INTEL = "Intel"
    AMD = "AMD"
    MIXED = "mixed"
    OTHER_X86 = "other x86"
    ARM = "Arm"
    POWER = "POWER"

    @property
    def is_x86(self) -> bool:
        return self not in (Cpu.ARM, Cpu.POWER)


@dataclass(frozen=True)
class ChannelGraph:
    """Channels of one kind that are laid over a topology, as NCCL's graph files state them."""

    channels: int
    gbps_intra: float
    """Gigabytes a second of one channel, inside a node."""
    gbps_inter: float = 0.0
    """The same between nodes; 0: as inside, which is what NCCL states where there is one node."""
    type_intra: PathType = PathType.NVL
    type_inter: PathType = PathType.PIX
    """From the GPU to its NIC."""
    latency_inter_us: float = 0.0
    """Of the network adapter."""
    pattern: Pattern | None = None
    """Only trees are priced by it."""
    same_channels: bool = True
    """All channels visit the GPUs in the same order."""

    def __post_init__(self) -> None:
        numbers = (self.gbps_intra, self.gbps_inter, self.latency_inter_us)
        good = self.channels >= 1 and self.gbps_intra > 0 and min(numbers) >= 0
        if not good or not all(map(isfinite, numbers)):
            raise InvalidArgument(
                f"a graph of {self.channels} channels, {self.gbps_intra} and {self.gbps_inter} "
                f"GB/s, {self.latency_inter_us} us: it needs at least one channel, bandwidth, and "
                "no negative number; leave out a graph that was not found"
            )
        if not self.gbps_inter:
            object.__setattr__(self, "gbps_inter", self.gbps_intra)


@dataclass(frozen=True)
class NcclView:
    """What NCCL knows of the job that a communicator of it spans."""

    compute_capability: int
    """70, 80, 90, 100 ...; of the GPU with the lowest."""
    max_compute_capability: int = 0
    """Of the one with the highest; 0: all are alike."""
    cpu: Cpu = Cpu.INTEL
    ring: ChannelGraph | None = None
    tree: ChannelGraph | None = None
    """PAT uses it too."""
    collnet_chain: ChannelGraph | None = None
    collnet_direct: ChannelGraph | None = None
    nvls: ChannelGraph | None = None
    """NVLSTree uses it too."""
    nvswitch: bool = False
    collnet_heads: int = 0
    """NICs of a node through which the network reduces; 0: NCCL_COLLNET_ENABLE is not set."""
    channels: int = 0
    """Of the communicator, "coll channels" in NCCL's log; 0: twice those of its rings or trees,
    for each is laid out twice.
    """
    nvls_channels: int = 0
    """"nvls channels" in NCCL's log; 0: those of the graph."""
    ll128_c2c: bool = True
    """NCCL_LL128_C2C."""
    net_overhead_us: float | None = None
    """NCCL_NET_OVERHEAD, which counts nanoseconds; None: what NCCL assumes for the processor."""
    algo: str = ""
    """NCCL_ALGO."""
    proto: str = ""
    """NCCL_PROTO."""

    def __post_init__(self) -> None:
        if not self.max_compute_capability:
            object.__setattr__(self, "max_compute_capability", self.compute_capability)
        if not 30 <= self.compute_capability <= self.max_compute_capability:
            raise InvalidArgument(
                f"compute capabilities from {self.compute_capability} to "
                f"{self.max_compute_capability}: write 9.0 as 90, the lower one first"
            )
        for item in fields(self):
            value = getattr(self, item.name)
            if type(value) in (int, float) and value < 0:
                raise InvalidArgument(f"{item.name} of a job is {value}; it cannot be negative")

    def channels_of_communicator(self) -> int:
        """Return how many channels an operation may use."""
        laid_out = [g.channels for g in (self.ring, self.tree) if g is not None]
        return self.channels or min(_MAX_CHANNELS, 2 * min(laid_out, default=1))


_MAX_CHANNELS = 64


@dataclass(frozen=True)
class HostView:
    """What the cost functions of algorithm specs know of a job, besides its shape."""

    figures: Figures = field(default_factory=Figures)
    slot_bytes: int = 1 << 20
    sharing: float = 1.0
    """Ranks per core in the fullest node, at least 1."""


@dataclass(frozen=True)
class Job:
    ranks_of_nodes: tuple[int, ...]
    """Of each node; (8,) * 4 is four nodes of eight. A node is a host, an NVLink domain: whose
    ranks reach each other without a network.
    """
    nccl: NcclView | None = None
    """None: not a job of NCCL's, or nothing is known of it."""
    host: HostView = HostView()

    def __post_init__(self) -> None:
        if not self.ranks_of_nodes or min(self.ranks_of_nodes) < 1:
            raise InvalidArgument(
                f"a job with {list(self.ranks_of_nodes)} ranks on its nodes; "
                "name every node with the ranks that it has, at least one"
            )

    @property
    def size(self) -> int:
        return sum(self.ranks_of_nodes)

    @property
    def nodes(self) -> int:
        return len(self.ranks_of_nodes)

    @property
    def local(self) -> int:
        """Ranks of the fullest node."""
        return max(self.ranks_of_nodes)

    @property
    def min_local(self) -> int:
        return min(self.ranks_of_nodes)


@dataclass(frozen=True)
class Operation:
    collective: Collective
    bytes: int
    """As in a choice row: the larger of a rank's input and output. Of all `pipe_ops` together."""
    dtype: DType = DType.FLOAT32
    op: ReduceOp = ReduceOp.SUM
    """Of collectives that reduce."""
    pipe_ops: int = 1
    """Operations that are launched together."""

    def __post_init__(self) -> None:
        if self.bytes < 0 or self.pipe_ops < 1:
            raise InvalidArgument(
                f"{self.pipe_ops} operations of {self.bytes} bytes: "
                "a model prices one or more, of no negative size"
            )
