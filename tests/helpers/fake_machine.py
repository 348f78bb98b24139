"""A machine's /sys and /proc in a folder, as small as a test needs."""

import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from distos_coll.plugins.manager import default_sources
from distos_coll.topology.model import Host
from distos_coll.topology.reading import Reading, read

CPUINFO = (
    "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n\nprocessor\t: 1\n"
)


class FakeMachine:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.functions: dict[str, str] = {}
        """Folder of each, by bus id."""

    def file(self, path: str, text: str | bytes = "") -> Path:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text if isinstance(text, bytes) else text.encode())
        return place

    def folder(self, path: str) -> Path:
        place = self.root / path
        place.mkdir(parents=True, exist_ok=True)
        return place

    def link(self, path: str, target: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(target)

    def cpus(self, nodes: Iterable[str]) -> None:
        """A package for each list of CPUs, two threads a core."""
        self.file("proc/cpuinfo", CPUINFO)
        self.file("proc/sys/kernel/hostname", "node7\n")
        distances = len(list(nodes))
        for number, cpus in enumerate(nodes):
            node = f"sys/devices/system/node/node{number}"
            self.file(f"{node}/cpulist", f"{cpus}\n")
            row = ["10" if i == number else "21" for i in range(distances)]
            self.file(f"{node}/distance", " ".join(row) + "\n")
            first, _, last = cpus.partition("-")
            for cpu in range(int(first), int(last or first) + 1):
                topology = f"sys/devices/system/cpu/cpu{cpu}/topology"
                self.file(f"{topology}/physical_package_id", f"{number}\n")
                self.file(f"{topology}/thread_siblings_list", f"{cpu & ~1}-{cpu | 1}\n")

    def function(self, bus_id: str, pci_class: int, above: str = "", **more: object) -> str:
        """Add a PCI function, below another or at the root of its bus."""
        over = self.functions.get(above, "sys/devices/pci0000:00")
        folder = self.functions[bus_id] = f"{over}/{bus_id}"
        facts = {"class": f"0x{pci_class:06x}", "vendor": "0x15b3", "device": "0x101b", **more}
        for name, value in facts.items():
            self.file(f"{folder}/{name}", f"{value}\n")
        up = "../../../" + folder.removeprefix("sys/")
        self.link(f"sys/bus/pci/devices/{bus_id}", up)
        return folder

    def interface(self, name: str, function: str = "", **files: object) -> str:
        """Add a network interface, on a function or without hardware."""
        over = self.functions[function] if function else "sys/devices/virtual"
        folder = f"{over}/net/{name}"
        facts = {"address": "02:00:00:00:00:01", "operstate": "up", "type": 1, **files}
        for key, value in facts.items():
            self.file(f"{folder}/{key}", f"{value}\n")
        self.link(f"sys/class/net/{name}", "../../" + folder.removeprefix("sys/"))
        return folder

    def rdma(
        self, name: str, function: str, ports: int = 1, rate: str = "400 Gb/sec (4X NDR)"
    ) -> str:
        folder = f"{self.functions[function]}/infiniband/{name}"
        self.file(f"{folder}/node_guid", f"0c42:a103:00a5:{ports:04x}\n")
        self.file(f"{folder}/hca_type", "MT4129\n")
        for port in range(1, ports + 1):
            facts = {"state": "4: ACTIVE", "rate": rate, "link_layer": "InfiniBand", "lid": "0x1f"}
            for key, value in facts.items():
                self.file(f"{folder}/ports/{port}/{key}", f"{value}\n")
        self.link(f"sys/class/infiniband/{name}", "../../" + folder.removeprefix("sys/"))
        return folder

    def read(self) -> Reading:
        return read(self.root, default_sources())

    def host(self) -> Host:
        content = self.read().found.content
        return content.hosts[0]  # type: ignore[union-attr]

    def packed(self, place: Path, format_of: int = tarfile.PAX_FORMAT, folder: str = "") -> Path:
        with tarfile.open(place, "w:gz", format=format_of) as archive:
            for entry in sorted(self.root.iterdir()):
                archive.add(entry, f"{folder}{entry.name}")
        return place


def server(root: Path) -> FakeMachine:
    """Two packages; on the first a switch with a GPU and an adapter, on the second a GPU alone."""
    machine = FakeMachine(root)
    machine.cpus(["0-3", "4-7"])
    machine.function("0000:00:00.0", 0x060000, vendor="0x8086")
    machine.function("0000:00:01.0", 0x060400, numa_node=0, max_link_speed="16.0 GT/s PCIe")
    machine.function("0000:01:00.0", 0x060400, "0000:00:01.0", max_link_width=16)
    gpu: dict[str, Any] = {"vendor": "0x10de", "device": "0x2330", "numa_node": 0}
    machine.function(
        "0000:02:00.0", 0x030200, "0000:01:00.0", max_link_speed="32.0 GT/s PCIe", **gpu
    )
    machine.function(
        "0000:03:00.0", 0x020700, "0000:01:00.0", current_link_width=8, max_link_width=16
    )
    machine.function("0000:80:01.0", 0x030200, **{**gpu, "numa_node": 1})
    machine.function("0000:80:02.0", 0x068000, **{**gpu, "numa_node": 1})
    machine.function("0000:80:03.0", 0x010802, numa_node=1)
    machine.rdma("mlx5_0", "0000:03:00.0")
    machine.interface("ib0", "0000:03:00.0", type=32)
    for name in ("lo", "docker0", "veth12"):
        machine.interface(name)
    machine.file("sys/class/net/bonding_masters", "\n")
    return machine
