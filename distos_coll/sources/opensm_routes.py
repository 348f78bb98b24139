"""OpenSM's dumps of routes: opensm-lfts.dump, opensm.fdbs, and opensm-lid-matrix.dump.

Unicast lids [0-6] of switch Lid 1 guid 0x0000000000200000 ('leaf1'):
0x0002 001 # Channel Adapter portguid 0x0000000000100001: 'node1 mlx5_0'
6 lids dumped                                     (the highest LID, not their number)

dump_ucast_routes: Switch 0x0000000000200000
LID    : Port : Hops : Optimal
0x0002 : 001  : 01   : yes

Switch: guid 0x0000000000200000
0x0001: 00 ff ff 02 # portguid 0x0000000000200000  (hops by port, from port 0; ff: no way)
"""

import re
from dataclasses import dataclass, field

from distos_coll.api import (
    Distance,
    Document,
    ForwardingTable,
    ForwardingTables,
    Found,
    LidMatrix,
    Notes,
    TopologySource,
    cut_off,
    hookimpl,
    text_lines,
)

_LFT = re.compile(
    r"Unicast lids \[\w+-(\w+)\] of switch Lid (\d{1,9}) guid 0x([0-9a-fA-F]+) \('(.*)'\):"
)
_LFT_ROUTE = re.compile(r"0x([0-9a-fA-F]{1,4}) (?:(\d{1,3})\b|UNREACHABLE)(?: #.*)?")
_LFT_END = re.compile(r"(\d+) lids dumped")
_FDB = re.compile(r"dump_ucast_routes: Switch 0x([0-9a-fA-F]+)")
_FDB_ROUTE = re.compile(
    r"0x([0-9a-fA-F]{1,4})\s*: (?:(\d{1,3})\s+: (\d{1,3})\s*: .*|UNREACHABLE.*|.*unreachable.*)"
)
_MATRIX = re.compile(r"Switch: guid 0x([0-9a-fA-F]+)")
_MATRIX_ROW = re.compile(
    r"0x([0-9a-fA-F]{1,4}):((?: [0-9a-fA-F]{2})+)(?: # portguid 0x([0-9a-fA-F]+))?"
)
_NO_WAY = 0xFF


@dataclass
class _Table:
    switch: str
    line: int
    lid: int | None = None
    name: str = ""
    ports: dict[int, int] = field(default_factory=dict)
    hops: dict[int, int] = field(default_factory=dict)
    unreachable: list[int] = field(default_factory=list)

    def route(self, lid: int, port: str | None, hops: str | None, notes: Notes, line: int) -> None:
        if lid in self.ports:
            notes.add("lid-twice", f"LID {lid} is there twice for one switch", line)
        if port is None:
            self.unreachable.append(lid)
            return
        self.ports[lid] = int(port)
        if hops is not None:
            self.hops[lid] = int(hops)

    def made(self) -> ForwardingTable:
        left = tuple(self.unreachable)
        return ForwardingTable(self.switch, self.ports, self.hops, left, self.lid, self.name)


def _guid(text: str) -> str:
    return text.lower().zfill(16)


def read_lfts(document: Document) -> Found:
    """Read opensm-lfts.dump."""
    notes, tables, finished = Notes(document), list[_Table](), True
    for number, line in text_lines(document):
        if match := _LFT.fullmatch(line):
            _unfinished(notes, tables, finished)
            tables.append(_Table(_guid(match[3]), number, int(match[2]), match[4]))
            finished = False
        elif match := _LFT_ROUTE.fullmatch(line):
            _last(tables, document, number).route(int(match[1], 16), match[2], None, notes, number)
        elif _LFT_END.fullmatch(line):
            finished = True
        elif line:
            raise cut_off(document, "OpenSM's routes", number)
    _unfinished(notes, tables, finished)
    return _found(notes, tables)


def _unfinished(notes: Notes, tables: list[_Table], finished: bool) -> None:
    if tables and not finished:
        table = tables[-1]
        notes.add("cut-off", f"the table of switch {table.switch} has no end", table.line)


def read_fdbs(document: Document) -> Found:
    """Read opensm.fdbs."""
    notes, tables = Notes(document), list[_Table]()
    for number, line in text_lines(document):
        if match := _FDB.match(line):
            tables.append(_Table(_guid(match[1]), number))
        elif match := _FDB_ROUTE.fullmatch(line):
            table = _last(tables, document, number)
            table.route(int(match[1], 16), match[2], match[3], notes, number)
        elif line and not line.startswith("LID "):
            raise cut_off(document, "OpenSM's routes", number)
    return _found(notes, tables)


def read_matrix(document: Document) -> Found:
    """Read opensm-lid-matrix.dump."""
    notes = Notes(document)
    switches: list[tuple[str, list[Distance]]] = []
    for number, line in text_lines(document):
        if match := _MATRIX.fullmatch(line):
            switches.append((_guid(match[1]), []))
        elif match := _MATRIX_ROW.fullmatch(line):
            if not switches:
                raise _early(document, number)
            hops = [int(text, 16) for text in match[2].split()]
            known = tuple(None if each == _NO_WAY else each for each in hops)
            rows = switches[-1][1]
            if rows and len(rows[0].hops) != len(known):
                message = f"{len(known)} ports, where another row of the switch has"
                notes.add("ports-differ", f"{message} {len(rows[0].hops)}", number)
            rows.append(Distance(int(match[1], 16), known, _guid(match[3] or "0")))
        elif line:
            raise cut_off(document, "OpenSM's routes", number)
    made = tuple((guid, tuple(rows)) for guid, rows in switches)
    return Found(LidMatrix(made), notes.warnings)


def _last(tables: list[_Table], document: Document, number: int) -> _Table:
    if not tables:
        raise _early(document, number)
    return tables[-1]


def _early(document: Document, number: int) -> Exception:
    return document.error("a route before any switch", number)


def _found(notes: Notes, tables: list[_Table]) -> Found:
    seen: set[str] = set()
    for table in tables:
        if table.switch in seen:
            notes.add("table-twice", f"switch {table.switch} has two tables", table.line)
        seen.add(table.switch)
    return Found(ForwardingTables(tuple(table.made() for table in tables)), notes.warnings)


def _starts(pattern: bytes, document: Document) -> bool:
    return re.match(rb"\s*" + pattern, document.head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "opensm-lfts",
            "OpenSM's forwarding tables, opensm-lfts.dump.",
            lambda document: _starts(rb"Unicast lids \[", document),
            read_lfts,
        ),
        TopologySource(
            "opensm-fdbs",
            "OpenSM's forwarding tables with hops, opensm.fdbs.",
            lambda document: _starts(rb"dump_ucast_routes: Switch 0x", document),
            read_fdbs,
        ),
        TopologySource(
            "opensm-lid-matrix",
            "OpenSM's distances between switches, opensm-lid-matrix.dump.",
            lambda document: _starts(rb"Switch: guid 0x", document),
            read_matrix,
        ),
    ]
