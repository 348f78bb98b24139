"""Kinds of fabrics, levels and rails, from the cables alone; and cables that contradict them."""

from dataclasses import replace

import pytest

from distos_coll.testing import fabrics
from distos_coll.testing.fabrics import FabricLayout
from distos_coll.topology.fabric import Adapter, Cable, End, EndKind, Fabric, Recognised, Switch
from distos_coll.topology.fabric_checks import contradictions
from distos_coll.topology.fabric_graph import device_label, natural
from distos_coll.topology.fabric_kinds import recognise_fabric

KINDS = {
    "single-switch": fabrics.leaf_spine(1, 0, 4),
    "leaf-spine": fabrics.leaf_spine(8, 4, 4, cables=2),
    "three levels": fabrics.fat_tree(8),
    "ring": fabrics.torus(7),
    "line": fabrics.torus(7, closed=False),
    "full mesh": fabrics.hyperx(6),
    "torus": fabrics.torus(6, 5, 3),
    "torus of fours": fabrics.torus(4, 4, 3),
    "mesh": fabrics.torus(4, 5, closed=False),
    "hypercube": fabrics.torus(2, 2, 2, 2),
    "hyperx": fabrics.hyperx(5, 4),
    "dragonfly": fabrics.dragonfly(9, 4, 2),
    "large dragonfly": fabrics.dragonfly(33, 8, 1),
    "dragonfly+": fabrics.dragonfly_plus(5, 4, 4, 2),
}
EXPECTED = {
    "single-switch": ("single-switch", "4 cables to hosts at one switch"),
    "leaf-spine": ("fat-tree", "2 levels of 8 and 4 switches, hosts at the first"),
    "three levels": ("fat-tree", "3 levels of 32, 32 and 16 switches, hosts at the first"),
    "ring": ("ring", "each of 7 switches is linked to two others"),
    "line": ("tree", "7 switches with one way between any two"),
    "full mesh": ("full-mesh", "every one of 6 switches is linked to every other"),
    "torus": ("torus", "90 switches are 6 x 5 x 3, each dimension a ring"),
    "torus of fours": ("torus", "48 switches are 4 x 4 x 3, each dimension a ring"),
    "mesh": ("mesh", "20 switches are 5 x 4, each dimension a line"),
    "hypercube": ("hypercube", "16 switches are the corners of 4 dimensions of 2"),
    "hyperx": ("hyperx", "20 switches are 5 x 4, each dimension a full mesh"),
    "dragonfly": ("dragonfly", "9 groups of 4 switches, each linked to every other of its group"),
    "large dragonfly": ("dragonfly", "528 of 528 pairs of groups are linked directly"),
    "dragonfly+": ("dragonfly+", "5 groups of 8 switches, leaves with hosts under spines"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_kinds(name: str) -> None:
    fabric = KINDS[name].fabric()
    kind, evidence = EXPECTED[name]
    assert [found.kind for found in fabric.recognised] == [kind]
    assert any(evidence in each for each in fabric.recognised[0].evidence)
    assert list(contradictions(fabric)) == []


def without(fabric: Fabric, *cables: int) -> Fabric:
    """The same with some switch cables pulled, recognised anew."""
    between = [c for c in fabric.cables if c.a.kind is c.b.kind is EndKind.SWITCH]
    pulled = {between[i] for i in cables}
    switches = tuple(replace(switch, level=None) for switch in fabric.switches)
    left = tuple(cable for cable in fabric.cables if cable not in pulled)
    return recognise_fabric(Fabric(switches, fabric.adapters, left))


def test_a_fat_tree_with_cables_pulled_is_one() -> None:
    for name in ("leaf-spine", "three levels"):
        fabric = without(KINDS[name].fabric(), 0, 5, 9, 20)
        assert fabric.recognised[0].kind == "fat-tree", name
        assert {switch.level for switch in fabric.switches} == (
            {1, 2} if "-" in name else {1, 2, 3}
        )


def test_a_torus_with_a_cable_pulled_is_not_called_one() -> None:
    (found,) = without(KINDS["torus"].fabric(), 4).recognised
    assert found == Recognised(
        "irregular", ("90 switches with 5 to 6 neighbours each, and no known order",)
    )


def test_a_dragonfly_with_cables_pulled_is_one() -> None:
    fabric = without(KINDS["large dragonfly"].fabric(), 3, 40, 41, 900, 930)
    assert fabric.recognised[0].kind == "dragonfly"


def test_hosts_at_spines_are_told() -> None:
    layout = fabrics.leaf_spine(8, 4, 6)
    layout.host("service", End(EndKind.SWITCH, f"{0x200000 + 9:016x}"))
    fabric = layout.fabric()
    assert fabric.recognised[0].kind == "fat-tree"
    assert "1 cable to hosts at higher levels: spine0" in fabric.recognised[0].evidence
    assert [switch.level for switch in fabric.switches] == [1] * 8 + [2] * 4


def test_leaves_without_hosts_are_leaves() -> None:
    """While a fabric is built; of a fabric of one pod and of several."""
    for layout in (fabrics.leaf_spine(12, 6, 4), fabrics.fat_tree(8)):
        adapters = {f"{0x100000 + 4 * i:016x}" for i in range(1, 5)}
        cables = [c for c in layout.cables if c[0].kind is EndKind.SWITCH or c[0].id in adapters]
        layout.cables = cables
        levels = [s.level for s in layout.fabric().switches if s.name.startswith("leaf")]
        assert set(levels) == {1}


def test_a_ring_of_four_may_be_leaves_and_spines() -> None:
    layout = fabrics.leaf_spine(2, 2, 3)
    assert [found.kind for found in layout.fabric().recognised] == ["ring", "fat-tree"]


def test_leaves_in_pairs_are_leaves() -> None:
    """Two leaves that are linked, for hosts with a port at each: MLAG, common on Ethernet."""
    layout = FabricLayout()
    spines = [layout.switch(f"spine{i}") for i in range(2)]
    for i in range(3):
        pair = [layout.switch(f"leaf{i}{side}") for side in "ab"]
        layout.cable(pair[0], pair[1], 2)
        for leaf in pair:
            for spine in spines:
                layout.cable(leaf, spine)
        for j in range(4):
            layout.host(f"n{i}{j}", *pair)
    fabric = layout.fabric()
    assert fabric.recognised[0].kind == "fat-tree"
    assert fabric.recognised[0].evidence[:2] == (
        "2 levels of 6 and 2 switches, hosts at the first",
        "15 pairs of switches are linked, all but 3 between neighbouring levels",
    )
    assert "3 pairs of switches of one level act as one" in fabric.recognised[0].evidence
    assert [rail.number for rail in fabric.rails] == [0, 1]


def test_a_tree_has_one_way_up() -> None:
    layout = FabricLayout()
    root = layout.switch("root")
    for i in range(3):
        leaf = layout.switch(f"leaf{i}")
        layout.cable(leaf, root)
        layout.host(f"n{i}", leaf)
    (found,) = layout.fabric().recognised
    assert found.kind == "tree"
    assert found.evidence[0] == "2 levels of 3 and 1 switches, hosts at the first"


def test_two_networks_and_a_cable_to_the_same_switch() -> None:
    layout = fabrics.leaf_spine(4, 2, 2)
    alone = layout.switch("alone")
    layout.cable(alone, alone)
    (found,) = layout.fabric().recognised
    assert found.kind == "fat-tree"
    assert found.evidence[-2:] == (
        "the largest of 2 networks; the others: 1 single-switch",
        "1 cable back to the same switch",
    )


def test_rails_by_device() -> None:
    fabric = fabrics.rail_optimised(units=3, hosts=5, rails=4, spines=2).fabric()
    assert [found.kind for found in fabric.recognised] == ["fat-tree", "rail-optimised"]
    assert fabric.recognised[1].evidence == (
        "15 of 15 hosts with several ports have each at another switch",
        "60 of 60 of these ports are at a switch of their rail's own",
        "12 switches lead to one port of hosts each; 4 rails: 0, 1, 2, 3",
    )
    assert [len(rail.switches) for rail in fabric.rails] == [3, 3, 3, 3]
    assert [len(rail.members) for rail in fabric.rails] == [15, 15, 15, 15]
    assert [adapter.rail for adapter in fabric.adapters] == [0, 1, 2, 3] * 15


def test_hosts_of_one_leaf_have_no_rails() -> None:
    layout = FabricLayout()
    for i in range(4):
        leaf = layout.switch(f"leaf{i}")
        layout.host(f"n{i}", leaf, leaf)
    fabric = layout.fabric()
    assert fabric.rails == ()
    assert all(adapter.rail is None for adapter in fabric.adapters)


def test_rails_that_are_networks_of_their_own() -> None:
    """Where devices have no names that say more."""
    layout = FabricLayout()
    leaves = [layout.switch(f"leaf{i}") for i in range(2)]
    for i in range(4):
        for leaf in leaves if i % 2 else reversed(leaves):
            layout.cable(layout.adapter(f"n{i}", f"card{len(layout.adapters) * 7}"), leaf)
    fabric = layout.fabric()
    assert len(fabric.rails) == 2
    assert fabric.recognised[-1].evidence == (
        "2 networks that are not connected to each other",
        "4 of 4 hosts with several ports have one in each",
    )


def test_names_of_drivers_count_alike() -> None:
    layout = FabricLayout()
    leaves = [layout.switch(f"leaf{i}") for i in range(2)]
    for i in range(6):
        for n, leaf in enumerate(leaves):
            layout.cable(layout.adapter(f"n{i}", f"HCA-{n + 1}" if i % 2 else f"mlx5_{n}"), leaf)
    assert [len(rail.members) for rail in layout.fabric().rails] == [6, 6]


def test_crossed_cables_are_found() -> None:
    layout = fabrics.rail_optimised(units=2, hosts=10, rails=4, spines=2)
    mine = [i for i, (a, _) in enumerate(layout.cables) if a.kind is EndKind.ADAPTER][4:8]
    (a1, b1), (a2, b2) = layout.cables[mine[1]], layout.cables[mine[3]]
    layout.cables[mine[1]], layout.cables[mine[3]] = (a1, b2), (a2, b1)
    fabric = layout.fabric()
    found = list(contradictions(fabric))
    assert [(finding.code, finding.where) for finding in found] == [("rail-crossed", "node1")] * 2
    assert "its port number 1 leads to port 4 of leaf0-3, where the other" in found[1].message
    assert len(fabric.rails) == 4
    assert [adapter.rail for adapter in fabric.adapters[4:8]] == [0, 3, 2, 1]


def test_a_host_of_another_kind_is_not_called_crossed() -> None:
    layout = fabrics.rail_optimised(units=1, hosts=10, rails=4, spines=2)
    leaves = [End(EndKind.SWITCH, f"{0x200000 + 3 + i:016x}") for i in range(4)]
    layout.host("service", leaves[3], leaves[2])
    assert list(contradictions(layout.fabric())) == []


def test_what_is_stated_stays() -> None:
    stated = Recognised("fat-tree", ("the operator says so",))
    fabric = replace(KINDS["ring"].fabric(), recognised=(stated,), computed=())
    assert recognise_fabric(fabric).recognised == (stated,)
    assert recognise_fabric(Fabric()) == Fabric()


def test_recognising_again_changes_nothing() -> None:
    for layout in KINDS.values():
        fabric = layout.fabric()
        assert recognise_fabric(replace(fabric, recognised=())) == fabric


def test_contradictions() -> None:
    switch = Switch("a", "sw", ports=4)
    ends = [End(EndKind.SWITCH, "a", port) for port in (1, 1, 2)]
    there = [End(EndKind.ADAPTER, "x", 1), End(EndKind.ADAPTER, "y", 1), End(EndKind.ADAPTER, "z")]
    cards = (Adapter("x", "", "n", "mlx5_0"), Adapter("y", "", "n", "mlx5_0"), Adapter("x"))
    cables = tuple(Cable(a, b) for a, b in zip(ends, there, strict=True))
    found = list(contradictions(Fabric((switch, switch), cards, cables)))
    assert sorted(finding.code for finding in found) == (
        ["adapter-twice", "device-twice", "end-unknown", "port-two-cables", "switch-twice"]
    )


def test_a_fabric_of_everything_linked_to_everything_ends() -> None:
    """Work is bounded: what is too dense to be looked into is not."""
    found = fabrics.hyperx(40, 12, hosts=0).fabric()
    assert found.recognised[0].kind == "irregular"


def test_a_long_chain_has_no_levels() -> None:
    """Nor as many as it has switches."""
    (found,) = fabrics.torus(3000, hosts=0, closed=False).fabric().recognised
    assert found == Recognised("tree", ("3,000 switches with one way between any two",))
    layout = fabrics.torus(30, hosts=0, closed=False)
    layout.host("n", End(EndKind.SWITCH, f"{0x200001:016x}"))
    assert layout.fabric().recognised[0].kind == "tree"
    assert {switch.level for switch in layout.fabric().switches} == {None}


def test_natural_order() -> None:
    names = ["eth10", "eth2", "eth", "mlx5_1", "mlx5_0", "#3", "#10"]
    assert sorted(names, key=natural) == ["#3", "#10", "eth", "eth2", "eth10", "mlx5_0", "mlx5_1"]


@pytest.mark.parametrize(
    ("device", "label"),
    [("mlx5_3", "#3"), ("HCA-4", "#3"), ("eth0", "eth0"), ("mlx5_" + "9" * 5000,) * 2],
)
def test_names_that_drivers_give_to_one_card(device: str, label: str) -> None:
    assert device_label(device) == label
