"""A host as a graph of links with bandwidths, the way NCCL builds its own from the same statements.

A function that carries a GPU or an adapter is that device; all NVLink switches are one; NUMA nodes
of a host all reach each other.
"""

from dataclasses import dataclass
from enum import IntEnum

from distos_coll.topology import pci, speeds
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
)


class Via(IntEnum):
    """Kinds of links, by the number of the path type that a lone one makes."""

    LOCAL = 0
    NVLINK = 1
    C2C = 3
    PCI = 4
    SYS = 9
    NET = 10


@dataclass(slots=True)
class Edge:
    to: int
    via: Via
    gbps: float


class Graph:
    """Edges by node; a node that is part of another has none."""

    def __init__(self, template: HostTemplate) -> None:
        self.template = template
        self.edges: list[list[Edge]] = [[] for _ in template.nodes]
        self.stands_for = list(range(len(template.nodes)))
        self.within: dict[int, int] = {}
        """Of a NUMA node: how many of its edges, the first, do not lead to another one."""
        self._known: dict[tuple[int, int, Via], Edge] = {}
        self._merge()
        self._tree()
        _flatten(self)
        self._links()
        self._between_numa()

    def kind(self, node: int) -> type:
        return type(self.template.nodes[node])

    def connect(self, a: int, b: int, via: Via, gbps: float, *, both: bool = True) -> None:
        """Add a link; parallel ones of a kind add up."""
        for source, target in ((a, b), (b, a))[: 1 + both]:
            edge = self._known.get((source, target, via))
            if edge is None:
                edge = self._known[source, target, via] = Edge(target, via, 0.0)
                self.edges[source].append(edge)
            edge.gbps += gbps

    def _merge(self) -> None:
        template = self.template
        for i in template.gpus:
            self.stands_for[i] = template.device_of(i)
        for i in (*template.devices, *template.nics):
            above = template.nodes[i].parent
            carries = above != NOWHERE and isinstance(template.nodes[above], Pci)
            if carries and self.stands_for[above] == above:
                self.stands_for[above] = i
        for i in template.nvswitches:
            self.stands_for[i] = template.nvswitches[0]

    def _tree(self) -> None:
        """Every node and what it hangs under."""
        for i, node in enumerate(self.template.nodes):
            if node.parent == NOWHERE or isinstance(node, NvSwitch):
                continue
            here, above = self.stands_for[i], self.stands_for[node.parent]
            if here == above:
                continue
            if isinstance(node, Pci):
                self.connect(here, above, Via.PCI, pci_gbps(node))
            elif isinstance(node, Port):
                self.connect(i, above, Via.NET, speeds.port_mbps(node) / 8000)
            elif isinstance(node, Nic | Gpu) and here == i:
                on_cpu = isinstance(self.template.nodes[node.parent], Numa)
                # NCCL's NICs on CPUs have no limit; a GPU there has a PCI link that nobody told of.
                gbps = pci.link_gbps(None, None) if isinstance(node, Gpu) else speeds.LOCAL
                self.connect(i, above, Via.PCI if on_cpu else Via.LOCAL, gbps)

    def _links(self) -> None:
        for link in self.template.links:
            if link.target != NOWHERE and link.count != 0:
                self._link(link)

    def _link(self, link: Link) -> None:
        source, target = self.stands_for[link.source], self.stands_for[link.target]
        node = self.template.nodes[link.source]
        if source == target or (isinstance(node, Gpu) and source != link.source):
            return  # to itself; or said by a second rank on the same device
        gbps = speeds.of_link(link, node if isinstance(node, Gpu) else None)
        if link.kind is LinkKind.C2C:
            self.connect(source, target, Via.C2C, gbps)
        elif link.kind is LinkKind.PCI:
            self.connect(source, target, Via.LOCAL, gbps, both=False)
        else:
            # The other GPU says its own; a switch or CPU says nothing.
            both = not isinstance(self.template.nodes[link.target], Gpu)
            self.connect(source, target, Via.NVLINK, gbps, both=both)

    def _between_numa(self) -> None:
        """A thousand nodes have a million pairs: edges of one speed to one node are one object."""
        numa = self.template.numa
        of_speed: dict[float, list[Edge]] = {}
        for i, a in enumerate(numa):
            node = self.template.nodes[a]
            gbps = speeds.between_numa(node) if isinstance(node, Numa) else 0.0
            if gbps not in of_speed:
                of_speed[gbps] = [Edge(b, Via.SYS, gbps) for b in numa]
            self.within[a] = len(self.edges[a])
            self.edges[a] += of_speed[gbps][:i] + of_speed[gbps][i + 1 :]


def pci_gbps(node: Pci) -> float:
    """By generation and lanes. What a link runs at counts only where they are not known: an idle
    GPU's is slowed down.
    """
    if node.gbps is None or has_lanes(node):
        return pci.link_gbps(node.transfers, node.width)
    return node.gbps


def has_lanes(node: Pci) -> bool:
    return bool(node.transfers and node.transfers > 0 and node.width and node.width > 0)


def _flatten(graph: Graph) -> None:
    """Broadcom's switches show a level below themselves that is not there: NCCL joins both."""
    for top in graph.template.pci:
        generation = _broadcom(graph, top, 0)
        if not generation or graph.stands_for[top] != top:
            continue
        kept: list[Edge] = []
        parts: list[Edge] = []
        for edge in graph.edges[top]:
            inside = graph.kind(edge.to) is Pci and graph.template.nodes[edge.to].parent == top
            is_part = inside and _broadcom(graph, edge.to, 1) == generation
            (parts if is_part else kept).append(edge)
        graph.edges[top] = kept
        for edge in parts:
            _absorb(graph, top, edge.to)


def _broadcom(graph: Graph, node: int, level: int) -> int:
    found = graph.template.nodes[node]
    if not isinstance(found, Pci) or found.vendor != 0x1000 or found.subsystem_vendor != 0x1000:
        return 0
    model = (found.device or 0, (found.subsystem_device or 0) & 0xF000)
    if model == (0xC010, 0xA000):
        return 4
    return 5 if model == (0xC030, level * 0x1000) else 0


def _absorb(graph: Graph, top: int, below: int) -> None:
    for edge in graph.edges[below]:
        if edge.to == top:
            continue
        graph.edges[top].append(edge)
        for back in graph.edges[edge.to]:
            if back.to == below:
                back.to = top
    graph.edges[below] = []
    graph.stands_for[below] = top
