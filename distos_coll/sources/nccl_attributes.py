"""NCCL's attributes and the model's fields, both ways: one table for the reader and the writer.

A value that would be written otherwise than it was spelt, and an attribute without a field, go into
`extra` under "nccl:NAME", word by word; so what is read can be written again.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distos_coll.sources import cpu_lists

PREFIX = "nccl:"
_LARGEST = 1 << 63


@dataclass(frozen=True)
class Codec:
    parse: Callable[[str], Any]
    """Raises ValueError."""
    format: Callable[[Any], str]
    expected: str


@dataclass(frozen=True)
class Attribute:
    name: str
    field: str
    codec: Codec


def _integer(text: str) -> int:
    value = int(text, 0) if text[:2].lower() == "0x" else int(text, 10)
    if abs(value) >= _LARGEST:
        raise ValueError
    return value


def _hexadecimal(text: str) -> int:
    value = int(text, 16)
    if not 0 <= value < _LARGEST:
        raise ValueError
    return value


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _transfers(text: str) -> float:
    match = re.match(r"(\d{1,4}(?:\.\d{1,3})?) ?GT/s", text)
    if match is None:
        raise ValueError
    return float(match[1])


def _mask(text: str) -> int:
    first, *others = text.split(",")
    digits = first + "".join(word.rjust(8, "0") for word in others)
    if not re.fullmatch(rf"[0-9a-fA-F]{{1,{cpu_lists.MOST // 4}}}", digits):
        raise ValueError
    return int(digits, 16)


def _mask_words(cpus: int) -> str:
    digits = f"{cpus:x}"
    digits = digits.rjust(-(-len(digits) // 8) * 8, "0")
    return ",".join(digits[i : i + 8] for i in range(0, len(digits), 8))


TEXT = Codec(str, str, "text")
INTEGER = Codec(_integer, str, "a whole number")
CLASS = Codec(_hexadecimal, "0x{:06x}".format, "a PCI class such as 0x030200")
IDENTITY = Codec(_hexadecimal, "0x{:04x}".format, "a hexadecimal number")
NUMBER = Codec(_hexadecimal, "{:x}".format, "a hexadecimal number")
REAL = Codec(_real, "{:g}".format, "a number")
FLAG = Codec(lambda text: _integer(text) != 0, lambda flag: str(int(flag)), "0 or 1")
TRANSFERS = Codec(_transfers, "{:.1f} GT/s PCIe".format, "a speed such as 16.0 GT/s PCIe")
MASK = Codec(_mask, _mask_words, "hexadecimal words between commas")
THOUSANDTHS = Codec(
    lambda text: _integer(text) / 1000, lambda value: str(round(value * 1000)), "a whole number"
)

CPU = (
    Attribute("numaid", "id", INTEGER),
    Attribute("affinity", "cpus", MASK),
    Attribute("arch", "arch", TEXT),
    Attribute("vendor", "vendor", TEXT),
    Attribute("familyid", "family", INTEGER),
    Attribute("modelid", "model", INTEGER),
)
PCI = (
    Attribute("busid", "bus_id", TEXT),
    Attribute("class", "pci_class", CLASS),
    Attribute("vendor", "vendor", IDENTITY),
    Attribute("device", "device", IDENTITY),
    Attribute("subsystem_vendor", "subsystem_vendor", IDENTITY),
    Attribute("subsystem_device", "subsystem_device", IDENTITY),
    Attribute("link_speed", "transfers", TRANSFERS),
    Attribute("link_width", "width", INTEGER),
)
GPU = (
    Attribute("dev", "dev", INTEGER),
    Attribute("sm", "sm", INTEGER),
    Attribute("gcn", "gcn", TEXT),
    Attribute("gdr", "gdr", FLAG),
    Attribute("mlopart", "partition", INTEGER),
)
GPU_ID = (Attribute("rank", "rank", INTEGER),)
NVLINK = (
    Attribute("target", "named", TEXT),
    Attribute("count", "count", INTEGER),
    Attribute("tclass", "named_class", CLASS),
)
C2C = (Attribute("bw", "gbps", THOUSANDTHS), Attribute("count", "count", INTEGER))
PCI_LINK = (Attribute("target", "named", TEXT),)
NET = (
    Attribute("name", "name", TEXT),
    Attribute("dev", "dev", INTEGER),
    Attribute("latency", "latency_us", REAL),
    Attribute("speed", "mbps", INTEGER),
    Attribute("port", "port", INTEGER),
    Attribute("gdr", "gdr", FLAG),
    Attribute("coll", "coll", FLAG),
    Attribute("rail", "rail", INTEGER),
    Attribute("plane", "plane", INTEGER),
)
NET_ID = (Attribute("guid", "guid", TEXT),)


def fields(
    table: Sequence[Attribute], attributes: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields, and what of the attributes they do not say word by word.

    An empty value says nothing. Raises ValueError("name=value: what was expected").
    """
    values: dict[str, Any] = {}
    rest = dict(attributes)
    for attribute in table:
        text = attributes.get(attribute.name)
        if not text:
            continue
        codec = attribute.codec
        try:
            values[attribute.field] = value = codec.parse(text)
        except ValueError:
            said = f"{attribute.name}={text[:60]!r}"
            raise ValueError(f"{said}: expected {codec.expected}") from None
        if codec.format(value) == text:
            del rest[attribute.name]
    return values, rest


def verbatim(rest: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Make it `extra`, in the order of names: in XML that of attributes means nothing."""
    return tuple((PREFIX + name, text) for name, text in sorted(rest.items()))


def written(*parts: tuple[Sequence[Attribute], Any]) -> dict[str, str]:
    """Return the attributes of an element made of the parts, each in its table's order."""
    extras = {name: text for _, part in parts for name, text in part.extra}
    found: dict[str, str] = {}
    for table, part in parts:
        for attribute in table:
            value = getattr(part, attribute.field)
            said = extras.pop(PREFIX + attribute.name, None)
            if said is not None:
                found[attribute.name] = said
            elif value not in {None, ""}:
                found[attribute.name] = attribute.codec.format(value)
    for name, text in extras.items():
        if name.startswith(PREFIX):
            found[name.removeprefix(PREFIX)] = text
    return found
