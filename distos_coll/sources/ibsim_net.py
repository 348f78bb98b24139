"""Netlists of ibsim, which simulates InfiniBand fabrics.

    Switch 8 "Switch1"       # "its description"
    [1]    "Hca1"[1]  w=4

    Hca    2 "Hca1"
    [1]    "Switch1"[1]

Grammar and defaults are those of ibsim's parser (sim_net.c): a node's lines end at the first that
is no port, a port without a number is 1, and a line that starts with no word it knows is skipped.
"""

import re
from dataclasses import dataclass

from distos_coll.api import (
    Document,
    EndKind,
    Found,
    Notes,
    Topology,
    TopologySource,
    hookimpl,
    ib_guid,
    ib_is_guid,
    text_lines,
)
from distos_coll.sources.ib_records import FabricRecords, NodeRecord, PortRecord
from distos_coll.sources.ib_writer import write_ibsim

MAX_BYTES = 1 << 25

KINDS = {
    "Switch": EndKind.SWITCH,
    "Hca": EndKind.ADAPTER,
    "Ca": EndKind.ADAPTER,
    "Rt": EndKind.ROUTER,
}
_HEAD = re.compile(rb'^(?:Switch|Hca|Ca|Rt)[ \t]+\d+[ \t]+"', re.M)
_NODE = re.compile(r'(Switch|Hca|Ca|Rt)\s+(\d{1,3})\s+"([^"]+)"\s*(?:#\s*(.*))?')
_PORT = re.compile(r'\[(\d{1,3})\](?:\([^)]*\))?\s*"([^"]+)"(?:\s*\[(\d{1,3})\])?(.*)')
_GUID = re.compile(r"(?:switchguid|hcaguids|caguid|rtguid)\w*=\s*(0x[0-9a-fA-F]{1,16})\b.*")
_OPTION = re.compile(r"\b([ws])=(\d{1,2})\b")
_NOT_FOLLOWED = ("include", "do", "module", "@", "switchguid", "hcaguids", "caguid", "rtguid")
_LANES = {1: 1, 2: 4, 4: 4, 8: 12, 12: 12}
"""Of w=: the bits that the management datagrams have, and the numbers that its manual says."""


@dataclass
class _Reader:
    document: Document
    notes: Notes
    records: FabricRecords
    node: NodeRecord | None = None
    guid: str | None = None
    """Of the node that comes next."""

    def read(self) -> Found:
        for number, line in text_lines(self.document):
            self.line(number, line)
        if not self.records.nodes:
            raise self.document.error("no switch, adapter or router in it")
        fabric = self.records.fabric()
        links = sum(len(node.records) for node in self.records.nodes.values())
        return Found(Topology(fabric=fabric), self.notes.warnings, {"link_lines": links})

    def line(self, number: int, line: str) -> None:
        if line.startswith("#"):
            return
        if match := _NODE.fullmatch(line):
            self.start(number, match)
        elif line.startswith("["):
            self.port(number, line)
        elif match := _GUID.fullmatch(line):
            self.guid = ib_guid(match[1])
        else:
            self.node = None
            if line.startswith(tuple(KINDS)) and '"' in line:
                raise self.document.error('no node such as: Switch 8 "name"', number)
            if line.startswith(_NOT_FOLLOWED):
                self.notes.add("not-followed", f"{line[:60]!r} is not followed", number)

    def start(self, number: int, match: re.Match[str]) -> None:
        key = match[3]
        bare = key[2:] if key[:2] in {"S-", "H-", "R-"} and ib_is_guid(key[2:]) else None
        own = self.guid or (ib_guid(bare) if bare else key)
        name = match[4] or key
        if name.startswith('"'):
            name = name[1:].partition('"')[0]
        self.node = NodeRecord(KINDS[match[1]], key, own, int(match[2]), name, number)
        self.guid = None
        self.records.add(self.node)

    def port(self, number: int, line: str) -> None:
        match = _PORT.fullmatch(line)
        if match is None:
            raise self.document.error('no port such as: [1] "name"[1]', number)
        if self.node is None:
            raise self.document.error("a port before any node", number)
        options = dict(_OPTION.findall(match[4]))
        lanes = _LANES.get(int(options.get("w", 0)))
        more = " ".join(f"{name}={text}" for name, text in options.items())
        port, peer_port = int(match[1]), int(match[3] or 1)
        rate = f"{lanes}x" if lanes else ""
        self.records.record(
            self.node, PortRecord(number, port, match[2], peer_port, rate, more=more)
        )


def read_ibsim(document: Document) -> Found:
    notes = Notes(document)
    return _Reader(document, notes, FabricRecords(notes)).read()


def recognise_ibsim(document: Document) -> bool:
    return _HEAD.search(document.head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "ibsim-net",
            "Netlists of ibsim: simulated InfiniBand fabrics.",
            recognise_ibsim,
            read_ibsim,
            write=write_ibsim,
            max_bytes=MAX_BYTES,
        )
    ]
