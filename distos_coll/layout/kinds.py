"""The inside of nodes that are alike: seats, hops between them and to ports, and what these take.

A node is what a Job means by it: a host, or the hosts of an NVLink domain, whose ranks reach each
other without a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from distos_coll.layout.ledger import Direction, Directions, Sort, Uses
from distos_coll.layout.policy import UNKNOWN_GBPS, Policy, channel_gbps
from distos_coll.layout.ports import HostPort, host_ports, unknown_port
from distos_coll.topology import speeds
from distos_coll.topology.graph import Edge, Via
from distos_coll.topology.model import NOWHERE, Gpu, Numa, NvSwitch, Pci, Port
from distos_coll.topology.path_type import PathType
from distos_coll.topology.paths import NONE, HostPaths, Path

_SORTS = {Via.NVLINK: Sort.NVLINK, Via.C2C: Sort.C2C, Via.SYS: Sort.CPUS, Via.NET: Sort.PORT}
_INTEL_OVERHEAD = 1.2
"""What leaves a GPU through a root complex of Intel's takes more of the PCI links. NCCL counts it
for paths through one CPU only, and so finds those through two the better.
"""


@dataclass(frozen=True, slots=True)
class Hop:
    uses: Uses
    type: PathType
    gbps: float


@dataclass(frozen=True, slots=True)
class Member:
    """A host of the node."""

    paths: HostPaths
    devices: tuple[int, ...]
    """Of its ranks, in the order of the bus; NOWHERE for ranks on CPUs."""
    shares_nvlink: bool = False
    """With the node's other hosts: GPUs reach each other through switches outside."""


@dataclass(frozen=True, slots=True)
class PortAt:
    member: int
    port: HostPort


class Kind:
    """Made once for all nodes that are alike."""

    def __init__(self, members: Sequence[Member], policy: Policy, *, network: bool) -> None:
        self.members = tuple(members)
        self.policy = policy
        self.slots = tuple(
            (m, device) for m, member in enumerate(members) for device in member.devices
        )
        self.directions = Directions()
        self.left_out: tuple[tuple[str, str], ...] = ()
        self.ports = self._find_ports() if network else ()
        self._hops: dict[tuple[int, int], Hop] = {}
        self._around: dict[int, tuple[tuple[PathType, tuple[int, ...]], ...]] = {}
        self._outward: dict[tuple[int, int], Hop | None] = {}
        self._inward: dict[tuple[int, int], Hop | None] = {}
        self._offer()

    @property
    def size(self) -> int:
        return len(self.slots)

    def gpu(self, slot: int) -> Gpu | None:
        m, device = self.slots[slot]
        node = self.members[m].paths.template.nodes[device] if device != NOWHERE else None
        return node if isinstance(node, Gpu) else None

    @cached_property
    def channel_gbps(self) -> float:
        """The most that one channel is laid out for."""
        if self.policy.channel_gbps is not None:
            return self.policy.channel_gbps
        return min(channel_gbps(self.gpu(slot)) for slot in range(self.size))

    def hop(self, a: int, b: int) -> Hop:
        """From one seat to another; every two reach each other, in the worst case unknown how."""
        found = self._hops.get((a, b))
        if found is None:
            found = self._hops[a, b] = self._hop(a, b)
        return found

    def around(self, slot: int) -> tuple[tuple[PathType, tuple[int, ...]], ...]:
        """Other seats by the type of the hop to them, the nearest first."""
        found = self._around.get(slot)
        if found is None:
            by_type: dict[PathType, list[int]] = {}
            for other in range(self.size):
                if other != slot:
                    by_type.setdefault(self.hop(slot, other).type, []).append(other)
            found = tuple((each, tuple(by_type[each])) for each in sorted(by_type))
            self._around[slot] = found
        return found

    @cached_property
    def switched_gbps(self) -> float | None:
        """What every GPU has to NVLink switches; None: not all have."""
        found = []
        for slot, (m, device) in enumerate(self.slots):
            if self.gpu(slot) is None:
                return None
            switches = self.members[m].paths.template.nvswitches
            if not switches and not self.members[m].shares_nvlink:
                return None
            if (
                switches
                and self.members[m].paths.between(device, switches[0]).type is not PathType.NVL
            ):
                return None
            uses = self._to_switch(m, device, out=True)
            found.append(min(self.directions.known[n].gbps for n, _ in uses))
        return min(found, default=None)

    def outward(self, slot: int, port: int) -> Hop | None:
        """To a port, perhaps through the GPU beside it; None: it is another host's."""
        if (slot, port) not in self._outward:
            self._outward[slot, port] = self._to_port(slot, port, out=True)
        return self._outward[slot, port]

    def inward(self, port: int, slot: int) -> Hop | None:
        if (port, slot) not in self._inward:
            self._inward[port, slot] = self._to_port(slot, port, out=False)
        return self._inward[port, slot]

    # What follows makes hops.

    def _find_ports(self) -> tuple[PortAt, ...]:
        found: list[PortAt] = []
        for m, member in enumerate(self.members):
            ends = list(dict.fromkeys(self._end(m, device) for device in member.devices))
            ports = host_ports(member.paths, [end for end in ends if end != NOWHERE])
            self.left_out += ports.left_out
            found += [PortAt(m, port) for port in ports.used]
        return tuple(found) or (PortAt(0, unknown_port()),)

    def _end(self, m: int, device: int) -> int:
        """Where a rank on the CPU is: nobody says on which, so the first NUMA node."""
        if device != NOWHERE:
            return device
        return next(iter(self.members[m].paths.template.numa), NOWHERE)

    def _hop(self, a: int, b: int) -> Hop:
        (m, start), (n, end) = self.slots[a], self.slots[b]
        if m == n and start == end:
            return (
                self._in_memory(a, b) if start == NOWHERE else Hop((), PathType.LOC, speeds.LOCAL)
            )
        path, ends = NONE, (self._end(m, start), self._end(n, end))
        if m == n and NOWHERE not in ends:
            path = self.members[m].paths.between(*ends)
        switched = self.members[m].shares_nvlink and self.members[n].shares_nvlink
        if switched and (path is NONE or path.type > PathType.NVL):
            uses = self._to_switch(m, start, out=True) + self._to_switch(n, end, out=False)
            return self._made(uses, PathType.NVL)
        if path is NONE:
            uses = self._unknown(a, out=True) + self._unknown(b, out=False)
            return self._made(uses, PathType.DIS)
        return self._made(self._along(m, path), path.type)

    def _made(self, uses: Uses, kind: PathType) -> Hop:
        widths = (self.directions.known[n].gbps / factor for n, factor in uses)
        return Hop(uses, kind, min(widths, default=speeds.LOCAL))

    def _in_memory(self, a: int, b: int) -> Hop:
        """Ranks on CPUs copy through memory; how fast is measured, not stated: a channel each."""
        gbps = self.channel_gbps
        out = self.directions.number(
            ("memory", a, "out"),
            Direction(f"memory of rank {a} of the host, read", Sort.UNKNOWN, gbps),
        )
        into = self.directions.number(
            ("memory", b, "in"),
            Direction(f"memory of rank {b} of the host, written", Sort.UNKNOWN, gbps),
        )
        return Hop(((out, 1.0), (into, 1.0)), PathType.PHB, gbps)

    def _unknown(self, slot: int, *, out: bool) -> Uses:
        """One end of a way of which the topology says nothing; it exists, for the ranks run."""
        name = f"unknown link of {self.slot_name(slot)}, {'out' if out else 'in'}"
        made = Direction(name, Sort.UNKNOWN, UNKNOWN_GBPS)
        return ((self.directions.number(("unknown", slot, out), made), 1.0),)

    def _to_switch(self, m: int, device: int, *, out: bool) -> Uses:
        """One end of a way through switches that hosts share."""
        paths = self.members[m].paths
        for switch in paths.template.nvswitches[:1]:
            ends = (device, switch) if out else (switch, device)
            found = paths.between(*ends)
            if found.type is PathType.NVL:
                return self._along(m, found)
        node = paths.template.nodes[device]
        sm = node.sm if isinstance(node, Gpu) else None
        gbps = speeds.nvlink(sm) * speeds.NVLINKS_AT_MOST.get(sm or 0, 1)
        name = self._name(m, device)
        name = f"NVLink {name} -> domain" if out else f"NVLink domain -> {name}"
        number = self.directions.number(
            ("domain", m, device, out), Direction(name, Sort.NVLINK, gbps)
        )
        return ((number, 1.0),)

    def _to_port(self, slot: int, number: int, *, out: bool) -> Hop | None:
        m, device = self.slots[slot]
        at = self.ports[number]
        if at.port.node == NOWHERE:
            name = f"network of the host, {'out' if out else 'in'}"
            made = Direction(name, Sort.PORT, at.port.gbps)
            return Hop(
                ((self.directions.number(("network", out), made), 1.0),), PathType.SYS, made.gbps
            )
        end = self._end(m, device)
        if at.member != m:
            return self._through_domain(slot, number) if out else None
        paths = self.members[m].paths
        if end == NOWHERE:
            path = NONE
        elif not out:
            path = paths.between(at.port.node, end)
        elif self.policy.relays and device != NOWHERE:
            path = paths.to_port(end, at.port.node)
        else:
            path = paths.between(end, at.port.node)
        uses = self._unknown(slot, out=out) if path is NONE else self._along(m, path)
        if path is NONE and at.port.node in paths.ports:
            uses += tuple(self._of_port(m, at.port.node, out=out))
        kind = PathType.DIS if path is NONE else path.type
        return self._made(uses + self._adapter(number, out=out), kind)

    def _through_domain(self, slot: int, number: int) -> Hop | None:
        """To a port of another host, over the NVLinks that both share and the GPU beside it. NCCL
        relays within a host alone, but there a rank may have no other of its host.
        """
        beside = [
            (hop.type, other, hop)
            for other in range(self.size)
            if self.slots[other][0] == self.ports[number].member
            and (hop := self.outward(other, number)) is not None
        ]
        if not beside:
            return None
        near, relay, last = min(beside, key=lambda each: each[:2])
        first = self.hop(slot, relay)
        if first.type is not PathType.NVL:
            return None
        return self._made(first.uses + last.uses, max(near, PathType.PXN))

    def _adapter(self, number: int, *, out: bool) -> Uses:
        """Of an adapter without ports itself, which stands for one."""
        at = self.ports[number]
        if isinstance(self.members[at.member].paths.template.nodes[at.port.node], Port):
            return ()
        name = f"{at.port.name}, {'out' if out else 'in'}"
        made = Direction(name, Sort.PORT, at.port.gbps)
        return ((self.directions.number(("adapter", number, out), made), 1.0),)

    def _along(self, m: int, path: Path) -> Uses:
        paths = self.members[m].paths
        factor = _INTEL_OVERHEAD if _through_intel(paths, path) else 1.0
        uses: list[tuple[int, float]] = []
        for a, b in pairwise(path.nodes):
            edge = _widest(paths, a, b)
            if edge is None:
                uses += self._stated(m, a, b, path.gbps)
            elif edge.gbps < speeds.LOCAL:
                weight = factor if edge.via is Via.PCI else 1.0
                uses.append((self._number(m, a, edge), weight))
        return tuple(uses)

    def _number(self, m: int, a: int, edge: Edge) -> int:
        name = self._edge_name(m, a, edge)
        made = Direction(name, _SORTS.get(edge.via, Sort.PCI), edge.gbps)
        return self.directions.number((m, a, edge.to, edge.via), made)

    def _stated(self, m: int, a: int, b: int, gbps: float) -> list[tuple[int, float]]:
        """Where a source says how far and not through what: the PCI links of both ends."""
        graph = self.members[m].paths.graph
        uses = []
        for node, out in ((a, True), (b, False)):
            if graph.kind(node) is Port:
                uses += self._of_port(m, node, out=not out)
                continue
            name = self._name(m, node)
            text = f"PCI link of {name}, {'out' if out else 'in'}"
            number = self.directions.number((m, "pci", node, out), Direction(text, Sort.PCI, gbps))
            uses.append((number, 1.0))
        return uses

    def _of_port(self, m: int, port: int, *, out: bool) -> list[tuple[int, float]]:
        """The port's own link, away from the host or into it."""
        graph = self.members[m].paths.graph
        above = next((edge for edge in graph.edges[port] if edge.via is Via.NET), None)
        if above is None:
            return []
        start, end = (above.to, port) if out else (port, above.to)
        edge = next(edge for edge in graph.edges[start] if edge.to == end)
        return [(self._number(m, start, edge), 1.0)]

    def _offer(self) -> None:
        """Enter what should be used: NVLinks between seats, to switches and CPUs, and ports."""
        for m, member in enumerate(self.members):
            graph = member.paths.graph
            devices = {device for device in member.devices if device != NOWHERE}
            for device in sorted(devices):
                for edge in graph.edges[device]:
                    if edge.via is not Via.NVLINK or not (
                        edge.to in devices or graph.kind(edge.to) is not Gpu
                    ):
                        continue
                    self._number(m, device, edge)
                    for back in graph.edges[edge.to]:
                        if back.to == device and back.via is Via.NVLINK:
                            self._number(m, edge.to, back)
        for number, at in enumerate(self.ports):
            if at.port.node != NOWHERE:
                for out in (True, False):
                    self._of_port(at.member, at.port.node, out=out)
                    self._adapter(number, out=out)

    # Names that a person understands.

    def slot_name(self, slot: int) -> str:
        m, device = self.slots[slot]
        return self._name(m, device) if device != NOWHERE else f"rank {slot} of the host"

    def _name(self, m: int, node: int) -> str:
        template = self.members[m].paths.template
        found = template.nodes[node]
        if isinstance(found, Gpu):
            dev = template.devices.index(node) if found.dev is None else found.dev
            text = f"GPU {dev}"
        elif isinstance(found, Numa):
            text = f"CPU {node if found.id is None else found.id}"
        elif isinstance(found, NvSwitch):
            text = "NVSwitch"
        elif isinstance(found, Pci):
            text = f"switch {found.bus_id}"
        elif isinstance(found, Port):
            text = found.name
        else:
            below = [template.nodes[i] for i in template.children[node]]
            names = [each.name for each in below if isinstance(each, Port)]
            text = f"adapter {template.bus_id_of(node) or '+'.join(names[:2])}".rstrip()
        return text if len(self.members) == 1 else f"host {m}'s {text}"

    def _edge_name(self, m: int, a: int, edge: Edge) -> str:
        if edge.via is Via.NET:
            kinds = self.members[m].paths.graph
            port, way = (edge.to, "out") if kinds.kind(edge.to) is Port else (a, "in")
            return f"port {self._name(m, port)}, {way}"
        words = {Via.NVLINK: "NVLink ", Via.C2C: "C2C ", Via.SYS: ""}
        word = words.get(edge.via, "PCI ")
        return f"{word}{self._name(m, a)} -> {self._name(m, edge.to)}"


def _widest(paths: HostPaths, a: int, b: int) -> Edge | None:
    """The link that a path takes: of parallel ones of several kinds the widest."""
    edges = [edge for edge in paths.graph.edges[a] if edge.to == b]
    return max(edges, key=lambda edge: edge.gbps, default=None)


def _through_intel(paths: HostPaths, path: Path) -> bool:
    if path.type not in (PathType.PHB, PathType.SYS) or paths.graph.kind(path.nodes[0]) is not Gpu:
        return False
    passed = (paths.template.nodes[node] for node in path.nodes)
    return any(
        isinstance(node, Numa) and node.arch == "x86_64" and node.vendor == "GenuineIntel"
        for node in passed
    )
