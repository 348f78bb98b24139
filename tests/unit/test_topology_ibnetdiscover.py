"""ibnetdiscover's output and ibsim's netlists: read, refused, written again."""

from dataclasses import replace

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN, mutated, read_own, read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.testing import fabrics
from distos_coll.topology.builder import HostBuilder, topology
from distos_coll.topology.fabric import Adapter, Cable, End, EndKind, Fabric, Switch
from distos_coll.topology.infiniband import Described, described, guid, mbps, rate
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import Reading
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary

RACKS = "ibnetdiscover-racks.txt"
TEXT = (OWN / RACKS).read_text(encoding="utf-8")


def written(content: Topology, name: str) -> bytes:
    write = next(source.write for source in default_sources() if source.name == name)
    assert write is not None
    return write(content)


def netlist(fabric: Fabric) -> bytes:
    return written(Topology(fabric=fabric), "ibsim-net")


def codes(reading: Reading) -> list[str]:
    return [finding.code for finding in reading.warnings]


def test_figures() -> None:
    found = summary(read_own(RACKS))
    figures = {k: found[k] for k in ("format", "hosts", "hcas", "switches", "rails", "routers")}
    assert figures == {
        "format": "ibnetdiscover",
        "hosts": 3,
        "hcas": 6,
        "switches": 3,
        "rails": 2,
        "routers": 1,
    }
    assert (found["gpus"], found["numa_nodes"], found["nvlink_domains"]) == (None, None, None)
    assert [each["kind"] for each in found["fabric"]["also"]] == ["rail-optimised"]


def test_every_line_has_its_place() -> None:
    content = topology_of(read_own(RACKS))
    fabric = content.fabric
    assert dict(content.extra)["ib:topology file"] == (
        "Topology file: generated on Tue Mar  3 10:00:00 2026"
    )
    leaf, _, spine = fabric.switches
    assert (leaf.id, leaf.ports, leaf.lid, leaf.level) == ("a000000000000001", 8, 1, 1)
    assert dict(leaf.extra)["ib:port0"] == "enhanced"
    assert (spine.name, spine.level) == ('spine "A"', 2)
    cards = {adapter.id[-2:]: adapter for adapter in fabric.adapters}
    assert (cards["11"].host, cards["11"].device, cards["11"].rail) == ("node1", "mlx5_0", 0)
    assert (cards["22"].host, cards["22"].device, cards["22"].rail) == ("node2", "HCA-2", 1)
    assert dict(cards["12"].extra)["ib:lmc:1"] == "1"
    assert dict(cards["12"].extra)["ib:port:1"] == "a000000000000013"
    assert (cards["41"].host, cards["41"].device, cards["41"].rail) == (None, None, 0)
    assert (cards["31"].host, cards["31"].shared_name, cards["31"].ports) == (None, "localhost", 2)
    assert [card for card, its in cards.items() if its.aggregation] == ["91"]
    assert [router.id for router in fabric.routers] == ["a000000000000071"]
    first = fabric.cables[0]
    assert (first.a, first.b) == (
        End(EndKind.SWITCH, "a000000000000001", 1),
        End(EndKind.ADAPTER, "a000000000000011", 1),
    )
    assert (first.width, first.rate, first.mbps, first.seen_by_both) == (4, "NDR", 400000, True)


def test_two_sweeps_in_one_file() -> None:
    """Joined by cat: they are written as JSON, which has one place for a name, and read back."""
    content = topology_of(read_text(TEXT + TEXT, "two.txt"))
    assert len(content.fabric.switches) == 3
    model = written(content, "cluster-topology-model")
    assert topology_of(read_text(model, "a.json")) == content
    assert [name for name, _ in content.extra].count("ib:topology file") == 2


def test_the_slower_of_two_rates_counts() -> None:
    reading = read_own(RACKS)
    (slow,) = [cable for cable in topology_of(reading).fabric.cables if cable.extra]
    assert (slow.width, slow.mbps) == (2, 200000)
    assert slow.extra == (("ib:rate-a", "2xNDR"), ("ib:rate-b", "4xNDR"))
    (warning,) = reading.warnings
    assert warning.code == "cable-speed"
    assert warning.where.endswith(f"{RACKS}:16")


def test_what_is_written_is_what_was_read() -> None:
    content = topology_of(read_own(RACKS))
    again = written(content, "ibnetdiscover")
    assert topology_of(read_text(again)) == content
    assert written(topology_of(read_text(again)), "ibnetdiscover") == again


def test_a_netlist_of_it_has_the_same_cables() -> None:
    fabric = topology_of(read_own(RACKS)).fabric
    reading = read_text(netlist(fabric))
    assert (reading.format, codes(reading)) == ("ibsim-net", [])
    found = topology_of(reading).fabric
    assert [(c.a, c.b) for c in found.cables] == [(c.a, c.b) for c in fabric.cables]
    assert [(s.id, s.name, s.ports) for s in found.switches] == (
        [(s.id, s.name.replace('"', "'"), s.ports) for s in fabric.switches]
    )
    assert [(a.id, a.host, a.shared_name) for a in found.adapters] == (
        [(a.id, a.host, a.shared_name) for a in fabric.adapters]
    )
    assert netlist(found) == netlist(fabric)


@pytest.mark.parametrize(
    ("old", "new", "code", "line"),
    [
        ('[2]\t"H-a000000000000021"[1]', '[2]\t"H-a000000000000021"[2]', "cable-one-sided", 13),
        ('[2]\t"H-a000000000000021"', '[2]\t"H-a000000000000fff"', "peer-unknown", 13),
        ('[6]\t"S-a000000000000003"[2]', '[6]\t"S-a000000000000001"[6]', "cable-to-itself", 16),
        ("[2]\t", "[1]\t", "port-twice", 13),
        ("[8]\t", "[9]\t", "port-number", 17),
        ("port 0 lid 1 ", "port 0 lid x ", "lid-not-a-number", 11),
        ("port 0 lid 1 ", "port 0 lid  ", "lid-not-a-number", 11),
        ("port 0 lid 1 ", "port 0 lid 65335 ", "lid-range", 11),
        ("port 0 lid 1 ", "port 0 lid 5 ", "lid-differs", 35),
        ("lid 11 lmc 0", "lid 12 lmc 0", "lid-twice", 50),
        ("a000000000000041", "a0000000000host1", "guid-not-hex", 70),
        ("caguid=0xa000000000000021", "caguid=0xa000000000000f21", "guid-differs", 57),
        ("caguid=0xa000000000000021", "rtguid=0xa000000000000021", "guid-kind", 57),
        ("\nCa\t2", "\nspam\nCa\t2", "line-unknown", 76),
    ],
)
def test_contradictions(old: str, new: str, code: str, line: int) -> None:
    """Each is told with its line, and the rest is read."""
    assert old in TEXT
    reading = read_text(TEXT.replace(old, new) if code == "guid-not-hex" else once(old, new))
    assert code in codes(reading)
    found = next(finding for finding in reading.warnings if finding.code == code)
    assert found.where == f"a.xml:{line}"
    assert len(topology_of(reading).fabric.switches) == 3


def once(old: str, new: str) -> str:
    return TEXT.replace(old, new, 1)


def test_a_node_that_is_described_twice() -> None:
    """Which -g does with switches of a chassis; said otherwise it is a contradiction."""
    body = TEXT[TEXT.index("vendid") :]
    reading = read_text(TEXT + body)
    assert codes(reading) == ["cable-speed"]
    assert topology_of(reading).fabric == topology_of(read_own(RACKS)).fabric
    reading = read_text(TEXT + body.replace("node2 HCA-1", "node7 HCA-1"))
    assert codes(reading) == ["node-twice", "cable-speed"]
    assert topology_of(reading).fabric == topology_of(read_own(RACKS)).fabric


GROUPED = """
Chassis 1 (guid 0x8f10400411a08)

# Spine Nodes
vendid=0x8f1
devid=0x5a30
sysimgguid=0x8f10400411a09\t\t# Chassis 1
switchguid=0x8f104003f1e29(8f104003f1e29)\t# ISR2012 Spine 1 Chip 1
Switch\t24 "S-0008f104003f1e29"\t\t# "spine" base port 0 lid 742 lmc 0
[24][ext 3]\t"H-0002c90200247010"[1](2c90200247011) \t\t# "atlas35 HCA-1" lid 12 4xQDR s=4 w=2 v=4
[23]\t"H-0002c90200247020"[1][ext 2](2c90200247021) \t\t# "atlas36 HCA-1" lid 13 4xQDR
Non-Chassis Nodes

caguid=0x2c90200247010
Ca\t2 "H-0002c90200247010"\t\t# "atlas35 HCA-1" (scp)
[1](2c90200247011) \t"S-0008f104003f1e29"[24][ext 3]\t\t# lid 12 lmc 0 "spine" lid 742 4xQDR
[2](2c90200247012) \t"H-0002c90200247020"[2] (2c90200247022) \t# lid 14 lmc 0 "atlas36" lid 15 4xQDR

caguid=0x2c90200247020
Ca\t2 "H-0002c90200247020"\t\t# "atlas36 HCA-1"
[1](2c90200247021) \t"S-0008f104003f1e29"[23]\t\t# lid 13 lmc 0 "spine" lid 742 4xQDR
[2](2c90200247022) \t"H-0002c90200247010"[2] (2c90200247012) \t# lid 15 lmc 0 "atlas35" lid 14 4xQDR
"""


def test_of_two_lines_of_a_port_the_first_counts() -> None:
    text = (
        'Ca 1 "H-1" # "n1 a"\n[1](5) "S-2"[1] # lid 7 lmc 0 "s" lid 3 4xHDR\n'
        '[1](6) "S-2"[2] # lid 8 lmc 0 "s" lid 3 4xHDR\n'
        'Switch 2 "S-2" # "s" base port 0 lid 3 lmc 0\n'
    )
    (adapter,) = topology_of(read_text(text)).fabric.adapters
    assert (adapter.lids, adapter.extra) == ((7,), (("ib:port:1", "5"),))


def test_chassis_and_hosts_that_are_cabled_to_each_other() -> None:
    reading = read_text(GROUPED)
    assert codes(reading) == []
    fabric = topology_of(reading).fabric
    assert [(c.a.id[-2:], c.a.port, c.b.id[-2:], c.b.port) for c in fabric.cables] == (
        [("29", 24, "10", 1), ("29", 23, "20", 1), ("10", 2, "20", 2)]
    )
    assert fabric.cables[0].extra == (("ib:more-a", "s=4 w=2 v=4"),)
    assert fabric.recognised[0].kind == "single-switch"


def test_a_fabric_without_cables() -> None:
    reading = read_text('# Topology file: generated on x\nCa 1 "H-1"\t# "node1 mlx5_0"\n')
    assert codes(reading) == ["isolated"]
    found = summary(reading)
    assert (found["hosts"], found["hcas"], found["switches"], found["fabric"]) == (1, 1, 0, None)


def test_a_byte_order_mark_and_windows_lines() -> None:
    data = b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode()
    assert topology_of(read_text(data)) == topology_of(read_own(RACKS))


def test_refusals() -> None:
    with raises("text-cut", "a.xml:13: "):
        read_text(once('"[1](a000000000000022)', '"[1](a00'))
    with raises("text-cut", "a.xml:7: "):
        read_text(once("vendid=0x2c9", "vendid="))
    with raises("fabric-empty", "a.xml: "):
        read_text("# Topology file: generated on Tue\n#\n")
    with raises("ib-early", "a.xml:2: "):
        read_text('# Topology file: generated on Tue\n[1] "S-1"[1]\n')
    with raises("ib-ports", "a.xml:1: 9999 ports"):
        read_text('Switch 9999 "S-1"\n')
    with raises("text-line", "a.xml:2: "):
        read_text('Switch 9 "S-1"\n' + "x" * 70000)


def test_a_file_that_is_cut_off_anywhere() -> None:
    """What is left is read with warnings, or refused with the line."""
    for length in range(0, len(TEXT), 97):
        try:
            reading = read_text(TEXT[:length])
        except TopologyError:
            continue
        assert "peer-unknown" in codes(reading) or length > len(TEXT) - 120


def test_one_thousand_hosts() -> None:
    fabric = fabrics.fat_tree(16).fabric()
    data = written(Topology(fabric=fabric), "ibnetdiscover")
    reading = read_text(data)
    assert topology_of(reading).fabric.recognised == fabric.recognised
    found = summary(reading)
    assert (found["hosts"], found["hcas"], found["switches"]) == (1024, 1024, 320)
    assert found["fabric"]["kind"] == "fat-tree"
    assert found["warnings"] == []
    assert fabrics.outline(topology_of(reading).fabric) == fabrics.outline(fabric)


def test_work_grows_with_the_input_alone() -> None:
    """Calls made for twice the hosts are about twice as many."""
    import cProfile
    import pstats

    def calls(hosts: int) -> int:
        data = netlist(fabrics.leaf_spine(8, 4, hosts).fabric())
        profile = cProfile.Profile()
        profile.runcall(read_text, data)
        return pstats.Stats(profile).total_calls  # type: ignore[attr-defined, no-any-return]

    assert calls(200) < 2.3 * calls(100)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node1 mlx5_0", Described("node1", "mlx5_0")),
        ("node1.example.org HCA-2", Described("node1.example.org", "HCA-2")),
        ("Hca1", Described("Hca1")),
        ("MT4129 ConnectX7   Mellanox Technologies", Described()),
        ("MT4129", Described()),
        ("localhost mlx5_0", Described(None, "mlx5_0", "localhost")),
        ("localhost.localdomain HCA-1", Described(None, "HCA-1", "localhost.localdomain")),
        ("a switch of ours", Described()),
        ("Quantum Technologies", Described()),
        ("", Described()),
    ],
)
def test_descriptions(text: str, expected: Described) -> None:
    assert described(text) == expected


def test_rates_and_guids() -> None:
    rates = {"4xHDR": 200000, "2xHDR": 100000, "4xFDR": 56000, "4xFDR10": 40000, "1xSDR": 2500}
    rates |= {"4xEDR": 100000, "4xNDR": 400000, "4xXDR": 800000, "4xQDR": 40000}
    assert {text: mbps(*(rate(text) or (0, ""))) for text in rates} == rates
    assert (rate("4x"), rate("fast"), mbps(4, "later")) == ((4, ""), None, None)
    assert guid("0x2C9") == guid("2c9") == "00000000000002c9"
    assert guid("0xhost1") == "host1"


NETLIST = """# Net configuration file example
Switch\t8 "Switch1"
[1]\t"Hca1"[1]\tw=12
[3]\t"Switch2"

switchguid=0x77
Switch 4 "Switch2" # "the second" base port 0
[1]\t"Switch1"[3]

Hca\t2 "Hca1"
[1]\t"Switch1"[1] w=1 s=2
do "Dump"
"""


def test_a_netlist() -> None:
    reading = read_text(NETLIST)
    fabric = topology_of(reading).fabric
    assert [(s.id, s.name) for s in fabric.switches] == (
        [("Switch1", "Switch1"), ("0000000000000077", "the second")]
    )
    assert [(a.id, a.host) for a in fabric.adapters] == [("Hca1", "Hca1")]
    assert codes(reading) == ["not-followed", "cable-speed"]
    assert [(c.a.port, c.b.port, c.width) for c in fabric.cables] == [(1, 1, 1), (3, 1, None)]
    assert fabric.cables[0].extra[:2] == (("ib:rate-a", "12x"), ("ib:rate-b", "1x"))


def test_devices_and_ports_of_more_digits_than_python_reads() -> None:
    many = "9" * 5000
    text = f'Switch 8 "leaf"\n[1] "a"[1]\nHca 1 "a" # "node1 mlx5_{many}"\n[1] "leaf"[1]\n'
    content = topology_of(read_text(text))
    (adapter,) = content.fabric.adapters
    extra = ((f"ib:port:{many}", "7"), ("ib:port:\u00b2", "7"))
    other = replace(content.fabric, adapters=(replace(adapter, extra=extra, lids=(4,)),))
    assert b" lid 4 " in written(replace(content, fabric=other), "ibnetdiscover")


def test_netlists_that_are_refused() -> None:
    with raises("ibsim-node", "a.xml:2: "):
        read_text('Hca 2 "a"\nSwitch "b" 3\n')
    with raises("ibsim-port", "a.xml:2: "):
        read_text('Hca 2 "a"\n[1] b[3]\n')
    with raises("ib-early", "a.xml:3: "):
        read_text('Hca 2 "a"\n\n[1] "b"[3]\n')


def test_what_cannot_be_written() -> None:
    for name in ("ibnetdiscover", "ibsim-net"):
        with raises("fabric-nothing"):
            written(topology([HostBuilder("n")]), name)
        with raises("fabric-ends", "host n: "):
            hanging = Cable(End(EndKind.HOST, "n"), End(EndKind.SWITCH, "s", 1))
            written(Topology(fabric=Fabric((Switch("s"),), (), (hanging,))), name)
        with raises("fabric-ends", "switch s: "):
            named = Cable(End(EndKind.SWITCH, "s", "swp1"), End(EndKind.ADAPTER, "a", 1))
            written(Topology(fabric=Fabric((Switch("s"),), (Adapter("a"),), (named,))), name)
        with raises("fabric-names"):
            written(Topology(fabric=Fabric((Switch("s", "a\nb"),))), name)
        with raises("fabric-names"):
            written(Topology(fabric=Fabric((Switch("s", "a\ud800"),))), name)


LAYOUTS = [
    fabrics.leaf_spine(3, 2, 2, 2),
    fabrics.torus(3, 3),
    fabrics.rail_optimised(2, 2, 2, 2),
    fabrics.dragonfly(4, 3, 1),
]


@pytest.mark.parametrize("name", ["ibnetdiscover", "ibsim-net"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_round_trip(layout: fabrics.FabricLayout, name: str) -> None:
    fabric = layout.fabric()
    found = topology_of(read_text(written(Topology(fabric=fabric), name))).fabric
    if name == "ibsim-net":
        bare = (replace(cable, width=None, rate=None, mbps=None) for cable in fabric.cables)
        fabric = replace(fabric, cables=tuple(bare))
    assert fabrics.outline(found) == fabrics.outline(fabric)


@given(mutated(TEXT.encode()), st.sampled_from(["ibnetdiscover", "ibsim-net"]))
def test_a_damaged_file_is_read_or_refused(data: bytes, name: str) -> None:
    source = next(source for source in default_sources() if source.name == name)
    try:
        found = source.parse(Document("a", data))
    except TopologyError:
        return
    summary(Reading(name, "a", found, ()))
    if isinstance(found.content, Topology) and source.write:
        try:
            again = source.write(found.content)
        except TopologyError:
            return
        source.parse(Document("b", again))
