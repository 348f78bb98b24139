"""The order of hosts, and where ranks are."""

import random
from dataclasses import replace
from itertools import pairwise

from error_page import raises
from layouts import check, laid
from machines import cube_mesh, full_mesh, nvswitch_200g, trays
from models import Kind, cluster

from distos_coll.api import Block
from distos_coll.layout.lay import lay_out
from distos_coll.layout.order import in_order
from distos_coll.layout.placement import JobShape, Placement, Seat, place, repeated
from distos_coll.layout.policy import Policy
from distos_coll.testing.fabrics import fat_tree, leaf_spine, rail_optimised, torus
from distos_coll.topology.fabric import Fabric
from distos_coll.topology.fabric_graph import SwitchGraph
from distos_coll.topology.model import Host, Topology


def shuffled(fabric: Fabric, count: int) -> Topology:
    """Hosts in an order that has nothing to do with the network."""
    names = [f"node{i}" for i in range(count)]
    random.Random(7).shuffle(names)
    return Topology(tuple(map(Host, names)), fabric)


def hops(topology: Topology) -> list[int]:
    """Between the switches of hosts that follow each other on the ring."""
    graph = SwitchGraph(topology.fabric)
    at: dict[str, int] = {}
    for attachment in graph.attachments():
        at.setdefault(attachment.host or "", attachment.switch)
    order = in_order(topology, range(len(topology.hosts)))
    assert sorted(order) == list(range(len(topology.hosts)))
    switches = [at[topology.hosts[h].name] for h in order]
    return [
        graph.distances([a])[b] for a, b in zip(switches, switches[1:] + switches[:1], strict=True)
    ]


def test_hosts_of_a_leaf_follow_each_other() -> None:
    found = hops(shuffled(leaf_spine(4, 2, 8).fabric(), 32))
    assert sorted(found) == [0] * 28 + [2] * 4


def test_pods_are_left_once_each() -> None:
    found = hops(shuffled(fat_tree(4).fabric(), 16))
    assert sorted(found) == [0] * 8 + [2] * 4 + [4] * 4


def test_units_of_rails_stay_together() -> None:
    topology = shuffled(rail_optimised(4, 4, 2, 2).fabric(), 16)
    order = [
        int(topology.hosts[h].name.removeprefix("node")) // 4 for h in in_order(topology, range(16))
    ]
    assert sum(a != b for a, b in pairwise(order)) == 3


def test_on_a_torus_the_ring_walks_along_links() -> None:
    found = hops(shuffled(torus(4, 4).fabric(), 16))
    assert sum(found) / len(found) < 1.7
    assert max(found) <= 4


def test_what_is_in_order_stays_so() -> None:
    topology = Topology(tuple(Host(f"node{i}") for i in range(32)), leaf_spine(4, 2, 8).fabric())
    assert in_order(topology, range(32)) == list(range(32))
    assert in_order(Topology((Host("a"), Host("b"))), [1, 0]) == [1, 0]


def test_blocks_go_before_switches() -> None:
    hosts = tuple(Host(f"h{i}") for i in range(6))
    blocks = (Block("x", ("h0", "h3")), Block("y", ("h1", "h4", "h5")))
    assert in_order(Topology(hosts, blocks=blocks), range(6)) == [0, 3, 1, 4, 5, 2]


def test_ranks_follow_the_hosts() -> None:
    topology = cluster(4, Kind(gpus=4, nics=2, transfers=32.0), leaves=2)
    back = Placement(tuple(reversed(place(topology).seats)))
    layout = lay_out(topology, back)
    check(layout)
    assert [node.hosts for node in layout.nodes] == [(3,), (2,), (1,), (0,)]
    assert layout.nodes[0].ranks == tuple(range(7, -1, -1))


def test_a_thousand_hosts_share_what_was_searched() -> None:
    """Of 2,048 hosts the search looks at one."""
    few = laid(nvswitch_200g(), 4)
    many = laid(nvswitch_200g(), 2048)
    assert many.visited == few.visited
    assert many.stretches == few.stretches
    assert sorted(many.ring(0)) == list(range(2048 * 8))
    assert len(many.tree(0, 1)) == 2048 * 8


def test_copies_have_names_and_domains_of_their_own() -> None:
    two = repeated(trays(2), 2)
    assert [host.name for host in two.hosts] == ["tray0-0", "tray1-0", "tray0-1", "tray1-1"]
    assert len({its.nvlink_domain for host in two.hosts for its in host.gpus}) == 2
    rack = repeated(trays(1), 18, in_one_domain=True)
    assert len(laid(rack).nodes) == 1


def test_a_shape_picks_hosts_and_devices() -> None:
    topology = repeated(cube_mesh(), 3)
    found = place(topology, JobShape(hosts=2, ranks_per_host=2, devices=(5, 1, 2)))
    devices = topology.hosts[0].template.devices
    assert found.seats == tuple(Seat(h, devices[g]) for h in (0, 1) for g in (5, 1))


def test_what_cannot_be_placed() -> None:
    topology = cube_mesh()
    with raises("layout-hosts", "2 hosts of a topology that has 1"):
        place(topology, JobShape(hosts=2))
    with raises("layout-ranks", "cube offers 8 GPUs"):
        place(topology, JobShape(ranks_per_host=9))
    with raises("layout-gpus"):
        place(topology, JobShape(devices=(0, 8)))
    with raises("layout-gpus"):
        place(topology, JobShape(devices=(0, 0)))
    with raises("layout-copies"):
        repeated(topology, 0)


def test_what_cannot_be_laid_out() -> None:
    topology = full_mesh()
    with raises("layout-empty"):
        lay_out(topology, Placement(()))
    with raises("layout-host-number", "rank 0 is on host 3 of 1"):
        lay_out(topology, Placement((Seat(3),)))
    with raises("layout-device", "node 0 of mesh"):
        lay_out(topology, Placement((Seat(0, 0),)))
    with raises("layout-channels"):
        Policy(most_channels=0)
    with raises("layout-gbps"):
        Policy(channel_gbps=0.0)


def test_a_topology_that_was_changed_is_another() -> None:
    """Another number of links is another layout, an equal topology an equal one."""
    topology = cube_mesh()
    assert laid(topology) == laid(cube_mesh())
    host = topology.hosts[0]
    links = (replace(host.template.links[0], count=2), *host.template.links[1:])
    other = replace(topology, hosts=(replace(host, template=replace(host.template, links=links)),))
    assert laid(other) != laid(topology)
