import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from error_page import raises, says
from measured import stored
from topologies import OWN

from distos_coll import __version__, profiles
from distos_coll.bench import worker
from distos_coll.bench.doors import ArrayDoor
from distos_coll.bench.elements import ELEMENTS
from distos_coll.bench.options import Options
from distos_coll.cli import demo, demo_run
from distos_coll.cli.app import app
from distos_coll.cli.demo import Outcome
from distos_coll.cli.demo_worker import Job, Result
from distos_coll.planner import Profile
from distos_coll.planner.links import LinkClass, classed

JOB = Job(("gloo", "gloo"), 0, 2, epochs=2, port=0, listen_fd=-1, timeout_s=120)


def invoke(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, arguments)


def outcome(ranks: int, *, correct: int = 300, losses: tuple[str, ...] = ("0x1p-1",)) -> Outcome:
    theirs = [Result("gloo", ["0x1p-1"], 2000.0, 300, 4) for _ in range(ranks)]
    ours = [replace(r, backend="distos", losses=list(losses), correct=correct) for r in theirs]
    return Outcome(ours, theirs)


def test_version() -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout.strip()) == (0, f"distos-coll {__version__}")
    module = [sys.executable, "-m", "distos_coll", "--version"]
    assert subprocess.check_output(module, text=True) == result.stdout


@pytest.mark.parametrize(
    "arguments", [["--nonsense"], ["nonsense"], ["demo", "--ranks", "0"], ["demo", "--ranks", "x"]]
)
def test_usage_errors_end_with_2(arguments: list[str]) -> None:
    assert invoke(*arguments).exit_code == 2


def into_a_full_disk(*arguments: object) -> tuple[int, str]:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "distos_coll", *map(str, arguments)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
    return done.returncode, done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
@pytest.mark.parametrize(
    ("command", "code"),
    [("show", 1), ("show --json", 1), ("diff", 2), ("diff --json", 2), ("export --to nccl-xml", 1)],
)
def test_a_full_disk(command: str, code: int) -> None:
    """No traceback; and of a comparison no answer that was not given."""
    file = OWN / "nccl-four-mesh.xml"
    files = (file, file) if command.startswith("diff") else (file,)
    status, told = into_a_full_disk("topo", *command.split(), *files)
    assert status == code
    assert told.startswith("distos-coll: ")
    assert "No space left" in told
    assert len(told.splitlines()) == 1


def without(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let imports of the modules fail, and find_spec() find none."""
    find = importlib.util.find_spec
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in modules else find(name)
    )


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "sklearn", "numpy", "torch", "ml_dtypes")
    for arguments, row in (
        (["demo"], "demo-needs"),
        (["bench"], "bench-numpy"),
    ):
        assert says(row, str(invoke(*arguments).exception))
    with raises("bench-no-torch"):
        worker._run_torch(Options(backend="gloo"))
    with raises("bench-array-type"):
        ArrayDoor._wrapped(None, None, next(e for e in ELEMENTS if e.name == "f8e4m3"))  # type: ignore[arg-type]


def test_a_backend_that_cannot_join() -> None:
    pytest.importorskip("torch")
    with raises("bench-torch-failed"):
        worker._run_torch(Options(backend="nonsense"), rank=0, world_size=1)


@pytest.mark.parametrize(
    ("domains", "row"),
    [("two", "plan-number"), ("9", "plan-domains"), ("0", "plan-domains"), ("3,4", "plan-sizes")],
)
def test_domains_that_cannot_be(domains: str, row: str) -> None:
    result = invoke("plan", "explain", "--ranks", "8", "--domains", domains)
    assert result.exit_code == 2
    assert says(row, result.output)


@pytest.mark.parametrize(
    ("hosts", "row"), [("a,b,c", "plan-hosts"), ("a,b", "plan-strangers"), ("a", "plan-hosts")]
)
def test_hosts_that_cannot_be(hosts: str, row: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTOS_COLL_PROFILE", "none")
    result = invoke("plan", "explain", "--ranks", "8", "--domains", "2", "--hosts", hosts)
    assert says(row, str(result.exception))


def test_a_plan_over_the_links_of_a_profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    links = classed("abcd", lambda a, b: LinkClass(30.0, 0.1 if a + b > 1 else 0.01), "a test")
    profiles.save(stored(Profile(links=(links,))), tmp_path / "p.json")
    monkeypatch.setenv("DISTOS_COLL_PROFILE", str(tmp_path / "p.json"))
    arguments = ("plan", "explain", "--ranks", "4", "--bytes", "64M", "--domains")
    found = invoke(*arguments, "4").output
    assert "ring over a, c, b, d: narrowest link 0.1 GB/s (a to c); in the order of ranks" in found
    found = invoke(*arguments, "4", "--hosts", "a,c,b,d", "--json").output
    assert json.loads(found)[0]["layout"][1].startswith("ring over a, c, b, d: narrowest link 0.1")
    # Nobody can tell which two they are.
    assert "links between" not in invoke(*arguments, "2").output
    every = invoke("plan", "explain", "--ranks", "4", "--domains", "4").output
    assert "links between 4 domains: a test; 2 kinds" in every


def test_what_the_demo_complains_of() -> None:
    assert outcome(2).complaint() == ""
    assert says("demo-losses", outcome(2, losses=("0x1.8p-1",)).complaint())
    assert outcome(4, losses=("0x1.8p-1",), correct=301).complaint() == ""
    assert says("demo-correct", outcome(4, correct=302).complaint())


def test_demo_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    def ran(job: Job, on_steps: Any) -> list[list[Result]]:
        on_steps(1)
        both = outcome(job.size)
        return [both.ours, both.theirs]

    monkeypatch.setattr(demo, "run_ranks", ran)
    result = invoke("demo", "--ranks", "3", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["ranks"], said["losses_equal"], said["speed_up"]) == (3, True, 1.0)
    assert said["backends"]["distos"]["correct"] == 300


def test_ranks_train_and_report() -> None:
    steps: list[int] = []
    first, second = demo_run.run_ranks(JOB, steps.append)
    assert [rank.losses for rank in first] == [rank.losses for rank in second]
    assert first[0].losses != first[1].losses
    assert first[0].correct == first[1].correct > 180
    assert steps == [22, 44, 66, 88]


def test_a_rank_that_fails_ends_the_run_with_its_words() -> None:
    with raises("rank-ended", r"(?s)rank 0 ended with exit code 1:.*nonsense"):
        demo_run.run_ranks(replace(JOB, backends=("nonsense",)), print)


def test_a_killed_rank_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []
    start = demo_run._start

    def start_and_note(job: Job) -> Any:
        rank = start(job)
        started.append(rank.process.pid)
        return rank

    def kill_once(steps: int) -> None:
        if started:
            os.kill(started.pop(), signal.SIGKILL)
            started.clear()

    monkeypatch.setattr(demo_run, "_start", start_and_note)
    with raises("rank-killed", "rank 1 was killed by SIGKILL"):
        demo_run.run_ranks(replace(JOB, epochs=1000), kill_once)


def test_a_run_past_its_deadline_is_ended() -> None:
    with raises("demo-late"):
        demo_run.run_ranks(replace(JOB, epochs=100_000, timeout_s=1), print)
