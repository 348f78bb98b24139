"""How far apart devices are, in NCCL's words, and how much passes between them.

Within a host a breadth-first search over `graph`, as NCCL 2.30 has it (ncclTopoSetPaths in its
src/graph/paths.cc): fewest hops, then most bandwidth. A path is as bad as its worst part. Beyond a
host it is NVLink where GPUs share a domain, else the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from distos_coll.topology import speeds
from distos_coll.topology.graph import Edge, Graph, Via
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    HostTemplate,
    Numa,
    Pci,
    Port,
    Topology,
)
from distos_coll.topology.nvlink import Device
from distos_coll.topology.path_type import PathType


@dataclass(frozen=True, slots=True)
class Path:
    type: PathType
    gbps: float
    """Gigabytes a second, one way."""
    nodes: tuple[int, ...] = ()
    """From the first to the last; of one host."""


NONE = Path(PathType.DIS, 0.0)
_CHANNELS = 64
"""NCCL's most."""
_UNKNOWN_GBPS = 12.0
"""Of a relation that is stated without a speed: PCI generation 3."""


class HostPaths:
    """Paths inside a host, by indices of nodes. Made once per template; found on demand."""

    def __init__(self, template: HostTemplate) -> None:
        self.template = template
        self.graph = Graph(template)
        self._from: dict[int, dict[int, _Reached]] = {}
        self._gpu_of: dict[int, int] = {}
        self._stated = {
            pair: relation.path
            for relation in template.relations
            for pair in ((relation.a, relation.b), (relation.b, relation.a))
        }

    def between(self, a: int, b: int) -> Path:
        """NONE if they are not connected; without relays, which are a matter of policy."""
        found = self._found(a, b)
        if found.type is PathType.PHB and (a, b) in self._coherent:
            return replace(found, type=PathType.P2C)
        return found

    def _found(self, a: int, b: int) -> Path:
        start, end = self.graph.stands_for[a], self.graph.stands_for[b]
        if start not in self._from:
            self._from[start] = _search(self.graph, start)
        reached = self._from[start]
        way = reached.get(end)
        found = NONE if way is None else Path(way.type, way.gbps, _route(reached, end))
        # Where a source gives no PCI functions, the tree knows no more than the NUMA nodes.
        by_numa = found.type > PathType.C2C and not (
            self.template.bus_id_of(a) or self.template.bus_id_of(b)
        )
        if (found is NONE or by_numa) and (a, b) in self._stated:
            name = self._stated[a, b]
            # NVIDIA's NODE is within a NUMA node, as PHB is: NCCL knows no difference.
            kind = PathType.PHB if name == "NODE" else PathType.__members__.get(name)
            return NONE if kind is None else Path(kind, _UNKNOWN_GBPS, (a, b))
        return found

    @cached_property
    def _coherent(self) -> frozenset[tuple[int, int]]:
        """GPUs and their nearest ports that C2C and one CPU join. NCCL's P2C is for those only:
        a relay serves others better.
        """
        found = set()
        for gpu in self.template.devices:
            cpu = self.cpu_of(gpu)
            if cpu == NOWHERE or self._found(gpu, cpu).type is not PathType.C2C:
                continue
            for port in self.nearest(gpu, self.ports):
                # From the CPU: one search, not one for each of what may be thousands of ports.
                if self._found(cpu, port).type is PathType.PHB:
                    found |= {(gpu, port), (port, gpu)}
        return frozenset(found)

    @cached_property
    def ports(self) -> tuple[int, ...]:
        """Those that carry data and are no virtual interfaces."""
        found = ((i, self.template.nodes[i]) for i in self.template.ports)
        return tuple(
            i for i, n in found if isinstance(n, Port) and n.kind == "net" and not n.virtual
        )

    def cpu_of(self, gpu: int) -> int:
        """The NUMA node with the fewest hops, or NOWHERE."""
        ways = [(self._found(gpu, cpu), cpu) for cpu in self.template.numa]
        reached = [(len(path.nodes), cpu) for path, cpu in ways if path is not NONE]
        return min(reached, default=(0, NOWHERE))[1]

    def nearest(self, start: int, ends: Sequence[int]) -> tuple[int, ...]:
        """Those with the most bandwidth, of these those with the best type."""
        ways = [(self._found(start, end), end) for end in ends]
        rated = [((-path.gbps, path.type), end) for path, end in ways if path is not NONE]
        best = min((rate for rate, _ in rated), default=None)
        return tuple(end for rate, end in rated if rate == best)

    def port_of(self, gpu: int, channel: int = 0) -> int:
        """The port that a GPU uses for a channel, or NOWHERE: GPUs with the same nearest ports take
        different ones, and share them out if there are more.
        """
        ports = self.nearest(gpu, self.ports)
        if not ports:
            return NOWHERE
        sharing = len(self.nearest(ports[0], self.template.devices))
        per_gpu = -(-len(ports) // sharing)
        node = self.template.nodes[gpu]
        first = node.dev if isinstance(node, Gpu) and node.dev is not None else 0
        if len(ports) & (len(ports) - 1) == 0:
            first = _mirrored(first, len(ports))
        return ports[(first + channel % per_gpu) % len(ports)]

    def gpu_of(self, port: int) -> int:
        """The GPU next to a port that would use it for the first channel it can, or NOWHERE."""
        if port not in self._gpu_of:
            gpus = self.nearest(port, self.template.devices)
            users = (
                gpu
                for channel in range(min(len(self.ports), _CHANNELS))
                for gpu in gpus
                if self.port_of(gpu, channel) == port
            )
            self._gpu_of[port] = next(users, NOWHERE)
        return self._gpu_of[port]

    def to_port(self, gpu: int, port: int) -> Path:
        """From a GPU to a port, through the GPU next to the port where that is better (PXN)."""
        direct = self.between(gpu, port)
        relay = self.gpu_of(port)
        if relay in {NOWHERE, gpu} or not self._direct_rdma(relay, port):
            return direct
        last, first = self.between(relay, port), self.between(gpu, relay)
        reaches = last.type <= PathType.P2C and first.type <= PathType.NVL
        if reaches and (last.gbps > direct.gbps or direct.type > PathType.PXN):
            nodes = first.nodes + last.nodes[1:]
            return Path(PathType.PXN, min(first.gbps, last.gbps), nodes)
        return direct

    def _direct_rdma(self, gpu: int, port: int) -> bool:
        ends = self.template.nodes[gpu], self.template.nodes[port]
        return all(isinstance(end, Gpu | Port) and bool(end.gdr) for end in ends)


def _mirrored(value: int, size: int) -> int:
    """The bits below `size`, a power of two, in reverse, as NCCL spreads GPUs over NICs."""
    bits = size.bit_length() - 1
    return sum(1 << (bits - 1 - i) for i in range(bits) if value >> i & 1)


@dataclass(slots=True)
class _Reached:
    hops: int
    gbps: float
    type: PathType
    before: int


def _search(graph: Graph, start: int) -> dict[int, _Reached]:
    reached = {start: _Reached(0, speeds.LOCAL, PathType.LOC, NOWHERE)}
    now = [start]
    while now:
        later: dict[int, None] = {}
        for node in now:
            here = reached[node]
            # From another NUMA node all have been reached.
            known = here.before != NOWHERE and graph.kind(here.before) is Numa
            edges = graph.edges[node]
            for edge in edges[: graph.within.get(node)] if known else edges:
                if not _may_pass(graph, start, node, edge, here):
                    continue
                gbps = min(here.gbps, edge.gbps)
                other = reached.get(edge.to)
                if other is None or (other.hops > here.hops and other.gbps < gbps):
                    kind = _worst(graph, node, edge, here)
                    reached[edge.to] = _Reached(here.hops + 1, gbps, kind, node)
                    later[edge.to] = None
        now = list(later)
    return reached


def _may_pass(graph: Graph, start: int, node: int, edge: Edge, here: _Reached) -> bool:
    """A GPU between others forwards over NVLink only, and a path has one such GPU at most."""
    if node == start or graph.kind(node) is not Gpu:
        return True
    return edge.via is Via.NVLINK and graph.kind(edge.to) is Gpu and here.hops <= 1


def _worst(graph: Graph, node: int, edge: Edge, here: _Reached) -> PathType:
    kinds = (graph.kind(node), graph.kind(edge.to))
    # The last piece, to the port itself, tells nothing of the way from the GPU to the NIC.
    kind = PathType.LOC if edge.via is Via.NET else PathType(edge.via)
    if kinds == (Pci, Pci):
        # Whatever joins them: two switches that reach each other without the CPU are two switches.
        kind = PathType.PXB
    elif edge.via is Via.PCI and Numa in kinds:
        kind = PathType.PHB
    elif kinds[0] is Gpu and here.hops and here.type is PathType.NVL and kind is PathType.NVL:
        kind = PathType.NVB
    return max(here.type, kind)


def _route(reached: dict[int, _Reached], node: int) -> tuple[int, ...]:
    back = []
    while node != NOWHERE:
        back.append(node)
        node = reached[node].before
    return tuple(reversed(back))


class Paths:
    """Paths between devices of all hosts."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self._inside = {id(t): HostPaths(t) for t in topology.templates}

    def inside(self, host: int) -> HostPaths:
        return self._inside[id(self.topology.hosts[host].template)]

    def between(self, a: Device, b: Device) -> Path:
        """Between two GPUs."""
        if a[0] == b[0]:
            return self.inside(a[0]).between(a[1], b[1])
        domain = self._domain(a)
        if domain is not None and domain == self._domain(b):
            return Path(PathType.NVL, min(self._to_switch(a), self._to_switch(b)))
        ends = [self._to_network(a), self._to_network(b)]
        return NONE if NONE in ends else Path(PathType.NET, min(end.gbps for end in ends))

    def _domain(self, device: Device) -> str | None:
        host = self.topology.hosts[device[0]]
        return host.gpus[host.template.gpu_number[device[1]]].nvlink_domain

    def _to_switch(self, device: Device) -> float:
        template = self.topology.hosts[device[0]].template
        paths = self.inside(device[0])
        if template.nvswitches:
            found = paths.between(device[1], template.nvswitches[0])
            if found.type is PathType.NVL:
                return found.gbps
        node = template.nodes[device[1]]
        sm = node.sm if isinstance(node, Gpu) else None
        return speeds.nvlink(sm) * speeds.NVLINKS_AT_MOST.get(sm or 0, 1)

    def _to_network(self, device: Device) -> Path:
        paths = self.inside(device[0])
        port = paths.port_of(device[1])
        return NONE if port == NOWHERE else paths.to_port(device[1], port)
