"""Other people's LLDP, NetQ, Slurm, topograph, OpenSM files: what their manifest says of them."""

import ast
import re

import pytest
import yaml
from error_page import raises
from topologies import Entry, entries, number, topology_of

from distos_coll.plugins.manager import default_sources
from distos_coll.testing import fabrics
from distos_coll.topology.fabric import EndKind
from distos_coll.topology.hostlist import expand
from distos_coll.topology.reading import Reading, read
from distos_coll.topology.routes import ForwardingTables, LidAssignments, PortPairs
from distos_coll.topology.summary import summary

REFUSED = {
    "lldpd-test_lldpcli.py": "topology-unknown",  # a program that has them inside
    "doc-current-routing.txt": "topology-unknown",  # documentation
}


def known(kind: str, pattern: str = "") -> list[Entry]:
    return [e for e in entries(kind) if e.name not in REFUSED and re.search(pattern, e.name)]


def read_entry(entry: Entry) -> Reading:
    return read(entry.path, default_sources())


def listed(text: str, pattern: str) -> list[str | None]:
    """['None', 'switch13'] of a manifest's line."""
    match = re.search(pattern + r" (\[[^\]]*\])", text)
    assert match is not None
    return [None if name == "None" else name for name in ast.literal_eval(match[1])]


@pytest.mark.parametrize(
    "entry", [e for e in entries("lldp", "opensm") if e.name in REFUSED], ids=str
)
def test_refused(entry: Entry) -> None:
    with raises(REFUSED[entry.name], re.escape(str(entry.path))):
        read_entry(entry)


@pytest.mark.parametrize("entry", known("lldp", r"\.json"), ids=str)
def test_lldp(entry: Entry) -> None:
    found, said = summary(read_entry(entry)), entry.must_report
    assert found["format"] == "lldp"
    assert found["neighbours"] == number(said, r"neighbour records (\d+)")
    if "hosts with JSON" in said:
        assert found["reports"] == number(said, r"hosts with JSON (\d+)")
        assert len(found["text_only"]) == number(said, r"text-only hosts (\d+)")
        assert found["confirmed_cables"] == number(said, r"both ends (\d+)")
        assert len(found["neighbour_names"]) == number(said, r"neighbour names (\d+)")
        heard = topology_of(read_entry(entry)).hosts
        assert [host.name for host in heard] == listed(said, "not hosts of the file")
    else:
        assert found["neighbour_names"] == listed(said, "distinct neighbour names")
        types = re.search(r"port id types (\{.*?\})", said)
        assert types is not None
        assert found["port_id_types"] == ast.literal_eval(types[1])


@pytest.mark.parametrize("entry", known("lldp", r"\.output"), ids=str)
def test_a_poller_says_the_same_as_what_was_made_of_it(entry: Entry) -> None:
    other = entry.path.with_name(entry.name.replace(".output", ".hosts.json"))
    again = read(other, default_sources())
    assert topology_of(read_entry(entry)) == topology_of(again)
    assert read_entry(entry).found.facts == again.found.facts


@pytest.mark.parametrize("entry", entries("netq"), ids=str)
def test_netq(entry: Entry) -> None:
    found, said = summary(read_entry(entry)), entry.must_report
    assert found["format"] == "netq"
    assert found["bundles"] == number(said, r"links (\d+)")
    assert found["cables"] == number(said, r"compounded links (\d+)")
    assert found["node_groups"] == number(said, r"node groups (\d+)")
    assert (found["switches"], found["hosts"], found["warnings"]) == (3, 8, [])


@pytest.mark.parametrize("entry", known("slurm", r"\.conf"), ids=str)
def test_slurm_conf(entry: Entry) -> None:
    found, said = summary(read_entry(entry)), entry.must_report
    assert (found["format"], found["warnings"]) == ("slurm-topology", [])
    assert found["hosts"] == number(said, r"nodes (\d+)")
    assert found["switches"] == number(said, r"switches (\d+)")
    if "depth" in said:
        assert found["depth"] == number(said, r"depth (\d+)")
        assert found["leaves"] == number(said, r"leaves (\d+)")
        assert len(found["roots"]) == number(said, r"roots (\d+)")
        assert found["roots"] == listed(said, r"roots \d+")
        assert found["fabric"]["kind"] == "tree"
    if "blocks" in said:
        assert len(found["blocks"]) == number(said, r"blocks (\d+)")
        assert sorted({block["hosts"] for block in found["blocks"]}) == (
            [number(said, r"block node counts \[(\d+)\]")]
        )
        sizes = re.search(r"BlockSizes ([\d,]*\d)", said)
        assert sizes is not None
        assert found["block_sizes"] == list(map(int, sizes[1].split(",")))


@pytest.mark.parametrize("entry", known("slurm", r"\.yaml"), ids=str)
def test_slurm_yaml(entry: Entry) -> None:
    found, said = summary(read_entry(entry)), entry.must_report
    assert (found["format"], found["warnings"]) == ("slurm-topology-yaml", [])
    names = said.partition("topologies: ")[2].split(", ")
    assert [each["name"] for each in found["topologies"]] == names
    assert [each["kind"] for each in found["topologies"]] == (
        ["tree", "block", "flat", "flat", "ring", "torus3d"]
    )


@pytest.mark.parametrize("entry", entries("topograph-model"), ids=str)
def test_topograph(entry: Entry) -> None:
    """The manifest counts lines of two blanks and a name, which here are switches and keys of
    blocks; what is a switch is counted from the file by YAML's own reader.
    """
    text = entry.path.read_text(encoding="utf-8")
    lines = re.findall(r"^  [\w.-]+:\s*$", text, re.M)
    assert len(lines) == number(entry.must_report, r"switches (\d+)")
    said = yaml.safe_load(text)
    switches = set(said["switches"]) | {block["switch"] for block in said["blocks"]}
    for each in said["switches"].values():
        switches.update(each["switches"])
    hosts = [host for b in said["blocks"] for text in b["nodes"] for host in expand(text)]
    reading = read_entry(entry)
    found = summary(reading)
    assert (found["format"], found["warnings"]) == ("topograph-model", [])
    assert found["switches"] == len(switches)
    assert found["hosts"] == len(hosts) == len(set(hosts))
    domains = {block.name for block in topology_of(reading).blocks if block.kind == "accelerator"}
    assert domains == {
        text
        for b in said["blocks"]
        for k, text in b["annotations"].items()
        if k.endswith("/domain")
    }


PREFIXES = ("ibs-minhop", "ndr-updn", "ring-minhop")


def dump(prefix: str, name: str) -> tuple[Entry, Reading]:
    (entry,) = known("opensm", rf"^{prefix}\.{name}(\.gz)?$")
    return entry, read_entry(entry)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_opensm_links(prefix: str) -> None:
    entry, reading = dump(prefix, "opensm-subnet.lst")
    found = summary(reading)
    assert (found["format"], found["warnings"]) == ("opensm-subnet", [])
    assert found["link_records"] == number(entry.must_report, r"directed link records (\d+)")
    types = re.search(r"by node types (\{.*\})", entry.must_report)
    assert types is not None
    assert found["link_types"] == ast.literal_eval(types[1])
    _, swept = dump(prefix, "ibnetdiscover.out")
    assert fabrics.outline(topology_of(reading).fabric) == fabrics.outline(
        topology_of(swept).fabric
    )


@pytest.mark.parametrize("prefix", PREFIXES)
def test_opensm_routes(prefix: str) -> None:
    """Both dumps of routes say the same, and speak of the switches and LIDs that were found."""
    entry, lfts = dump(prefix, "opensm-lfts.dump")
    said, found = entry.must_report, summary(lfts)
    assert (found["format"], found["warnings"]) == ("opensm-lfts", [])
    assert found["switches"] == number(said, r"switch tables (\d+)")
    assert found["routed_entries"] == number(said, r"routed entries (\d+)")
    assert found["max_lid"] == number(said, r"max lid (\d+)")
    entry, fdbs = dump(prefix, "opensm.fdbs")
    assert summary(fdbs)["switches"] == number(entry.must_report, r"switch tables (\d+)")
    one, other = lfts.found.content, fdbs.found.content
    assert isinstance(one, ForwardingTables)
    assert isinstance(other, ForwardingTables)
    assert {t.switch: t.ports for t in one.tables} == {t.switch: t.ports for t in other.tables}
    fabric = topology_of(dump(prefix, "ibnetdiscover.out")[1]).fabric
    assert {t.switch: t.lid for t in one.tables} == {s.id: s.lid for s in fabric.switches}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_opensm_distances(prefix: str) -> None:
    entry, reading = dump(prefix, "opensm-lid-matrix.dump")
    found = summary(reading)
    assert (found["format"], found["warnings"]) == ("opensm-lid-matrix", [])
    assert found["switches"] == number(entry.must_report, r"switch tables (\d+)")
    assert found["rows"] == number(entry.must_report, r"rows (\d+)")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_opensm_memory(prefix: str) -> None:
    """Addresses and pairs of ports are those of what was found."""
    entry, reading = dump(prefix, "guid2lid")
    assert summary(reading)["entries"] == number(entry.must_report, r"entries (\d+)")
    assert summary(reading)["warnings"] == []
    lids = reading.found.content
    assert isinstance(lids, LidAssignments)
    fabric = topology_of(dump(prefix, "ibnetdiscover.out")[1]).fabric
    known_lids = {s.lid for s in fabric.switches} | {lid for a in fabric.adapters for lid in a.lids}
    assert {first for _, first, _ in lids.entries} == known_lids
    entry, reading = dump(prefix, "neighbors")
    pairs = reading.found.content
    assert isinstance(pairs, PortPairs)
    assert summary(reading)["entries"] == number(entry.must_report, r"lines (\d+)")
    assert summary(reading)["cables"] == len(fabric.cables)
    switch = [c for c in fabric.cables if c.a.kind is c.b.kind is EndKind.SWITCH]
    between = {(c.a.id, c.a.port, c.b.id, c.b.port) for c in switch}
    assert between <= set(pairs.pairs)
