"""`nvidia-smi -q -x`: the GPUs of a machine, with their addresses and NVLink domains."""

import re

from distos_coll.api import (
    MAX_HOST_GPUS,
    NOWHERE,
    Attributes,
    Document,
    Element,
    Finding,
    Found,
    Gpu,
    GpuId,
    HostBuilder,
    Pci,
    TopologySource,
    build_topology,
    hookimpl,
    parse_xml,
    pci_bus_id,
    xml_root,
)

_TRANSFERS = {1: 2.5, 2: 5.0, 3: 8.0, 4: 16.0, 5: 32.0, 6: 64.0, 7: 128.0}
"""By generation of PCI Express."""
_NOTHING = {"", "N/A", "None", "Not Supported", "Insufficient Permissions"}
_LOST = re.compile(r"ERR!|Unknown Error|GPU is lost", re.I)
_OWN = ("serial", "minor_number", "module_id", "gpu_fabric_guid", "chassis_serial_number")
_PLACE = ("slot_number", "tray_index", "host_id", "peer_type", "c2c_mode", "product_architecture")


class _Gpu:
    """Reads one <gpu>."""

    def __init__(self, document: Document, element: Element, findings: list[Finding]) -> None:
        self.document = document
        self.element = element
        self.findings = findings

    def text(self, *path: str) -> str | None:
        """Text of the element at a path; None where it is not there or says nothing."""
        element: Element | None = self.element
        for tag in path:
            element = element.find(tag) if element else None
        text = element.text.strip() if element else ""
        if element and _LOST.search(text):
            self.find("gpu-error", f"nvidia-smi could not ask the GPU: {text[:40]!r}", element)
            return None
        return None if text.strip("[]") in _NOTHING else text

    def find(self, code: str, message: str, element: Element) -> None:
        where = f"{self.document.name}:{element.line}: {self.element.name}"
        self.findings.append(Finding(code, message, where))

    def number(self, *path: str, pattern: str = r"(\d{1,12})", base: int = 10) -> int | None:
        text = self.text(*path)
        if text is None:
            return None
        match = re.fullmatch(pattern, text)
        if match is None:
            message = f"<{path[-1]}> says {text[:40]!r}, which is no such value; it was left out"
            self.find("bad-value", message, self.element)
            return None
        return int(match[1], base)

    def bus_id(self) -> str:
        told = self.text("pci", "pci_bus_id") or self.element.attributes.get("id", "")
        found = pci_bus_id(told)
        if found is None:
            raise self.document.error(
                f"{told[:40]!r}: expected a PCI address such as 00000000:01:00.0",
                self.element.line,
                self.element.name,
            )
        return found

    def function(self) -> Pci:
        bases = [
            self.number("pci", tag, pattern="([0-9a-fA-F]{1,2})", base=16)
            for tag in ("pci_base_class", "pci_sub_class")
        ]
        base, sub = bases
        link = ("pci", "pci_gpu_link_info")
        generation = self.number(*link, "pcie_gen", "max_link_gen")
        ids = [self.number("pci", tag, pattern="([0-9a-fA-F]{1,8})", base=16) for tag in _IDS]
        device, subsystem = (divmod(i, 1 << 16) if i is not None else (None, None) for i in ids)
        return Pci(
            NOWHERE,
            self.bus_id(),
            None if base is None or sub is None else base << 16 | sub << 8,
            vendor=device[1],
            device=device[0],
            subsystem_vendor=subsystem[1],
            subsystem_device=subsystem[0],
            # What the link can; an idle GPU lets it fall to save power.
            transfers=_TRANSFERS.get(generation or 0),
            width=self.number(*link, "link_widths", "max_link_width", pattern=r"(\d{1,2})x"),
        )

    def gpu(self, parent: int, index: int | None) -> Gpu:
        memory = self.number("fb_memory_usage", "total", pattern=r"(\d{1,9}) MiB")
        return Gpu(
            parent,
            dev=index,
            name=self.text("product_name"),
            memory_bytes=None if memory is None else memory << 20,
            extra=self.kept(_PLACE),
        )

    def kept(self, tags: tuple[str, ...]) -> Attributes:
        found = []
        for tag in tags:
            text = self.text(tag) or self.text("platformInfo", tag)
            if text is not None:
                found.append((f"nvidia-smi:{tag}", text[:200]))
        return tuple(found)

    def own(self) -> GpuId:
        return GpuId(self.text("uuid"), nvlink_domain=self.domain(), extra=self.kept(_OWN))

    def domain(self) -> str | None:
        """Of GPUs of several hosts; a single host's switches have a cluster of zeroes."""
        cluster, clique = self.text("fabric", "clusterUuid"), self.text("fabric", "cliqueId")
        if cluster is None or clique is None or not cluster.strip("0-"):
            return None
        state = self.text("fabric", "state")
        if state != "Completed":
            fabric = self.element.find("fabric") or self.element
            message = f"of NVLink cluster {cluster[:40]}, but its state is {state}: not counted"
            self.find("nvlink-state", message, fabric)
            return None
        return f"{cluster[:64]}.{clique[:20]}"

    def partitions(self, parent: int, host: HostBuilder) -> None:
        """Add what MIG made of it."""
        devices = self.element.find("mig_devices")
        for number, each in enumerate(devices.of("mig_device") if devices else ()):
            told = each.find("uuid")
            uuid = told.text.strip() if told else ""
            host.add_gpu(Gpu(parent, partition=number), GpuId(uuid or None))


_IDS = ("pci_device_id", "pci_sub_system_id")


def parse(document: Document) -> Found:
    root = parse_xml(document, keep_text=True)
    gpus = list(root.of("gpu"))
    if not gpus:
        raise document.error("no <gpu> in it", root.line, root.name)
    if len(gpus) > MAX_HOST_GPUS:
        raise document.error(f"{len(gpus):,} GPUs in one host", root.line, root.name)
    facts: dict[str, str | None] = {}
    for tag in ("driver_version", "cuda_version"):
        element = root.find(tag)
        facts[tag] = element.text.strip()[:40] if element else None
    attached = root.find("attached_gpus")
    whole = attached is not None and attached.text.strip() == str(len(gpus))
    findings: list[Finding] = []
    if attached is not None and not whole:
        told = f"{attached.text.strip()[:20]} GPUs are attached, and {len(gpus)} are listed"
        findings.append(Finding("gpus-left-out", told, f"{document.name}:{attached.line}"))
    host = HostBuilder("host0", made_up=True)
    for index, element in enumerate(gpus):
        reader = _Gpu(document, element, findings)
        function = host.add(reader.function())
        # The driver counts GPUs in the order of the list; of a part of it the numbers are unknown.
        host.add_gpu(reader.gpu(function, index if whole else None), reader.own())
        reader.partitions(function, host)
    return Found(build_topology([host]), tuple(findings), facts)


def recognise(document: Document) -> bool:
    return xml_root(document.head)[0] == "nvidia_smi_log"


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "nvidia-smi-xml", "The GPUs of nvidia-smi -q -x.", recognise, parse, max_bytes=1 << 25
        )
    ]
