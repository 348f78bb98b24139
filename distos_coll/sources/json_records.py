"""The model's dataclasses as JSON objects, both ways: one list of fields for all.

A field that is at its default is left out. What JSON has no place for is written as text: a set of
CPUs as Linux writes it, 0-31,64-95.
"""

import math
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from typing import Annotated, Any, TypeAlias, Union, get_args, get_origin, get_type_hints

import msgspec

from distos_coll.api import Attributes, TopologyError

MOST_CPUS = 1 << 16
_RANGE = re.compile("([0-9]{1,6})(?:-([0-9]{1,6}))?")
_CPUS = r"^([0-9]{1,6}(-[0-9]{1,6})?(,[0-9]{1,6}(-[0-9]{1,6})?)*)?$"

_HEXADECIMAL = {
    "pci_class": "0x{:06x}",
    "named_class": "0x{:06x}",
    "vendor": "0x{:04x}",
    "device": "0x{:04x}",
    "subsystem_vendor": "0x{:04x}",
    "subsystem_device": "0x{:04x}",
}
"""Numbers that people know in hexadecimal."""
_LARGEST = (1 << 63) - 1

Integer: TypeAlias = Annotated[int, msgspec.Meta(ge=-_LARGEST - 1, le=_LARGEST)]
Hexadecimal: TypeAlias = Annotated[str, msgspec.Meta(pattern="^0x[0-9a-f]{1,16}$")]
CpuList: TypeAlias = Annotated[
    str, msgspec.Meta(pattern=_CPUS, max_length=MOST_CPUS, description="CPUs, such as 0-31,64-95.")
]


class Wire:
    """A type of value: how JSON has it, and the way there and back."""

    def __init__(self, type_: Any, to_json: Callable[[Any], Any], from_json: Callable[[Any], Any]):
        self.type = type_
        self.to_json = to_json
        self.from_json = from_json


def _same(value: Any) -> Any:
    return value


_ALL: "list[Record]" = []


def all_records() -> "tuple[Record, ...]":
    """Return every class that has been given a form, for whoever describes them."""
    return tuple(_ALL)


class Record:
    """One class of the model.

    `tag` tells its objects from those of other classes in one list, under "node". Fields in `skip`
    are not written; `more` are only in the file.
    """

    def __init__(
        self,
        model: type,
        tag: str | None = None,
        skip: Sequence[str] = (),
        more: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.model = model
        self.tag = tag
        _ALL.append(self)
        hints = get_type_hints(model)
        own = [field for field in fields(model) if field.name not in skip]
        self._fields = [
            (field.name, _default(field), _wire(field.name, hints[field.name])) for field in own
        ]
        ways = [(name, wire.from_json) for name, _, wire in self._fields]
        self._plain = [name for name, from_json in ways if from_json is _same]
        self._converted = [way for way in ways if way[1] is not _same]
        specs = [
            (name, wire.type)
            if default is MISSING
            else (name, wire.type, _unsaid(default, wire.type))
            for name, default, wire in self._fields
        ]
        self.struct = msgspec.defstruct(
            model.__name__,
            [*specs, *more],
            tag=tag,
            tag_field=None if tag is None else "node",
            kw_only=True,
            forbid_unknown_fields=True,
        )

    def to_json(self, value: Any) -> dict[str, Any]:
        found: dict[str, Any] = {} if self.tag is None else {"node": self.tag}
        for name, default, wire in self._fields:
            own = getattr(value, name)
            if own != default:
                found[name] = wire.to_json(own)
        return found

    def values(self, said: Any) -> dict[str, Any]:
        """Return the fields of the model's class."""
        found = {name: getattr(said, name) for name in self._plain}
        for name, from_json in self._converted:
            found[name] = from_json(getattr(said, name))
        return found

    def from_json(self, said: Any) -> Any:
        return self.model(**self.values(said))


def _default(field: "Field[Any]") -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default


def _unsaid(default: Any, type_: Any) -> Any:
    """What the field of an object has that does not say it."""
    factory = {list: list, dict: dict}.get(get_origin(type_))
    if factory is not None:
        return msgspec.field(default_factory=factory)
    return default.value if isinstance(default, Enum) else default


def _wire(name: str, hint: Any) -> Wire:
    if get_origin(hint) in {Union, types.UnionType}:
        return _wire_of_some(name, [part for part in get_args(hint) if part is not type(None)])
    if hint == Attributes:
        return attributes_wire()
    if get_origin(hint) is tuple:
        inner = _wire("", get_args(hint)[0])
        return Wire(
            _list(inner.type),
            lambda value: [inner.to_json(each) for each in value],
            lambda said: tuple(inner.from_json(each) for each in said),
        )
    if name == "cpus":
        return Wire(CpuList, cpu_text, cpu_mask)
    if name in _HEXADECIMAL and hint is int:
        return Wire(Hexadecimal, _HEXADECIMAL[name].format, lambda text: int(text, 16))
    if hint is int:
        return Wire(Integer, _bounded, _same)
    if hint is float:
        return Wire(float, _finite, _same)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return Wire(hint, lambda value: value.value, _same)
    if is_dataclass(hint):
        record = record_of(hint)
        return Wire(record.struct, record.to_json, record.from_json)
    return Wire(hint, _same, _same)


def attributes_wire() -> Wire:
    """Texts by their names; of a name with several a list of them."""
    return Wire(dict[str, str | list[str]], _to_object, _from_object)


def _wire_of_some(name: str, parts: Sequence[Any]) -> Wire:
    """Nothing, or a value of one of the types."""
    if all(map(is_dataclass, parts)) and len(parts) > 1:
        return _wire_of_kinds(parts)
    wires = [_wire(name, part) for part in parts]
    type_ = _union([*(wire.type for wire in wires), None])
    if len(wires) > 1:
        return Wire(type_, _same, _same)
    return Wire(type_, _optional(wires[0].to_json), _optional(wires[0].from_json))


def _list(type_: Any) -> Any:
    return list.__class_getitem__(type_)


def list_of(name: str, record: Record) -> tuple[str, Any, Any]:
    """Return a field of a document: objects of a class, none where it is left out."""
    return name, _list(record.struct), msgspec.field(default_factory=list)


def _union(types_: Iterable[Any]) -> Any:
    return Union.__getitem__(tuple(types_))


def _wire_of_kinds(parts: Sequence[Any]) -> Wire:
    """An object of one of several classes, which says which."""
    records = [Record(part, tag=part.__name__.lower()) for part in parts]
    by_model = {record.model: record for record in records}
    by_struct = {record.struct: record for record in records}
    return Wire(
        _union(record.struct for record in records),
        lambda value: by_model[type(value)].to_json(value),
        lambda said: by_struct[type(said)].from_json(said),
    )


_RECORDS: dict[Any, Record] = {}


def record_of(model: Any) -> Record:
    """Return the record of a class that occurs inside others."""
    if model not in _RECORDS:
        _RECORDS[model] = Record(model)
    return _RECORDS[model]


def _optional(convert: Callable[[Any], Any]) -> Callable[[Any], Any]:
    if convert is _same:
        return _same
    return lambda value: None if value is None else convert(value)


def _to_object(pairs: Attributes) -> Mapping[str, str | list[str]]:
    """Texts of one name stand together, wherever the source has them."""
    found: dict[str, list[str]] = {}
    for name, text in pairs:
        found.setdefault(name, []).append(text)
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in found.items()}


def _from_object(said: Mapping[str, str | list[str]]) -> Attributes:
    return tuple(
        (name, text)
        for name, own in said.items()
        for text in ([own] if isinstance(own, str) else own)
    )


def _bounded(value: int) -> int:
    if abs(value) > _LARGEST:
        raise TopologyError(f"the number {value:.3g} is too large to be written as JSON")
    return value


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise TopologyError(f"the number {value} cannot be written as JSON")
    return float(value)


def cpu_text(mask: int) -> str:
    """Write a set of CPUs: 0-31,64-95."""
    found = []
    low = 0
    while mask >> low:
        low += ((mask >> low) & -(mask >> low)).bit_length() - 1
        count = ((~(mask >> low)) & -(~(mask >> low))).bit_length() - 1
        found.append(f"{low}-{low + count - 1}" if count > 1 else str(low))
        low += count
    return ",".join(found)


def cpu_mask(text: str) -> int:
    """Read a set of CPUs, in ascending order; raises ValueError."""
    digits = bytearray()
    for part in text.split(",") if text else ():
        match = _RANGE.fullmatch(part)
        low = int(match[1]) if match else MOST_CPUS
        high = int(match[2] or low) if match else low
        if not len(digits) <= low <= high < MOST_CPUS:
            raise ValueError(
                f"{part[:20]!r}: expected CPUs in ascending order below {MOST_CPUS:,}, "
                "such as 0-31,64-95"
            )
        digits += b"0" * (low - len(digits)) + b"1" * (high - low + 1)
    digits.reverse()
    return int(bytes(digits) or b"0", 2)
