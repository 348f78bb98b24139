"""PCI functions in hwloc's XML, and what the operating system calls the devices on them."""

import re
from dataclasses import dataclass, replace

from distos_coll.api import (
    NOWHERE,
    Element,
    Gpu,
    GpuId,
    HostBuilder,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
    interface_is_virtual,
    pci_bus_id,
    pci_is_gpu,
)
from distos_coll.sources import cpu_lists, pci_classes
from distos_coll.sources.hwloc_reader import Reader, infos, objects

_TYPE = re.compile(
    r"([0-9a-f]{4}) \[([0-9a-f]{4}):([0-9a-f]{4})\] \[([0-9a-f]{4}):([0-9a-f]{4})\].{0,8}"
)
_DRIVERS = re.compile(r"(nvml|rsmi|cuda|ze)(\d{1,4})")
_NUMBERING = ("nvml", "rsmi", "cuda")
"""Whose numbers are the driver's, the surest first."""
_STATES = {"1": "DOWN", "2": "INIT", "3": "ARMED", "4": "ACTIVE"}
_NETWORK, _RDMA, _OTHER = "network", "rdma", "other"


@dataclass(frozen=True)
class _Here:
    """Where the objects below one hang."""

    numa: int
    pci: int = NOWHERE

    @property
    def parent(self) -> int:
        return self.numa if self.pci == NOWHERE else self.pci


class Devices:
    """Adds them to a host."""

    def __init__(self, reader: Reader, host: HostBuilder, numa: dict[int, int]) -> None:
        self.reader = reader
        self.host = host
        self.numa = numa
        with_cpus = (number for number, i in numa.items() if self._has_cpus(i))
        self.nodes_with_cpus = sum(1 << number for number in with_cpus)
        self.only = next(iter(numa.values())) if len(numa) == 1 else NOWHERE
        self.functions = 0
        self.node_of: dict[str, int] = {}
        """By gp_index: the GPU, NVLink switch or function that an object is."""

    def _has_cpus(self, index: int) -> bool:
        node = self.host.nodes[index]
        return isinstance(node, Numa) and bool(node.cpus)

    def read(self, machine: Element) -> None:
        self.below(machine, self.near(machine, _Here(self.only)))

    def near(self, element: Element, here: _Here) -> _Here:
        """Where an object is: at the only NUMA node with CPUs of its set."""
        nodes = self.reader.bits(element, "nodeset")
        if nodes is None:
            return here
        near = nodes & self.nodes_with_cpus
        alone = near and not near & (near - 1)
        return _Here(self.numa[cpu_lists.first(near)] if alone else self.only)

    def below(self, element: Element, here: _Here) -> None:
        for child in element.of("object"):
            kind = child.attributes.get("type")
            if kind == "Bridge" and "pci_busid" in child.attributes:
                self.below(child, replace(here, pci=self.function(child, here.parent)))
            elif kind == "PCIDev":
                self.functions += 1
                self.device(child, self.function(child, here.parent))
            elif kind == "OSDev":
                self.adapter([child], here.parent)
            else:
                self.below(child, self.near(child, here))

    def function(self, element: Element, parent: int) -> int:
        told = element.attributes.get("pci_busid", "")
        bus_id = pci_bus_id(told)
        if bus_id is None:
            raise self.reader.error(
                f"pci_busid={told[:40]!r}: expected an address such as 0000:01:00.0", element
            )
        match = _TYPE.fullmatch(element.attributes.get("pci_type", ""))
        if match is None:
            raise self.reader.error(
                f"pci_type={element.attributes.get('pci_type', '')[:40]!r}: expected a class and "
                "two pairs of numbers, 0302 [10de:20b0] [10de:134f]",
                element,
            )
        ids = [int(digits, 16) or None for digits in match.groups()]
        names = [each.attributes.get("name", "") for each in element.of("object")]
        node = self.host.add(
            Pci(
                parent,
                bus_id,
                None if ids[0] is None else ids[0] << 8,
                vendor=ids[1],
                device=ids[2],
                subsystem_vendor=ids[3],
                subsystem_device=ids[4],
                gbps=self.speed(element),
                os_names=tuple(name for name in names if name),
            )
        )
        self.known(element, node)
        return node

    def known(self, element: Element, node: int) -> None:
        index = element.attributes.get("gp_index")
        if index:
            self.node_of[index] = node

    def speed(self, element: Element) -> float | None:
        text = element.attributes.get("pci_link_speed", "0")
        if not re.fullmatch(r"\d{1,6}(\.\d{1,9})?", text):
            raise self.reader.error(f"pci_link_speed={text[:40]!r}: expected a number", element)
        return float(text) or None

    def device(self, element: Element, node: int) -> None:
        function = self.host.nodes[node]
        below = list(objects(element, "OSDev"))
        if element.attributes.get("subtype") == "NVSwitch" and isinstance(function, Pci):
            self.known(element, self.host.add(NvSwitch(function.bus_id, node)))
            return
        gpus = [each for each in below if _DRIVERS.fullmatch(each.attributes.get("name", ""))]
        if gpus or (isinstance(function, Pci) and pci_is_gpu(function.pci_class)):
            gpu = self.gpu(gpus, node)
            for each in (element, *below):
                self.known(each, gpu)
        elif any(self.kind(each) != _OTHER for each in below):
            self.adapter(below, node)
        else:
            pci_classes.imply(self.host, node)

    def gpu(self, named: list[Element], node: int) -> int:
        """One GPU, which each driver's library names."""
        facts: dict[str, str] = {}
        numbers: dict[str, int] = {}
        for element in named:
            facts = {**infos(element), **facts}
            if match := _DRIVERS.fullmatch(element.attributes.get("name", "")):
                numbers[match[1]] = int(match[2])
        memory = re.fullmatch(r"(\d{1,12})(?:KiB)?", facts.get("CUDAGlobalMemorySize", ""))
        gpu = Gpu(
            node,
            dev=next((numbers[driver] for driver in _NUMBERING if driver in numbers), None),
            name=facts.get("GPUModel"),
            memory_bytes=int(memory[1]) << 10 if memory else None,
            implied=not named,
        )
        uuid = facts.get("NVIDIAUUID") or facts.get("AMDUUID")
        serial = facts.get("NVIDIASerial") or facts.get("AMDSerial")
        extra = (("hwloc:serial", serial),) if serial else ()
        return self.host.add_gpu(gpu, GpuId(uuid, extra=extra))

    def kind(self, element: Element) -> str:
        """What an OSDev is: a number until version 2, bits since 3."""
        number = self.reader.integer(element, "osdev_type")
        if number is None:
            return _OTHER
        if self.reader.version >= 3:
            return _RDMA if number & 32 else _NETWORK if number & 16 else _OTHER
        return {2: _NETWORK, 3: _RDMA}.get(number, _OTHER)

    def adapter(self, elements: list[Element], parent: int) -> None:
        """Add the ports of a function; beside an RDMA device an interface only names it."""
        kinds = [(self.kind(each), each) for each in elements]
        found = [each for each in kinds if each[0] != _OTHER]
        if not found:
            return
        nic = self.host.add(Nic(parent))
        rdma = any(kind == _RDMA for kind, _ in found)
        for kind, element in found:
            if kind == _RDMA:
                self.rdma_ports(element, nic)
            else:
                self.interface(element, nic, "netdev" if rdma else "net")

    def rdma_ports(self, element: Element, nic: int) -> None:
        facts = infos(element)
        name, guid = element.attributes.get("name", ""), facts.get("NodeGUID")
        matches = (re.fullmatch(r"Port(\d{1,3})State", key) for key in facts)
        numbers: list[int | None] = [*sorted({int(match[1]) for match in matches if match})]
        for number in numbers or [None]:
            state = facts.get(f"Port{number}State")
            lid = re.fullmatch("0x([0-9a-f]{1,8})", facts.get(f"Port{number}LID", ""))
            gid = facts.get(f"Port{number}GID0")
            port = Port(nic, name, port=number, state=_STATES.get(state or "", state))
            own = PortId(guid, (int(lid[1], 16) or None) if lid else None, (gid,) if gid else ())
            self.host.add_port(port, own)

    def interface(self, element: Element, nic: int, kind: str) -> None:
        facts = infos(element)
        name, address = element.attributes.get("name", ""), facts.get("Address")
        number = facts.get("Port", "")
        parent = self.host.nodes[nic].parent
        on_hardware = parent != NOWHERE and isinstance(self.host.nodes[parent], Pci)
        port = Port(
            nic,
            name,
            kind,
            port=int(number) if re.fullmatch(r"\d{1,3}", number) else None,
            virtual=not on_hardware and interface_is_virtual(name),
        )
        self.host.add_port(port, PortId(addresses=(address,) if address else ()))
