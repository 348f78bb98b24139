"""RDMA devices and network interfaces, from /sys/class/infiniband and /sys/class/net."""

import re
from dataclasses import dataclass, field

from distos_coll.api import Attributes, Port, PortId, interface_is_virtual
from distos_coll.sources.sysfs_files import BUS_ID, NOWHERE, Kernel, shown

_SOFTWARE = re.compile(r"(rxe|siw|scif)\d*")
_BUSES = re.compile(r"/(vmbus|VMBUS|platform|soc|auxiliary|usb)")
_REPRESENTS = re.compile(r"(c\d+)?pf\d+(vf|sf)\d+")
"""A port of a switch in the adapter that stands for a virtual function."""
_ETHERNET, _IPOIB = 1, 32


@dataclass
class Device:
    """An RDMA device or a network interface: where it is, and the ports that it has."""

    name: str
    function: str | None
    """Folder of the PCI function that it belongs to."""
    rdma: bool
    virtual: bool
    bonds: bool = False
    """A virtual one over others with hardware."""
    extra: Attributes = ()
    ports: list[tuple[Port, PortId]] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    function: str | None
    hardware: bool
    """Not known to be software."""


def _place(kernel: Kernel, path: str) -> _Place | None:
    """Where a device hangs; None if neither a link nor its `device` tells."""
    target = kernel.tree.target(path)
    if target is None and (device := kernel.tree.target(f"{path}/device")) is not None:
        target = kernel.tree.resolve(f"{path}/device") or device
    if target is None:
        return None
    parts = target.split("/")
    functions = [i for i, part in enumerate(parts) if BUS_ID.fullmatch(part)]
    if functions and not any(re.fullmatch(r"usb\d+", part) for part in parts):
        return _Place("/".join(parts[: functions[-1] + 1]), hardware=True)
    return _Place(None, hardware="virtual" not in parts and _BUSES.search(target) is not None)


def read_devices(kernel: Kernel) -> list[Device]:
    """All of them, but for the loopback interface and ends of containers."""
    return _rdma(kernel) + _interfaces(kernel)


def _rdma(kernel: Kernel) -> list[Device]:
    found = []
    for name in kernel.names(kernel.infiniband):
        link = f"{kernel.infiniband}/{name}"
        place = _place(kernel, link)
        path = kernel.tree.resolve(link) or NOWHERE
        software = bool(_SOFTWARE.fullmatch(name)) or kernel.tree.text(f"{path}/parent") is not None
        device = Device(
            shown(name),
            place.function if place else None,
            rdma=True,
            virtual=software or (place is not None and not place.hardware),
            extra=_said(kernel, path, "hca_type", "board_id"),
        )
        guid = kernel.tree.text(f"{path}/node_guid")
        for number in kernel.names(f"{path}/ports", r"\d{1,3}"):
            device.ports.append(_rdma_port(kernel, f"{path}/ports/{number}", device, guid))
        found.append(device)
    return found


def _said(kernel: Kernel, path: str, *names: str) -> Attributes:
    texts = ((name, kernel.tree.text(f"{path}/{name}")) for name in names)
    return tuple((f"sysfs:{name}", text[:80]) for name, text in texts if text)


def _rdma_port(kernel: Kernel, path: str, device: Device, guid: str | None) -> tuple[Port, PortId]:
    text = kernel.tree.text
    state = text(f"{path}/state", expected=True)
    rate = text(f"{path}/rate", expected=True)
    speed = re.match(r"(\d{1,6}(?:\.\d{1,3})?) Gb/sec", rate or "")
    if rate and not speed:
        kernel.tree.find("bad-value", f"{rate[:40]!r} is no rate in Gb/sec", f"{path}/rate")
    port = Port(
        -1,
        device.name,
        port=int(path.rpartition("/")[2]),
        mbps=round(float(speed[1]) * 1000) if speed else None,
        layer=text(f"{path}/link_layer"),
        state=state.partition(": ")[2] or state if state else None,
        virtual=device.virtual,
        extra=(("sysfs:rate", rate[:80]),) if rate else (),
    )
    gid = text(f"{path}/gids/0") or ""
    addresses = (gid,) if gid.strip("0:fe8") else ()
    lid = kernel.number(f"{path}/lid", 16)
    return port, PortId(guid if guid and guid.strip("0:") else None, lid or None, addresses)


def _interfaces(kernel: Kernel) -> list[Device]:
    found = []
    for name in kernel.names(kernel.sys("class/net")):
        link = kernel.sys(f"class/net/{name}")
        if name == "lo" or (
            kernel.tree.target(link) is None and not kernel.tree.is_directory(link)
        ):
            continue  # bonding_masters is a file
        place = _place(kernel, link)
        path = kernel.tree.resolve(link) or NOWHERE
        virtual = not place.hardware if place else interface_is_virtual(name)
        stands_for = kernel.tree.text(f"{path}/phys_port_name") or ""
        device = Device(
            shown(name),
            place.function if place else None,
            rdma=False,
            virtual=virtual or _REPRESENTS.fullmatch(stands_for) is not None,
            bonds=kernel.tree.is_directory(f"{path}/bonding"),
        )
        device.ports.append(_interface_port(kernel, path, device))
        found.append(device)
    return found


def _interface_port(kernel: Kernel, path: str, device: Device) -> tuple[Port, PortId]:
    speed = kernel.number(f"{path}/speed")
    kind = kernel.number(f"{path}/type")
    number = kernel.number(f"{path}/dev_port")
    port = Port(
        -1,
        device.name,
        port=None if number is None else number + 1,
        # -1, or all bits of a word: the driver does not know.
        mbps=speed if speed is not None and 0 < speed < 1 << 31 else None,
        layer={_ETHERNET: "Ethernet", _IPOIB: "InfiniBand"}.get(-1 if kind is None else kind),
        state=kernel.tree.text(f"{path}/operstate"),
        virtual=device.virtual,
    )
    address = kernel.tree.text(f"{path}/address") or ""
    return port, PortId(addresses=(address[:80],) if address.strip("0:") else ())
