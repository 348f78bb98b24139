"""PCI facts: bus ids, classes of devices, speeds of links."""

import re

BRIDGE = 0x060400
NVSWITCH = 0x068000
_OTHER_NETWORK = 0x0280
"""Wireless cards, and some of Mellanox's adapters; without the last byte."""
_MELLANOX = 0x15B3
NVLINK_TO_CPU = 0x068001
"""NVLink of a POWER9 leads to its CPU through a device of this class."""

# The upper two bytes of a class: VGA, 3D and display controllers; processing accelerators.
_GPU = frozenset({0x0300, 0x0302, 0x0380, 0x1200})

_BUS_ID = re.compile(r"([0-9a-f]+):([0-9a-f]{2}):([0-9a-f]{2})\.([0-9a-f])")
_SHORT_BUS_ID = re.compile(r"([0-9a-f]{2}):([0-9a-f]{2})\.([0-9a-f])")

# Gigatransfers a second and lane -> 100 Mb/s of payload, as NCCL counts it.
_LANE_UNITS = {2.5: 15, 5.0: 30, 8.0: 60, 16.0: 120, 32.0: 240, 64.0: 480}
_UNKNOWN_LANE = 60
_UNKNOWN_WIDTH = 16


def is_gpu(pci_class: int | None) -> bool:
    return pci_class is not None and pci_class >> 8 in _GPU


def is_nic(pci_class: int | None) -> bool:
    """Ethernet, InfiniBand and other network controllers, and InfiniBand as a serial bus, which
    cards before 2010 called themselves.
    """
    return pci_class is not None and (pci_class >> 16 == 0x02 or pci_class >> 8 == 0x0C06)


def is_adapter(pci_class: int | None, vendor: int | None) -> bool:
    """A NIC of a computer that computes: of the other network controllers, such as wireless cards,
    Mellanox's alone.
    """
    other = pci_class is not None and pci_class >> 8 == _OTHER_NETWORK
    return is_nic(pci_class) and (not other or vendor == _MELLANOX)


def is_bridge(pci_class: int | None) -> bool:
    return pci_class is not None and pci_class >> 8 == BRIDGE >> 8


def bus_id(text: str) -> str | None:
    """Return the one spelling of a PCI address, as sysfs has it: 0000:1a:00.0.

    nvidia-smi writes eight digits of domain and capitals, lspci no domain. None: no address.
    """
    low = text.strip().lower()
    if match := _SHORT_BUS_ID.fullmatch(low):
        return f"0000:{low}"
    match = _BUS_ID.fullmatch(low)
    if match is None:
        return None
    domain = match[1].lstrip("0").rjust(4, "0")
    return f"{domain}:{match[2]}:{match[3]}.{match[4]}"


def link_gbps(transfers: float | None, width: int | None) -> float:
    """Gigabytes a second, one way, of a link of `width` lanes of `transfers` GT/s.

    Unknown speeds count as generation 3 and unknown widths, which virtual machines report as 0, as
    16 lanes: NCCL does, so that its bandwidths and ours agree.
    """
    unit = _UNKNOWN_LANE if transfers is None else _LANE_UNITS.get(transfers, _UNKNOWN_LANE)
    return (width or _UNKNOWN_WIDTH) * unit / 80
