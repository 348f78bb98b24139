"""Contradictions inside a topology, whatever source it came from."""

from collections import Counter
from collections.abc import Iterator

from distos_coll.topology import fabric_checks, joins, pci, speeds
from distos_coll.topology.findings import Finding
from distos_coll.topology.graph import has_lanes
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    Host,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    Topology,
)
from distos_coll.topology.names import listed

_GPU_LINKS = (LinkKind.NVLINK, LinkKind.XGMI)
_NEARLY = 0.75
"""Of a PCI link's speed on the wire; the figures of sources differ by what they count as data."""


def contradictions(topology: Topology) -> list[Finding]:
    """What cannot be true together; of hosts that look alike once."""
    alike = Counter(id(host.template) for host in topology.hosts)
    found: list[Finding] = []
    seen: set[int] = set()
    for host in topology.hosts:
        if id(host.template) not in seen:
            seen.add(id(host.template))
            others = alike[id(host.template)] - 1
            place = f"{host.name} and {others} hosts like it" if others else host.name
            found += _Checks(host, place).all()
        found += _ids(host)
    return [
        *found,
        *_across(topology),
        *fabric_checks.contradictions(topology.fabric),
        *joins.contradictions(topology),
    ]


def _twice(values: Iterator[str | int | None]) -> list[str | int]:
    counts = Counter(value for value in values if value is not None)
    return [value for value, count in counts.items() if count > 1]


class _Checks:
    def __init__(self, host: Host, place: str) -> None:
        self.host = host
        self.template: HostTemplate = host.template
        self.place = place

    def all(self) -> Iterator[Finding]:
        yield from self.names()
        yield from self.cpus()
        yield from self.carriers()
        yield from self.ports()
        yield from self.link_targets()
        yield from self.link_counts()
        yield from self.gpus_apart()
        yield from self.pci_speeds()

    def find(self, code: str, message: str, node: int = NOWHERE) -> Finding:
        own = "" if node == NOWHERE else self.template.bus_id_of(node)
        return Finding(code, message, f"{self.place}, {own}" if own else self.place)

    def names(self) -> Iterator[Finding]:
        nodes = self.template.nodes
        for bus_id in _twice(node.bus_id for node in nodes if isinstance(node, Pci)):
            yield self.find(
                "bus-id-twice", f"bus id {bus_id} occurs twice; links to it go to the first"
            )
        for number in _twice(node.id for node in nodes if isinstance(node, Numa)):
            yield self.find("numa-twice", f"NUMA node {number} occurs twice")
        devices = (self.template.nodes[i] for i in self.template.devices)
        for dev in _twice(node.dev for node in devices if isinstance(node, Gpu)):
            yield self.find("gpu-twice", f"two GPUs have the number {dev}")

    def cpus(self) -> Iterator[Finding]:
        """A finding for each node, not for each pair: a thousand nodes have half a million."""
        taken, before = 0, list[Numa]()
        for node in self.template.nodes:
            if isinstance(node, Numa) and node.cpus:
                if node.cpus & taken:
                    other = next(each for each in before if (each.cpus or 0) & node.cpus)
                    yield self.find(
                        "cpus-shared", f"NUMA nodes {other.id} and {node.id} share CPUs"
                    )
                taken |= node.cpus
                before.append(node)

    def carriers(self) -> Iterator[Finding]:
        """A GPU is on a function of a GPU's class, and a NIC is not."""
        for i, node in enumerate(self.template.nodes):
            above = self.template.nodes[node.parent] if node.parent != NOWHERE else None
            if not isinstance(above, Pci) or above.pci_class is None:
                continue
            shown = f"0x{above.pci_class:06x}"
            if isinstance(node, Gpu) and not pci.is_gpu(above.pci_class):
                yield self.find("gpu-class", f"a GPU on a PCI function of class {shown}", i)
            elif isinstance(node, Nic) and pci.is_gpu(above.pci_class):
                yield self.find("nic-class", f"a NIC on a PCI function of class {shown}", i)

    def gpus_apart(self) -> Iterator[Finding]:
        """Those that one source numbers and another gives addresses may be the same."""
        known = [(i, self.template.nodes[i]) for i in self.template.devices]
        numbers = {i for i, node in known if not self.template.bus_id_of(i)}
        nameless = sum(
            i not in numbers and isinstance(node, Gpu) and node.dev is None for i, node in known
        )
        if numbers and nameless:
            yield self.find(
                "gpus-apart",
                f"{nameless} GPUs are known by address and {len(numbers)} by number alone, "
                "and nothing says which is which: all are counted, perhaps twice. Add what knows "
                "both, such as the output of nvidia-smi -q -x or NCCL's topology file",
            )

    def pci_speeds(self) -> Iterator[Finding]:
        """What links run at, where generation and lanes are known too."""
        apart = []
        for node in self.template.nodes:
            if isinstance(node, Pci) and node.gbps is not None and has_lanes(node):
                whole = (node.transfers or 0) * (node.width or 0) / 8
                if not _NEARLY * whole <= node.gbps <= whole / _NEARLY:
                    apart.append(f"{node.bus_id} at {node.gbps:g} of {whole:g} GB/s")
        if apart:
            yield self.find(
                "pci-speed",
                f"PCI links run at another speed than that of their generation and lanes, which "
                f"counts; those of idle devices are slow: {listed(apart)}",
            )

    def ports(self) -> Iterator[Finding]:
        found: dict[tuple[str, str, int | None], int] = {}
        numbers: dict[tuple[str, int], str] = {}
        for i in self.template.ports:
            port = self.template.nodes[i]
            if not isinstance(port, Port) or port.virtual:
                continue
            if port.mbps is not None and speeds.is_kbps(port.mbps):
                counted = f"{speeds.port_mbps(port):,}"
                yield self.find(
                    "port-speed",
                    f"{port.name} at {port.mbps:,} Mb/s: kb/s must be meant; counted as {counted}",
                    i,
                )
            other = found.setdefault((port.kind, port.name, port.port), i)
            if other != i and port.name:
                yield self.find("port-twice", f"port {port.name} occurs twice", i)
            if port.dev is not None:
                name = numbers.setdefault((port.kind, port.dev), port.name)
                if name != port.name:
                    yield self.find(
                        "port-number", f"{name} and {port.name} have the number {port.dev}", i
                    )

    def _gpu_links(self) -> Iterator[Link]:
        return (link for link in self.template.links if link.kind in _GPU_LINKS)

    def link_targets(self) -> Iterator[Finding]:
        for link in self._gpu_links():
            if link.target == NOWHERE:
                if link.named:  # else the source does not say where it leads
                    yield self.find(
                        "link-target", f"a link to {link.named}, which is not there", link.source
                    )
                continue
            target = self.template.nodes[link.target]
            if target == self.template.nodes[link.source] and link.target == link.source:
                yield self.find(
                    "link-to-itself", "a GPU is linked to itself; not counted", link.source
                )
            elif isinstance(target, Pci):
                yield self.find(
                    "link-target",
                    f"a link to {link.named}, which is no GPU and no switch",
                    link.source,
                )
            if link.named_class is not None and self._is_other(link.named_class, link.target):
                yield self.find(
                    "link-class",
                    f"a link to {link.named}, which is no device of class 0x{link.named_class:06x}",
                    link.source,
                )

    def _is_other(self, named_class: int, target: int) -> bool:
        node = self.template.nodes[target]
        if isinstance(node, Gpu):
            return not pci.is_gpu(named_class)
        return isinstance(node, NvSwitch | Numa) and pci.is_gpu(named_class)

    def link_counts(self) -> Iterator[Finding]:
        """Both ends count alike, and no GPU has more links than its kind can have."""
        counted: Counter[tuple[int, int]] = Counter()
        total: Counter[int] = Counter()
        for link in self._gpu_links():
            count = link.count or 0
            if link.source != link.target:
                total[link.source] += count
            if isinstance(self.template.nodes[link.source], Gpu) and link.target != NOWHERE:
                counted[link.source, link.target] += count
        for (a, b), count in counted.items():
            back = counted[b, a]
            if isinstance(self.template.nodes[b], Gpu) and count != back and (a < b or not back):
                names = " and ".join(
                    self.template.bus_id_of(gpu) or self.host.gpu_name(gpu) for gpu in (a, b)
                )
                yield self.find(
                    "link-counts", f"{count} and {back} links between {names}, by each one's count"
                )
        for i, count in total.items():
            node = self.template.nodes[i]
            if isinstance(node, Gpu) and count > speeds.links_at_most(node):
                most = speeds.links_at_most(node)
                yield self.find("too-many-links", f"{count} links of a GPU that can have {most}", i)


def _ids(host: Host) -> Iterator[Finding]:
    """Ports of one adapter have different numbers; its functions may have a GUID in common."""
    seen: dict[tuple[int, str, int], str] = {}
    for i, its in zip(host.template.ports, host.ports, strict=True):
        port = host.template.nodes[i]
        if not isinstance(port, Port) or port.virtual or its.guid is None or port.port is None:
            continue
        if port.kind == "net":
            name = seen.setdefault((port.parent, its.guid, port.port), port.name)
            if name != port.name:
                both = f"{name} and {port.name}"
                yield Finding(
                    "guid-twice",
                    f"{both} are both port {port.port} of adapter {its.guid}",
                    host.name,
                )


def _across(topology: Topology) -> Iterator[Finding]:
    for name in _twice(host.name for host in topology.hosts):
        yield Finding("host-twice", f"two hosts are called {name}")
    ranks = (its.rank for host in topology.hosts for its in host.gpus)
    for rank in _twice(rank for rank in ranks if rank is not None and rank >= 0):
        yield Finding("rank-twice", f"two GPUs have rank {rank}")
