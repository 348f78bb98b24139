"""opensm-subnet.lst, OpenSM's list of links: one line for each end of a cable.

    { SW Ports:25 SystemGUID:.. NodeGUID:.. PortGUID:.. VenID:.. DevID:.. Rev:.. {leaf1} LID:0004
    PN:01 } { CA Ports:01 ... {node3 mlx5_0} LID:0003 PN:01 } PHY=4x LOG=ACT SPD=25

Numbers are hexadecimal. The far end spells vendor and device otherwise (osm_dump.c); those of the
near end are kept.
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from distos_coll.api import (
    Document,
    EndKind,
    Found,
    Notes,
    Topology,
    TopologySource,
    cut_off,
    hookimpl,
    ib_guid,
    text_lines,
)
from distos_coll.sources.ib_records import FabricRecords, NodeRecord, PortRecord

_KINDS = {"CA": EndKind.ADAPTER, "SW": EndKind.SWITCH, "RT": EndKind.ROUTER}
_GENERATIONS = {
    "2.5": "SDR",
    "5": "DDR",
    "10": "QDR",
    "14": "FDR",
    "25": "EDR",
    "50": "HDR",
    "100": "NDR",
    "200": "XDR",
}
"""By Gb/s of a lane."""
_END = (
    r"\{ (CA|SW|RT)(?:-SM)? Ports:([0-9A-Fa-f]{1,2}) SystemGUID:([0-9A-Fa-f]{16}) "
    r"NodeGUID:([0-9A-Fa-f]{16}) PortGUID:([0-9A-Fa-f]{16}) VenID:([0-9A-Fa-f]+) "
    r"DevID:([0-9A-Fa-f]+) Rev:[0-9A-Fa-f]+ \{(.*?)\} LID:([0-9A-Fa-f]{4}) PN:([0-9A-Fa-f]{2}) \}"
)
_LINK = re.compile(_END + " " + _END + r" PHY=(\S+) LOG=(\S+) SPD=(\S+)")
_GROUPS = 10
"""Of one end."""
_HEAD = re.compile(rb"\s*\{ (?:CA|SW|RT)(?:-SM)? Ports:[0-9A-Fa-f]{2} SystemGUID:")


@dataclass
class _Reader:
    document: Document
    records: FabricRecords
    types: Counter[str] = field(default_factory=Counter)

    def read(self) -> Found:
        for number, line in text_lines(self.document):
            if line:
                self.line(number, line)
        fabric = self.records.fabric()
        facts = {"link_records": self.types.total(), "link_types": dict(sorted(self.types.items()))}
        return Found(Topology(fabric=fabric), self.records.notes.warnings, facts)

    def line(self, number: int, line: str) -> None:
        match = _LINK.fullmatch(line)
        if match is None:
            raise cut_off(self.document, "opensm-subnet.lst", number)
        groups = match.groups()
        near, far = groups[:_GROUPS], groups[_GROUPS : 2 * _GROUPS]
        lanes, state, speed = groups[2 * _GROUPS :]
        node = self.node(number, near, near=True)
        peer = self.node(number, far, near=False)
        self.types[f"{near[0]}-{far[0]}"] += 1
        record = PortRecord(
            number,
            int(near[9], 16),
            peer.key,
            int(far[9], 16),
            lanes + _GENERATIONS.get(speed, speed),
            int(far[8], 16) or None,
            "" if state == "ACT" else f"LOG={state}",
        )
        self.records.record(node, record)

    def node(self, number: int, said: tuple[str, ...], *, near: bool) -> NodeRecord:
        kind, ports, system, guid, port_guid, vendor, device, name, lid, port = said
        node = self.records.nodes.get(guid)
        if node is None:
            own = ib_guid(guid)
            node = NodeRecord(_KINDS[kind], guid, own, int(ports, 16), name, number)
            self.records.add(node)
        if near and node.device_id is None:
            node.device_id = int(device, 16)
            node.extra += [("ib:vendid", f"0x{int(vendor, 16):x}")]
            node.extra += [("ib:devid", f"0x{node.device_id:x}")]
            node.extra += [("ib:sysimgguid", f"0x{int(system, 16):x}")]
        at = int(port, 16)
        if node.kind is EndKind.SWITCH:
            node.lid = int(lid, 16)
        elif at not in node.lids:
            node.lids[at] = int(lid, 16)
            node.extra.append((f"ib:port:{at}", f"{int(port_guid, 16):x}"))
        return node


def read_subnet(document: Document) -> Found:
    return _Reader(document, FabricRecords(Notes(document))).read()


def recognise_subnet(document: Document) -> bool:
    return _HEAD.match(document.head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "opensm-subnet",
            "OpenSM's list of links, opensm-subnet.lst.",
            recognise_subnet,
            read_subnet,
        )
    ]
