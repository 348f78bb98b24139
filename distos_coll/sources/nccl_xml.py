"""NCCL's topology XML: what NCCL_TOPO_DUMP_FILE writes and NCCL_TOPO_FILE reads; and RCCL's.

    system > cpu > pci > ... > pci > gpu > nvlink, c2c
                 > nic > net             pci > nic > net, pci > pcilink

NCCL documents no schema; names and meanings are those of its reader (src/graph/xml.cc, topo.cc).
One file may describe several hosts: NVLink domains are fused so, and the same bus ids occur under
each host_hash. RCCL has xgmi for nvlink, and says version 2.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from distos_coll.api import (
    PCI_NVSWITCH,
    Document,
    Element,
    Finding,
    Found,
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
    TopologySource,
    build_topology,
    hookimpl,
    interface_is_virtual,
    local_nvlink_domain,
    parse_xml,
    pci_bus_id,
    xml_root,
)
from distos_coll.sources import nccl_attributes as known
from distos_coll.sources.nccl_writer import write_nccl, write_rccl

VERSIONS = ("1", "2")
_LINKS = {"nvlink": LinkKind.NVLINK, "xgmi": LinkKind.XGMI, "c2c": LinkKind.C2C}
_PORTS = ("net", "gin", "rma")
_AMD = re.compile(rb"<xgmi\s|\sgcn\s*=")


@dataclass
class _Reader:
    document: Document
    own_version: str
    findings: list[Finding] = field(default_factory=list)
    hosts: dict[str | None, HostBuilder] = field(default_factory=dict)

    def read(self) -> Found:
        system = parse_xml(self.document)
        self.version(system)
        for cpu in system.children:
            if cpu.tag == "cpu":
                self.cpu(cpu)
            else:
                self.unknown(cpu, system)
        if not self.hosts:
            raise self.document.error(
                "no <cpu> in it: not a topology that NCCL reads", system.line, system.name
            )
        self.host_hashes()
        self.fuse()
        extra = known.verbatim({"version": self.own_version, **system.attributes})
        return Found(build_topology(self.hosts.values(), extra=extra), tuple(self.findings))

    def version(self, system: Element) -> None:
        version = system.attributes.get("version")
        if version is None:
            self.find("no-version", f"no version; read as version {self.own_version}", system)
        elif version not in VERSIONS:
            raise self.document.error(
                f"version {version[:20]!r}; versions 1 (NCCL) and 2 (RCCL) are known",
                system.line,
                system.name,
            )

    def find(self, code: str, message: str, element: Element) -> None:
        where = f"{self.document.name}:{element.line}: {element.name}"
        self.findings.append(Finding(code, message, where))

    def unknown(self, child: Element, parent: Element) -> None:
        message = f"<{child.tag}> has no meaning in <{parent.tag}>; it was left out"
        self.find("unknown-element", message, child)

    def fields(
        self, table: tuple[known.Attribute, ...], element: Element
    ) -> tuple[dict[str, Any], dict[str, str]]:
        try:
            return known.fields(table, element.attributes)
        except ValueError as error:
            raise self.document.error(str(error), element.line, element.name) from None

    def required(self, element: Element, name: str) -> str:
        text = element.attributes.get(name)
        if not text:
            raise self.document.error(f"it has no {name}", element.line, element.name)
        return text

    def cpu(self, element: Element) -> None:
        self.required(element, "numaid")
        values, rest = self.fields(known.CPU, element)
        host_hash = rest.pop("host_hash", None)
        host = self.hosts.get(host_hash)
        if host is None:
            name = host_hash or f"host{len(self.hosts)}"
            host = HostBuilder(name, host_hash, made_up=host_hash is None)
            self.hosts[host_hash] = host
        node = host.add(Numa(**values, extra=known.verbatim(rest)))
        for child in element.children:
            if child.tag == "pci":
                self.pci(host, child, node)
            elif child.tag == "nic":
                self.nic(host, child, node)
            else:
                self.unknown(child, element)

    def pci(self, host: HostBuilder, element: Element, parent: int) -> None:
        spelling = self.required(element, "busid")
        values, rest = self.fields(known.PCI, element)
        address = pci_bus_id(spelling)
        if address is None:
            raise self.document.error(
                f"busid={spelling[:60]!r}: expected an address such as 0000:01:00.0",
                element.line,
                element.name,
            )
        if address != spelling:
            rest["busid"] = spelling
        values["bus_id"] = address
        node = host.add(Pci(parent, **values, extra=known.verbatim(rest)))
        inside: dict[str, Callable[[HostBuilder, Element, int], None]] = {
            "pci": self.pci,
            "gpu": self.gpu,
            "nic": self.nic,
            "pcilink": self.pci_link,
        }
        for child in element.children:
            if child.tag in inside:
                inside[child.tag](host, child, node)
            else:
                self.unknown(child, element)
        host.imply(node)

    def gpu(self, host: HostBuilder, element: Element, parent: int) -> None:
        values, rest = self.fields(known.GPU + known.GPU_ID, element)
        own = GpuId(rank=values.pop("rank", None))
        node = host.add_gpu(Gpu(parent, **values, extra=known.verbatim(rest)), own)
        for child in element.children:
            if child.tag in _LINKS:
                self.link(host, child, node, _LINKS[child.tag])
            else:
                self.unknown(child, element)

    def link(self, host: HostBuilder, element: Element, source: int, kind: LinkKind) -> None:
        table = known.C2C if kind is LinkKind.C2C else known.NVLINK
        for name in ("count",) if kind is LinkKind.C2C else ("target", "count"):
            self.required(element, name)
        values, rest = self.fields(table, element)
        if values["count"] < 0:
            raise self.document.error("a negative count of links", element.line, element.name)
        host.link(Link(kind, source, **values, extra=known.verbatim(rest)))

    def pci_link(self, host: HostBuilder, element: Element, parent: int) -> None:
        self.required(element, "target")
        values, rest = self.fields(known.PCI_LINK, element)
        host.link(Link(LinkKind.PCI, parent, **values, extra=known.verbatim(rest)))

    def nic(self, host: HostBuilder, element: Element, parent: int) -> None:
        node = host.add(Nic(parent, extra=known.verbatim(element.attributes)))
        for child in element.children:
            if child.tag in _PORTS:
                self.port(host, child, node)
            else:
                self.unknown(child, element)

    def port(self, host: HostBuilder, element: Element, parent: int) -> None:
        values, rest = self.fields(known.NET + known.NET_ID, element)
        own = PortId(guid=values.pop("guid", None))
        name = values.pop("name", "")
        # A NIC below a PCI function has hardware, whatever it is called.
        on_cpu = isinstance(host.nodes[host.nodes[parent].parent], Numa)
        virtual = on_cpu and interface_is_virtual(name)
        extra = known.verbatim(rest)
        host.add_port(Port(parent, name, element.tag, virtual=virtual, extra=extra, **values), own)

    def fuse(self) -> None:
        """Hosts are in one file because NVLink switches join them; NCCL counts those as one."""
        if len(self.hosts) == 1:
            return
        domain = local_nvlink_domain(next(iter(self.hosts.values())).name)
        for host in self.hosts.values():
            for link in host.links:
                if link.named_class == PCI_NVSWITCH and link.source in host.gpu_ids:
                    own = host.gpu_ids[link.source]
                    host.gpu_ids[link.source] = replace(own, nvlink_domain=domain)

    def host_hashes(self) -> None:
        if len(self.hosts) > 1 and None in self.hosts:
            self.findings.append(
                Finding(
                    "host-hash",
                    "some <cpu> have a host_hash and others none: read as another host",
                    self.document.name,
                )
            )
        for text in self.hosts:
            if text is not None and not _is_hexadecimal(text):
                self.findings.append(
                    Finding(
                        "host-hash",
                        f"host_hash {text[:40]!r} is not hexadecimal; NCCL would cut it short, "
                        "here it is a name",
                        self.document.name,
                    )
                )


def _is_hexadecimal(text: str) -> bool:
    try:
        int(text, 16)
    except ValueError:
        return False
    return True


def read_nccl(document: Document) -> Found:
    return _Reader(document, "1").read()


def read_rccl(document: Document) -> Found:
    return _Reader(document, "2").read()


def recognise_nccl(document: Document) -> bool:
    tag, _ = xml_root(document.head)
    return tag == "system"


def recognise_rccl(document: Document) -> bool:
    tag, attributes = xml_root(document.head)
    head = document.head
    return tag == "system" and ('version="2"' in attributes or _AMD.search(head) is not None)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "nccl-xml", "NCCL's topology XML.", recognise_nccl, read_nccl, write=write_nccl
        ),
        TopologySource(
            "rccl-xml",
            "AMD's variant of NCCL's topology XML.",
            recognise_rccl,
            read_rccl,
            write=write_rccl,
            rank=1,
        ),
    ]
