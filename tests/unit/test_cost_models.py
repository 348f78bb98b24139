"""The door for cost models, what a job may be, and the model of this library's own algorithms."""

from collections.abc import Sequence

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st

from distos_coll.api import (
    AlgorithmSpec,
    ChannelGraph,
    Collective,
    CostModelSpec,
    Estimate,
    Figures,
    HostView,
    Job,
    LinkCost,
    NcclView,
    Operation,
    cheapest,
    hookimpl,
)
from distos_coll.planner import ClusterView, Profile, plan
from distos_coll.plugins import manager
from distos_coll.plugins.manager import built_in_registry, load_cost_models

C = Collective
REGISTRY = built_in_registry()
JOB = Job((2, 2))
OPERATION = Operation(C.ALL_REDUCE, 1 << 20)


class Plugin:
    def __init__(self, *models: CostModelSpec) -> None:
        self.models = models

    @hookimpl
    def distos_coll_cost_models(self) -> list[CostModelSpec]:
        return list(self.models)


def answering(*estimates: object) -> CostModelSpec:
    def predict(
        job: Job, operation: Operation, algorithms: Sequence[AlgorithmSpec]
    ) -> Sequence[Estimate]:
        return estimates  # type: ignore[return-value]

    return CostModelSpec("mine", predict)


def test_built_ins_come_through_the_hook() -> None:
    models = load_cost_models()
    assert set(models.names) == {name.rpartition(".")[2] for name in manager.BUILT_IN_COST_MODELS}
    for name in models.names:
        plugin, spec = models.owner(name)
        assert plugin in manager.BUILT_IN_COST_MODELS
        assert spec.name == name
        assert spec.doc


def test_a_plugin_brings_a_model() -> None:
    models = load_cost_models([("my-plugin", Plugin(answering(Estimate("star", time_us=3.0))))])
    assert "mine" in models.names
    assert models.owner("mine")[0] == "my-plugin"
    assert models.estimate("mine", JOB, OPERATION) == (Estimate("star", time_us=3.0),)


def test_two_of_a_name() -> None:
    one = answering()
    with raises("plugin-twice", r"'b' and 'a' both define the cost model 'mine'"):
        load_cost_models([("b", Plugin(one)), ("a", Plugin(one))])
    with raises("plugin-twice", "'a' and 'a'"):
        load_cost_models([("a", Plugin(one, one))])
    own = CostModelSpec("calibrated", one.predict)
    with raises("plugin-twice", r"'distos_coll\.costs\.calibrated' and 'z'"):
        load_cost_models([("z", Plugin(own))])


def test_a_hook_that_fails_or_returns_something_else() -> None:
    class Broken:
        @hookimpl
        def distos_coll_cost_models(self) -> list[CostModelSpec]:
            raise KeyError("gone")

    class Odd:
        @hookimpl
        def distos_coll_cost_models(self) -> list[str]:
            return ["calibrated"]

    with raises("plugin-hook", r"'mine' .* failed in distos_coll_cost_models\(\): KeyError"):
        load_cost_models([("mine", Broken())])
    with raises("plugin-list", r"'mine'.*distos_coll_cost_models\(\).*CostModelSpec"):
        load_cost_models([("mine", Odd())])


def test_a_model_that_fails_or_answers_nonsense_is_named() -> None:
    def predict(*_: object) -> list[Estimate]:
        raise ZeroDivisionError("no channels")

    def ask(*models: CostModelSpec) -> None:
        load_cost_models([("p", Plugin(*models))]).estimate("mine", JOB, OPERATION)

    with raises("model-failed", r"'p': the cost model 'mine' failed: ZeroDivisionError: no ch"):
        ask(CostModelSpec("mine", predict))
    with raises("model-answer", "'p': the cost model 'mine' returns float"):
        ask(answering(3.0))
    for time in (-1.0, float("nan"), float("inf")):
        with raises("model-time", f"'p'.*predicts {time} us for star/ll"):
            ask(answering(Estimate("star", "ll", time_us=time)))


def test_an_unknown_model() -> None:
    with raises("model-unknown", "'fast'; known: calibrated"):
        load_cost_models().estimate("fast", JOB, OPERATION)


def test_the_cheapest() -> None:
    a, b, c = Estimate("a", time_us=2.0), Estimate("b", time_us=1.0), Estimate("c", time_us=1.0)
    no = Estimate("d", "simple", reason="no NVSwitch")
    assert cheapest([no, a, b, c]) is b
    assert not no.may_run
    with raises("model-none", "d/simple: no NVSwitch"):
        cheapest([no])
    with raises("model-none"):
        cheapest([])


@pytest.mark.parametrize("ranks", [(), (0,), (8, 0)])
def test_nodes_without_ranks(ranks: tuple[int, ...]) -> None:
    with raises("job-nodes"):
        Job(ranks)


@pytest.mark.parametrize(
    "numbers",
    [
        {"channels": 0},
        {"gbps_intra": 0.0},
        {"gbps_inter": -1.0},
        {"latency_inter_us": -1.0},
        {"gbps_intra": float("nan")},
        {"gbps_intra": float("inf")},
    ],
)
def test_a_graph_that_carries_nothing(numbers: dict[str, float]) -> None:
    with raises("job-graph"):
        ChannelGraph(**{"channels": 1, "gbps_intra": 1.0, **numbers})  # type: ignore[arg-type]


def test_what_is_left_out_of_a_graph_or_view() -> None:
    assert ChannelGraph(8, 40.0).gbps_inter == 40.0
    assert NcclView(90).max_compute_capability == 90
    ring, tree = ChannelGraph(12, 30.0), ChannelGraph(10, 30.0)
    assert NcclView(90, ring=ring, tree=tree).channels_of_communicator() == 20
    assert NcclView(90, ring=ring, tree=tree, channels=16).channels_of_communicator() == 16
    assert NcclView(90, ring=ChannelGraph(40, 30.0)).channels_of_communicator() == 64


def test_views_and_operations_that_cannot_be() -> None:
    with raises("job-capability", "from 9 to 9"):
        NcclView(9)
    with raises("job-capability", "from 90 to 80"):
        NcclView(90, max_compute_capability=80)
    with raises("job-negative", "collnet_heads of a job is -1"):
        NcclView(90, collnet_heads=-1)
    with raises("job-negative", "net_overhead_us"):
        NcclView(90, net_overhead_us=-0.5)
    with raises("job-operation", "1 operations of -1 bytes"):
        Operation(C.ALL_REDUCE, -1)
    with raises("job-operation", "0 operations"):
        Operation(C.ALL_REDUCE, 1, pipe_ops=0)


# calibrated


figures = st.builds(
    lambda alpha, gbps, reduce: Figures(
        mapped=LinkCost(alpha, gbps), tcp=LinkCost(9 * alpha, gbps / 7), reduce=LinkCost(0, reduce)
    ),
    st.floats(0.1, 50),
    st.floats(0.5, 100),
    st.floats(0.5, 100),
)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    figures,
    st.sampled_from([1 << 16, 1 << 20]),
    st.sampled_from(list(C)),
    st.integers(0, 1 << 28),
)
def test_calibrated_is_what_the_planner_predicts(
    sizes: list[int], figures: Figures, slot: int, collective: C, size: int
) -> None:
    """Candidate by candidate, for whatever the planner finds able to run."""
    view = ClusterView(
        sum(sizes),
        tuple(d for d, n in enumerate(sizes) for _ in range(n)),
        slot_bytes=slot,
        profile=Profile(figures),
    )
    table = plan(view, registry=REGISTRY, collectives=[collective])
    explained = table.explain(collective, size)
    able = [v for v in explained.verdicts if v.model_us is not None]
    keys = {(v.algorithm, v.variant) for v in able}
    specs = [a.spec for a in REGISTRY.of(collective) if (a.spec.name, a.spec.variant) in keys]
    job = Job(tuple(sizes), host=HostView(figures, slot))
    found = load_cost_models().estimate("calibrated", job, Operation(collective, size), specs)
    assert {(e.algorithm, e.variant, e.segment_bytes): e.time_us for e in found} == {
        (v.algorithm, v.variant, v.segment_bytes): max(0.0, v.model_us or 0.0) for v in able
    }
    for each in found:
        assert each.time_us is not None
        assert each.fixed_us is not None
        assert 0 <= each.fixed_us <= each.time_us


def test_calibrated_prices_operations_that_are_launched_together() -> None:
    specs = [a.spec for a in REGISTRY.of(C.ALL_REDUCE)]
    models = load_cost_models()
    one = models.estimate("calibrated", JOB, OPERATION, specs)
    three = models.estimate("calibrated", JOB, Operation(C.ALL_REDUCE, 1 << 20, pipe_ops=3), specs)
    for a, b in zip(one, three, strict=True):
        assert a.name == b.name
        assert a.time_us is not None
        assert a.latency_us is not None
        assert b.time_us == pytest.approx(a.time_us + 2 * a.latency_us)


def test_calibrated_prices_nothing_that_it_was_not_given() -> None:
    models = load_cost_models()
    assert models.estimate("calibrated", JOB, OPERATION) == ()
    others = [a.spec for a in REGISTRY.of(C.BROADCAST)]
    assert models.estimate("calibrated", JOB, OPERATION, others) == ()
