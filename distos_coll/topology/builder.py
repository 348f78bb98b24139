"""How a source puts a host together: nodes and ids side by side, links to what they name."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from distos_coll.errors import TopologyError
from distos_coll.topology import pci
from distos_coll.topology.fabric import Block, Fabric
from distos_coll.topology.model import (
    NOWHERE,
    Attributes,
    Distances,
    Gpu,
    GpuId,
    Host,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Node,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
    Relation,
    Topology,
)

MOST_OF_A_KIND = 1024
"""NUMA nodes and GPUs of one host. What is computed of pairs of them must end."""

MOST_LEVELS = 100
"""Of nodes below each other, as of elements in XML: they are written and drawn by recursion."""


def bounded(host: str, nodes: Sequence[Node]) -> None:
    """Refuse a host of which too much would have to be computed."""
    for kind, count in Counter(map(type, nodes)).items():
        if kind in {Gpu, Numa, NvSwitch} and count > MOST_OF_A_KIND:
            raise TopologyError(
                f"{host} has {count:,} {kind.__name__} nodes; no host has more "
                f"than {MOST_OF_A_KIND:,}"
            )
    # One further on than the nodes are, so that what hangs nowhere has its place, too.
    depth = [0]
    for i, node in enumerate(nodes):
        depth.append(depth[node.parent + 1] + 1)
        if depth[-1] > MOST_LEVELS:
            place = f"{host}: nodes[{i}]: "
            raise TopologyError(f"{place}nodes hang deeper than {MOST_LEVELS} below each other")


@dataclass
class Counts:
    packages: int | None = None
    cores: int | None = None
    threads: int | None = None


@dataclass
class HostBuilder:
    """Parents are added before their children; `build` resolves links once all nodes are there."""

    name: str
    host_hash: str | None = None
    counts: Counts = field(default_factory=Counts)
    relations: list[Relation] = field(default_factory=list)
    distances: list[Distances] = field(default_factory=list)
    extra: Attributes = ()
    made_up: bool = False
    """The source tells no name; `name` is the reader's."""

    def __post_init__(self) -> None:
        self.nodes: list[Node] = []
        self._links: list[Link] = []
        self.gpu_ids: dict[int, GpuId] = {}
        """By node; a source may put a better one in its place."""
        self.port_ids: dict[int, PortId] = {}

    def add(self, node: Node) -> int:
        """Add a node that has no id of its own, and return its index."""
        self.nodes.append(node)
        return len(self.nodes) - 1

    def add_gpu(self, gpu: Gpu, its: GpuId | None = None) -> int:
        self.gpu_ids[len(self.nodes)] = its or GpuId()
        return self.add(gpu)

    def add_port(self, port: Port, its: PortId | None = None) -> int:
        self.port_ids[len(self.nodes)] = its or PortId()
        return self.add(port)

    def link(self, link: Link) -> None:
        """Add a link to a node that is known, or to the bus id that it names."""
        self._links.append(link)

    def imply(self, node: int) -> None:
        """Add what a PCI function's class says where nothing below it does: a GPU, a NIC.

        Call it once all that the source has below the function is there.
        """
        function = self.nodes[node]
        below = {type(child) for child in self.nodes[node + 1 :] if child.parent == node}
        if not isinstance(function, Pci):
            return
        if pci.is_gpu(function.pci_class) and Gpu not in below:
            self.add_gpu(Gpu(parent=node, implied=True))
        elif pci.is_adapter(function.pci_class, function.vendor) and Nic not in below:
            self.add(Nic(parent=node, implied=True))

    def build(self, shared: dict[HostTemplate, HostTemplate] | None = None) -> Host:
        """Make the host; equal templates of hosts built with the same `shared` are one object."""
        links = self._resolved()
        # After links: those to NVLink switches that nothing else tells of have added them.
        bounded(self.name, self.nodes)
        template = HostTemplate(
            tuple(self.nodes),
            links,
            tuple(self.relations),
            tuple(self.distances),
            self.counts.packages,
            self.counts.cores,
            self.counts.threads,
            self.extra,
        )
        if shared is not None:
            template = shared.setdefault(template, template)
        gpus, ports = tuple(self.gpu_ids.values()), tuple(self.port_ids.values())
        return Host(self.name, template, gpus, ports, self.host_hash, made_up=self.made_up)

    @property
    def links(self) -> tuple[Link, ...]:
        """As they were added: what they name is not looked up yet."""
        return tuple(self._links)

    def _resolved(self) -> tuple[Link, ...]:
        at: dict[str, int] = {}
        for i, node in enumerate(self.nodes):
            if isinstance(node, Pci | NvSwitch):
                at.setdefault(node.bus_id, i)
        device: dict[int, int] = {}
        for i, node in enumerate(self.nodes):
            if isinstance(node, Gpu) and node.parent != NOWHERE:
                device.setdefault(node.parent, i)
        return tuple(self._aim(link, at, device) for link in self._links)

    def _aim(self, link: Link, at: dict[str, int], device: dict[int, int]) -> Link:
        if link.target != NOWHERE:
            return link
        if link.kind is LinkKind.C2C or link.named_class == pci.NVLINK_TO_CPU:
            return replace(link, target=self._numa_above(link.source))
        named = pci.bus_id(link.named) or link.named
        if named not in at and link.named_class == pci.NVSWITCH:
            at[named] = self.add(NvSwitch(named))
        target = at.get(named, NOWHERE)
        return replace(link, target=device.get(target, target))

    def _numa_above(self, node: int) -> int:
        while self.nodes[node].parent != NOWHERE:
            node = self.nodes[node].parent
        return node


def topology(
    hosts: Iterable[HostBuilder],
    fabric: Fabric | None = None,
    blocks: tuple[Block, ...] = (),
    extra: Attributes = (),
) -> Topology:
    """Build all hosts with shared templates."""
    shared: dict[HostTemplate, HostTemplate] = {}
    built = tuple(host.build(shared) for host in hosts)
    return Topology(built, fabric or Fabric(), blocks, extra)
