"""What a profile says, how a plan follows it, and which files are taken for one."""

import json
import logging
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from error_page import raises, says
from hypothesis import given
from hypothesis import strategies as st
from measured import ALL_REDUCE, REGISTRY, SIZES, favouring, profile_of, stored, table_of

from distos_coll import profiles
from distos_coll._vocabulary import Collective
from distos_coll.errors import InvalidArgument
from distos_coll.group_plan import Found, plan_for
from distos_coll.planner import ClusterView, Figures, LinkCost, Plan, Profile, plan
from distos_coll.planner.profile import BUILT_IN, Curve, Kind, Table
from distos_coll.planner.profile_text import as_dict, from_dict
from distos_coll.settings import Settings

TWO = ClusterView.one_domain(2)
HALVES = Kind(Collective.ALL_REDUCE, halves=True)


def planned(profile: Profile, view: ClusterView = TWO) -> Plan:
    return plan(replace(view, profile=profile), registry=REGISTRY)


# ---- curves


def test_a_curve_between_its_sizes_and_outside() -> None:
    curve = Curve((100, 10_000), (1.0, 100.0))
    assert curve.at(100) == pytest.approx(1)
    assert curve.at(1000) == pytest.approx(10)
    assert curve.at(99) is None
    assert curve.at(10_001) is None
    assert Curve((1 << 20,), (5.0,)).at(7) == pytest.approx(5)


@given(us=st.lists(st.floats(0.1, 1e6), min_size=1, max_size=8), slope=st.floats(0, 1))
def test_a_corrected_model_says_what_was_measured(us: list[float], slope: float) -> None:
    sizes = tuple(1 << step for step in range(len(us)))

    def model(size: int) -> float:
        return slope * size

    corrected = Curve(sizes, tuple(us)).correct(model)
    assert [corrected(size) for size in sizes] == pytest.approx(us)
    # Outside, the model is wrong by as much as at the edge.
    if slope > 0.01:
        assert corrected(sizes[-1] * 4) == pytest.approx(us[-1] * 4)


# ---- plans


@pytest.mark.parametrize("name", ["ring", "tree", "rhd", "direct1", "direct2"])
def test_what_was_measured_fastest_is_chosen(name: str) -> None:
    table = planned(profile_of(TWO, {ALL_REDUCE: favouring(name)}))
    for size in (*SIZES, 100, 1 << 18):
        assert table.choice("all_reduce", size).candidate.algorithm.spec.name == name
    # Other collectives were not measured.
    assert (
        table.explain("broadcast", 64).verdicts
        == planned(BUILT_IN).explain("broadcast", 64).verdicts
    )


def test_only_groups_of_the_same_shape_follow_a_table() -> None:
    profile = profile_of(TWO, {ALL_REDUCE: favouring("tree")})
    built_in = [row.candidate.key for row in planned(BUILT_IN).rows]
    for other in (
        ClusterView.one_domain(3),
        ClusterView.one_domain(2, single_copy=True),
        ClusterView.one_domain(2, slot_bytes=1 << 16),
        ClusterView(2, (0, 1)),
        ClusterView(2, (0, 0), cores=(1,)),
    ):
        assert planned(profile, other).rows == planned(BUILT_IN, other).rows
    assert [row.candidate.key for row in planned(profile).rows] != built_in


def test_halves_follow_their_own_times() -> None:
    times = {ALL_REDUCE: favouring("ring"), HALVES: favouring("direct1")}
    table = planned(profile_of(TWO, times))
    assert table.choice("all_reduce", 4096).candidate.key == "ring"
    halves = table.choice("all_reduce", 4096, halves=True).candidate
    assert halves.algorithm.spec.name == "direct1"


def test_figures_move_the_choice_in_groups_that_were_not_measured() -> None:
    view = ClusterView.one_domain(4, single_copy=True)
    slow = planned(Profile(Figures(single_copy=LinkCost(50, 0.1))), view)
    fast = planned(Profile(Figures(single_copy=LinkCost(0.1, 90))), view)
    keys = [{row.candidate.key for row in table.rows} for table in (slow, fast)]
    assert not any("single_copy" in key for key in keys[0])
    assert any("single_copy" in key for key in keys[1])
    assert slow.fingerprint != fast.fingerprint


def test_what_comes_from_memory_costs_more() -> None:
    near_only = LinkCost(0, 10.0)
    both = LinkCost(0, 10.0, 5.0)
    assert both.us_of(1000, 1000, cache_bytes=1000) == near_only.us(1000)
    assert both.us_of(1000, 1 << 40, cache_bytes=1000) == pytest.approx(2 * near_only.us(1000))
    assert near_only.us_of(1000, 1 << 40, cache_bytes=1000) == near_only.us(1000)


def test_explain_prints_predicted_measured_and_model() -> None:
    table = planned(profile_of(TWO, {ALL_REDUCE: favouring("tree")}))
    explained = table.explain("all_reduce", 4096)
    tree = explained.winner
    assert tree.algorithm == "tree"
    assert tree.predicted_us == pytest.approx(5)
    assert tree.measured_us == pytest.approx(5)
    model = {
        v.algorithm: v.predicted_us for v in planned(BUILT_IN).explain("all_reduce", 4096).verdicts
    }
    assert tree.model_us == model["tree"]
    lines = str(explained).splitlines()
    assert lines[0].endswith("by a profile, measured in groups like this one")
    assert lines[2].split()[:7] == ["*", "tree", "16384", "5.0", "us", "5.0", "us"]
    # Above what was measured there is a prediction only.
    above = table.explain("all_reduce", 1 << 24).winner
    assert above.measured_us is None
    assert above.predicted_us is not None
    assert "not measured" in planned(table.view.profile, ClusterView.one_domain(5)).basis


def test_a_forced_plan_runs_nothing_else() -> None:
    table = planned(BUILT_IN)
    for place in range(3):
        chosen = {c: each[place % len(each)] for c, each in table.allowed.items()}
        forced = table.forcing(chosen, REGISTRY)
        assert {row.collective: row.candidate for row in forced.rows} == chosen
        assert forced.half_rows == ()
        assert [program.name for program in forced.programs] == [
            c.key for _, c in sorted(chosen.items())
        ]
        assert forced.encode() != table.encode()


# ---- text


def full() -> Profile:
    return profile_of(
        TWO,
        {ALL_REDUCE: favouring("ring"), HALVES: favouring("tree")},
        mapped=LinkCost(0.3, 9.5, 4.25),
        cache_bytes=1 << 21,
    )


def test_a_profile_comes_back_as_it_was() -> None:
    assert from_dict(json.loads(json.dumps(as_dict(full())))) == full()
    assert from_dict(as_dict(BUILT_IN)).figures.tcp == BUILT_IN.figures.tcp


def change(value: Any, path: str, to: Any) -> None:
    *way, last = path.split("/")
    for step in way:
        value = value[int(step) if step.isdigit() else step]
    if to is KeyError:
        del value[last]
    else:
        value[last] = to


CURVE = "tables/0/times/all_reduce/ring@65536"


@pytest.mark.parametrize(
    ("path", "to", "why"),
    [
        ("figures", None, "figures is no object of mapped"),
        ("figures/mapped", 3, "mapped is no object of alpha_us"),
        ("figures/mapped/gbps", 0, "mapped.gbps is 0"),
        ("figures/mapped/gbps", KeyError, "mapped is no object of"),
        ("figures/mapped/alpha_us", "3", "mapped.alpha_us is '3', and no number"),
        ("figures/tcp/far_gbps", -1, "tcp.far_gbps is -1"),
        ("figures/switch_us", float("nan"), "switch_us is nan"),
        ("figures/cache_bytes", 1.5, "cache_bytes is 1.5, and no whole number"),
        ("figures/warp_us", 1, "figures is no object of"),
        ("tables", {}, "tables is no list"),
        ("tables/0/shape/single_copy", 1, "single_copy is neither"),
        ("tables/0/shape/domains", [True], "domains is True"),
        ("tables/0/shape/sharing", 0, "sharing is 0"),
        ("tables/0/times/nonsense", {}, "'nonsense' is no collective"),
        ("tables/0/times/broadcast of halves", {}, "is no collective"),
        (f"{CURVE}/bytes", [64, 64, 4096], "expected ascending sizes"),
        (f"{CURVE}/us", [1.0], "as many times"),
        (f"{CURVE}/us", [1.0, 0, 1.0], "is 0"),
        (CURVE, [], "ring@65536 is no object of bytes, us"),
    ],
)
def test_a_damaged_profile_is_told(path: str, to: Any, why: str) -> None:
    value = as_dict(full())
    change(value, path, to)
    with pytest.raises(ValueError, match=why):
        from_dict(value)


# ---- files


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this machine's profile is looked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    profiles._warn_once.cache_clear()
    profiles.shared.cache_clear()
    return profiles.path_of(Settings())


def named(path: Path) -> Settings:
    return Settings(profile=str(path))


def test_a_profile_is_found_where_it_was_saved(place: Path) -> None:
    assert profiles.in_use(Settings()) is None
    profiles.save(stored(full()), place)
    assert profiles.in_use(Settings()) == stored(full())
    assert profiles.in_use(named(place)) == stored(full())
    assert profiles.in_use(Settings(profile="none")) is None
    assert [file.name for file in place.parent.iterdir()] == [place.name]


def test_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert profiles.path_of(Settings(profile="~/x.json")) == Path.home() / "x.json"
    found = profiles.path_of(Settings(), {"XDG_CACHE_HOME": "/var/cache"})
    assert found.parent == Path("/var/cache/distos-coll")
    default = profiles.path_of(Settings(profile="none"), {})
    assert default == Path.home() / ".cache/distos-coll" / found.name
    # The kernel and the build are not in the name: what is stale shall be found.
    newer = replace(profiles.own_key(), kernel="9.9", build="9.9-0")
    monkeypatch.setattr(profiles, "own_key", lambda: newer)
    assert profiles.path_of(Settings(), {}) == default


@pytest.mark.parametrize("what", ["cpu", "cores", "kernel", "build"])
def test_a_stale_profile(place: Path, what: str, caplog: pytest.LogCaptureFixture) -> None:
    key = profiles.own_key()
    changed: dict[str, Any] = {what: 999 if what == "cores" else "older"}
    old = replace(key, **changed)
    profiles.save(replace(stored(full()), key=old), place)
    why = (
        f"it is stale: measured with {what} {getattr(old, what)}, and this is {getattr(key, what)}"
    )
    with raises("profile-refused", why):
        profiles.in_use(named(place))
    # One that nobody named is no reason to fail.
    for _ in range(2):
        assert profiles.in_use(Settings()) is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert why in record.getMessage()
    assert says("profile-refused", record.getMessage())


def cut(text: str) -> str:
    return text[: len(text) // 2]


def without(name: str) -> Callable[[str], str]:
    def changed(text: str) -> str:
        value = json.loads(text)
        value[name] = None
        return json.dumps(value)

    return changed


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (cut, "cannot be used: "),
        (lambda _: "", "Expecting value"),
        (lambda _: "[" * 100_000, "cannot be used: "),
        (lambda _: "{}", "it has no schema_version 2"),
        (lambda text: text + " " * (16 << 20), "it is too large"),
        (without("key"), "its key is not cpu, cores, kernel, build"),
        (without("measured_at"), "its measured_at is no text"),
        (without("profile"), "the profile is no object"),
    ],
)
def test_a_damaged_file(place: Path, damage: Callable[[str], str], why: str) -> None:
    place.parent.mkdir()
    place.write_text(damage(profiles.as_text(stored(full()))))
    with raises("profile-refused", why):
        profiles.in_use(named(place))
    assert profiles.in_use(Settings()) is None


def test_a_named_file_must_be_there(place: Path) -> None:
    with raises("profile-refused", "No such file"):
        profiles.in_use(named(place))


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    inside = tmp_path / "file" / "profile.json"
    with raises("profile-write"):
        profiles.prepare(inside)
    with raises("profile-write"):
        profiles.save(stored(BUILT_IN), inside)
    profiles.prepare(tmp_path / "new" / "profile.json")
    assert list((tmp_path / "new").iterdir()) == []


# ---- what rank 0 tells


def test_what_is_told_is_what_is_planned_by(place: Path) -> None:
    three = table_of(ClusterView.one_domain(3), {ALL_REDUCE: favouring("tree")})
    profiles.save(stored(replace(full(), tables=(*full().tables, three))), place)
    told = profiles.shared(Settings(), 2)
    # Of groups with as many ranks only.
    assert profiles.received(told) == full()
    found = Found([0, 0], [0x201, 0x201], told)
    assert plan_for(Settings(), found).choice("all_reduce", 64).candidate.key == "ring"
    assert profiles.received(profiles.shared(Settings(profile="none"), 2)) == BUILT_IN
    # A process reads its profile once, so that all its groups agree.
    place.unlink()
    assert profiles.shared(Settings(), 2) == told


def test_a_profile_that_is_too_large_is_told_without_tables(
    place: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "LARGEST_SHARED", 400)
    profiles.save(stored(full()), place)
    assert profiles.received(profiles.shared(Settings(), 2)) == replace(full(), tables=())
    assert "too large to share" in caplog.text


def test_why_rank_0_has_none_is_told(place: Path) -> None:
    told = profiles.shared(named(place), 2)
    with raises("profile-refused", "^rank 0: the profile"):
        profiles.received(told)


NESTED = b"+" + zlib.compress(b"[" * 100_000)


@pytest.mark.parametrize("told", [b"nonsense", b"+nonsense", b"+", NESTED])
def test_what_cannot_be_read_is_refused(told: bytes) -> None:
    with raises("profile-told"):
        profiles.received(told)
    with pytest.raises(InvalidArgument):
        plan_for(Settings(), Found([0, 0], [1, 1], told))


def test_a_table_of_another_version_has_other_candidates() -> None:
    """Names that no candidate has are of no consequence."""
    curves = {"nobody@1": Curve((64,), (1.0,))}
    profile = Profile(tables=(Table(TWO.measured.shape, {ALL_REDUCE: curves}),))
    assert planned(profile).rows == planned(BUILT_IN).rows
