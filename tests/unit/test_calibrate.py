"""What --calibrate and --check-plan measure, in groups of threads, and what they make of it."""

import json
import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from error_page import raises, says
from measured import ALL_REDUCE, REGISTRY, favouring, profile_of, table_of
from typer.testing import CliRunner

import distos_coll
from distos_coll import doctor, profiles
from distos_coll._vocabulary import Collective
from distos_coll.bench import findings, sweep
from distos_coll.bench.calibrate import run_here
from distos_coll.bench.findings import CALIBRATE, CHECK, PROBE, Found, together
from distos_coll.bench.options import Options
from distos_coll.bench.probes import probe
from distos_coll.bench.sweep import Effort
from distos_coll.cli.app import app
from distos_coll.planner import ClusterView, Figures, LinkCost, plan
from distos_coll.planner.profile import BUILT_IN, Kind
from distos_coll.program.contract import REDUCING
from distos_coll.settings import Settings

SMALL = Effort(sizes=(1, 64, 300_000), repeats=1)
TWO = ClusterView.one_domain(2)


class Recorded:
    """In place of a door: what was done, in order."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def barrier(self) -> None:
        self.done.append("meet")

    def call(self) -> None:
        self.done.append("call")


@pytest.mark.parametrize("fresh", [True, False])
def test_the_input_of_large_calls_is_written_before_each(fresh: bool) -> None:
    base, x = Recorded(), np.arange(4.0)
    clock = sweep._Clock(base.barrier, x if fresh else None)
    assert clock.us(base.call, 3) > 0
    each = ["meet", "call", "meet"]
    assert base.done == ["call", *(3 * each if fresh else ["meet", *3 * ["call"], "meet"])]
    assert list(x) == [0, 1, 2, 3]
    x.flags.writeable = False
    with pytest.raises(ValueError, match="read-only") if fresh else nullcontext():
        sweep._Clock(base.barrier, x if fresh else None).us(base.call, 1)


def test_every_candidate_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BATCH_US", 1.0)

    def one(group: distos_coll.Communicator) -> Any:
        return sweep.sweep(group, group._plan, SMALL), group._plan

    (table, made), other = distos_coll.run_threads(2, one)
    assert other[0] == table
    assert {kind.collective for kind in table.kinds} == set(Collective)
    assert {kind.collective for kind in table.kinds if kind.halves} == REDUCING
    for kind, curves in table.kinds.items():
        assert list(curves) == [c.name for c in made.allowed[kind.collective]], kind
        assert len({curve.sizes for curve in curves.values()}) == 1
        assert all(us > 0 for curve in curves.values() for us in curve.us)
    sizes = {kind.text: next(iter(curves.values())).sizes for kind, curves in table.kinds.items()}
    # One byte is no float, and no byte for each rank.
    assert sizes["broadcast"] == (1, 64, 300_000)
    assert sizes["all_reduce"] == sizes["reduce_scatter of halves"] == (64, 300_000)
    assert sizes["all_to_all"] == (64, 300_000)
    # No plan knows the sizes of these.
    assert sizes["barrier"] == (0,)
    assert len(sizes["all_to_all_v"]) == 1
    # The plan of such a group now predicts what was measured.
    profile = distos_coll.planner.Profile(tables=(table,))
    again = plan(replace(made.view, profile=profile), registry=REGISTRY)
    for cell in findings.cells_of(again, table):
        assert cell.good, cell


def test_each_group_runs_what_it_is_forced_to() -> None:
    def one(group: distos_coll.Communicator) -> list[tuple[str, str]]:
        allowed = group._plan.allowed[Collective.ALL_REDUCE]
        ran = []
        with sweep._forced(group, group._plan) as doors:
            for door, candidate in zip(doors, allowed, strict=False):
                work = door._group.all_reduce(group.empty(5000), async_op=True)
                work.wait()
                ran.append((candidate.key, work.algorithm))
        return ran

    ran, _ = distos_coll.run_threads(2, one)
    assert len(ran) > 5
    assert all(wanted == served for wanted, served in ran)


def test_equal_candidates_are_measured_once() -> None:
    allowed = plan(TWO, registry=REGISTRY).allowed[Collective.ALL_REDUCE]
    tree = [c for c in allowed if c.key == "tree"]
    assert [c.segment_bytes for c in tree] == [1 << 14, 1 << 16, 1 << 18]
    assert sweep.distinct(tree, 1 << 10) == {
        "tree@16384": ["tree@16384", "tree@65536", "tree@262144"]
    }
    assert sweep.distinct(tree, 1 << 15) == {
        "tree@16384": ["tree@16384"],
        "tree@65536": ["tree@65536", "tree@262144"],
    }
    assert list(sweep.distinct(tree, 1 << 20)) == [c.name for c in tree]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from distos_coll.bench import probes

    for name, value in (("NEAR", 4096), ("FAR", 1 << 15), ("STREAM", 1 << 16), ("REPEATS", 1)):
        monkeypatch.setattr(probes, name, value)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("changed", "names"),
    [
        ({}, {"mapped", "cache_bytes", "reduce", "half_reduce", "single_copy"}),
        ({"single_copy": "0"}, {"mapped", "cache_bytes", "reduce", "half_reduce", "message"}),
        ({"shm": "0"}, {"tcp"}),
        (
            {"domain_limit": "2"},
            {"mapped", "cache_bytes", "reduce", "half_reduce", "single_copy", "tcp"},
        ),
    ],
)
def test_what_a_group_can_show_is_probed(
    changed: dict[str, str], names: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(f"DISTOS_COLL_{name.upper()}", value)
    # As if each rank had a core.
    monkeypatch.setattr(ClusterView, "sharing", 1.0)
    found = distos_coll.run_threads(3 if "domain_limit" in changed else 2, probe)
    assert found[0].keys() == names
    for value in found[0].values():
        assert value.gbps > 0 if isinstance(value, LinkCost) else value > 0
    # Those of a domain agree; the third is alone in its own.
    assert found[1] == found[0]


@pytest.mark.usefixtures("quick")
def test_ranks_that_share_cores_show_what_that_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClusterView, "sharing", 2.0)
    found, _ = distos_coll.run_threads(2, probe)
    assert list(found) == ["switch_us"]


# ---- what comes of it


def test_what_is_new_replaces_what_was_known() -> None:
    three = ClusterView.one_domain(3)
    broadcast = Kind(Collective.BROADCAST)
    before = {ALL_REDUCE: favouring("ring"), broadcast: favouring("ring")}
    known = profile_of(TWO, before, switch_us=7.0, tcp=LinkCost(9, 9))
    new = table_of(TWO, {ALL_REDUCE: favouring("tree")})
    other = table_of(three, {ALL_REDUCE: favouring("tree")})
    found = [Found({"switch_us": 8.0}), Found({}, (new,)), Found({}, (other,))]
    made = together(known, found)
    assert made.profile.figures == Figures(switch_us=8.0, tcp=LinkCost(9, 9))
    after = {ALL_REDUCE: favouring("tree"), broadcast: favouring("ring")}
    assert made.profile.tables == (table_of(TWO, after), other)
    assert made.key == profiles.own_key()


def test_what_a_job_found_crosses_as_json() -> None:
    table = table_of(TWO, {ALL_REDUCE: favouring("tree")})
    cells = tuple(findings.cells_of(plan(TWO, registry=REGISTRY), table))
    found = Found({"tcp": LinkCost(9, 9)}, (table,), cells, "hearsay")
    assert Found.from_dict(json.loads(json.dumps(found.as_dict()))) == found


@pytest.mark.parametrize(("fastest", "well"), [("ring", True), ("rhd", False)])
def test_choices_are_judged_by_new_times(fastest: str, well: bool) -> None:
    knows = profile_of(TWO, {ALL_REDUCE: favouring("ring")})
    chooses = plan(replace(TWO, profile=knows), registry=REGISTRY)
    cells = tuple(findings.cells_of(chooses, table_of(TWO, {ALL_REDUCE: favouring(fastest)})))
    lines: list[str] = []
    found = [Found({}, (), cells, chooses.basis)]
    assert findings.conclude(found, Options(purpose=CHECK), lines.append) is well
    assert lines[0] == "# predicted by a profile, measured in groups like this one"
    assert lines[-1].startswith(f"# {3 if well else 0} of 3 choices ({'100' if well else '0'}.0%)")
    if not well:
        assert lines[1].startswith(
            "2 ranks, all_reduce of 64 bytes: chose ring@65536, 10.0 us; rhd@"
        )
    as_json: list[str] = []
    findings.conclude(found, Options(purpose=CHECK, json_only=True), as_json.append)
    assert json.loads(as_json[0])["good"] == float(well)


def test_within_a_tenth_is_good() -> None:
    cell = findings.Cell(2, "all_reduce", 64, "a", 11.0, "b", 10.0)
    assert cell.good
    assert not replace(cell, chosen_us=11.1).good


def test_nothing_to_judge() -> None:
    with raises("bench-nothing"):
        findings.conclude([Found({})], Options(purpose=CHECK), print)


def test_a_group_of_a_launcher_concludes_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(findings, "probe", lambda _: {"switch_us": 3.0})
    options = Options(
        sizes=(64,),
        collectives=("barrier",),
        iterations=1,
        purpose=CALIBRATE,
        profile_file=str(tmp_path / "p.json"),
    )
    lines: list[str] = []
    distos_coll.run_threads(2, lambda group: findings.run_purpose(group, options, lines.append))
    made = profiles.load(tmp_path / "p.json").profile
    assert made.figures.switch_us == 3
    assert [kind for table in made.tables for kind in table.kinds] == [Kind(Collective.BARRIER)]
    assert lines[-1] == f"# written to {tmp_path / 'p.json'}"


# ---- the command


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize(
    ("arguments", "row"),
    [
        (["--calibrate", "-t", "2"], "bench-processes"),
        (["--check-plan", "--backend", "gloo"], "bench-processes"),
        (["--calibrate", "--ranks", "1"], "bench-one-rank"),
    ],
)
def test_what_is_not_taken(arguments: list[str], row: str) -> None:
    result = invoke("bench", *arguments)
    assert result.exit_code == 2
    assert says(row, result.output)


def test_a_place_that_cannot_be_written_is_told_first(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = Options(purpose=CALIBRATE, profile_file=str(tmp_path / "file" / "p.json"))
    with raises("profile-write"):
        run_here(options, 2, print)


def test_what_is_measured_without_being_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    from distos_coll.bench import calibrate

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
    jobs = calibrate._jobs(Options(purpose=CALIBRATE), 0)
    assert [size for purpose, size, _ in jobs if purpose == PROBE] == [2, 2, 2, 8]
    assert [size for purpose, size, _ in jobs if purpose != PROBE] == [2, 4, 8]
    assert all(changed["profile"] == "none" for _, _, changed in jobs)
    assert calibrate._jobs(Options(purpose=CHECK), 3) == [(CHECK, 3, {})]


@pytest.mark.slow
def test_calibrated_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real run in processes; the numbers are what they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    few = [
        "all_reduce",
        "barrier",
        "-b",
        "64",
        "-e",
        "64K",
        "-f",
        "1024",
        "-n",
        "1",
        "--ranks",
        "2",
    ]
    written = invoke("bench", "--calibrate", *few)
    assert written.exit_code == 0, written.output
    stored = profiles.in_use(Settings())
    assert stored is not None
    built_in = vars(BUILT_IN.figures)
    same = {name for name, value in vars(stored.profile.figures).items() if value == built_in[name]}
    # One or the other, as the kernel allows it; a cache may be of that size.
    assert same <= {"spill", "cache_bytes", "single_copy"}
    (table,) = stored.profile.tables
    cores = [] if table.shape.sharing == 1 else ["--cores", "1"]
    copy = "--single-copy" if table.shape.single_copy else "--no-single-copy"
    explained = invoke("plan", "explain", "--bytes", "64K", "--json", copy, *cores)
    ((winner, *_),) = [row["candidates"] for row in json.loads(explained.output)]
    assert winner["measured_us"] == pytest.approx(winner["predicted_us"])
    # Groups of other processes plan by it.
    checked = invoke("bench", "--check-plan", *few)
    assert "# predicted by a profile, measured in groups like this one" in checked.output
    assert checked.exit_code in {0, 1}
    finding = next(f for f in doctor._profile())
    assert (finding.status, "groups of 2 ranks" in finding.text) == ("good", True)
