"""Hosts as bytes: what each node says of itself at a rendezvous, and what everybody reads.

Two lines of JSON a host, keys sorted, no blanks, fields left out that have their default: first the
host with its ids and findings, then its template. Equal hosts give equal bytes, reports are put
together by joining them, and a template that was read before is not read again: 2,048 nodes of a
kind cost one. The version is of the whole: a field that a reader does not know could change a plan.
"""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, get_type_hints

from distos_coll.errors import TopologyError
from distos_coll.topology.builder import bounded
from distos_coll.topology.findings import Finding
from distos_coll.topology.model import (
    NOWHERE,
    Attributes,
    Distances,
    Gpu,
    GpuId,
    Host,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Node,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
    Relation,
    Topology,
)
from distos_coll.topology.source import Document

VERSION = 1
MARK = "distos_host_report"
"""The first key of a report: of all that a host has, first in the alphabet."""

_NODES: dict[str, type[Node]] = {
    "numa": Numa,
    "pci": Pci,
    "gpu": Gpu,
    "nic": Nic,
    "port": Port,
    "nvswitch": NvSwitch,
}
_NAMES = {kind: name for name, kind in _NODES.items()}
_LARGEST = 1 << 63
_LONGEST = 1 << 16
_MOST_CPUS = 1 << 16

T = TypeVar("T")
Decode = Callable[[Any], Any]


def pack(topology: Topology, findings: Iterable[Finding] = ()) -> bytes:
    """Write the hosts; what else is said of them all stands in the first one's report."""
    found = bytearray()
    told = [[finding.code, finding.message, finding.where] for finding in findings]
    extra = _written(topology.extra)
    for host in topology.hosts:
        head: dict[str, Any] = {MARK: VERSION, "name": host.name}
        if told:
            head["findings"] = told
        if extra:
            head["extra"] = extra
        if host.host_hash is not None:
            head["host_hash"] = host.host_hash
        if host.aliases:
            head["known_as"] = list(host.aliases)
        if host.made_up:
            head["made_up"] = True
        head["gpus"] = [_plain(own) for own in host.gpus]
        head["ports"] = [_plain(own) for own in host.ports]
        found += _line(head) + _line(_plain(host.template))
        told, extra = [], []
    return bytes(found)


def _line(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def _plain(value: Any) -> Any:
    """Fields of a dataclass that do not have their default."""
    found: dict[str, Any] = {}
    for each in fields(value):
        own = getattr(value, each.name)
        if each.default is MISSING or own != each.default:
            found[each.name] = hex(own) if each.name == "cpus" else _written(own)
    if type(value) in _NAMES:
        found["is"] = _NAMES[type(value)]
    return found


def _written(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_written(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        return _plain(value)
    check = _BY_TYPE.get(type(value))
    try:
        return check(value) if check else value
    except _Bad:
        raise TopologyError(f"{str(value)[:60]!r}: too large for a host report") from None


class _Bad(Exception):
    """What a value is not, and where, from the inside out."""

    def __init__(self, what: str, of: str = " in a host report") -> None:
        super().__init__(what + of)
        self.path: list[str] = []

    def inside(self, name: str | int) -> "_Bad":
        self.path.append(f"[{name}]" if isinstance(name, int) else f".{name}")
        return self

    @property
    def place(self) -> str:
        return "".join(reversed(self.path)).lstrip(".")


def unpack(document: Document) -> tuple[Topology, tuple[Finding, ...]]:
    """Read reports, one or many that were joined; raises TopologyError with line and field."""
    lines = document.data.removesuffix(b"\n").split(b"\n")
    if len(lines) % 2:
        raise document.error("a host report cut off: it has two lines a host", len(lines))
    templates: dict[bytes, HostTemplate] = {}
    shared: dict[HostTemplate, HostTemplate] = {}
    hosts: list[Host] = []
    findings: list[Finding] = []
    extra: dict[tuple[str, str], None] = {}
    for i in range(0, len(lines), 2):
        number = i + 1
        try:
            head = _head(_parsed(lines[i]))
            number = i + 2
            template = templates.get(lines[i + 1])
            if template is None:
                template = _template(_parsed(lines[i + 1]))
                bounded(f"{document.name}:{number}: {head['name']}", template.nodes)
                template = templates[lines[i + 1]] = shared.setdefault(template, template)
            number = i + 1
            hosts.append(_host(head, template))
        except _Bad as error:
            raise document.error(str(error), number, error.place) from None
        findings += head["findings"]
        extra |= dict.fromkeys(head["extra"])
    return Topology(tuple(hosts), extra=tuple(extra)), tuple(findings)


def _parsed(line: bytes) -> Any:
    try:
        return json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _Bad(f"no JSON ({str(error)[:80]})") from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _text(value: Any) -> str:
    if type(value) is not str or len(value) > _LONGEST:
        raise _Bad("expected text")
    return value


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) >= _LARGEST:
        raise _Bad("expected a whole number")
    return value


def _id(value: Any) -> int:
    found = _integer(value)
    if found < 0:
        raise _Bad("expected a number of PCI's, which is not negative")
    return found


def _real(value: Any) -> float:
    if type(value) not in {int, float} or not math.isfinite(value):
        raise _Bad("expected a number")
    return float(value)


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise _Bad("expected true or false")
    return value


def _cpus(value: Any) -> int:
    text = _text(value)
    try:
        found = int(text, 16) if len(text) <= _MOST_CPUS // 4 + 2 else -1
    except ValueError:
        found = -1
    if found < 0:
        raise _Bad("expected a set of CPUs, hexadecimal")
    return found


def _kind(value: Any) -> LinkKind:
    try:
        return LinkKind(_text(value))
    except ValueError:
        raise _Bad(f"expected one of {', '.join(kind.value for kind in LinkKind)}") from None


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _Bad("expected a list")
    return value


def _each(decode: Callable[[Any], T]) -> Callable[[Any], tuple[T, ...]]:
    def many(value: Any) -> tuple[T, ...]:
        found: list[T] = []
        for each in _list(value):
            try:
                found.append(decode(each))
            except _Bad as error:
                raise error.inside(len(found)) from None
        return tuple(found)

    return many


def _pair(value: Any) -> tuple[str, str]:
    found = _each(_text)(value)
    if len(found) != 2:
        raise _Bad("expected two texts")
    return found[0], found[1]


_PCI_IDS = {"vendor", "device", "subsystem_vendor", "subsystem_device", "pci_class", "named_class"}
_BY_TYPE: dict[Any, Decode] = {
    str: _text,
    str | None: _text,
    int: _integer,
    int | None: _integer,
    float: _real,
    float | None: _real,
    bool: _flag,
    bool | None: _flag,
    LinkKind: _kind,
    Attributes: _each(_pair),
    tuple[str, ...]: _each(_text),
    tuple[float, ...]: _each(_real),
}


@cache
def _decoders(kind: Any) -> dict[str, Decode]:
    """Of the fields of a class; what a new type of field needs is found missing by the tests."""
    hints = get_type_hints(kind)
    found = {each.name: _BY_TYPE[hints[each.name]] for each in fields(kind) if each.name != "cpus"}
    found |= {name: _id for name in _PCI_IDS & found.keys() if found[name] is _integer}
    return {**found, "cpus": _cpus} if "cpus" in hints else found


@cache
def _required(kind: Any) -> frozenset[str]:
    return frozenset(
        each.name
        for each in fields(kind)
        if each.default is MISSING and each.default_factory is MISSING
    )


def _made(kind: Any) -> Callable[[Any], Any]:
    def make(value: Any) -> Any:
        decoders = _decoders(kind)
        values = _values(value, decoders)
        for name in _required(kind):
            if name not in values:
                raise _Bad("it is missing").inside(name)
        return kind(**values)

    return make


def _values(value: Any, decoders: dict[str, Decode]) -> dict[str, Any]:
    if type(value) is not dict:
        raise _Bad("expected an object")
    found: dict[str, Any] = {}
    for name, own in value.items():
        decode = decoders.get(name)
        if decode is None:
            raise _Bad(f"no field of version {VERSION}").inside(name[:40])
        try:
            found[name] = decode(own)
        except _Bad as error:
            raise error.inside(name) from None
    return found


def _node(value: Any) -> Node:
    told = value.get("is") if type(value) is dict else None
    kind = _NODES.get(told) if type(told) is str else None
    if kind is None:
        raise _Bad(f"expected one of {', '.join(_NODES)}").inside("is")
    node: Node = _made(kind)({name: own for name, own in value.items() if name != "is"})
    return node


def _template(value: Any) -> HostTemplate:
    found = HostTemplate(
        **_values(
            value,
            {
                "nodes": _each(_node),
                "links": _each(_made(Link)),
                "relations": _each(_made(Relation)),
                "distances": _each(_made(Distances)),
                "packages": _integer,
                "cores": _integer,
                "threads": _integer,
                "extra": _each(_pair),
            },
        )
    )
    count = len(found.nodes)
    for i, node in enumerate(found.nodes):
        _within(node.parent, i, "parent", "nodes", i)
    for i, link in enumerate(found.links):
        _within(link.source, count, "source", "links", i, least=0)
        _within(link.target, count, "target", "links", i)
    for i, relation in enumerate(found.relations):
        _within(relation.a, count, "a", "relations", i, least=0)
        _within(relation.b, count, "b", "relations", i, least=0)
    for i, matrix in enumerate(found.distances):
        if len(matrix.values) != len(matrix.nodes) ** 2:
            raise _Bad("expected a square of numbers").inside(i).inside("distances")
    return found


def _within(index: int, count: int, name: str, of: str, i: int, *, least: int = NOWHERE) -> None:
    if not least <= index < count:
        raise _Bad("expected the index of a node before it").inside(name).inside(i).inside(of)


def _finding(value: Any) -> Finding:
    found = _each(_text)(value)
    if len(found) != 3:
        raise _Bad("expected three texts")
    return Finding(*found)


def _head(value: Any) -> dict[str, Any]:
    version = value.get(MARK, VERSION) if type(value) is dict else VERSION
    if version != VERSION:
        raise _Bad(
            f"version {str(version)[:20]}, and this program reads version {VERSION}: run the same "
            "distos_coll on all hosts",
            of="",
        ).inside(MARK)
    found = _values(
        value,
        {
            MARK: _integer,
            "name": _text,
            "host_hash": _text,
            "known_as": _each(_text),
            "made_up": _flag,
            "gpus": _each(_made(GpuId)),
            "ports": _each(_made(PortId)),
            "findings": _each(_finding),
            "extra": _each(_pair),
        },
    )
    for name in (MARK, "name", "gpus", "ports"):
        if name not in found:
            raise _Bad("it is missing").inside(name)
    absent = {"host_hash": None, "known_as": (), "made_up": False, "findings": (), "extra": ()}
    return {**absent, **found}


def _host(head: dict[str, Any], template: HostTemplate) -> Host:
    for name, devices in (("gpus", template.gpus), ("ports", template.ports)):
        if len(head[name]) != len(devices):
            raise _Bad(f"{len(head[name])} of them, and {len(devices)} in the template").inside(
                name
            )
    own = (head["gpus"], head["ports"], head["host_hash"], head["known_as"], head["made_up"])
    return Host(head["name"], template, *own)
