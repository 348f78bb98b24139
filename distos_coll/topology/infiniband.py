"""What InfiniBand's tools have in common: rates of links, GUIDs, descriptions of nodes."""

import re
from typing import NamedTuple

LANE_MBPS = {
    "SDR": 2_500,
    "DDR": 5_000,
    "QDR": 10_000,
    "FDR10": 10_000,
    "FDR": 14_000,
    "EDR": 25_000,
    "HDR": 50_000,
    "NDR": 100_000,
    "XDR": 200_000,
}
"""Signalled on one lane, the way vendors name their products by it."""

LID_AT_MOST = 0xBFFF
"""Of one node; those above are of multicast groups."""

_RATE = re.compile(r"(\d{1,2})x(\S*)")
_HEXADECIMAL = re.compile(r"[0-9a-fA-F]{1,16}")
# What drivers write into a node's description beside the host's name: mlx5_0, HCA-1, ibp9s0.
_DEVICE = re.compile(r"[A-Za-z][\w-]*\d\w*")
_NO_NAME = re.compile(r"MT\d+|ConnectX.*|InfiniHost.*", re.I)
_SHARED = re.compile(
    r"localhost|ubuntu|debian|centos|rocky|almalinux|fedora|rhel|linux|unknown|none|\(none\)", re.I
)
_AGGREGATION = re.compile(r"aggregation node", re.I)
_AGGREGATION_DEVICES = frozenset({0xCF09})


def rate(text: str) -> tuple[int, str] | None:
    """Return lanes and generation of "4xHDR"; the generation as it is spelt, known or not."""
    match = _RATE.fullmatch(text)
    return (int(match[1]), match[2]) if match else None


def mbps(lanes: int, generation: str) -> int | None:
    lane = LANE_MBPS.get(generation)
    return None if lane is None else lane * lanes


def is_guid(text: str) -> bool:
    return _HEXADECIMAL.fullmatch(text) is not None


def guid(text: str) -> str:
    """Bring a GUID to 16 digits; what is none stays as it is, for it still tells nodes apart."""
    bare = text[2:] if text[:2] in {"0x", "0X"} else text
    return bare.lower().zfill(16) if is_guid(bare) else bare


class Described(NamedTuple):
    """What a channel adapter's description says."""

    host: str | None = None
    device: str | None = None
    shared_name: str | None = None
    """Instead of a host: a name that a machine has before it is given one."""


def described(description: str) -> Described:
    """Read "node1 mlx5_0", "node1 HCA-1" or "node1"; others, such as a card's name, say nothing."""
    words = description.split()
    if not words or len(words) > 2 or _NO_NAME.fullmatch(words[0]):
        return Described()
    if len(words) == 2 and not _DEVICE.fullmatch(words[1]):
        return Described()
    device = words[1] if len(words) == 2 else None
    if is_shared_name(words[0]):
        return Described(None, device, words[0])
    return Described(words[0], device)


def is_shared_name(name: str) -> bool:
    """Whether a machine is called so before it is given a name."""
    return _SHARED.fullmatch(name.partition(".")[0]) is not None


def is_aggregation(description: str, device_id: int | None) -> bool:
    """Whether a channel adapter is the part of a switch that reduces (SHARP)."""
    return device_id in _AGGREGATION_DEVICES or _AGGREGATION.search(description) is not None
