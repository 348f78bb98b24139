"""A topology's hosts as NCCL's or RCCL's topology XML."""

import hashlib

from distos_coll.api import (
    NOWHERE,
    PCI_NVSWITCH,
    Element,
    Gpu,
    Host,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    Topology,
    TopologyError,
    render_xml,
)
from distos_coll.sources import nccl_attributes as known


def write_nccl(topology: Topology) -> bytes:
    """Write version 1; AMD's links are named nvlink in it, as NCCL knows no other."""
    return _written(topology, LinkKind.NVLINK, {"version": "1"})


def write_rccl(topology: Topology) -> bytes:
    return _written(topology, LinkKind.XGMI, {})


def _written(topology: Topology, links: LinkKind, always: dict[str, str]) -> bytes:
    said = {
        name.removeprefix(known.PREFIX): text
        for name, text in topology.extra
        if name.startswith(known.PREFIX)
    }
    _refuse_apart(topology)
    system = Element("system", {"version": "2", **said, **always})
    for host in topology.hosts:
        several = len(topology.hosts) > 1
        system.children += _Host(host, links.value).cpus(name_it=several)
    return render_xml(system).encode()


def _refuse_apart(topology: Topology) -> None:
    """Whoever reads several hosts in one file joins all GPUs at switches: they must be joined."""
    domains: dict[str | None, str] = {}
    for host in topology.hosts:
        for name in {host.gpus[gpu].nvlink_domain for gpu in _switched(host)}:
            domains.setdefault(name, host.name)
    where = {host.name for host in topology.hosts if _switched(host)}
    if len(where) > 1 and (len(domains) > 1 or None in domains):
        first, second = sorted(where)[:2]
        raise TopologyError(
            f"{first} and {second}: hosts in one file are one NVLink domain to NCCL, and nothing "
            "says that their switches are joined; export each host by itself"
        )


def _switched(host: Host) -> set[int]:
    """Numbers of the GPUs with links to NVLink switches."""
    numbers = host.template.gpu_number
    links = (link for link in host.template.links if link.named_class == PCI_NVSWITCH)
    return {numbers[link.source] for link in links if link.source in numbers}


class _Host:
    def __init__(self, host: Host, gpu_link: str) -> None:
        self.host = host
        self.template = host.template
        self.gpu_ids = dict(zip(self.template.gpus, host.gpus, strict=True))
        self.port_ids = dict(zip(self.template.ports, host.ports, strict=True))
        self.gpu_link = gpu_link

    def cpus(self, *, name_it: bool) -> list[Element]:
        own = self.host.host_hash
        if own is None and name_it:
            # NCCL tells hosts of one file apart by a hash, and only compares it.
            own = "0x" + hashlib.sha256(self.host.name.encode()).hexdigest()[:16]
        named = {} if own is None else {"host_hash": own}
        found, homeless = [], Element("cpu", {**named, "numaid": "-1"})
        for i, node in enumerate(self.template.nodes):
            if node.parent != NOWHERE:
                continue
            if isinstance(node, Numa):
                cpu = Element("cpu", {**named, **known.written((known.CPU, node))})
                cpu.attributes.setdefault("numaid", "-1")
                cpu.children = self.inside(i)
                found.append(cpu)
            elif not isinstance(node, NvSwitch):
                homeless.children += self.node(i)
        return [*found, homeless] if homeless.children or not found else found

    def inside(self, node: int) -> list[Element]:
        return [element for child in self.template.children[node] for element in self.node(child)]

    def node(self, i: int) -> list[Element]:
        node = self.template.nodes[i]
        if isinstance(node, Pci):
            element = Element("pci", known.written((known.PCI, node)))
            element.children = self.inside(i) + self.links(i)
        elif isinstance(node, Gpu):
            if node.implied:
                return []
            element = self.gpu(i, node)
        elif isinstance(node, Nic):
            if node.implied and not self.template.children[i]:
                return []
            element = Element("nic", known.written(((), node)))
            element.children = self.inside(i)
        elif isinstance(node, Port):
            own = self.port_ids[i]
            element = Element(node.kind, known.written((known.NET, node), (known.NET_ID, own)))
        else:
            return self.inside(i)
        return [element]

    def gpu(self, i: int, node: Gpu) -> Element:
        if node.parent == NOWHERE or not isinstance(self.template.nodes[node.parent], Pci):
            raise TopologyError(
                f"{self.host.gpu_name(i)}: NCCL's XML needs the PCI address of a GPU, "
                "which no source has told"
            )
        own = self.gpu_ids[i]
        element = Element("gpu", known.written((known.GPU, node), (known.GPU_ID, own)))
        element.children = self.links(i)
        return element

    def links(self, i: int) -> list[Element]:
        found = []
        for link in self.template.links_of[i]:
            table: tuple[known.Attribute, ...] = known.NVLINK
            tag = link.kind.value
            if link.kind is LinkKind.C2C:
                table = known.C2C
            elif link.kind is LinkKind.PCI:
                table = known.PCI_LINK
            else:
                tag = self.gpu_link
            found.append(Element(tag, known.written((table, link))))
        return found
