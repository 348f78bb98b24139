"""NCCL's graphs: the rings and trees that it laid over a topology, one kind of schedule each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distos_coll.topology.model import Attributes

PATTERNS = {
    1: "balanced tree",
    2: "split tree",
    3: "tree",
    4: "ring",
    5: "nvls",
    6: "collnet direct",
}
_HOST_BITS = 56
"""Of a GPU's number: above it the host within an NVLink domain."""


@dataclass(frozen=True, slots=True)
class Stop:
    """A device that a channel passes."""

    kind: str  # "gpu", "net", and what later versions add
    dev: int | None = None
    """The number that the topology gives it, on a host of an NVLink domain."""
    rank: int | None = None
    extra: Attributes = ()

    @property
    def host(self) -> int:
        return 0 if self.dev is None else self.dev >> _HOST_BITS

    def __str__(self) -> str:
        if self.dev is None:
            return self.kind
        number = self.dev & ((1 << _HOST_BITS) - 1)
        return f"{self.kind} {self.host}/{number}" if self.host else f"{self.kind} {number}"


@dataclass(frozen=True, slots=True)
class NcclGraph:
    id: int
    """0 ring, 1 tree, 2 CollNet chain, 3 NVLS, 4 CollNet direct."""
    pattern: int | None = None
    cross_nic: int | None = None
    channel_count: int | None = None
    """As it is stated; `channels` are those listed."""
    gbps_intra: float | None = None
    gbps_inter: float | None = None
    latency_inter_us: float | None = None
    type_intra: str | None = None
    type_inter: str | None = None
    same_channels: bool | None = None
    channels: tuple[tuple[Stop, ...], ...] = ()
    extra: Attributes = ()

    def facts(self) -> Mapping[str, Any]:
        """What `topo show --json` prints of it."""
        return {
            "id": self.id,
            "pattern": self.pattern,
            "pattern_name": PATTERNS.get(self.pattern or 0),
            "nchannels": self.channel_count,
            "channels": [[str(stop) for stop in channel] for channel in self.channels],
            "gbps_intra": self.gbps_intra,
            "gbps_inter": self.gbps_inter,
            "type_intra": self.type_intra,
            "type_inter": self.type_inter,
        }


@dataclass(frozen=True, slots=True)
class NcclGraphs:
    """All graphs of a file; a fragment, for they say nothing of links."""

    graphs: tuple[NcclGraph, ...] = ()
    extra: Attributes = ()

    def facts(self) -> Mapping[str, Any]:
        stops = [stop for g in self.graphs for channel in g.channels for stop in channel]
        gpus = {stop.dev for stop in stops if stop.kind == "gpu"}
        ports = {stop.dev for stop in stops if stop.kind == "net"}
        return {
            "gpus": len(gpus) or None,
            "net_ports": len(ports) or None,
            "graphs": [graph.facts() for graph in self.graphs],
        }
