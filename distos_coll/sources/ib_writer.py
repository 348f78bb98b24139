"""A fabric as ibnetdiscover prints it, and as ibsim simulates it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from distos_coll.api import (
    Adapter,
    Cable,
    End,
    EndKind,
    Switch,
    Topology,
    TopologyError,
    ib_is_guid,
)

NETLIST_HEAD = "# Net configuration file for ibsim"
_LETTERS = {EndKind.SWITCH: "S", EndKind.ADAPTER: "H", EndKind.ROUTER: "R"}
_GUIDS = {EndKind.SWITCH: "switchguid", EndKind.ADAPTER: "caguid", EndKind.ROUTER: "rtguid"}
_FIRST = ("vendid", "devid", "sysimgguid")
"""The lines above a node, in this order."""


def is_netlist(head: bytes) -> bool:
    """Whether it has what ibnetdiscover does not print."""
    return NETLIST_HEAD.encode() in head or re.search(rb"^Hca\s", head, re.M) is not None


@dataclass
class _Line:
    """One end of a cable, seen from its node."""

    port: int
    peer: End
    peer_port: int
    rate: str
    more: str


@dataclass
class _Node:
    kind: EndKind
    item: Switch | Adapter
    lines: list[_Line]
    lids: Mapping[int, int]
    """By port; that of a switch is port 0's."""

    @property
    def key(self) -> str:
        return _key(self.kind, self.item.id)

    @property
    def extra(self) -> dict[str, str]:
        return dict(self.item.extra)

    def guid_of(self, port: int) -> str:
        known = self.extra.get(f"ib:port:{port}")
        return self.item.id.lstrip("0") if known is None else known


def _key(kind: EndKind, own: str) -> str:
    return f"{_LETTERS[kind]}-{own}"


def nodes_of(topology: Topology, format_name: str) -> dict[tuple[EndKind, str], _Node]:
    """Switches, adapters and routers with their ends of the cables."""
    fabric = topology.fabric
    found: dict[tuple[EndKind, str], _Node] = {}
    for kind, items in (
        (EndKind.SWITCH, fabric.switches),
        (EndKind.ADAPTER, fabric.adapters),
        (EndKind.ROUTER, fabric.routers),
    ):
        for item in items:
            _printable(item.id, item.name)
            found[kind, item.id] = _Node(kind, item, [], {})
    if not found:
        raise TopologyError(f"{format_name} holds switches and adapters; here are none")
    for cable in fabric.cables:
        a, b = (_port(end, found, format_name) for end in (cable.a, cable.b))
        rates, more = _rates(cable), [dict(cable.extra).get(f"ib:more-{e}", "") for e in "ab"]
        found[cable.a.kind, cable.a.id].lines.append(_Line(a, cable.b, b, rates[0], more[0]))
        if cable.seen_by_both:
            found[cable.b.kind, cable.b.id].lines.append(_Line(b, cable.a, a, rates[1], more[1]))
    for node in found.values():
        node.lids = _lids(node)
    return found


def _printable(*texts: str) -> None:
    for text in texts:
        if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in text):
            raise TopologyError(f"{text[:60]!r} has line breaks or control characters; rename it")


def _port(end: End, known: Mapping[tuple[EndKind, str], object], format_name: str) -> int:
    if (end.kind, end.id) not in known or not isinstance(end.port, int):
        raise TopologyError(
            f"{end.kind.value} {end.id}: {format_name} needs adapters and numbered ports "
            "at both ends of a cable, which this topology's source has not told"
        )
    return end.port


def _rates(cable: Cable) -> tuple[str, str]:
    extra = dict(cable.extra)
    lanes = "" if cable.width is None else f"{cable.width}x"
    rate = lanes + (cable.rate or "")
    return extra.get("ib:rate-a", rate), extra.get("ib:rate-b", rate)


def _lids(node: _Node) -> dict[int, int]:
    if isinstance(node.item, Switch):
        return {} if node.item.lid is None else {0: node.item.lid}
    stated = [n.removeprefix("ib:port:") for n, _ in node.item.extra if n.startswith("ib:port:")]
    ports = [int(n) for n in stated if re.fullmatch("[0-9]{1,9}", n)] or [
        line.port for line in node.lines
    ]
    return dict(zip(sorted(ports), node.item.lids, strict=False))


def write_ibnetdiscover(topology: Topology) -> bytes:
    """Write what ibnetdiscover would print of the fabric."""
    nodes = nodes_of(topology, "ibnetdiscover")
    head = ["#", *(f"# {text}" for name, text in topology.extra if name.startswith("ib:")), "#"]
    lines = head if len(head) > 2 else []
    for node in nodes.values():
        lines += ["", *_attributes(node), *_header(node)]
        lines += (_port_line(node, line, nodes) for line in node.lines)
    return ("\n".join(lines) + "\n").encode()


def _attributes(node: _Node) -> Iterator[str]:
    extra = node.extra
    for name in _FIRST:
        if f"ib:{name}" in extra:
            yield f"{name}={extra[f'ib:{name}']}"
    name = _GUIDS[node.kind]
    own = extra.get(f"ib:{name}", f"0x{node.item.id.lstrip('0') or '0'}")
    yield f"{name}={own}"


def _header(node: _Node) -> Iterator[str]:
    word = {EndKind.SWITCH: "Switch", EndKind.ADAPTER: "Ca", EndKind.ROUTER: "Rt"}[node.kind]
    own = ""
    if node.kind is EndKind.SWITCH:
        own = f" {node.extra.get('ib:port0', 'base')} port 0"
        own += f" lid {node.lids[0]}" if 0 in node.lids else ""
        own += f" lmc {node.extra.get('ib:lmc', '0')}"
    yield f'{word}\t{node.item.ports or 0} "{node.key}"\t\t# "{node.item.name}"{own}'


def _port_line(node: _Node, line: _Line, nodes: Mapping[tuple[EndKind, str], _Node]) -> str:
    peer = nodes[line.peer.kind, line.peer.id]
    lid = peer.lids.get(0 if peer.kind is EndKind.SWITCH else line.peer_port)
    said = [f'"{peer.item.name}"', "" if lid is None else f"lid {lid}", line.rate, line.more]
    own, far = "", ""
    if peer.kind is not EndKind.SWITCH:
        far = f"({peer.guid_of(line.peer_port)}) "
    if node.kind is not EndKind.SWITCH:
        own = f"({node.guid_of(line.port)})"
        lmc = node.extra.get(f"ib:lmc:{line.port}", "0")
        said.insert(0, f"lid {node.lids.get(line.port, 0)} lmc {lmc}")
    comment = " ".join(filter(None, said))
    return f'[{line.port}]{own}\t"{peer.key}"[{line.peer_port}]{far}\t\t# {comment}'


def write_ibsim(topology: Topology) -> bytes:
    """Write a netlist for ibsim, with GUIDs, so that what is discovered there can be compared."""
    nodes = nodes_of(topology, "an ibsim netlist")
    names = {EndKind.SWITCH: "Switch", EndKind.ADAPTER: "Hca", EndKind.ROUTER: "Rt"}
    lines = [NETLIST_HEAD]
    for node in nodes.values():
        guid = ib_is_guid(node.item.id)
        lines += ["", *([f"{_GUIDS[node.kind]}=0x{node.item.id}"] if guid else [])]
        key = node.key if guid else node.item.id
        # ibsim ends a name at the next quote.
        name = node.item.name.replace('"', "'")
        comment = f'\t# "{name}"' if name != key else ""
        lines.append(f'{names[node.kind]}\t{node.item.ports or 0} "{key}"{comment}')
        for line in node.lines:
            peer = nodes[line.peer.kind, line.peer.id]
            far = peer.key if ib_is_guid(peer.item.id) else peer.item.id
            lines.append(f'[{line.port}]\t"{far}"[{line.peer_port}]')
    return ("\n".join(lines) + "\n").encode()
