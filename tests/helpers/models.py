"""Topologies out of hypothesis: a cluster as it is, and documents that each tell a part of it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from hypothesis import strategies as st

from distos_coll.api import (
    NOWHERE,
    Adapter,
    Block,
    Cable,
    End,
    EndKind,
    Fabric,
    Gpu,
    GpuId,
    HostBuilder,
    Link,
    LinkKind,
    Nic,
    Numa,
    Pci,
    Port,
    PortId,
    Rail,
    Switch,
    Topology,
    build_topology,
)
from distos_coll.topology.merge import Part
from distos_coll.topology.model import Host, HostTemplate

GPU, NIC, BRIDGE, NVSWITCH = 0x030200, 0x020700, 0x060400, 0x068000
TRANSFERS = (8.0, 16.0, 32.0)


@dataclass(frozen=True)
class Kind:
    """Hosts that look alike."""

    numa: int = 2
    gpus: int = 2
    """Of each NUMA node, as all that follows."""
    nics: int = 1
    bridges: bool = True
    switches: int = 2
    transfers: float = 16.0
    mbps: int = 400_000

    def builder(self, name: str, number: int = 0, domain: str | None = None) -> HostBuilder:
        host = HostBuilder(name)
        devices: list[int] = []
        for n in range(self.numa):
            numa = host.add(Numa(id=n, cpus=0xFF << 8 * n, arch="x86_64"))
            above = numa
            if self.bridges:
                above = host.add(Pci(numa, f"0000:{n}0:01.0", BRIDGE, transfers=32.0, width=16))
            devices += [self._gpu(host, above, n, g, number, domain) for g in range(self.gpus)]
            for i in range(self.nics):
                self._nic(host, above, n, i, number)
        for gpu in devices:
            for s in range(self.switches):
                named = f"0000:e{s}:00.0"
                host.link(Link(LinkKind.NVLINK, gpu, count=9, named=named, named_class=NVSWITCH))
        return host

    def _gpu(
        self, host: HostBuilder, above: int, n: int, g: int, number: int, domain: str | None
    ) -> int:
        dev = n * self.gpus + g
        function = host.add(
            Pci(
                above,
                f"0000:{n}{g + 1:x}:00.0",
                GPU,
                0x10DE,
                0x2330,
                transfers=self.transfers,
                width=16,
            )
        )
        uuid = f"GPU-{number:08x}-{dev:04x}"
        return host.add_gpu(Gpu(function, dev, 90), GpuId(uuid, nvlink_domain=domain))

    def _nic(self, host: HostBuilder, above: int, n: int, i: int, number: int) -> None:
        dev = n * self.nics + i
        function = host.add(Pci(above, f"0000:{n}{i + 9:x}:00.0", NIC, 0x15B3, 0x1021))
        nic = host.add(Nic(function))
        port = Port(nic, f"mlx5_{dev}", dev=dev, port=1, mbps=self.mbps, rail=dev)
        host.add_port(port, PortId(f"0x{guid_of(number, dev)}", 16 * number + dev + 1))


def guid_of(host: int, dev: int) -> str:
    return f"98039b03{host:06x}{dev:02x}"


def cluster(
    hosts: int, kind: Kind = Kind(), *, leaves: int = 0, spines: int = 2, per_domain: int = 0
) -> Topology:
    """Alike hosts; with leaves each port number of all hosts leads to one of them, in turn."""
    builders = [
        kind.builder(f"n{i}", i, f"rack.{i // per_domain}" if per_domain else None)
        for i in range(hosts)
    ]
    ports = kind.numa * kind.nics
    fabric = fabric_of(hosts, ports, leaves, spines) if leaves else Fabric()
    return build_topology(builders, fabric)


def fabric_of(hosts: int, ports: int, leaves: int, spines: int) -> Fabric:
    """Two levels; port p of every host is at leaf p, modulo their number."""
    lower = [Switch(f"leaf{i}", f"leaf-{i}", "infiniband", 64, level=1) for i in range(leaves)]
    upper = [Switch(f"spine{i}", f"spine-{i}", "infiniband", 64, level=2) for i in range(spines)]
    adapters, cables = [], []
    for i in range(hosts):
        for p in range(ports):
            own = guid_of(i, p)
            name = f"mlx5_{p}"
            adapters.append(Adapter(own, f"n{i} {name}", f"n{i}", name, "infiniband", 1))
            leaf = End(EndKind.SWITCH, f"leaf{p % leaves}", 1 + i * ports + p)
            cables.append(Cable(End(EndKind.ADAPTER, own, 1), leaf, 4, "NDR", 400_000))
    for i in range(leaves):
        for s in range(spines):
            a = End(EndKind.SWITCH, f"leaf{i}", 1000 + s)
            b = End(EndKind.SWITCH, f"spine{s}", 1 + i)
            cables.append(Cable(a, b, 4, "NDR", 400_000))
    rails = tuple(
        Rail(
            p,
            switches=(f"leaf{p}",),
            members=tuple(
                End(EndKind.ADAPTER, guid_of(i, q), 1)
                for i in range(hosts)
                for q in range(ports)
                if q % leaves == p
            ),
        )
        for p in range(leaves)
    )
    return Fabric(tuple(lower + upper), tuple(adapters), tuple(cables), rails)


kinds = st.builds(
    Kind,
    numa=st.integers(1, 2),
    gpus=st.integers(0, 2),
    nics=st.integers(0, 2),
    bridges=st.booleans(),
    switches=st.integers(0, 2),
    transfers=st.sampled_from(TRANSFERS),
    mbps=st.sampled_from((100_000, 400_000)),
)


@st.composite
def clusters(draw: st.DrawFn, most: int = 4) -> Topology:
    """Hosts of one kind or two, perhaps with a network."""
    chosen = draw(st.lists(kinds, min_size=1, max_size=2))
    count = draw(st.integers(1, most))
    domain = draw(st.sampled_from((None, "rack.1")))
    builders = [chosen[i % len(chosen)].builder(f"n{i}", i, domain) for i in range(count)]
    ports = min(kind.numa * kind.nics for kind in chosen)
    leaves = draw(st.integers(0, 2))
    fabric = fabric_of(count, ports, leaves, 1) if leaves else Fabric()
    blocks = (Block("b1", tuple(f"n{i}" for i in range(count))),) if draw(st.booleans()) else ()
    return build_topology(builders, fabric, blocks)


def _forgotten(draw: st.DrawFn, item: Any, names: Sequence[str]) -> Any:
    """The item with some fields not told, and some told otherwise."""
    defaults = {field.name: field.default for field in fields(item)}
    changes: dict[str, Any] = {}
    for name in names:
        fate = draw(st.integers(0, 9))
        value = getattr(item, name)
        if fate < 3:
            changes[name] = defaults[name]
        elif fate == 3 and isinstance(value, int | float) and not isinstance(value, bool):
            changes[name] = value + 1
    return replace(item, **changes)


_TOLD = {
    Numa: ("cpus", "arch"),
    Pci: ("pci_class", "vendor", "device", "transfers", "width"),
    Gpu: ("sm", "implied"),
    Port: ("mbps", "rail", "latency_us"),
}


@st.composite
def views(draw: st.DrawFn, host: Host) -> Host:
    """A host as one source may see it: without its bridges, without its links, fields unknown."""
    template = host.template
    without_bridges = draw(st.booleans())
    kept = [
        i
        for i, node in enumerate(template.nodes)
        if not (isinstance(node, Pci) and node.pci_class == BRIDGE and without_bridges)
    ]
    place = {old: new for new, old in enumerate(kept)}
    nodes = []
    for i in kept:
        node = template.nodes[i]
        above = node.parent
        while above != NOWHERE and above not in place:
            above = template.nodes[above].parent
        node = _forgotten(draw, node, _TOLD.get(type(node), ()))
        nodes.append(replace(node, parent=place.get(above, NOWHERE)))
    links = [
        replace(_forgotten(draw, link, ("count",)), source=place[link.source], target=target)
        for link in (template.links if draw(st.booleans()) else ())
        for target in (place[link.target],)
    ]
    gpus = tuple(_forgotten(draw, own, ("uuid", "nvlink_domain")) for own in host.gpus)
    ports = tuple(_forgotten(draw, own, ("guid", "lid")) for own in host.ports)
    return replace(host, template=HostTemplate(tuple(nodes), tuple(links)), gpus=gpus, ports=ports)


@st.composite
def numbered(draw: st.DrawFn, host: Host) -> Host:
    """A host as `nvidia-smi topo -m` sees it: GPUs by numbers, not all of them right, and NUMA
    nodes by their CPUs.
    """
    nodes: list[Any] = []
    ids: list[GpuId] = []
    of_numa: dict[int, int] = {}
    template = host.template
    order = list(range(len(template.gpus)))
    if draw(st.integers(0, 9)) == 0:
        order = draw(st.permutations(order))
    for i, own in zip(template.gpus, host.gpus, strict=True):
        numa = template.numa_of(i)
        if numa not in of_numa:
            of_numa[numa] = len(nodes)
            nodes.append(Numa(cpus=getattr(template.nodes[numa], "cpus", None)))
        gpu = template.nodes[i]
        nodes.append(Gpu(of_numa[numa], order[getattr(gpu, "dev", 0)]))
        ids.append(GpuId(own.uuid if draw(st.booleans()) else None))
    return Host(host.name, HostTemplate(tuple(nodes)), tuple(ids))


@st.composite
def vague_documents(draw: st.DrawFn, topology: Topology, name: str = "a") -> Part:
    """What one source tells of hosts, perhaps without addresses, perhaps without numbers."""
    hosts = []
    for host in topology.hosts:
        view = draw(st.sampled_from(("numbers", "addresses", "all")))
        if view == "numbers":
            hosts.append(draw(numbered(host)))
            continue
        own = draw(views(host))
        if view == "addresses":
            nodes = tuple(
                replace(node, dev=None) if isinstance(node, Gpu) else node
                for node in own.template.nodes
            )
            own = replace(own, template=replace(own.template, nodes=nodes))
        hosts.append(own)
    return Part(name, Topology(tuple(hosts)))


@st.composite
def documents(draw: st.DrawFn, topology: Topology, name: str = "a") -> Part:
    """What one source tells of a cluster."""
    hosts = tuple(
        draw(views(host)) if draw(st.booleans()) else host
        for host in topology.hosts
        if draw(st.booleans())
    )
    fabric = topology.fabric
    switches = tuple(_forgotten(draw, each, ("lid", "level", "name")) for each in fabric.switches)
    cables = tuple(
        replace(_forgotten(draw, cable, ("mbps", "rate")), seen_by_both=draw(st.booleans()))
        for cable in fabric.cables
        if draw(st.integers(0, 3))
    )
    if draw(st.booleans()):
        turned = tuple(draw(st.permutations(cables)))
        fabric = replace(fabric, switches=switches, cables=turned)
    else:
        fabric = Fabric()
    return Part(name, replace(topology, hosts=hosts, fabric=fabric))
