"""The output of `ibnetdiscover`: every node of an InfiniBand subnet, and the cables between them.

    vendid=0x2c9
    switchguid=0x98039b030096aa24(98039b030096aa24)
    Switch 41 "S-98039b030096aa24"   # "leaf07" base port 0 lid 10 lmc 0
    [1]    "H-98039b030067261c"[1](98039b030067261c)   # "node3 mlx5_0" lid 7 4xHDR
    ...
    Ca 1 "H-98039b030067261c"   # "node3 mlx5_0"
    [1](98039b030067261c)   "S-98039b030096aa24"[1]   # lid 7 lmc 0 "leaf07" lid 10 4xHDR

The tool has no schema; what stands here is what its source prints (infiniband-diags,
src/ibnetdiscover.c) and what real files have, among them text of a terminal around them.
"""

import re
from dataclasses import dataclass, field

from distos_coll.api import (
    IB_LID_AT_MOST,
    Attributes,
    Document,
    EndKind,
    Found,
    Notes,
    Topology,
    TopologySource,
    cut_off,
    hookimpl,
    ib_guid,
    ib_is_guid,
    text_lines,
)
from distos_coll.sources.ib_records import FabricRecords, NodeRecord, PortRecord, by_name
from distos_coll.sources.ib_writer import is_netlist, write_ibnetdiscover

MAX_BYTES = 1 << 25

KINDS = {"Switch": EndKind.SWITCH, "Ca": EndKind.ADAPTER, "Rt": EndKind.ROUTER}
GUIDS = {
    "switchguid": EndKind.SWITCH,
    "caguid": EndKind.ADAPTER,
    "rtguid": EndKind.ROUTER,
}
_HEAD = re.compile(rb'^(?:Switch|Ca|Rt)[ \t]+\d+[ \t]+"[SHR]-|^# Topology file: generated', re.M)
_NODE = re.compile(r'(Switch|Ca|Rt)\s+(\d{1,4})\s+"([^"]+)"\s*(?:#\s*"(.*)"([^"]*))?')
_PORT = re.compile(
    r'\[(\d{1,4})\](?:\[[^\]]*\])?(?:\(([^)]*)\))?\s*"([^"]+)"\[(\d{1,4})\]'
    r"(?:\[[^\]]*\])?(?:\s*\([^)]*\))?\s*(?:#\s*(.*))?"
)
_COMMENT = re.compile(r'([^"]*)"(.*)"([^"]*)')
"""Of a port: what it says of itself, the description of the other end, what it says of that."""
_ATTRIBUTE = re.compile(
    r"(vendid|devid|sysimgguid|switchguid|caguid|rtguid)=([^(\s#]+)(?:[(\s#].*)?"
)
_STARTS_A_RECORD = re.compile(r"\[\s*\d|(?:Switch|Ca|Rt)\s|\w+guid=|vendid=|devid=")
_CHASSIS = re.compile(r"(?:Non-)?Chassis\b|(?:Spine|Line|SRBD)\b")
_LID = re.compile(r"\blid (\S*)")
_LMC = re.compile(r"\blmc (\d+)")
_RATE = re.compile(r"\d{1,2}x\S+")
_HEADER = re.compile(r"# (Topology file|Initiated from|Max of)\b.*")
_MAX_PORTS = 1024


@dataclass
class _Reader:
    document: Document
    notes: Notes
    records: FabricRecords
    node: NodeRecord | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    """Of the node that comes next."""
    header: list[tuple[str, str]] = field(default_factory=list)

    def read(self) -> Found:
        for number, line in text_lines(self.document):
            if line:
                self.line(number, line)
        if not self.records.nodes:
            raise self.document.error("no switch, adapter or router in it")
        fabric = self.records.fabric()
        routers = {"routers": len(fabric.routers)} if fabric.routers else {}
        topology = Topology(fabric=fabric, extra=by_name(self.header))
        return Found(topology, self.notes.warnings, routers)

    def line(self, number: int, line: str) -> None:
        if line.startswith("#"):
            if match := _HEADER.fullmatch(line):
                self.header.append((f"ib:{match[1].lower()}", line.removeprefix("# ")))
        elif match := _ATTRIBUTE.fullmatch(line):
            self.attributes[match[1]] = match[2]
        elif match := _NODE.fullmatch(line):
            self.start(number, match)
        elif match := _PORT.fullmatch(line):
            self.port(number, match)
        elif _STARTS_A_RECORD.match(line):
            raise cut_off(self.document, "ibnetdiscover", number)
        elif self.records.nodes and not _CHASSIS.match(line):
            # Before the first node it is what a terminal shows.
            self.notes.add("line-unknown", f"{line[:60]!r} is left out", number)

    def start(self, number: int, match: re.Match[str]) -> None:
        key, ports = match[3], int(match[2])
        if ports > _MAX_PORTS:
            raise self.document.error(f"{ports} ports; no node has more than {_MAX_PORTS}", number)
        bare = (key[2:] if key[1:2] == "-" else key).removeprefix("0x")
        if not ib_is_guid(bare):
            message = f"the GUID {bare[:40]!r} is not hexadecimal; here it is a name"
            self.notes.add("guid-not-hex", message, number)
        node = NodeRecord(KINDS[match[1]], key, ib_guid(bare), ports, match[4] or "", number)
        node.device_id = _hexadecimal(self.attributes.get("devid"))
        self.own(node, match[5] or "", number)
        self.attributes = {}
        self.node = node
        self.records.add(node)

    def own(self, node: NodeRecord, rest: str, number: int) -> None:
        """What the lines above a node and the end of its own say of it."""
        for name in ("vendid", "devid", "sysimgguid"):
            if name in self.attributes:
                node.extra.append((f"ib:{name}", self.attributes[name]))
        for name, kind in GUIDS.items():
            text = self.attributes.get(name)
            if text is None:
                continue
            if kind is not node.kind:
                message = f"{name} above {node.key}, which is none; left out"
                self.notes.add("guid-kind", message, number)
            elif ib_guid(text).lstrip("0") != node.id.lstrip("0"):
                message = f"{node.key} has the GUID {text[:40]} in a line above it"
                self.notes.add("guid-differs", message, number)
                node.extra.append((f"ib:{name}", text))
        if node.kind is EndKind.SWITCH:
            node.lid = self.lid(rest, number)
            if "enhanced port 0" in rest:
                node.extra.append(("ib:port0", "enhanced"))
            node.extra += _lmc(rest, "ib:lmc")

    def lid(self, text: str, number: int) -> int | None:
        match = _LID.search(text)
        if match is None:
            return None
        if not match[1].isascii() or not match[1].isdigit() or len(match[1]) > 9:
            what = repr(match[1][:20]) if match[1] and match[1] != "lmc" else "missing"
            self.notes.add("lid-not-a-number", f"the LID is {what}; read as unknown", number)
            return None
        if int(match[1]) > IB_LID_AT_MOST:
            message = f"LID {match[1]}: those of nodes end at {IB_LID_AT_MOST}; read as unknown"
            self.notes.add("lid-range", message, number)
            return None
        return int(match[1])

    def port(self, number: int, match: re.Match[str]) -> None:
        if self.node is None:
            raise self.document.error("a port before any node", number)
        port = int(match[1])
        comment = _COMMENT.fullmatch(match[5] or "")
        own, of_peer = (comment[1], comment[3]) if comment else ("", match[5] or "")
        # Of two lines of a port the first counts.
        if self.node.kind is not EndKind.SWITCH and port not in self.node.lids:
            self.node.lids[port] = self.lid(own, number) or 0
            self.node.extra.append((f"ib:port:{port}", match[2] or ""))
            self.node.extra += _lmc(own, f"ib:lmc:{port}")
        rate = _RATE.search(of_peer)
        record = PortRecord(
            number,
            port,
            match[3],
            int(match[4]),
            rate[0] if rate else "",
            self.lid(of_peer, number),
            of_peer[rate.end() :].strip() if rate else "",
        )
        self.records.record(self.node, record)


def _lmc(text: str, name: str) -> Attributes:
    match = _LMC.search(text)
    return ((name, match[1]),) if match and match[1] != "0" else ()


def _hexadecimal(text: str | None) -> int | None:
    try:
        return int(text or "", 16)
    except ValueError:
        return None


def read_ibnetdiscover(document: Document) -> Found:
    notes = Notes(document)
    return _Reader(document, notes, FabricRecords(notes)).read()


def recognise_ibnetdiscover(document: Document) -> bool:
    return _HEAD.search(document.head) is not None and not is_netlist(document.head)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "ibnetdiscover",
            "The output of ibnetdiscover: an InfiniBand subnet.",
            recognise_ibnetdiscover,
            read_ibnetdiscover,
            write=write_ibnetdiscover,
            rank=1,
            max_bytes=MAX_BYTES,
        )
    ]
