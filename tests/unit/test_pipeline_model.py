"""The pipeline model: its formula, how bytes are cut, and times worked out by hand."""

from math import exp, log1p

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nccl_jobs import KIB, MANY_NODES, MIB, ONE_NODE, TWO_NODES, changed, graph, tree_graph

from distos_coll.api import Collective, DType, Estimate, Job, NcclView, Operation
from distos_coll.costs.nccl.case import Case
from distos_coll.costs.nccl.tables import Algorithm, Protocol
from distos_coll.costs.pipeline import Cut, Stage, cut_of, pipeline_us, predict, softmin, stages_of

C, A, P = Collective, Algorithm, Protocol


def ask(
    job: Job, size: int, collective: Collective = C.ALL_REDUCE, **operation: object
) -> dict[str, Estimate]:
    found = predict(job, Operation(collective, size, **operation))  # type: ignore[arg-type]
    return {each.name: each for each in found}


def case_of(job: Job, size: int, collective: Collective = C.ALL_REDUCE, **rest: object) -> Case:
    assert job.nccl is not None
    return Case(job, job.nccl, Operation(collective, size, **rest))  # type: ignore[arg-type]


# The formula


def test_one_slice_passes_all_stages() -> None:
    # 10 kB at 10 GB/s: 1 us. 3 * (4 / 2 + 1)
    assert pipeline_us(Cut(10_000, 10_000, 1), [Stage(3, 4.0, 10.0)]) == pytest.approx(9.0)
    # ... and at 5 GB/s: 2 us. 9 + 2 * (6 / 2 + 2)
    stages = [Stage(3, 4.0, 10.0), Stage(2, 6.0, 5.0)]
    assert pipeline_us(Cut(10_000, 10_000, 1), stages) == pytest.approx(19.0)


def test_the_slowest_stage_sets_the_pace() -> None:
    stages = [Stage(3, 4.0, 10.0), Stage(2, 6.0, 5.0)]
    # Four more slices, 2 us each.
    assert pipeline_us(Cut(50_000, 10_000, 5), stages) == pytest.approx(19.0 + 8)
    # A stage of no steps is none: 9 + 4 * 1.
    unused = [Stage(3, 4.0, 10.0), Stage(0, 6.0, 5.0)]
    assert pipeline_us(Cut(50_000, 10_000, 5), unused) == pytest.approx(13.0)


@given(st.floats(0, 1e4), st.floats(0.1, 1e3))
def test_softmin_is_below_both(value: float, ceiling: float) -> None:
    soft = softmin(value, ceiling, 0.1 * ceiling)
    assert -1e-9 <= soft <= min(value, ceiling) * (1 + 1e-9) + 1e-9
    # At most ln(2) times the softness below: where both are equal.
    assert min(value, ceiling) - soft <= 0.0694 * ceiling


def test_softmin_by_hand() -> None:
    # 10 - ln(1 + (e**10 - 1) * e**-10) = 10 - ln(2 - e**-10)
    assert softmin(10, 10, 1) == pytest.approx(9.306876, abs=1e-6)
    assert softmin(2, 10, 1) == pytest.approx(2, abs=5e-4)
    assert softmin(40, 10, 1) == pytest.approx(10, abs=1e-8)
    assert softmin(0, 10, 1) == pytest.approx(0, abs=1e-9)


# How bytes are cut


@pytest.mark.parametrize(
    ("algorithm", "protocol", "size", "expected"),
    [
        # Simple rings: chunks of 4 steps of 512 KiB, two slices each; of 8 ranks, 14 steps.
        # 64 MiB: 64 slices of 1 MiB, of which 64 * 14 / 8 = 112 pass a link, the last with another.
        (A.RING, P.SIMPLE, 64 * MIB, Cut(64 * MIB, MIB, 111)),
        # 1 MiB: a rank's part is 128 KiB, in two slices; 16 slices, 28 pass.
        (A.RING, P.SIMPLE, MIB, Cut(MIB, 64 * KIB, 27)),
        # 64 KiB: a part of 8 KiB would be two of 4 KiB; but they are no smaller than 1 MiB / 32,
        # nor larger than the part: 8 slices, 14 pass.
        (A.RING, P.SIMPLE, 64 * KIB, Cut(64 * KIB, 8 * KIB, 13)),
        # 4 bytes: a line of 16; 1 slice, 1.75 pass.
        (A.RING, P.SIMPLE, 4, Cut(4, 4, 1)),
        # LL: half of 64 KiB; 2 MiB has 64 of those.
        (A.RING, P.LL, 2 * MIB, Cut(2 * MIB, 32 * KIB, 111)),
        # LL128: 15/16 of 614,400 bytes; 10 of 576,000, of which 17.5 pass.
        (A.RING, P.LL128, 5_760_000, Cut(5_760_000, 576_000, 17)),
        # Trees: a step is a chunk is a slice; up and down.
        (A.TREE, P.SIMPLE, 4 * MIB, Cut(4 * MIB, 512 * KIB, 15)),
        (A.TREE, P.SIMPLE, 600 * KIB, Cut(600 * KIB, 512 * KIB, 3)),
        (A.TREE, P.LL, 64 * KIB, Cut(64 * KIB, 32 * KIB, 3)),
        (A.TREE, P.LL128, 576_001, Cut(576_001, 576_000, 3)),
    ],
)
def test_cuts_of_an_all_reduce(
    algorithm: Algorithm, protocol: Protocol, size: int, expected: Cut
) -> None:
    assert cut_of(case_of(ONE_NODE, size), algorithm, protocol, 1) == expected


def test_cuts_of_other_collectives() -> None:
    # 7 steps of 8 ranks, no two slices at once: 64 * 7 / 8.
    case = case_of(ONE_NODE, 64 * MIB, C.ALL_GATHER)
    assert cut_of(case, A.RING, P.SIMPLE, 1) == Cut(64 * MIB, MIB, 56)
    # From a root: chunks of one step, and all pass.
    case = case_of(ONE_NODE, 64 * MIB, C.BROADCAST)
    assert cut_of(case, A.RING, P.SIMPLE, 1) == Cut(64 * MIB, 512 * KIB, 128)
    # Three ranks, 4 steps: ceil(64 * 4 / 3) = 86, the last with another.
    case = case_of(Job((3,), ONE_NODE.nccl), 64 * MIB)
    assert cut_of(case, A.RING, P.SIMPLE, 1) == Cut(64 * MIB, MIB, 85)
    # Two ranks: nothing comes together.
    case = case_of(Job((2,), ONE_NODE.nccl), 64 * MIB)
    assert cut_of(case, A.RING, P.SIMPLE, 1) == Cut(64 * MIB, MIB, 64)


def test_channels_share_the_bytes() -> None:
    assert cut_of(case_of(ONE_NODE, 10 * MIB), A.TREE, P.SIMPLE, 10).channel_bytes == MIB
    assert cut_of(case_of(ONE_NODE, 10 * MIB + 1), A.TREE, P.SIMPLE, 10).channel_bytes == MIB + 1


def test_slices_are_whole_lines_of_elements() -> None:
    # A part of 160,000 / 8 = 20,000 bytes; halves would be 2,500 elements of 4 bytes, in sixteens
    # 2,512; at least 8,192 elements; at most the part.
    case = case_of(ONE_NODE, 160_000)
    assert cut_of(case, A.RING, P.SIMPLE, 1).slice_bytes == 20_000
    # Of 8 bytes: 400,000 / 8 = 50,000; 3,125 elements, in sixteens 3,136; at least 4,096.
    case = case_of(ONE_NODE, 400_000, dtype=DType.FLOAT64)
    assert cut_of(case, A.RING, P.SIMPLE, 1).slice_bytes == 32_768
    # 800,000 / 8 = 100,000; 6,250 elements, in sixteens 6,256.
    case = case_of(ONE_NODE, 800_000, dtype=DType.FLOAT64)
    assert cut_of(case, A.RING, P.SIMPLE, 1).slice_bytes == 50_048


# Stages


def stages(job: Job, algorithm: Algorithm, collective: Collective = C.ALL_REDUCE) -> list[int]:
    case = case_of(job, MIB, collective)
    found = case.graph(algorithm)
    assert found is not None
    return [stage.steps for stage in stages_of(case, algorithm, P.SIMPLE, found)]


def test_steps_inside_and_between_nodes() -> None:
    assert stages(ONE_NODE, A.RING) == [14, 0]
    assert stages(ONE_NODE, A.TREE) == [14, 0]
    # 30 steps; 2 of each node go out.
    assert stages(TWO_NODES, A.RING) == [26, 4]
    assert stages(TWO_NODES, A.TREE) == [14, 2]
    assert stages(MANY_NODES, A.RING) == [510 - 64, 64]
    assert stages(MANY_NODES, A.TREE) == [14, 10]
    assert stages(TWO_NODES, A.RING, C.REDUCE_SCATTER) == [13, 2]
    assert stages(TWO_NODES, A.RING, C.BROADCAST) == [14, 2]
    # One rank a node: all of them.
    assert stages(Job((1,) * 4, TWO_NODES.nccl), A.RING) == [0, 6]
    # The fullest node is the longest chain.
    assert stages(Job((2, 8), TWO_NODES.nccl), A.TREE) == [14, 2]


def test_flags_take_their_part_of_a_links_bandwidth() -> None:
    case = case_of(TWO_NODES, MIB)
    for protocol, share in ((P.LL, 0.5), (P.LL128, 0.9375), (P.SIMPLE, 1)):
        intra, inter = stages_of(case, A.TREE, protocol, tree_graph(8, 48, 40))
        assert (intra.gbps, inter.gbps) == (48 * share, 40 * share)


# Times


def by_hand(took: float, channel_bytes: int, channels: int, most: float) -> float:
    value, softness = channel_bytes / (1000 * took) * channels, 0.1 * most
    return most - softness * log1p((exp(most / softness) - 1) * exp(-value / softness))


def test_a_small_ring_by_hand() -> None:
    job = Job((2,), NcclView(90, ring=graph(1, 10)))
    # 64 KiB: parts of 32 KiB, the smallest slice; 2 slices, 2 pass a link. A slice takes 3.2768 us:
    # 2 * (3.4 / 2 + 3.2768) + 3.2768 = 13.2304 us, 4.95344 GB/s.
    # At most 10, times 2 ranks by 2 steps: softly 4.947.
    each = ask(job, 64 * KIB)["ring/simple"]
    assert each.gbps == pytest.approx(by_hand(13.2304, 65536, 1, 10.0), rel=1e-9)
    assert each.gbps == pytest.approx(4.947, abs=5e-4)
    assert each.time_us == pytest.approx(8.4 + 65.536 / 4.947, abs=2e-3)
    assert (each.latency_us, each.fixed_us, each.channels) == (8.4, 8.4, 1)


def test_a_tree_by_hand() -> None:
    job = Job((2, 2), NcclView(90, tree=tree_graph(1, 20, 10)))
    # 1 MiB: 2 slices of 512 KiB, 3 pass. 26.2144 us inside a node, 52.4288 us between nodes.
    # 2 * (4 / 2 + 26.2144) + 2 * (14 / 2 + 52.4288) + 2 * 52.4288 = 280.144 us: 3.743 GB/s.
    # At most 3/4 * 10, times 4 ranks by 6 steps: 5.
    each = ask(job, MIB)["tree/simple"]
    assert each.gbps == pytest.approx(by_hand(280.144, MIB, 1, 5.0), rel=1e-9)
    assert each.time_us == pytest.approx(8.4 + MIB / 1000 / by_hand(280.144, MIB, 1, 5.0))


def test_channels_add_up_until_the_links_are_full() -> None:
    job = Job((8,), NcclView(90, ring=graph(4, 10)))
    # 256 MiB over 4 channels of 64 MiB: 64 slices of 1 MiB, 104.8576 us each; 111 pass.
    # 14 * (1.7 + 104.8576) + 110 * 104.8576 = 13026.2... us; 4 channels.
    took = 14 * (1.7 + 104.8576) + 110 * 104.8576
    each = ask(job, 256 * MIB)["ring/simple"]
    assert each.channels == 4
    assert each.gbps == pytest.approx(by_hand(took, 64 * MIB, 4, 40 * 8 / 14), rel=1e-9)
    # 4 * 67.1 MB in 13.03 ms is 20.6 GB/s, of at most 22.9.
    assert by_hand(took, 64 * MIB, 4, 40 * 8 / 14) == pytest.approx(19.9, abs=0.1)


@pytest.mark.parametrize(
    ("name", "most"),
    [
        # All channels of what the links, or tables, let through; * n / steps.
        ("ring/simple", 12 * 30 * 8 / 14),
        ("ring/ll", 12 * 15 * 8 / 14),
        ("ring/ll128", 12 * 28.125 * 8 / 14),
        ("tree/simple", 12 * 30 * 7 / 8 * 8 / 14),
        ("tree/ll128", 12 * 30 * 7 / 8 * 15 / 16 * 8 / 14),
    ],
)
def test_without_end_it_comes_near_to_the_bound(name: str, most: float) -> None:
    each = ask(ONE_NODE, 1 << 36)[name]
    assert each.gbps is not None
    # Filling the pipeline takes nothing then; the bound is felt up to ln(2) / 10 below it.
    assert 0.9 * most < each.gbps <= most


def test_links_inside_bound_one_node_and_those_between_several() -> None:
    view = NcclView(90, ring=graph(1, 40, 10))
    inside, between = (ask(Job((8,) * n, view), 1 << 36)["ring/simple"].gbps for n in (1, 2))
    assert inside == pytest.approx(40 * 8 / 14, rel=0.1)
    assert between == pytest.approx(10 * 16 / 30, rel=0.1)


def test_tables_bound_what_fast_links_carry() -> None:
    fast = changed(ONE_NODE, ring=graph(2, 1000), tree=tree_graph(2, 1000))
    found = ask(fast, 1 << 36)
    for name, cap in (("ring/ll128", 36.7), ("tree/ll128", 36.7), ("tree/simple", 38.7)):
        assert found[name].gbps == pytest.approx(2 * cap * 8 / 14, rel=0.01)
    # Of LL it is each channel's.
    assert found["ring/ll"].gbps == pytest.approx(2 * 141 * 8 / 14, rel=0.02)


def test_the_rules_are_those_of_the_other_model() -> None:
    found = ask(changed(TWO_NODES, algo="^tree", proto="ll,simple"), MIB)
    assert {name for name, each in found.items() if each.may_run} == {"ring/ll", "ring/simple"}
    assert (
        "rings and trees only"
        in ask(Job((1,) * 4, TWO_NODES.nccl), MIB, C.ALL_GATHER)["pat/simple"].reason
    )
    assert not any(each.may_run for each in ask(TWO_NODES, MIB, C.ALL_TO_ALL).values())
    alone = ask(Job((1,), TWO_NODES.nccl), MIB)
    assert [e for e in alone.values() if e.may_run] == [
        Estimate("ring", "simple", time_us=0.0, fixed_us=0.0, latency_us=0.0)
    ]


def test_nothing_and_several_operations() -> None:
    nothing = ask(TWO_NODES, 0)
    assert (nothing["ring/ll"].time_us, nothing["tree/ll"].time_us) == (6.6, 6.8)
    one, nine = ask(TWO_NODES, MIB), ask(TWO_NODES, MIB, pipe_ops=9)
    for name, more in (("ring/ll", 8 * 6.6), ("tree/ll", 6.8)):
        assert nine[name].time_us == pytest.approx((one[name].time_us or 0) + more)
    deep = ask(TWO_NODES, MIB, dtype=DType.FLOAT8_E4M3)
    assert deep["ring/ll"].fixed_us == 1024 * 6.6
    assert "float8" in deep["ring/ll"].reason
    assert deep["tree/ll"].fixed_us == 6.8
    assert not deep["tree/ll"].reason


@given(
    st.sampled_from([ONE_NODE, TWO_NODES, MANY_NODES, Job((1,) * 6, TWO_NODES.nccl)]),
    st.sampled_from([C.ALL_REDUCE, C.ALL_GATHER, C.REDUCE_SCATTER, C.BROADCAST, C.REDUCE]),
    st.integers(0, 1 << 34),
)
def test_any_size_has_a_time(job: Job, collective: Collective, size: int) -> None:
    for each in ask(job, size, collective).values():
        if each.may_run:
            assert each.time_us is not None
            assert each.fixed_us is not None
            assert each.time_us >= each.fixed_us > 0
