"""NCCL's published tuning: the golden table, and what it does not reach, by hand.

Times are microseconds, bandwidths GB/s. `lat` and `bw` are the model's before the corrections for a
size, as NCCL prints them at start.
"""

import pytest
from nccl_jobs import (
    KIB,
    MANY_NODES,
    MIB,
    ONE_NODE,
    TWO_NODES,
    ask,
    changed,
    graph,
    tree_graph,
    winner,
)

from distos_coll.api import ChannelGraph, Collective, Cpu, Job, NcclView, PathType, Pattern

C = Collective
JOBS = {"1x8": ONE_NODE, "2x8": TWO_NODES, "32x8": MANY_NODES}
CELLS = ("tree/ll", "tree/ll128", "tree/simple", "ring/ll", "ring/ll128", "ring/simple")

# all_reduce, Hopper, Intel: "latency / bandwidth" as printed in NCCL's table.
GOLDEN = {
    "1x8": "15.2/43.6 31.5/128.8 64.4/165.6 15.0/80.6 40.6/189.3 56.0/205.7",
    "2x8": "25.2/19.5 48.5/146.8 92.4/165.6 40.0/20.8 75.2/156.6 131.6/170.7",
    "32x8": "65.2/10.2 116.5/116 204.4/144 622/10.2 1113.2/147.4 2399.6/160.6",
}
# (job, size, winner, time or None: the table has none)
WINNERS = (
    *(("1x8", size, "ring/ll", None) for size in (64, KIB, 64 * KIB, 256 * KIB)),
    ("1x8", MIB, "ring/ll", 28.0),
    ("1x8", 4 * MIB, "ring/ll128", 62.8),
    ("1x8", 16 * MIB, "ring/ll128", 129.2),
    ("1x8", 64 * MIB, "ring/simple", 382.2),
    ("1x8", 256 * MIB, "ring/simple", None),
    ("1x8", 1024 * MIB, "ring/simple", 5275.6),
    *(("2x8", size, "tree/ll", None) for size in (64, KIB, 16 * KIB, 64 * KIB)),
    *(("2x8", size * MIB // 4, "tree/ll128", None) for size in (1, 4, 16, 64)),
    ("2x8", 64 * MIB, "ring/ll128", 503.8),
    ("2x8", 256 * MIB, "ring/simple", 1757),
    ("2x8", 1024 * MIB, "ring/simple", None),
    *(("32x8", size, "tree/ll", None) for size in (64, KIB, 16 * KIB, 64 * KIB)),
    *(("32x8", size * MIB // 4, "tree/ll128", None) for size in (1, 4, 16, 64, 256)),
    ("32x8", 256 * MIB, "tree/simple", None),
    ("32x8", 1024 * MIB, "tree/simple", None),
)


def as_printed(value: float | None, like: str) -> str:
    assert value is not None
    return f"{value:.{len(like.partition('.')[2])}f}"


@pytest.mark.parametrize("name", JOBS)
def test_the_golden_table(name: str) -> None:
    found = ask(JOBS[name])
    for cell, expected in zip(CELLS, GOLDEN[name].split(), strict=True):
        latency, bandwidth = expected.split("/")
        assert as_printed(found[cell].latency_us, latency) == latency, cell
        assert as_printed(found[cell].gbps, bandwidth) == bandwidth, cell
    assert [each.name for each in found.values() if each.may_run] == list(CELLS)


@pytest.mark.parametrize(("name", "size", "expected", "time"), WINNERS)
def test_the_golden_winners(name: str, size: int, expected: str, time: float | None) -> None:
    best, took = winner(JOBS[name], size)
    assert best == expected
    if time is not None:
        assert f"{took:.3g}" == f"{time:.3g}"
        assert as_printed(took, str(time)) == str(time)


def close(value: float | None, expected: float) -> bool:
    return value == pytest.approx(expected, rel=1e-9)


# Corrections for a size


@pytest.mark.parametrize(
    ("cell", "size", "factor"),
    [
        # 256 KiB / 64 is 2**12; LL's row has .4 there, LL128's .6, Simple's .5.
        ("tree/ll", 256 * KIB, 0.4),
        ("tree/ll128", 256 * KIB, 0.6),
        ("tree/simple", 256 * KIB, 0.5),
        # Between powers of two the lower one counts.
        ("tree/ll", 512 * KIB - 1, 0.4),
        ("tree/ll", 512 * KIB, 0.4),
        ("tree/ll", MIB, 0.5),
        ("tree/simple", 64, 0.9),
        ("tree/simple", 63, 1),
        # The last that is corrected is 64 * 2**22.
        ("tree/simple", 256 * MIB, 0.9),
        ("tree/simple", 512 * MIB, 1),
        ("ring/simple", 256 * KIB, 1),
        ("ring/simple", 64, 1),
    ],
)
def test_trees_are_corrected_by_size(cell: str, size: int, factor: float) -> None:
    each = ask(ONE_NODE, size)[cell]
    assert each.gbps is not None
    assert each.fixed_us == each.latency_us
    assert close(each.time_us, (each.fixed_us or 0) + size / (1000 * each.gbps * factor))


def test_a_corrected_time_by_hand() -> None:
    # bus 12 * 30 * .92 = 331.2; LL / 3.8 = 87.158, below 141; half is 43.579; times .4 = 17.432.
    # 15.2 + 262144 / 17431.6 = 15.2 + 15.0385.
    assert ask(ONE_NODE, 256 * KIB)["tree/ll"].time_us == pytest.approx(30.2385, abs=1e-4)


@pytest.mark.parametrize(("capability", "factor"), [(70, 1.9), (80, 1.4), (90, 1.4), (100, 1.4)])
def test_simple_rings_between_nodes_have_a_plateau(capability: int, factor: float) -> None:
    job = changed(TWO_NODES, compute_capability=capability, max_compute_capability=capability)
    # 64 bytes of each of 16 ranks and 16 channels, twice those of the ring.
    for size, expected in ((16 * KIB, factor), (16 * KIB - 1, 1), (64 * MIB, factor)):
        each = ask(job, size)["ring/simple"]
        # 8.4 + 28 * max(3.4, 3 * 1) + 2 * 14
        assert close(each.latency_us, 131.6)
        assert close(each.fixed_us, 131.6 * expected)
    assert close(ask(changed(job, channels=32), 16 * KIB)["ring/simple"].fixed_us, 131.6)
    # Neither other protocols, other collectives, nor one node.
    assert close(ask(job, 64 * MIB)["ring/ll"].fixed_us, 40.0)
    gathered = ask(job, 64 * MIB, C.ALL_GATHER)["ring/simple"]
    assert gathered.fixed_us == gathered.latency_us
    assert gathered.time_us == 70.0 + 64 * MIB / (1000 * (gathered.gbps or 0))
    assert close(ask(ONE_NODE, 64 * MIB)["ring/simple"].fixed_us, 56.0)


# Rings


@pytest.mark.parametrize(
    ("cpu", "ll_us", "simple_us", "ll_gbps"),
    [
        # LL: 6.6 + 28 * max(.6, overhead) + 2 * 2.7, and 39 or 22.5, * 16 / 30
        # Simple: 8.4 + 28 * max(3.4, 3 * overhead) + 2 * 14
        (Cpu.INTEL, 40.0, 131.6, 20.8),
        (Cpu.AMD, 68.0, 204.4, 12.0),
        # Both kinds: AMD's bandwidth, but no more overhead.
        (Cpu.MIXED, 40.0, 131.6, 12.0),
        (Cpu.ARM, 40.0, 131.6, 20.8),
    ],
)
def test_processors(cpu: Cpu, ll_us: float, simple_us: float, ll_gbps: float) -> None:
    found = ask(changed(TWO_NODES, cpu=cpu))
    assert close(found["ring/ll"].latency_us, ll_us)
    assert close(found["ring/simple"].latency_us, simple_us)
    assert close(found["ring/ll"].gbps, ll_gbps)
    # On one node the GPU decides, and nothing is posted to a network.
    one = ask(changed(ONE_NODE, cpu=cpu))["ring/ll"]
    assert close(one.latency_us, 15.0)
    assert close(one.gbps, 141 * 8 / 14)


def test_the_overhead_may_be_set() -> None:
    # 6.6 + 28 * 2.5 + 2 * 2.7
    assert close(ask(changed(TWO_NODES, net_overhead_us=2.5))["ring/ll"].latency_us, 82.0)
    # Less than a step over NVLink takes: 6.6 + 28 * .6 + 5.4
    assert close(ask(changed(TWO_NODES, net_overhead_us=0.0))["ring/ll"].latency_us, 28.8)


def test_an_adapters_latency_counts_twice_for_simple() -> None:
    ring, tree = graph(8, 40, latency_inter_us=1.5), graph(8, 40, latency_inter_us=1.5)
    found = ask(changed(TWO_NODES, ring=ring, tree=tree))
    assert close(found["ring/ll"].latency_us, 40.0 + 2 * 1.5)
    assert close(found["ring/simple"].latency_us, 131.6 + 2 * 3)
    # Trees: twice log2(2) steps between nodes.
    assert close(found["tree/ll128"].latency_us, 48.5 + 2 * 1.5)
    assert close(found["tree/simple"].latency_us, 92.4 + 2 * 3)


def test_gathering_and_scattering_rings() -> None:
    for collective in (C.ALL_GATHER, C.REDUCE_SCATTER):
        found = ask(TWO_NODES, collective=collective)
        # 15 steps, one of them between nodes: 6.6 + 14 * 1 + 2.7; 320 / 2, at most 39, * 16 / 15.
        assert close(found["ring/ll"].latency_us, 23.3)
        assert close(found["ring/ll"].gbps, 41.6)
        # 8.4 + 14 * 3.4 + 14
        assert close(found["ring/simple"].latency_us, 70.0)
        assert close(found["ring/simple"].gbps, 320 * 16 / 15)


@pytest.mark.parametrize("collective", [C.BROADCAST, C.REDUCE])
def test_rings_from_and_to_a_root(collective: Collective) -> None:
    found = ask(ONE_NODE, collective=collective)
    assert [e.name for e in found.values() if e.may_run] == list(CELLS[3:])
    # One step where all channels are the same; the whole bus.
    assert close(found["ring/ll"].latency_us, 6.6 + 0.6)
    assert close(found["ring/simple"].gbps, 360)
    differing = graph(12, 30, same_channels=False)
    found = ask(changed(ONE_NODE, ring=differing), collective=collective)
    # One a rank where they differ; those of Simple as on a tree.
    assert close(found["ring/ll"].latency_us, 6.6 + 8 * 0.6)
    assert close(found["ring/ll128"].latency_us, 14 + 8 * 1.9)
    assert close(found["ring/simple"].latency_us, 8.4 + 8 * 4.0)
    found = ask(changed(TWO_NODES, ring=differing), collective=collective)
    assert close(found["ring/ll"].latency_us, 6.6 + 16 * 2.7)
    assert close(found["ring/simple"].latency_us, 8.4 + 16 * 14.0)


def test_one_rank_per_node_pays_a_trees_latency() -> None:
    job = Job((1,) * 4, NcclView(90, ring=graph(2, 20), tree=tree_graph(2, 20)))
    # Every step is between nodes: 6.6 + 6 * 5.0, not 2.7.
    assert close(ask(job)["ring/ll"].latency_us, 36.6)
    # 6.8 + 2 * log2(4) * 5.0
    assert close(ask(job)["tree/ll"].latency_us, 26.8)


def test_inside_a_node_it_is_nvlink_or_pci() -> None:
    # A GPU between two others is no NVLink to NCCL's tuning.
    for kind in (PathType.NVB, PathType.PIX, PathType.PHB, PathType.SYS):
        far = graph(2, 12, type_intra=kind)
        found = ask(changed(ONE_NODE, ring=far, tree=far))
        assert close(found["ring/ll"].latency_us, 6.6 + 14 * 1.0)
        assert close(found["ring/simple"].latency_us, 8.4 + 14 * 5.7)
        assert close(found["tree/simple"].latency_us, 8.4 + 2 * 7 * 4.0)
    # POWER: trees step as rings do there.
    power = ask(changed(ONE_NODE, ring=far, tree=far, cpu=Cpu.POWER))
    assert close(power["tree/simple"].latency_us, 8.4 + 2 * 7 * 5.7)
    assert close(power["tree/ll"].latency_us, 6.8 + 2 * 7 * 1.0)


def test_a_plain_tree_has_less_bandwidth() -> None:
    balanced = ask(ONE_NODE)
    plain = ask(changed(ONE_NODE, tree=graph(12, 30, pattern=Pattern.TREE)))
    split = ask(changed(ONE_NODE, tree=graph(12, 30, pattern=Pattern.SPLIT_TREE)))
    for cell in CELLS[:3]:
        assert split[cell] == balanced[cell]
        assert close(plain[cell].gbps, 0.85 * (balanced[cell].gbps or 0))


def test_bandwidth_between_nodes_counts_from_three_nodes_on() -> None:
    view = NcclView(90, ring=graph(4, 40, 10), tree=tree_graph(4, 40, 10))
    # 160 * 16 / 30; 40 * 24 / 46
    assert close(ask(Job((8,) * 2, view))["ring/simple"].gbps, 160 * 16 / 30)
    assert close(ask(Job((8,) * 3, view))["ring/simple"].gbps, 40 * 24 / 46)
    # .92 * 40 / 2
    assert close(ask(Job((8,) * 3, view))["tree/simple"].gbps, 18.4)


def test_uneven_nodes() -> None:
    job = Job((8, 5), NcclView(90, ring=graph(8, 40), tree=tree_graph(8, 48, 40)))
    # 13 ranks: 24 steps, 2 between nodes; 6 in a node, rounded down.
    assert close(ask(job)["ring/ll"].latency_us, 6.6 + 22 * 1 + 2 * 2.7)
    assert close(ask(job)["tree/ll"].latency_us, 6.8 + 2 * (5 * 0.6 + 5.0))
    assert close(ask(job)["ring/simple"].gbps, 320 * 13 / 24)


# Every generation's tables, where they are what limits: channels without bounds. By nodes: 1, 2, 3.
LL = {
    70: (39, 39, 20.4),
    80: (87.7, 39, 20.4),
    90: (141, 39, 20.4),
    100: (282, 39, 20.4),
}
LL_AMD = {70: (39, 22.5, 19), 80: (87.7, 22.5, 19), 90: (141, 22.5, 19), 100: (282, 22.5, 19)}
RING_LL128 = {70: (20,) * 3, 80: (20,) * 3, 90: (36.7,) * 3, 100: (40,) * 3}
TREE_LL128 = {70: (20,) * 3, 80: (20,) * 3, 90: (36.7, 36.7, 29), 100: (55.6, 31.67, 20)}
TREE = {70: (26.5, 18.5, 10), 80: (24, 23.6, 17.8), 90: (38.7, 41.4, 36), 100: (70, 42.8, 24)}


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("capability", [70, 75, 80, 86, 89, 90, 100, 103, 120])
def test_tables_of_every_generation(capability: int, nodes: int) -> None:
    wide = tree_graph(3, 1e6)
    job = Job((8,) * nodes, NcclView(capability, ring=wide, tree=wide))
    row = max(oldest for oldest in TREE if oldest <= capability)
    column, steps = nodes - 1, 2 * (8 * nodes - 1)
    ring, tree = 8 * nodes / steps, 0.5
    for table, view in ((LL, job), (LL_AMD, changed(job, cpu=Cpu.AMD))):
        found = ask(view)
        assert close(found["ring/ll"].gbps, table[row][column] * ring)
        bus = min(3 * TREE[row][column] / 3.8, table[row][column])
        assert close(found["tree/ll"].gbps, bus * tree)
    assert close(found["ring/ll128"].gbps, 3 * RING_LL128[row][column] * ring)
    bus = min(TREE[row][column] * (7 / 9 if nodes == 1 else 120 / 128), TREE_LL128[row][column])
    assert close(found["tree/ll128"].gbps, 3 * bus * tree)
    assert close(found["tree/simple"].gbps, 3 * TREE[row][column] * tree)


# What needs more than GPUs and NICs


def collnet(nodes: int, channels: int, capability: int = 80, **rest: object) -> Job:
    each: ChannelGraph = graph(channels, 40, 50)
    view = NcclView(
        capability, collnet_direct=each, collnet_chain=each, nvswitch=True, collnet_heads=8
    )
    return changed(Job((8,) * nodes, view), **rest)


def test_collnet() -> None:
    found = ask(collnet(4, channels=4))
    direct, chain = found["collnetdirect/simple"], found["collnetchain/simple"]
    # 2 * (3.7 + 7 * .4) + 31; 2 GPUs a NIC: 1 more than 1, half of which counts: 160 / 1.5 / 2.
    assert close(direct.latency_us, 44.0)
    assert close(direct.gbps, 160 / 1.5 / 2)
    # 2 * 7 * 2.8 + 30; the bandwidth inside a node, halved.
    assert close(chain.latency_us, 69.2)
    assert close(chain.gbps, 80)
    assert close(ask(collnet(4, channels=8))["collnetdirect/simple"].gbps, 160)
    hopper = ask(collnet(4, channels=4, capability=90))
    assert close(hopper["collnetdirect/simple"].gbps, 0.85 * 160 / 1.5 / 2)
    assert close(hopper["collnetchain/simple"].gbps, 80)


def test_collnet_with_few_ranks_in_a_node() -> None:
    view = collnet(2, channels=4).nccl
    # Two: 2 * (3.7 + .4) + 31. One: nothing inside, and a tree's 14 outside.
    assert close(ask(Job((2,) * 2, view))["collnetdirect/simple"].latency_us, 39.2)
    assert close(ask(Job((1,) * 2, view))["collnetdirect/simple"].latency_us, 14.0)


def test_collnet_gathers_and_scatters() -> None:
    for collective in (C.ALL_GATHER, C.REDUCE_SCATTER):
        found = ask(collnet(4, channels=4), collective=collective)
        # 8 * min(40, .9 * 50), not made less by steps.
        assert close(found["collnetdirect/simple"].gbps, 320)
        slower = collnet(4, 4, collnet_direct=graph(4, 40, 40))
        assert close(ask(slower, collective=collective)["collnetdirect/simple"].gbps, 288)
        assert not found["collnetchain/simple"].may_run


def pat(nodes: int, **rest: object) -> Job:
    tree = ChannelGraph(4, 30.0, 20.0, **rest)  # type: ignore[arg-type]
    return Job((1,) * nodes, NcclView(90, ring=graph(4, 30, 20), tree=tree))


def test_pat() -> None:
    for collective in (C.ALL_GATHER, C.REDUCE_SCATTER):
        each = ask(pat(16), collective=collective)["pat/simple"]
        # 8 + 4 * 14 / 3.5 + 16 * 2.8; .75 * 4 * 20
        assert close(each.latency_us, 68.8)
        assert close(each.gbps, 60)
    each = ask(pat(16, latency_inter_us=1.75), collective=C.ALL_GATHER)["pat/simple"]
    # 14 + 2 * 1.75 = 17.5, which is 5 for each power of two.
    assert close(each.latency_us, 8 + 4 * 5 + 44.8)
    # Two nodes: the bandwidth inside.
    assert close(ask(pat(2), collective=C.ALL_GATHER)["pat/simple"].gbps, 90)


def nvls(nodes: int, intra: float, inter: float, capability: int = 90, **rest: object) -> Job:
    view = NcclView(capability, nvls=graph(16, intra, inter), nvswitch=True)
    return changed(Job((8,) * nodes, view), **rest)


def test_nvls_on_one_node() -> None:
    # 20 * .85 * 15/16 * 2 = 31.875, below 40; * 16 * 8 / 14.
    each = ask(nvls(1, 20, 40))["nvls/simple"]
    assert close(each.latency_us, 25.0)
    assert close(each.gbps, 31.875 * 16 * 8 / 14)
    # As a graph of one node states it, what goes out of a GPU limits: 20.
    assert close(ask(nvls(1, 20, 20))["nvls/simple"].gbps, 20 * 16 * 8 / 14)
    # 20 * .74 * 15/16 * 2 = 27.75
    assert close(ask(nvls(1, 20, 40, capability=100))["nvls/simple"].gbps, 27.75 * 16 * 8 / 14)
    # 20 * .85 * 15/16 * 7/8, not made less by steps.
    gathered = ask(nvls(1, 20, 40), collective=C.ALL_GATHER)["nvls/simple"]
    assert close(gathered.gbps, 16 * 20 * 0.85 * 15 / 16 * 7 / 8)


def test_nvls_between_nodes() -> None:
    assert close(ask(nvls(2, 40, 25, collnet_heads=8))["nvls/simple"].latency_us, 43.0)
    each = ask(nvls(4, 40, 25, collnet_heads=8))["nvls/simple"]
    # 25 + 18; 25 * 16 * 32 / 62
    assert close(each.latency_us, 43.0)
    assert close(each.gbps, 25 * 16 * 32 / 62)


def test_nvls_trees() -> None:
    # 25 + 2 * log2(2) * 20.9; inside 63.75, between nodes 2 * 25, at most 57.7; 16 channels.
    two = ask(nvls(2, 40, 25))["nvlstree/simple"]
    assert close(two.latency_us, 66.8)
    assert close(two.gbps, 50 * 16 * 16 / 30)
    assert close(ask(nvls(2, 40, 30))["nvlstree/simple"].gbps, 57.7 * 16 * 16 / 30)
    # Not twice from three nodes on: 25, at most 45.5.
    assert close(ask(nvls(3, 40, 25))["nvlstree/simple"].gbps, 25 * 16 * 24 / 46)
    four = ask(nvls(4, 40, 25))["nvlstree/simple"]
    assert close(four.latency_us, 25 + 2 * 2 * 20.9)
    assert close(four.gbps, 25 * 16 * 32 / 62)
    assert close(ask(nvls(4, 40, 50))["nvlstree/simple"].gbps, 45.5 * 16 * 32 / 62)
    # Blackwell: 96 and 80; inside 100 * .74 * 15/16 * 2 = 138.75.
    for nodes, cap in ((2, 96), (4, 80)):
        each = ask(nvls(nodes, 100, 90, capability=100))["nvlstree/simple"]
        assert close(each.gbps, cap * 16 * 8 * nodes / (2 * (8 * nodes - 1)))


@pytest.mark.parametrize(
    ("capability", "cpu", "size", "factor"),
    [
        # 64 KiB / 64 is 2**10; Simple's row has .6.
        (100, Cpu.INTEL, 64 * KIB, 0.6),
        (100, Cpu.OTHER_X86, 64 * KIB, 0.6),
        (100, Cpu.ARM, 64 * KIB, 1),
        (90, Cpu.INTEL, 64 * KIB, 1),
        (90, Cpu.INTEL, 64, 1),
        # One more than trees have.
        (100, Cpu.INTEL, 512 * MIB, 0.9),
        (100, Cpu.INTEL, 1024 * MIB, 1),
    ],
)
def test_nvls_trees_are_corrected_on_blackwell_with_x86(
    capability: int, cpu: Cpu, size: int, factor: float
) -> None:
    each = ask(nvls(2, 40, 25, capability=capability, cpu=cpu), size)["nvlstree/simple"]
    assert each.gbps is not None
    assert each.latency_us is not None
    assert close(each.time_us, each.latency_us + size / (1000 * each.gbps * factor))
