"""PCI functions of a machine: those that carry GPUs, adapters and NVLink switches, and the bridges
on their way to the CPU. A server has hundreds of others.
"""

import re
from dataclasses import dataclass, field, replace

from distos_coll.api import (
    NOWHERE,
    Gpu,
    GpuId,
    HostBuilder,
    Nic,
    Numa,
    Pci,
    pci_is_bridge,
    pci_is_gpu,
)
from distos_coll.sources import cpu_lists, pci_classes
from distos_coll.sources.sysfs_devices import Device
from distos_coll.sources.sysfs_files import BUS_ID, Kernel, values

_UNKNOWN_WIDTHS = {0, 255}


@dataclass
class Functions:
    """Adds functions and their devices to a host."""

    kernel: Kernel
    host: HostBuilder
    numa: dict[int, int]
    """Index of the node, by number."""
    devices: list[Device] = field(default_factory=list)
    total: int = 0
    bridges: int = 0

    def __post_init__(self) -> None:
        self.at: dict[str, int] = {}
        numas = [(i, node) for i, node in enumerate(self.host.nodes) if isinstance(node, Numa)]
        self.only_numa = numas[0][0] if len(numas) == 1 else NOWHERE
        self.by_cpus = {node.cpus: i for i, node in reversed(numas) if node.cpus}
        self.of: dict[str, list[Device]] = {}
        for device in self.devices:
            if device.function is not None:
                self.of.setdefault(device.function, []).append(device)

    def read(self) -> None:
        kernel, placed = self.kernel, dict[str, str]()
        folder = kernel.sys("bus/pci/devices")
        for name in kernel.names(folder, BUS_ID.pattern):
            self.total += 1
            found = kernel.tree.resolve(f"{folder}/{name}")
            if found is None or not kernel.tree.is_directory(found):
                kernel.tree.find("vanished", "a PCI function is not there", f"{folder}/{name}")
                continue
            placed[found] = name
        for path in self.of:
            placed.setdefault(path, path.rpartition("/")[2])
        for path in placed:
            self.look_at(path)
        self.elsewhere()

    def look_at(self, path: str) -> None:
        """Add the function if it matters here."""
        pci_class = self.kernel.number(f"{path}/class", 16, expected=True)
        self.bridges += pci_is_bridge(pci_class)
        devices = [device for device in self.of.get(path, ()) if not device.virtual]
        matters = pci_classes.is_of_interest(pci_class)
        if (not matters and not devices) or self.is_idle_part(path, devices):
            return
        self.carried(self.function(path), devices)

    def is_idle_part(self, path: str, devices: list[Device]) -> bool:
        """Say whether it is a virtual function that nobody here uses, or one beside its whole."""
        whole = self.kernel.tree.resolve(f"{path}/physfn")
        return whole is not None and (not devices or whole in self.of)

    def function(self, path: str) -> int:
        """Index of a function; it and the bridges above it are added at first."""
        node = NOWHERE
        parts = path.split("/")
        for i, part in enumerate(parts):
            if not BUS_ID.fullmatch(part):
                continue
            here = "/".join(parts[: i + 1])
            if here not in self.at:
                parent = self.numa_of(here, path) if node == NOWHERE else node
                self.at[here] = self.host.add(self.described(here, parent))
            node = self.at[here]
        return node

    def numa_of(self, top: str, path: str) -> int:
        """The NUMA node of the function at the top of a path, or NOWHERE."""
        for folder in (top, path):
            number = self.kernel.number(f"{folder}/numa_node")
            if number in self.numa:
                return self.numa[number]
        local = self.kernel.tree.text(f"{path}/local_cpulist")
        try:
            return self.by_cpus.get(cpu_lists.from_list(local or ""), self.only_numa)
        except ValueError:
            return self.only_numa

    def described(self, path: str, parent: int) -> Pci:
        number = self.kernel.number
        return Pci(
            parent,
            path.rpartition("/")[2],
            number(f"{path}/class", 16),
            number(f"{path}/vendor", 16),
            number(f"{path}/device", 16),
            number(f"{path}/subsystem_vendor", 16),
            number(f"{path}/subsystem_device", 16),
            self.transfers(path),
            self.width(path),
            os_names=tuple(sorted(device.name for device in self.of.get(path, ()))),
        )

    def transfers(self, path: str) -> float | None:
        """What both ends of the link can; now it may be less, to save power."""
        found = []
        for end in (path, path.rpartition("/")[0]):
            text = self.kernel.tree.text(f"{end}/max_link_speed") or ""
            if match := re.match(r"(\d{1,3}(?:\.\d)?) GT/s", text):
                found.append(float(match[1]))
        return min(found, default=None)

    def width(self, path: str) -> int | None:
        """Lanes in use; a finding if both ends have more."""
        ends = (path, path.rpartition("/")[0])
        limits = [self.kernel.number(f"{end}/max_link_width") for end in ends]
        most = min((n for n in limits if n is not None and n not in _UNKNOWN_WIDTHS), default=None)
        now = self.kernel.number(f"{path}/current_link_width")
        if now is None or now in _UNKNOWN_WIDTHS:
            return most
        if most is not None and now < most:
            message = f"the link has {now} lanes; both its ends have {most}"
            self.kernel.tree.find("fewer-lanes", message, path)
        return now

    def carried(self, node: int, devices: list[Device]) -> None:
        """Add what a function is: by its devices, by what NVIDIA's driver says, by its class."""
        function = self.host.nodes[node]
        if not isinstance(function, Pci):
            return
        if devices:
            self.ports(node, devices)
        elif function.vendor == pci_classes.NVIDIA and pci_is_gpu(function.pci_class):
            path = f"driver/nvidia/gpus/{function.bus_id}/information"
            self.nvidia_gpu(node, self.kernel.proc(path) or "")
        else:
            pci_classes.imply(self.host, node)

    def nvidia_gpu(self, node: int, told: str) -> None:
        """Where the driver runs, this is what nvidia-smi says too, which need not be at hand."""
        facts = values(told)
        minor, uuid = facts.get("Device Minor"), facts.get("GPU UUID", "")
        gpu = Gpu(
            node,
            name=facts.get("Model") or None,
            implied=not told,
            extra=(("nvidia:minor_number", minor[:20]),) if minor else (),
        )
        # Until the driver has started a GPU its UUID is of question marks.
        self.host.add_gpu(gpu, GpuId(uuid if uuid and "?" not in uuid else None))

    def ports(self, node: int, devices: list[Device]) -> None:
        """Add an adapter and its ports; beside an RDMA device an interface only names it."""
        nic = self.host.add(Nic(node, extra=next((d.extra for d in devices if d.extra), ())))
        rdma = any(device.rdma for device in devices)
        for device in devices:
            self.add_ports(nic, device, "net" if device.rdma or not rdma else "netdev")

    def add_ports(self, nic: int, device: Device, kind: str) -> None:
        for port, own in device.ports:
            self.host.add_port(replace(port, parent=nic, kind=kind), own)

    def elsewhere(self) -> None:
        """Add adapters without a PCI function; interfaces without hardware if there is nothing else
        to reach others through, as in a container, and those that bond others.
        """
        parent = self.only_numa
        hardware = [device for device in self.devices if not device.virtual]
        for device in hardware:
            if device.function is None:
                self.add_ports(self.host.add(Nic(parent, extra=device.extra)), device, "net")
        virtual = [device for device in self.devices if device.virtual]
        kept = [device for device in virtual if device.bonds or not hardware]
        if kept:
            nic = self.host.add(Nic(parent))
            for device in kept:
                self.add_ports(nic, device, "net")
