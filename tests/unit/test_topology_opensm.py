"""OpenSM's dumps: the list of links is a topology, the others are what belongs to one."""

from collections.abc import Mapping
from typing import Any

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import mutated, read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology.reading import Reading
from distos_coll.topology.routes import (
    Distance,
    ForwardingTable,
    ForwardingTables,
    LidAssignments,
    LidMatrix,
    PortPairs,
)
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary


def end(kind: str, guid: int, name: str, lid: int, port: int, *, near: bool) -> str:
    ids = "VenID:0002C9 DevID:CF08" if near else "VenID:000002C9 DevID:CF080000"
    port_guid = guid + port if kind == "CA" else guid
    return (
        f"{{ {kind} Ports:08 SystemGUID:{guid:016x} NodeGUID:{guid:016x} "
        f"PortGUID:{port_guid:016x} {ids} Rev:000000A1 {{{name}}} LID:{lid:04X} PN:{port:02X} }}"
    )


LEAF, SPINE, CARD = (
    ("SW-SM", 0x10, "leaf {1}", 1),
    ("SW", 0x11, "spine", 2),
    ("CA", 0x20, "n1 mlx5_0", 3),
)


def link(
    a: tuple[str, int, str, int], p: int, b: tuple[str, int, str, int], q: int, tail: str
) -> str:
    return f"{end(*a, p, near=True)} {end(*b, q, near=False)} {tail}\n"


FAST, SLOW = "PHY=4x LOG=ACT SPD=100", "PHY=2x LOG=INI SPD=FDR10"
SUBNET = (
    link(LEAF, 1, CARD, 1, FAST)
    + link(LEAF, 10, SPINE, 4, FAST)
    + link(SPINE, 4, LEAF, 10, SLOW)
    + link(CARD, 1, LEAF, 1, FAST)
)
LFTS = """Unicast lids [0-3] of switch Lid 1 guid 0x0000000000000010 ('leaf (1)'):
0x0001 000 # Switch portguid 0x0000000000000010: 'leaf (1)'
0x0002 010 # Switch portguid 0x0000000000000011: 'spine'
0x0003 UNREACHABLE
3 lids dumped
Unicast lids [0x0-0x3] of switch Lid 2 guid 0x0000000000000011 ('spine'):
0x0003 004 # Channel Adapter portguid 0x0000000000000021: 'n1 mlx5_0'
3 lids dumped
"""
FDBS = """dump_ucast_routes: Switch 0x0000000000000010
LID    : Port : Hops : Optimal
0x0001 : 000  : 00   : yes
0x0002 : 010  : 02   : No 1 hop path possible via port 3!
0x0003 : UNREACHABLE
"""
MATRIX = """Switch: guid 0x0000000000000010
0x0001: 00 ff ff # portguid 0x0000000000000010
0x0002: 01 ff 01 # portguid 0x0000000000000011
"""
LIDS = "0x0000000000000010 0x0001 0x0001\n\n0x0000000000000021 0x0004 0x0007\n\n"
PAIRS = "0x0000000000000010:1 0x0000000000000021:1\n\n0x0000000000000021:1 0x0000000000000010:1\n\n"
TEXTS = {
    "opensm-subnet": SUBNET,
    "opensm-lfts": LFTS,
    "opensm-fdbs": FDBS,
    "opensm-lid-matrix": MATRIX,
    "opensm-guid2lid": LIDS,
    "opensm-neighbors": PAIRS,
}


def codes(reading: Reading) -> list[str]:
    return [finding.code for finding in reading.warnings]


@pytest.mark.parametrize("name", TEXTS)
def test_formats(name: str) -> None:
    assert read_text(TEXTS[name]).format == name


def test_links() -> None:
    reading = read_text(SUBNET)
    fabric = topology_of(reading).fabric
    assert [(s.id[-2:], s.name, s.ports, s.lid) for s in fabric.switches] == (
        [("10", "leaf {1}", 8, 1), ("11", "spine", 8, 2)]
    )
    (card,) = fabric.adapters
    assert (card.host, card.device, card.lids) == ("n1", "mlx5_0", (3,))
    assert dict(card.extra) == {
        "ib:vendid": "0x2c9",
        "ib:devid": "0xcf08",
        "ib:sysimgguid": "0x20",
        "ib:port:1": "21",
    }
    slow = next(cable for cable in fabric.cables if cable.extra)
    assert (slow.width, slow.rate, slow.mbps) == (2, "FDR10", 20_000)
    assert slow.extra == (
        ("ib:rate-a", "4xNDR"),
        ("ib:rate-b", "2xFDR10"),
        ("ib:more-b", "LOG=INI"),
    )
    assert codes(reading) == ["port-number", "cable-speed"]
    found = summary(reading)
    assert found["link_types"] == {"CA-SW": 1, "SW-CA": 1, "SW-SW": 2}
    assert (found["hosts"], found["hcas"], found["switches"]) == (1, 1, 2)


def test_what_only_the_other_end_tells_of() -> None:
    reading = read_text(link(LEAF, 1, CARD, 1, FAST))
    fabric = topology_of(reading).fabric
    assert [(a.host, a.lids) for a in fabric.adapters] == [("n1", (3,))]
    assert [cable.seen_by_both for cable in fabric.cables] == [False]
    assert codes(reading) == ["cable-one-sided"]


def content(text: str) -> Any:
    return read_text(text).found.content


def facts(text: str) -> Mapping[str, Any]:
    found = summary(read_text(text))
    return {key: value for key, value in found.items() if value and key != "format"}


def test_routes() -> None:
    leaf = ForwardingTable("0000000000000010", {1: 0, 2: 10}, {}, (3,), 1, "leaf (1)")
    spine = ForwardingTable("0000000000000011", {3: 4}, {}, (), 2, "spine")
    assert content(LFTS) == ForwardingTables((leaf, spine))
    told = {"switches": 2, "routed_entries": 3, "unreachable_entries": 1, "max_lid": 3}
    assert facts(LFTS) == told
    hops = ForwardingTable("0000000000000010", {1: 0, 2: 10}, {1: 0, 2: 2}, (3,))
    assert content(FDBS) == ForwardingTables((hops,))


def test_distances() -> None:
    rows = (
        Distance(1, (0, None, None), "0000000000000010"),
        Distance(2, (1, None, 1), "0000000000000011"),
    )
    assert content(MATRIX) == LidMatrix((("0000000000000010", rows),))
    assert facts(MATRIX) == {"switches": 1, "rows": 2}


def test_addresses_and_pairs() -> None:
    assert content(LIDS) == LidAssignments((("0000000000000010", 1, 1), ("0000000000000021", 4, 7)))
    assert facts(LIDS) == {"entries": 2, "max_lid": 7}
    assert content(PAIRS) == PortPairs(
        (
            ("0000000000000010", 1, "0000000000000021", 1),
            ("0000000000000021", 1, "0000000000000010", 1),
        )
    )
    assert facts(PAIRS) == {"entries": 2, "cables": 1}


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        (LFTS.removesuffix("3 lids dumped\n"), "cut-off", 6),
        (LFTS + LFTS, "table-twice", 9),
        (FDBS + "0x0001 : 001  : 01   : yes\n", "lid-twice", 6),
        (MATRIX + "0x0003: 00 ff\n", "ports-differ", 4),
        (LIDS + LIDS.replace("0x0001", "0x0002"), "guid-twice", 5),
        (LIDS + "0x0000000000000022 0x0001 0x0001\n", "lid-twice", 5),
        (LIDS + "0x0000000000000022 0x0009 0x0008\n", "lid-range", 5),
        (PAIRS + "0x0000000000000010:2 0x0000000000000021:2\n", "cable-one-sided", 5),
        (PAIRS + "0x0000000000000010:1 0x0000000000000021:2\n", "port-twice", 5),
    ],
)
def test_contradictions(text: str, code: str, line: int) -> None:
    reading = read_text(text)
    assert code in codes(reading)
    found = next(finding for finding in reading.warnings if finding.code == code)
    assert found.where == f"a.xml:{line}"


@pytest.mark.parametrize("name", TEXTS)
def test_refusals(name: str) -> None:
    text = TEXTS[name]
    # A route's end is a comment.
    cut = "0x00" if name == "opensm-lfts" else text.splitlines()[-1][:-7] + "~"
    with raises("text-cut", r"a.xml:\d+: "):
        read_text(text + cut)


def test_numbers_that_no_lid_is() -> None:
    """Python refuses to read more than 4,300 digits."""
    with raises("text-cut", "a.xml:1: "):
        read_text(LFTS.replace("Lid 1 ", f"Lid {'9' * 5000} ", 1))


def test_routes_of_no_switch() -> None:
    source = {source.name: source for source in default_sources()}
    for name, line in (
        ("opensm-lfts", LFTS.splitlines()[1]),
        ("opensm-fdbs", FDBS.splitlines()[2]),
        ("opensm-lid-matrix", MATRIX.splitlines()[1]),
    ):
        with raises("route-early", "a:1: "):
            source[name].parse(Document("a", line.encode()))


@given(
    name=st.sampled_from(sorted(TEXTS)),
    data=st.one_of(*(mutated(t.encode()) for t in TEXTS.values())),
)
def test_a_damaged_file_is_read_or_refused(name: str, data: bytes) -> None:
    source = next(source for source in default_sources() if source.name == name)
    try:
        found = source.parse(Document("a", data))
    except TopologyError:
        return
    summary(Reading(name, "a", found, ()))
