from collections.abc import Callable
from importlib.metadata import EntryPoint

import pytest
from error_page import raises

from distos_coll import api
from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    CostInput,
    Need,
    Program,
    ProgramBuilder,
    hookimpl,
)
from distos_coll.errors import PlanError
from distos_coll.planner import ClusterView, plan
from distos_coll.plugins import manager
from distos_coll.plugins.manager import built_in_registry, load

C = Collective


def star(name: str = "star", finalize: bool = True) -> Program:
    """Everybody sends to rank 0, which answers everybody."""
    p = ProgramBuilder(name, C.ALL_REDUCE)
    p.copy((p.output, 0), (p.input, 0), p.count)
    center = p.rank.eq(0)
    with p.when(center):
        for r in p.loop(1, p.size):
            p.recv_reduce(r, (p.output, 0), (p.output, 0), p.count)
        if finalize:
            p.finalize(p.output, 0, p.count)
        for r in p.loop(1, p.size):
            p.send(r, p.output, 0, p.count)
    with p.when(1 - center):
        p.send(0, p.input, 0, p.count)
        p.recv(0, p.output, 0, p.count)
    return p.build()


def free(_: CostInput) -> float:
    return 0.0


class Plugin:
    def __init__(self, *specs: AlgorithmSpec) -> None:
        self.specs = specs

    @hookimpl
    def distos_coll_algorithms(self) -> list[AlgorithmSpec]:
        return list(self.specs)


def with_star(build: Callable[[], Program] = star, **options: object) -> manager.Registry:
    spec = AlgorithmSpec("star", C.ALL_REDUCE, build, free, **options)  # type: ignore[arg-type]
    return load([("star-plugin", Plugin(spec))])


def test_built_ins_come_through_the_hook() -> None:
    registry = built_in_registry()
    assert {"ring", "tree", "rhd", "direct1", "direct2", "pairwise", "binomial", "hier"} == set(
        registry.names
    )
    assert all(a.built_in for a in registry.algorithms)
    keys = [(a.spec.collective, a.spec.name, a.spec.variant) for a in registry.algorithms]
    assert keys == sorted(keys)


def test_specs_tell_the_truth() -> None:
    """Name, collective and needs are checked when a program is built."""
    registry = built_in_registry()
    for algorithm in registry.algorithms:
        assert registry.program(algorithm).name == algorithm.spec.name
        assert algorithm.spec.doc


def test_a_plugin_takes_part() -> None:
    view = ClusterView(3, (0, 1, 1))
    table = plan(view, registry=with_star())
    assert table.choice("all_reduce", 100).candidate.key == "star"
    assert table.explain("all_reduce", 100).winner.plugin == "star-plugin"
    forced = plan(view, "allreduce:ring", registry=with_star())
    assert forced.choice("all_reduce", 100).candidate.key == "ring"


def test_foreign_programs_are_verified_before_use() -> None:
    with raises("plugin-verify", "star"):
        plan(ClusterView.one_domain(3), registry=with_star(lambda: star(finalize=False)))


def folding(offset: int) -> Program:
    """Everybody sends everything to everybody; contributions lie `offset` places off."""
    p = ProgramBuilder("star", C.ALL_REDUCE)
    p.use_scratch(p.size * p.count)
    for s in p.loop(1, p.size):
        source = (p.rank - s) % p.size
        with p.group():
            p.send((p.rank + s) % p.size, p.input, 0, p.count)
            p.recv(source, p.scratch, (source + offset) % p.size * p.count, p.count)
    taken = (p.rank + offset) % p.size
    p.copy((p.scratch, taken * p.count), (p.input, 0), p.count)
    # What lies where this rank's own would be is somebody else's, unless offset is 0.
    p.fold(0, (p.output, 0), (p.scratch, p.rank * p.count), p.count)
    return p.build()


def test_deterministic_plans_take_plugins_that_keep_the_order_of_ranks() -> None:
    view = ClusterView(3, (0, 1, 1))
    table = plan(view, registry=with_star(), deterministic=True)
    (reason,) = (v.reason for v in table.explain("all_reduce", 9).verdicts if v.algorithm == "star")
    assert "another order than that of ranks" in reason
    good = plan(view, registry=with_star(lambda: folding(0)), deterministic=True)
    assert good.choice("all_reduce", 9).candidate.key == "star"
    # It looks as good, so only running it tells.
    plan(view, registry=with_star(lambda: folding(1)))
    with pytest.raises(PlanError, match=r"of ranks \[2\], \[0\], \[1\].*DISTOS_COLL_ALGO=\^star"):
        plan(view, registry=with_star(lambda: folding(1)), deterministic=True)


def test_a_spec_that_lies() -> None:
    with raises("plugin-spec"):
        plan(ClusterView.one_domain(3), registry=with_star(lambda: star("sun")))
    with raises("plugin-spec"):
        plan(ClusterView.one_domain(3), registry=with_star(needs=Need.ONE_DOMAIN))


def test_a_builder_that_fails() -> None:
    def build() -> Program:
        raise RuntimeError("no idea")

    with raises("plugin-build", r"'star-plugin' .*'star' for all_reduce could not.*no idea"):
        plan(ClusterView.one_domain(3), registry=with_star(build))


def test_two_of_a_name() -> None:
    spec = AlgorithmSpec("ring", C.ALL_REDUCE, star, free)
    with raises("plugin-twice", r"'distos_coll.schedules.ring' and 'mine' both define"):
        load([("mine", Plugin(spec))])
    twice = AlgorithmSpec("star", C.ALL_REDUCE, star, free)
    with raises("plugin-twice", "'mine' and 'mine' both define 'star'"):
        load([("mine", Plugin(twice, twice))])


def test_a_variant_is_another_one() -> None:
    spec = AlgorithmSpec("ring", C.ALL_REDUCE, lambda: star("ring"), free, variant="star")
    table = plan(ClusterView(2, (0, 1)), "ring", registry=load([("mine", Plugin(spec))]))
    assert table.choice("all_reduce", 1).candidate.key == "ring/star"


def test_a_hook_that_raises() -> None:
    class Broken:
        @hookimpl
        def distos_coll_algorithms(self) -> list[AlgorithmSpec]:
            raise KeyError("gone")

    with raises("plugin-hook", r"'mine' .* failed in distos_coll_algorithms.*gone"):
        load([("mine", Broken())])


def test_a_hook_that_returns_something_else() -> None:
    class Odd:
        @hookimpl
        def distos_coll_algorithms(self) -> str:
            return "ring"

    with raises("plugin-list"):
        load([("mine", Odd())])


def test_a_hook_with_another_signature() -> None:
    class Wrong:
        @hookimpl
        def distos_coll_algorithms(self, size: int) -> list[AlgorithmSpec]:
            return []

    with raises("plugin-register", "'mine' .* cannot be registered"):
        load([("mine", Wrong())])


def test_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def points(group: str) -> list[EntryPoint]:
        asked.append(group)
        return [EntryPoint("missing", "no_such_module_here", group)]

    monkeypatch.setattr("importlib.metadata.entry_points", points)
    with raises("plugin-import", r"'missing' \(entry point no_such_module_here\) cannot be impor"):
        load()
    assert asked == ["distos_coll"]
    assert built_in_registry().algorithms


def test_authors_find_what_they_need() -> None:
    assert all(hasattr(api, name) for name in api.__all__)
