"""hwloc's XML, of lstopo and all that links hwloc: versions 1.x, 2.x and 3.x.

Version 1 nests packages in NUMA nodes; since 2 a node is a child beside the CPUs that are near it,
so what is near a device is read off `nodeset` in all versions. Version 3 has bits for the types of
devices, and some facts have moved to the outermost element.
"""

import re
from dataclasses import replace

from distos_coll.api import (
    Counts,
    Document,
    Element,
    Found,
    HostBuilder,
    Numa,
    TopologySource,
    build_topology,
    hookimpl,
    parse_xml,
    xml_root,
)
from distos_coll.sources import architectures, cpu_lists
from distos_coll.sources.hwloc_devices import Devices
from distos_coll.sources.hwloc_distances import Matrices
from distos_coll.sources.hwloc_reader import Reader, infos, objects

VERSIONS = (1, 2, 3)


class _Machine:
    """Makes a host of the object of a machine."""

    def __init__(self, reader: Reader, element: Element, told: dict[str, str], name: str) -> None:
        self.reader = reader
        self.element = element
        self.told = {**told, **infos(element)}
        own = self.told.get("HostName")
        self.host = HostBuilder((own or name)[:255], made_up=not own)
        self.packages = cpu_lists.Packages()
        self.facts_of: dict[int, dict[str, str]] = {}
        """What is said of a package's CPUs."""

    def make(self, beside: list[Element]) -> tuple[HostBuilder, int]:
        """Return the host, and how many PCI functions it has that are no bridges."""
        self.counts()
        devices = Devices(self.reader, self.host, self.numa_nodes())
        devices.read(self.element)
        Matrices(self.reader, self.host, devices).read(self.element, beside)
        return self.host, devices.functions

    def counts(self) -> None:
        packages = list(objects(self.element, "Package", "Socket"))
        cores = sum(1 for _ in objects(self.element, "Core"))
        threads = sum(1 for _ in objects(self.element, "PU"))
        self.host.counts = Counts(len(packages) or None, cores or None, threads or None)
        for i, package in enumerate(packages):
            number = self.reader.integer(package, "os_index")
            number = i if number is None else number
            self.facts_of[number] = infos(package)
            self.packages.add(number, self.reader.bits(package, "cpuset") or 0)

    def numa_nodes(self) -> dict[int, int]:
        """Add them; return their indices by their numbers."""
        found: dict[int, int] = {}
        taken = 0
        for element in objects(self.element, "NUMANode"):
            number = self.reader.integer(element, "os_index")
            node = self.numa_node(element, number)
            if node.cpus and node.cpus & taken:
                # Of memory beside other memory, a GPU's: near these CPUs, which are the other's.
                node = replace(node, cpus=0, package=None)
            taken |= node.cpus or 0
            index = self.host.add(node)
            if number is not None and 0 <= number < cpu_lists.MOST:
                found.setdefault(number, index)
        if not found and self.reader.version == 1:
            # hwloc 1 has no object for one that is the only one.
            found[0] = self.host.add(self.numa_node(self.element, None))
        return found

    def numa_node(self, element: Element, number: int | None) -> Numa:
        cpus = self.reader.bits(element, "cpuset")
        package = self.packages.of(cpus)
        said = next(iter(self.facts_of.values()), {}) if package is None else self.facts_of[package]
        arch = self.told.get("Architecture")
        family, model = (said.get(f"CPU{what}Number", "") for what in ("Family", "Model"))
        return Numa(
            id=number,
            cpus=cpus,
            arch=architectures.of_kernel(arch),
            vendor=said.get("CPUVendor"),
            family=int(family) if re.fullmatch(r"\d{1,6}", family) else None,
            model=int(model) if re.fullmatch(r"\d{1,6}", model) else None,
            package=package,
            memory_bytes=self.reader.integer(element, "local_memory"),
        )


def parse(document: Document) -> Found:
    root = parse_xml(document, keep_text=True)
    reader = Reader(document)
    version = root.attributes.get("version", "1.0")
    match = re.fullmatch(r"([123])\.\d{1,3}", version)
    if match is None:
        raise reader.error(f"version {version[:20]!r}; hwloc's versions 1 to 3 are known", root)
    reader.version = int(match[1])
    machines = [
        each
        for top in root.of("object")
        for each in ([top] if top.attributes.get("type") == "Machine" else top.of("object"))
        if each.attributes.get("type") == "Machine"
    ]
    if not machines:
        raise reader.error("no object of type Machine in it: not a topology of hwloc", root)
    # Matrices stand beside the machine since version 2, in which there is only one.
    beside = [element for element in root.children if element.tag.startswith("distances2")]
    hosts, functions = [], 0
    for i, machine in enumerate(machines):
        host, count = _Machine(reader, machine, infos(root), f"host{i}").make(
            beside if i == 0 else []
        )
        hosts.append(host)
        functions += count
    facts = {
        name: sum(getattr(host.counts, name) or 0 for host in hosts)
        for name in ("packages", "cores", "threads")
    }
    facts |= {"pci_functions": functions}
    extra = (("hwloc:version", version),)
    return Found(build_topology(hosts, extra=extra), tuple(reader.findings), facts)


def recognise(document: Document) -> bool:
    head = document.head
    return xml_root(head)[0] == "topology" and (b"hwloc" in head or b"<object type=" in head)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [TopologySource("hwloc-xml", "hwloc's XML, versions 1 to 3.", recognise, parse)]
