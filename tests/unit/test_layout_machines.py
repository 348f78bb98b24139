"""Layouts over machines of our own making: which links are in use, what channels get."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest
from layouts import check, fallback_gbps, idle, laid, uses
from machines import (
    MACHINES,
    Machine,
    bridged_pairs,
    cube_mesh,
    full_mesh,
    nvswitch_200g,
    nvswitch_400g,
    one,
    switched,
    trays,
    two_nics,
)

from distos_coll.api import Gpu, Nic, Pci, Port
from distos_coll.layout.lay import lay_out
from distos_coll.layout.ledger import Sort
from distos_coll.layout.placement import JobShape, Placement, Seat, place, repeated
from distos_coll.layout.policy import CrossNic, Policy
from distos_coll.topology.merge import Part, merge
from distos_coll.topology.model import NOWHERE, Host, Topology
from distos_coll.topology.path_type import PathType


@pytest.mark.parametrize("copies", [1, 2, 3, 4])
@pytest.mark.parametrize("name", MACHINES)
def test_every_nvlink_and_every_port_is_in_use(name: str, copies: int) -> None:
    layout = laid(MACHINES[name](), copies)
    check(layout)
    assert not idle(layout, Sort.PORT)
    if copies == 1:
        assert not idle(layout, Sort.NVLINK)


@pytest.mark.parametrize("name", MACHINES)
def test_it_is_never_worse_than_the_order_of_the_bus(name: str) -> None:
    for budget in (0, 1, 50, 1000, 20_000):
        layout = laid(MACHINES[name](), 2, budget=budget)
        check(layout, budget)
        worst = fallback_gbps(layout)
        assert layout.rings.gbps >= worst * 0.9999


# A machine, copies, and what all rings together get: whole links, by arithmetic.
WHOLE = (
    (cube_mesh, 1, 6 * 20.0, "six NVLinks of each GPU"),
    (nvswitch_400g, 1, 18 * 20.6, "18 NVLinks of each GPU"),
    (
        nvswitch_400g,
        4,
        8 * 48.0,
        "PCI links of eight NICs, more than a closed ring over NVLinks has",
    ),
    (nvswitch_200g, 1, 12 * 20.0, "12 NVLinks of each GPU"),
    (nvswitch_200g, 4, 8 * 24.0, "PCI links of eight NICs"),
    (full_mesh, 1, 7 * 64.0, "7 xGMI links of each GPU"),
    (full_mesh, 4, 8 * 48.0, "PCI links of eight NICs"),
    (bridged_pairs, 1, 2 * 24.0, "PCI links of GPUs, each for two rings of both directions"),
    (MACHINES["rack"], 1, 18 * 40.1, "18 NVLinks of each GPU"),
)


@pytest.mark.parametrize(("machine", "copies", "gbps", "why"), WHOLE, ids=lambda v: str(v)[:20])
def test_rings_fill_what_limits_them(
    machine: Callable[[], Topology], copies: int, gbps: float, why: str
) -> None:
    layout = laid(machine(), copies)
    assert layout.rings.gbps == pytest.approx(gbps, rel=0.002), why


def test_no_more_channels_than_it_takes() -> None:
    """As wide as a thread block carries: 36 GB/s of a Hopper, 24 of an Ampere."""
    assert laid(cube_mesh()).channels == 6
    assert laid(nvswitch_400g()).channels == 11
    assert laid(nvswitch_200g()).channels == 10
    assert laid(full_mesh()).channels == 7
    assert laid(nvswitch_400g(), policy=Policy(channel_gbps=400.0)).channels == 1


def test_trees_get_what_links_have_left() -> None:
    """A chain passes a link less than a ring, and no thread block carries more than 36 GB/s."""
    single = laid(nvswitch_400g())
    assert single.trees.gbps_intra == pytest.approx(36.0)
    between = laid(nvswitch_400g(), 2)
    # 16 chains of seven hops over the eight GPUs' links.
    assert between.trees.gbps_intra == pytest.approx(18 * 20.6 * 8 / 7 / 16)
    slow = laid(one(switched(Machine(mbps=10_000), 12)), 2)
    assert slow.trees.gbps_intra == pytest.approx(2 * slow.trees.gbps_inter)


def test_the_bottleneck_has_a_name() -> None:
    layout = laid(nvswitch_200g(), 2)
    assert str(layout.bottleneck) == "switched-0: PCI GPU 0 -> switch 0000:10:00.0 (24 GB/s)"
    assert str(laid(cube_mesh()).bottleneck) == "cube: NVLink GPU 0 -> GPU 1 (20 GB/s)"
    slow = laid(one(switched(Machine(mbps=10_000), 12)), 2)
    assert str(slow.bottleneck) == "a-0: port mlx5_0, out (1.25 GB/s)"


def test_the_same_on_every_machine() -> None:
    """Whatever the order of sets is there."""
    program = (
        "from machines import *; from layouts import laid\n"
        "for m in (cube_mesh, full_mesh, two_nics):\n"
        "    for n in (1, 3):\n"
        "        x = laid(m(), n); print(x.rings, x.trees, x.stretches, x.turns, x.visited)"
    )
    path = os.pathsep.join([*sys.path, "tests/helpers"])
    out = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path},
            check=True,
            capture_output=True,
            timeout=200,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(out) == 1


def test_rails_are_kept() -> None:
    never = laid(nvswitch_400g(), 4, Policy(CrossNic.NEVER))
    check(never)
    assert all(s.entry == s.exit for kind in never.stretches for s in kind)
    for layout in (never, laid(two_nics(), 4)):
        for channel in range(layout.channels):
            for place_ in range(len(layout.nodes)):
                here = layout.stretch(channel, place_)
                there = layout.stretch(channel, (place_ + 1) % len(layout.nodes))
                assert here.exit == there.entry


def test_crossing_from_port_to_port_where_it_is_better() -> None:
    """Without NVLink a ring crosses between CPUs once if it may leave by the other port."""
    never = laid(two_nics(), 2, Policy(CrossNic.NEVER))
    better = laid(two_nics(), 2)
    assert better.rings.gbps >= never.rings.gbps
    assert better.rings.type_inter <= never.rings.type_inter
    assert better.turns


def test_a_relay_reaches_a_port_that_is_far() -> None:
    near = laid(nvswitch_400g(), 2, Policy(CrossNic.NEVER))
    assert near.rings.type_inter is PathType.PXN
    far = laid(nvswitch_400g(), 2, Policy(CrossNic.NEVER, relays=False))
    check(far)
    assert far.rings.type_inter > PathType.PXN


def test_hosts_of_an_nvlink_domain_are_one_node() -> None:
    rack = trays(18)
    layout = laid(rack)
    check(layout)
    assert len(layout.nodes) == 1
    assert layout.rings.gbps == pytest.approx(18 * 40.1, rel=0.01)
    assert not idle(layout, Sort.NVLINK)
    two = Topology(tuple(trays(2, "a.1", "a").hosts) + tuple(trays(2, "b.1", "b").hosts))
    between = lay_out(two, place(two))
    check(between)
    assert [len(node.hosts) for node in between.nodes] == [2, 2]
    assert between.rings.gbps == pytest.approx(8 * 48.0, rel=0.01)
    assert not idle(between, Sort.PORT)


def test_hosts_that_differ_have_as_many_channels() -> None:
    fast = switched(Machine(switches=8, gpus=1, transfers=32.0, mbps=400_000, sm=90), 18, "fast")
    slow = switched(Machine(mbps=100_000, transfers=32.0, sm=90), 18, "slow")
    mixed = Topology((*one(fast).hosts, *one(slow).hosts, *one(slow).hosts))
    layout = lay_out(mixed, place(mixed))
    check(layout)
    assert len(layout.kinds) == 2
    assert layout.rings.gbps == pytest.approx(4 * 12.5)
    assert layout.bottleneck is not None
    assert layout.bottleneck.host == "slow"


def test_some_gpus_of_each_host() -> None:
    topology = repeated(cube_mesh(), 2)
    layout = lay_out(topology, place(topology, JobShape(devices=(0, 3, 4, 7))))
    check(layout)
    assert layout.placement.size == 8
    single = lay_out(topology, place(topology, JobShape(hosts=1, ranks_per_host=1)))
    check(single)
    assert single.bottleneck is None
    few = lay_out(topology, place(topology, JobShape(ranks_per_host=1)))
    check(few)
    assert few.rings.type_inter is PathType.PIX


def test_ranks_that_share_a_gpu_and_ranks_on_cpus() -> None:
    topology = repeated(nvswitch_200g(), 2)
    gpu = topology.hosts[0].template.devices[0]
    shared = lay_out(topology, Placement((Seat(0, gpu), Seat(1, gpu), Seat(0, gpu), Seat(1, gpu))))
    check(shared)
    cpus = lay_out(topology, Placement((Seat(0), Seat(1), Seat(0), Seat(1))))
    check(cpus)
    assert cpus.nodes[0].ranks == (0, 2)
    bare = Topology(tuple(Host(f"h{i}") for i in range(3)))
    layout = lay_out(bare, place(bare, JobShape(ranks_per_host=2)))
    check(layout)
    assert layout.placement.seats[0].device == NOWHERE
    assert str(layout.bottleneck) == "h0: network of the host, out (1.25 GB/s)"


def test_a_port_that_is_down_or_slow_is_left_out_and_said_so() -> None:
    host, _ = Machine(switches=2, gpus=2).builder("odd")
    for i, (mbps, state) in enumerate(((200_000, "down"), (1000, "up"))):
        at = host.add(Pci(0, f"0000:9{i}:00.0", 0x020000, transfers=16.0, width=16))
        host.add_port(Port(host.add(Nic(at)), f"eth{i}", dev=7 + i, mbps=mbps, state=state))
    layout = laid(one(host), 2)
    check(layout)
    assert dict(layout.left_out) == {
        "eth0": "it is down",
        "eth1": "0.125 GB/s beside ports of 25",
    }
    assert {use.name for use in uses(layout, Sort.PORT) if use.rings} == {
        f"port mlx5_{i}, {way}" for i in range(2) for way in ("in", "out")
    }


def test_merged_topologies_lay_out_alike() -> None:
    """A merge renumbers nodes; the layout's figures stay."""
    own = cube_mesh()
    merged = merge([Part("a", own)]).topology
    assert laid(merged).rings == laid(own).rings


def test_a_gpu_that_no_link_leads_to() -> None:
    """Ranks run there, so there is a way; it is the last that a channel ends with."""
    host, gpus = Machine(switches=2, gpus=2, nics=1).builder("cut")
    lost = host.add_gpu(Gpu(-1, 9, 80))
    topology = one(host)
    assert len(topology.hosts[0].template.devices) == len(gpus) + 1
    for copies in (1, 3):
        layout = laid(topology, copies)
        check(layout)
        assert layout.rings.type_intra is PathType.DIS
    alone = Placement((Seat(0, lost), Seat(1, lost)))
    check(lay_out(repeated(topology, 2), alone))
    half = Placement((Seat(0, lost), Seat(0), Seat(1, lost), Seat(1)))
    check(lay_out(repeated(topology, 2), half))
