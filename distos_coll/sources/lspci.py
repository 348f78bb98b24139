"""The text of `lspci`: with -nn or -n, or names alone; with -vv also the tree, NUMA and links."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from distos_coll.api import (
    NOWHERE,
    Document,
    Finding,
    Found,
    HostBuilder,
    Numa,
    Pci,
    TopologySource,
    build_topology,
    hookimpl,
    pci_bus_id,
    pci_is_bridge,
)
from distos_coll.sources import pci_classes

_ADDRESS = re.compile(r"((?:[0-9a-f]{4,8}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]) (.+)")
_CODE = re.compile(r"(?:.{2,80} \[)?([0-9a-f]{4})\]?: ")
_IDS = re.compile(r"\[?([0-9a-f]{4}):([0-9a-f]{4})\]?(?: \((?:rev|prog-if) .*)?$")
_NAMES = {
    "VGA compatible controller": 0x0300,
    "3D controller": 0x0302,
    "Display controller": 0x0380,
    "Processing accelerators": 0x1200,
    "Ethernet controller": 0x0200,
    "Infiniband controller": 0x0207,
    "InfiniBand controller": 0x0207,
    "Network controller": 0x0280,
    "PCI bridge": 0x0604,
    "Host bridge": 0x0600,
    "Bridge": 0x0680,
}
_VENDORS = {"NVIDIA": pci_classes.NVIDIA, "Mellanox": 0x15B3, "Advanced Micro Devices": 0x1002}
_LONGEST = 1000
_MOST = 1 << 16
_MAX_DEPTH = 64


@dataclass
class _Function:
    bus_id: str
    pci_class: int | None
    vendor: int | None
    device: int | None
    subsystem_vendor: int | None = None
    subsystem_device: int | None = None
    numa: int | None = None
    secondary: int | None = None
    transfers: float | None = None
    width: int | None = None

    @property
    def bus(self) -> tuple[str, int]:
        """Domain and number of the bus that it is on."""
        domain, bus, _ = self.bus_id.split(":")
        return domain, int(bus, 16)


def _function(line: str) -> _Function | None:
    match = _ADDRESS.fullmatch(line)
    bus_id = pci_bus_id(match[1]) if match else None
    if match is None or bus_id is None:
        return None
    rest = match[2]
    code, ids = _CODE.match(rest), _IDS.search(rest)
    name, colon, device = rest.partition(": ")
    if not code and not colon:
        return None
    number = int(code[1], 16) if code else _NAMES.get(name)
    vendor = int(ids[1], 16) if ids else None
    if vendor is None:
        vendor = next((_VENDORS[start] for start in _VENDORS if device.startswith(start)), None)
    return _Function(
        bus_id,
        None if number is None else number << 8,
        vendor,
        int(ids[2], 16) if ids else None,
    )


def _detail(function: _Function, line: str) -> None:
    """What an indented line adds."""
    key, _, value = line.strip().partition(":")
    if key == "Subsystem" and (ids := _IDS.search(value)):
        function.subsystem_vendor, function.subsystem_device = int(ids[1], 16), int(ids[2], 16)
    elif key == "NUMA node" and re.fullmatch(r"\s*\d{1,6}", value):
        function.numa = int(value)
    elif key == "Bus" and (match := re.search(r"secondary=([0-9a-f]{2}),", value)):
        function.secondary = int(match[1], 16)
    elif key == "LnkCap" and (match := re.search(r"Speed (\d{1,3}(?:\.\d)?)GT/s", value)):
        function.transfers = float(match[1])
    elif key == "LnkSta" and (match := re.search(r"Width x(\d{1,2})", value)):
        function.width = int(match[1]) or None


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.functions: dict[str, _Function] = {}
        self.findings: list[Finding] = []

    def read(self) -> Found:
        self.lines()
        behind: dict[tuple[str, int], str] = {}
        for function in self.functions.values():
            if function.secondary:
                behind.setdefault((function.bus[0], function.secondary), function.bus_id)
        host = HostBuilder("host0", made_up=True)
        numbers = sorted({f.numa for f in self.functions.values() if f.numa is not None})
        numa = {number: host.add(Numa(id=number)) for number in numbers}
        added: dict[str, int] = {}
        for function in self.functions.values():
            if pci_classes.is_of_interest(function.pci_class):
                for each in reversed(list(self.above(function, behind))):
                    self.add(host, each, behind, numa, added)
                pci_classes.imply(host, added[function.bus_id])
        bridges = sum(pci_is_bridge(f.pci_class) for f in self.functions.values())
        facts = {"pci_functions": len(self.functions), "pci_bridges": bridges}
        return Found(build_topology([host]), tuple(self.findings), facts)

    def lines(self) -> None:
        text = self.document.data.decode("utf-8-sig", "replace")
        last: _Function | None = None
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw[:_LONGEST].rstrip()
            if line[:1] in {" ", "\t"}:
                if last is not None:
                    _detail(last, line)
                continue
            last = _function(line)
            if last is None:
                continue
            if last.bus_id in self.functions:
                where = f"{self.document.name}:{number}"
                message = f"{last.bus_id} is listed twice; the first counts"
                self.findings.append(Finding("bus-id-twice", message, where))
                continue
            self.functions[last.bus_id] = last
            if len(self.functions) > _MOST:
                raise self.document.error(f"more than {_MOST:,} PCI functions", number)
        if not self.functions:
            raise self.document.error("no PCI function in it: not the text of lspci")

    def above(self, function: _Function, behind: dict[tuple[str, int], str]) -> Iterator[_Function]:
        """Yield it and the bridges on its way to the root, as far as the text tells."""
        here: str | None = function.bus_id
        for _ in range(_MAX_DEPTH):
            if here is None:
                return
            yield self.functions[here]
            above = behind.get(self.functions[here].bus)
            here = None if above == here else above

    def add(
        self,
        host: HostBuilder,
        function: _Function,
        behind: dict[tuple[str, int], str],
        numa: dict[int, int],
        added: dict[str, int],
    ) -> None:
        if function.bus_id in added:
            return
        parent = added.get(behind.get(function.bus, ""), NOWHERE)
        if parent == NOWHERE:
            parent = numa.get(-1 if function.numa is None else function.numa, NOWHERE)
        added[function.bus_id] = host.add(
            Pci(
                parent,
                function.bus_id,
                function.pci_class,
                function.vendor,
                function.device,
                function.subsystem_vendor,
                function.subsystem_device,
                function.transfers,
                function.width,
            )
        )


def parse(document: Document) -> Found:
    return _Reader(document).read()


def recognise(document: Document) -> bool:
    """By one of the first lines; a shell's prompt may be before it."""
    lines = document.head.decode("utf-8-sig", "replace").splitlines()[:10]
    return any(_function(line[:_LONGEST].rstrip()) is not None for line in lines)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource("lspci", "The text of lspci.", recognise, parse, rank=-1, max_bytes=1 << 24)
    ]
