"""Other people's InfiniBand files: all that their manifest says of them, as numbers."""

import re
from collections import Counter

import pytest
from topologies import Entry, counted, entries, number, read_text, topology_of

from distos_coll.plugins.manager import default_sources
from distos_coll.testing import fabrics
from distos_coll.topology.fabric import Cable, EndKind, Fabric
from distos_coll.topology.fabric_graph import SwitchGraph
from distos_coll.topology.reading import Reading, read
from distos_coll.topology.summary import summary

SWEPT = [*entries("ibnetdiscover"), *(e for e in entries("opensm") if "ibnetdiscover" in e.name)]
NETLISTS = entries("ibsim-net")


@pytest.fixture(params=SWEPT, ids=str)
def entry(request: pytest.FixtureRequest) -> Entry:
    found: Entry = request.param
    return found


@pytest.fixture
def reading(entry: Entry) -> Reading:
    return read(entry.path, default_sources())


def told(text: str, pattern: str) -> dict[str, int]:
    """{'4xHDR': 22, '1xSDR': 2} of a manifest's line."""
    match = re.search(pattern + r" \{([^}]*)\}", text)
    pairs = (pair.split(":") for pair in match[1].split(",") if pair) if match else ()
    return {key.strip(" '"): int(count) for key, count in pairs}


def by_number(counts: dict[int, int]) -> dict[str, int]:
    return {str(key): count for key, count in counts.items()}


def between(fabric: Fabric, *kinds: EndKind) -> list[Cable]:
    return [c for c in fabric.cables if c.seen_by_both and {c.a.kind, c.b.kind} == set(kinds)]


def test_nodes(entry: Entry, reading: Reading) -> None:
    fabric, said = topology_of(reading).fabric, entry.must_report
    found = summary(reading)
    assert reading.format == "ibnetdiscover"
    assert found["switches"] == len(fabric.switches) == number(said, r"switches (\d+) \(with")
    assert len(fabric.adapters) == number(said, r"CAs (\d+)")
    inside = sum(adapter.aggregation for adapter in fabric.adapters)
    assert inside == number(said, r"SHARP aggregation nodes (\d+)")
    assert found["hcas"] == len(fabric.adapters) - inside
    assert len(fabric.routers) == number(said, r"routers (\d+)")
    assert found["hosts"] == number(said, r"host names (\d+)")
    sizes = counted(switch.ports for switch in fabric.switches)
    assert by_number(sizes) == told(said, "switch sizes")
    per_host = Counter(a.host or a.shared_name for a in fabric.adapters)
    del per_host[None]
    assert by_number(counted(per_host.values())) == (
        told(said, "CAs per host") or by_number(counted(per_host.values()))
    )


def test_cables(entry: Entry, reading: Reading) -> None:
    fabric, said = topology_of(reading).fabric, entry.must_report
    switch, adapter = EndKind.SWITCH, EndKind.ADAPTER
    loops = [cable for cable in between(fabric, switch) if cable.a.id == cable.b.id]
    confirmed = [cable for cable in fabric.cables if cable.seen_by_both]
    assert len(confirmed) == number(said, r"cables confirmed from both ends (\d+)")
    assert len(between(fabric, switch)) - len(loops) == number(said, r"switch-switch (\d+)")
    assert len(between(fabric, switch, adapter)) == number(said, r"CA-switch (\d+)")
    assert len(loops) == number(said, r"loopback (\d+)")
    one_sided = len(fabric.cables) - len(confirmed)
    assert one_sided == number(said, r"one-sided port records (\d+)")
    rates: Counter[str] = Counter()
    for cable in confirmed:
        extra, rate = dict(cable.extra), f"{cable.width}x{cable.rate}"
        rates[extra.get("ib:rate-a", rate)] += 1
        rates[extra.get("ib:rate-b", rate)] += 1
    assert rates == told(said, "record speeds")


def test_switch_graph(entry: Entry, reading: Reading) -> None:
    said = entry.must_report
    graph = SwitchGraph(topology_of(reading).fabric)
    with_hosts = graph.with_hosts
    assert len(with_hosts) == number(said, r"switches \d+ \(with hosts (\d+)")
    distances = counted(d + 1 for d in graph.distances(with_hosts) if d >= 0)
    assert by_number(distances) == told(said, "switches by distance from hosts")
    if "switch pairs" in said:
        assert graph.pairs == number(said, r"switch pairs (\d+)")
        parallel = counted(n for links in graph.links for n in links.values())
        halved = {str(size): count // 2 for size, count in parallel.items()}
        assert halved == told(said, "with parallel cables")
    if "leaves that see one HCA name only" in said:
        stated = re.search(r"one HCA name only (\d+) of (\d+)", said)
        assert stated is not None
        assert (pure(graph), len(with_hosts)) == (int(stated[1]), int(stated[2]))


def pure(graph: SwitchGraph) -> int:
    """Switches all whose adapters of known hosts have one name of a device, as it is spelt."""
    device = {a.id: a.device for a in graph.fabric.adapters if a.host is not None}
    names = [{device.get(a.end.id) for a in graph.attached[i]} - {None} for i in graph.with_hosts]
    return sum(len(found) <= 1 for found in names)


def test_written_again(reading: Reading) -> None:
    write = next(s.write for s in default_sources() if s.name == "ibnetdiscover")
    assert write is not None
    again = read_text(write(topology_of(reading)))
    assert topology_of(again) == topology_of(reading)


CONTRADICTIONS = {
    "hk-manual-credit-loop.txt": {"guid-not-hex"},
    "hk-topo5-dgxa100-hdr.txt": {"rail-crossed"},
    "hk-topo8-invalid-lid.txt": {"lid-not-a-number", "lid-range"},
    "ibtopotool-1.topo": {"cable-speed"},
    "topograph-example-bad.out": {"isolated"},
}


def test_contradictions(entry: Entry, reading: Reading) -> None:
    found = {finding.code for finding in reading.warnings}
    assert found == CONTRADICTIONS.get(entry.name, set())


KINDS = {
    "hk-manual-credit-loop.txt": ["ring"],
    "hk-topo1-ring4.txt": ["ring", "fat-tree"],
    "hk-topo2-ring4-hosts.txt": ["ring"],
    "hk-topo3-hdr60sw.txt": ["fat-tree"],
    "hk-topo4-hdr60sw-plus1.txt": ["fat-tree"],
    "hk-topo5-dgxa100-hdr.txt": ["fat-tree", "rail-optimised"],
    "hk-topo8-invalid-lid.txt": ["ring"],
    "ibs-minhop.ibnetdiscover.out": ["tree"],
    "ibtopotool-1.topo": ["tree"],
    "ibtopotool-2.topo": ["single-switch"],
    "ibtopotool-4.topo": ["single-switch"],
    "ndr-updn.ibnetdiscover.out.gz": ["fat-tree", "rail-optimised"],
    "ring-minhop.ibnetdiscover.out": ["ring"],
    "topograph-dgx-ndr.out": ["fat-tree", "rail-optimised"],
    "topograph-example-bad.out": [],
}


def test_kinds(entry: Entry, reading: Reading) -> None:
    recognised = topology_of(reading).fabric.recognised
    assert [found.kind for found in recognised] == KINDS[entry.name]
    assert all(found.evidence for found in recognised)


def named(name: str) -> Reading:
    return read(next(e.path for e in SWEPT if e.name == name), default_sources())


def test_the_lid_that_is_no_number_has_its_line() -> None:
    lines = [f.where.rpartition(":")[2] for f in named("hk-topo8-invalid-lid.txt").warnings]
    assert {"10", "45"} <= set(lines)


def test_rails_of_a_pod_and_its_crossed_cables() -> None:
    """Eight rails of seven units; one host has two of them swapped."""
    reading = named("hk-topo5-dgxa100-hdr.txt")
    fabric = topology_of(reading).fabric
    assert [len(rail.switches) for rail in fabric.rails] == [7] * 8
    assert [len(rail.members) for rail in fabric.rails] == [140] * 8
    assert [switch.level for switch in fabric.switches].count(1) == 56
    told = sorted(finding.message for finding in reading.warnings)
    assert {finding.where for finding in reading.warnings} == {"pg-spd071"}
    assert "number 1 leads to port 11 of lf25" in told[0]
    assert "number 2 leads to port 11 of lf30" in told[1]


def test_rails_of_racks() -> None:
    """Four rails, where rack 1 lacks a leaf; adapters without names are of a rail by their leaf."""
    fabric = topology_of(named("topograph-dgx-ndr.out")).fabric
    assert [len(rail.switches) for rail in fabric.rails] == [8, 8, 7, 8]
    nameless = [a for a in fabric.adapters if a.host is None and not a.aggregation]
    assert len(nameless) == 69 + 3 + 2
    assert Counter(a.shared_name for a in nameless) == {None: 69, "localhost": 3, "ubuntu": 2}
    assert all(adapter.rail is not None for adapter in nameless)


@pytest.mark.parametrize("entry", NETLISTS, ids=str)
def test_netlists(entry: Entry) -> None:
    reading, said = read(entry.path, default_sources()), entry.must_report
    found = summary(reading)
    assert found["format"] == "ibsim-net"
    assert found["switches"] == number(said, r"switches (\d+)")
    assert found["hcas"] == number(said, r"HCAs (\d+)")
    assert found["link_lines"] == number(said, r"link lines (\d+)")
    assert found["warnings"] == []
    write = next(s.write for s in default_sources() if s.name == "ibsim-net")
    assert write is not None
    again = topology_of(read_text(write(topology_of(reading)))).fabric
    assert fabrics.outline(again) == fabrics.outline(topology_of(reading).fabric)
