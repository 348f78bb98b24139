"""What an operation costs a job on a topology, and where one candidate takes over from another."""

from math import isclose

import machines
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layouts import laid

from distos_coll._vocabulary import Collective
from distos_coll.layout import told
from distos_coll.layout.result import Layout
from distos_coll.planner.job_plan import JobPlan, extents, job_plan, sizes, with_network
from distos_coll.planner.profile import BUILT_IN
from distos_coll.plugins.manager import built_in_registry, default_cost_models

REGISTRY = built_in_registry()
SWITCHED = laid(machines.nvswitch_400g(), 4)
CUBE = laid(machines.cube_mesh())
MODELS = ("nccl", "pipeline", "calibrated")


def planned(
    layout: Layout = SWITCHED, model: str = "nccl", collective: Collective = Collective.ALL_REDUCE
) -> JobPlan:
    return job_plan(layout, collective, model, default_cost_models(), REGISTRY)


PLANS = {model: planned(model=model) for model in MODELS}


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.integers(1, 1 << 34))
def test_the_parts_of_a_time_add_up(model: str, size: int) -> None:
    priced = PLANS[model].candidates(size)
    able = [each for each in priced if each.estimate.may_run]
    assert able
    assert [each.chosen for each in priced] == [True, *[False] * (len(priced) - 1)]
    assert priced[0].estimate == PLANS[model].best(size)
    for each in able:
        assert each.latency_us is not None
        assert each.bandwidth_us is not None
        parts = (each.latency_us, each.bandwidth_us, each.reduction_us or 0.0)
        assert min(parts) >= -1e-6
        assert isclose(sum(parts), each.estimate.time_us or 0.0, abs_tol=1e-6)
    times = [each.estimate.time_us or 0.0 for each in able]
    assert times == sorted(times)
    assert all(each.reason for each in priced)


def test_only_this_librarys_own_model_tells_reduction_apart() -> None:
    for model in MODELS:
        parts = {each.reduction_us is None for each in PLANS[model].candidates(1 << 24)[:3]}
        assert parts == {model != "calibrated"}
    moved = planned(model="calibrated", collective=Collective.ALL_GATHER).candidates(1 << 24)
    assert all(each.reduction_us == 0 for each in moved if each.estimate.may_run)


@pytest.mark.parametrize("model", MODELS)
def test_at_a_crossing_the_winner_changes(model: str) -> None:
    plan = PLANS[model]
    crossings = plan.crossings()
    assert crossings, "over nine orders of magnitude one candidate is the best"

    def winner(size: int) -> str:
        return plan.best(size).name.partition("@")[0]

    for crossing in crossings:
        assert winner(crossing.bytes - 1) == crossing.before
        assert winner(crossing.bytes) == crossing.after
    won = extents(crossings, winner(1))
    starts = [size for size, _ in won]
    assert starts == sorted(set(starts))
    for size in sizes(1, 1 << 36):
        assert winner(size) == [name for start, name in won if start <= size][-1]


def test_curves_are_the_best_of_each_candidate() -> None:
    at = [1 << 10, 1 << 20, 1 << 30]
    for model, plan in PLANS.items():
        curves = plan.curves(at)
        for i, size in enumerate(at):
            times = [us for us in (curve[i] for curve in curves.values()) if us is not None]
            assert min(times) == plan.best(size).time_us, model


def test_the_network_is_as_fast_as_the_layouts() -> None:
    figures = with_network(BUILT_IN.figures, SWITCHED)
    assert figures.tcp.gbps == SWITCHED.rings.channels * SWITCHED.rings.gbps_inter
    assert with_network(BUILT_IN.figures, CUBE) == BUILT_IN.figures


def test_what_cannot_run_is_told_with_the_reason() -> None:
    unable = [e for e in PLANS["calibrated"].candidates(1 << 20) if not e.estimate.may_run]
    reasons = {each.estimate.name: each.reason for each in unable}
    assert "needs all ranks in one domain" in reasons["direct1"]
    assert all(each.as_dict()["reason"] for each in unable)


def test_sizes_have_ends() -> None:
    assert sizes(1, 1) == [1]
    assert sizes(3, 100)[0] == 3
    assert sizes(3, 100)[-1] == 100


def test_a_ring_is_told_from_port_to_port() -> None:
    kind = SWITCHED.kinds[0]
    for stretch in SWITCHED.stretches[0]:
        stops = told.stops(kind, stretch)
        assert len(stops) == len(stretch.order) + 2
        assert sorted(stops[1:-1]) == [f"GPU {n}" for n in range(8)]
        assert told.chain_stops(kind, stretch) == stops[:-1]
    assert all(len(told.stops(CUBE.kinds[0], each)) == 8 for each in CUBE.stretches[0])


def test_trees_are_drawn_with_a_line_for_each_node() -> None:
    names = {told.node_name(SWITCHED, place) for place in range(4)}
    for which in range(2):
        lines = told.tree_lines(SWITCHED, which)
        assert {line.lstrip("│├└─ ") for line in lines} == names
        assert not lines[0].startswith(("├", "└"))
    assert told.tree_lines(SWITCHED, 0, most=2)[2:] == ["... and 2 nodes more"]
