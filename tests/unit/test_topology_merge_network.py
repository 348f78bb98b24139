"""Networks of several documents: what was computed of each, and switches known by name alone."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from topologies import read_text, topology_of

from distos_coll.plugins.manager import default_sources
from distos_coll.sources.cluster_model import write_model
from distos_coll.testing import fabrics
from distos_coll.testing.fabrics import FabricLayout
from distos_coll.topology.diff import diff
from distos_coll.topology.fabric import Cable, End, EndKind, Fabric, Switch
from distos_coll.topology.fabric_kinds import as_stated, recognise_fabric
from distos_coll.topology.importing import Wanted, import_documents
from distos_coll.topology.merge import Part, merge
from distos_coll.topology.model import Host, Topology
from distos_coll.topology.summary import topology_facts


def railed(rails: int, hosts: int = 4) -> Fabric:
    """Each device of all hosts at a switch of its own, and spines above all."""
    layout = FabricLayout()
    leaves = [layout.switch(f"leaf{i}") for i in range(rails)]
    spines = [layout.switch(f"spine{i}") for i in range(2)]
    for leaf in leaves:
        for spine in spines:
            layout.cable(leaf, spine)
    for i in range(hosts):
        layout.host(f"n{i}", *leaves)
    return layout.fabric()


def of_switches(fabric: Fabric, *names: str) -> Fabric:
    """A sweep that reaches only these switches, and what hangs there."""
    switches = tuple(s for s in fabric.switches if s.name in names)
    ids = {s.id for s in switches}
    ends = EndKind.SWITCH
    cables = tuple(
        c for c in fabric.cables if all(e.kind is not ends or e.id in ids for e in (c.a, c.b))
    )
    there = {end.id for cable in cables for end in (cable.a, cable.b)}
    adapters = tuple(a for a in fabric.adapters if a.id in there)
    return recognise_fabric(replace(fabric, switches=switches, adapters=adapters, cables=cables))


def together(*networks: Fabric) -> Fabric:
    parts = [Part(f"{i}.txt", Topology(fabric=fabric)) for i, fabric in enumerate(networks)]
    found = merge(parts)
    assert merge(reversed(parts)) == found
    again = merge([Part("whole", found.topology), *parts])
    assert again.topology == found.topology
    return found.topology.fabric


def test_rails_of_parts_are_computed_anew() -> None:
    """Each sweep names the rails that it sees; those of the other are others."""
    whole = railed(4)
    halves = [of_switches(whole, *names) for names in (("leaf0", "leaf1"), ("leaf2", "leaf3"))]
    assert [len(half.rails) for half in halves] == [2, 2]
    found = together(*halves)
    assert [(rail.number, len(rail.switches)) for rail in found.rails] == [
        (0, 1), (1, 1), (2, 1), (3, 1),
    ]  # fmt: skip
    assert Counter(adapter.rail for adapter in found.adapters) == dict.fromkeys(range(4), 4)
    assert found == recognise_fabric(found)


def test_levels_of_parts_are_computed_anew() -> None:
    """A sweep without the third level calls the second the top; together they are three."""
    whole = fabrics.fat_tree(4).fabric()
    top = max(s.level or 0 for s in whole.switches)
    lower = of_switches(whole, *(s.name for s in whole.switches if s.level != top))
    found = together(whole, lower)
    assert {s.id: s.level for s in found.switches} == {s.id: s.level for s in whole.switches}
    assert [kind.kind for kind in found.recognised] == ["fat-tree"]


def test_what_a_source_states_stays() -> None:
    whole = railed(2)
    stated = tuple(replace(s, level=5) for s in as_stated(whole).switches)
    other = replace(as_stated(whole), switches=stated)
    assert {s.level for s in together(whole, other).switches} == {5}


def test_a_rail_keeps_its_number_where_another_is_lost() -> None:
    whole = railed(4)
    left = of_switches(whole, "leaf1", "leaf2", "leaf3", "spine0", "spine1")
    assert [rail.number for rail in left.rails] == [1, 2, 3]
    kinds = {change.kind for change in diff(Topology(fabric=whole), Topology(fabric=left))}
    assert "rail-lost" in kinds
    assert "rail-moved" not in kinds


def drawn(fabric: Fabric) -> Topology:
    """The same as a scheduler's configuration has it: names, and who is below whom."""
    name = {s.id: s.name for s in fabric.switches}
    host = {a.id: a.host or "" for a in fabric.adapters}

    def end(own: End) -> End:
        if own.kind is EndKind.SWITCH:
            return End(EndKind.SWITCH, name[own.id])
        return End(EndKind.HOST, host[own.id])

    cables = dict.fromkeys(Cable(end(c.a), end(c.b)) for c in fabric.cables)
    switches = tuple(Switch(s.name, s.name) for s in fabric.switches)
    hosts = tuple(Host(each) for each in dict.fromkeys(host.values()))
    return Topology(hosts, recognise_fabric(Fabric(switches, (), tuple(cables))))


def test_a_sweep_and_a_schedulers_view_are_one_network() -> None:
    whole = fabrics.leaf_spine(4, 2, 2).fabric()
    parts = [Part("ib.txt", Topology(fabric=whole)), Part("topology.conf", drawn(whole))]
    found = merge(parts)
    assert merge(reversed(parts)) == found
    assert found.findings == ()
    facts = topology_facts(found.topology)
    assert (facts["switches"], facts["hosts"], facts.get("rails")) == (6, 8, None)
    assert {s.id for s in found.topology.fabric.switches} == {s.id for s in whole.switches}
    assert len(found.topology.fabric.cables) == len(whole.cables)
    assert merge([Part("both", found.topology), parts[1]]).topology == found.topology


def test_who_is_below_whom_makes_no_rails() -> None:
    """Two trees of switches that hosts are listed under, without ports."""
    cables = [
        Cable(End(EndKind.HOST, f"n{i}"), End(EndKind.SWITCH, f"s{s}"))
        for i in range(4)
        for s in range(2)
    ]
    found = recognise_fabric(Fabric((Switch("s0", "s0"), Switch("s1", "s1")), (), tuple(cables)))
    assert found.rails == ()


def test_a_name_of_several_switches() -> None:
    """Nobody knows which is meant: it is told, and the switch is left out."""
    swept = Fabric((Switch("01", "leaf"), Switch("02", "leaf")))
    cable = Cable(End(EndKind.SWITCH, "leaf"), End(EndKind.HOST, "n1"))
    named = Topology((Host("n1"),), Fabric((Switch("leaf", "leaf"),), (), (cable,)))
    found = merge([Part("ib.txt", Topology(fabric=swept)), Part("slurm", named)])
    assert [s.id for s in found.topology.fabric.switches] == ["01", "02"]
    assert found.topology.fabric.cables == ()
    assert [host.name for host in found.topology.hosts] == ["n1"]
    (finding,) = found.findings
    assert finding.code == "name-unclear"
    assert str(finding) == (
        "switch leaf, of which slurm knows no more: id is 01 by ib.txt, 02 by ib.txt; none stays"
    )


def test_ethernet_beside_infiniband_is_no_rail() -> None:
    ib = fabrics.leaf_spine(2, 1, 2).fabric()
    names = dict.fromkeys(adapter.host for adapter in ib.adapters)
    cables = tuple(
        Cable(End(EndKind.SWITCH, "mgmt", f"swp{i}"), End(EndKind.HOST, str(name), "eth0"))
        for i, name in enumerate(names)
    )
    ethernet = Fabric((Switch("mgmt", "mgmt", "ethernet"),), (), cables)
    found = together(ib, ethernet)
    assert found.rails == ()
    assert len(found.switches) == 4


# Through the command's import.


def local_report(*neighbours: str) -> str:
    """What `lldpcli -f json show neighbors` prints: nothing says whose it is."""
    interfaces = [
        {
            f"eth{i}": {
                "via": "LLDP",
                "chassis": {name: {"capability": [{"type": "Bridge", "enabled": True}]}},
                "port": {"id": {"type": "ifname", "value": "swp7"}},
            }
        }
        for i, name in enumerate(neighbours)
    ]
    return json.dumps({"lldp": {"interface": interfaces}})


def test_reports_that_do_not_say_whose_they_are(tmp_path: Path) -> None:
    for name in ("n1", "n2"):
        (tmp_path / f"{name}.json").write_text(local_report("leaf1", "leaf2"))
    paths = [tmp_path / "n1.json", tmp_path / "n2.json"]
    found = import_documents(map(Wanted, paths), default_sources())
    assert [host.name for host in found.topology.hosts] == ["n1", "n2"]
    ends = {end.id for cable in found.topology.fabric.cables for end in (cable.a, cable.b)}
    assert ends == {"n1", "n2", "leaf1", "leaf2"}
    named = [Wanted(path, f"h{i}") for i, path in enumerate(paths)]
    found = import_documents(named, default_sources())
    assert [host.name for host in found.topology.hosts] == ["h0", "h1"]
    assert {c.a.id for c in found.topology.fabric.cables} | {
        c.b.id for c in found.topology.fabric.cables
    } == {"h0", "h1", "leaf1", "leaf2"}


def test_a_switch_that_does_not_say_who_it_is(tmp_path: Path) -> None:
    text = local_report("leaf1").replace("eth0", "swp1")
    (made_up,) = (s for s in topology_of(read_text(text)).fabric.switches if s.made_up)
    for name in ("s1", "s2"):
        (tmp_path / f"{name}.json").write_text(text)
    wanted = [Wanted(tmp_path / f"{name}.json") for name in ("s1", "s2")]
    found = import_documents(wanted, default_sources()).topology.fabric
    assert [(s.id, s.name, s.made_up) for s in found.switches] == [
        ("leaf1", "leaf1", False), ("s1", "s1", False), ("s2", "s2", False),
    ]  # fmt: skip
    assert made_up.id not in {end.id for cable in found.cables for end in (cable.a, cable.b)}


def test_hosts_that_nobody_has_named(tmp_path: Path) -> None:
    """Any machine is called localhost before it has a name."""
    for name in ("n1", "n2"):
        (tmp_path / f"{name}.json").write_bytes(write_model(Topology((Host("localhost"),))))
    paths = [tmp_path / "n1.json", tmp_path / "n2.json"]
    found = import_documents(map(Wanted, paths), default_sources())
    assert [host.name for host in found.topology.hosts] == ["n1", "n2"]
    many = Topology((Host("gpu1"), Host("localhost")))
    paths[0].write_bytes(write_model(many))
    found = import_documents([Wanted(paths[0])], default_sources())
    assert [host.name for host in found.topology.hosts] == ["gpu1", "n1/localhost"]


@pytest.mark.parametrize("pods", [2, 3])
def test_pods_of_netq_are_apart(pods: int) -> None:
    """Its ids count the nodes of one document, so they say nothing in another."""
    text = (
        '[{"nodes": [{"tier": 1, "compounded_nodes": ['
        '{"id": "node0", "name": "leaf-POD", "device_type": "switch", "tier": 1}, '
        '{"id": "node1", "name": "spine-POD", "device_type": "switch", "tier": 2}]}], '
        '"links": [{"compounded_links": [{"interfaces": [{"node": "node0", "interface": "swp1"}, '
        '{"node": "node1", "interface": "swp1"}]}]}]}]'
    )
    parts = [
        Part(f"{i}.json", topology_of(read_text(text.replace("POD", str(i))))) for i in range(pods)
    ]
    found = merge(parts)
    assert len(found.topology.fabric.switches) == 2 * pods
    assert len(found.topology.fabric.cables) == pods
    assert found.findings == ()


def test_hosts_are_counted_wherever_they_are_known() -> None:
    fabric = fabrics.leaf_spine(2, 1, 3).fabric()
    names = sorted({a.host or "" for a in fabric.adapters})
    assert topology_facts(Topology(fabric=fabric))["hosts"] == 6
    described = (Host(names[0]), Host("another", aliases=(names[1],)), Host("third"))
    assert topology_facts(Topology(described, fabric))["hosts"] == 7
