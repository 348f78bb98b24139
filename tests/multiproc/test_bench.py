"""`distos-coll bench` in processes: its own, torchrun's, mpirun's, Slurm's, and through torch."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from distos_coll.bench.collectives import COLLECTIVES
from distos_coll.bench.local import run_local
from distos_coll.bench.options import Options
from distos_coll.bench.worker import Task
from distos_coll.errors import DistosError

COMMAND = [sys.executable, "-c", "from distos_coll.cli.app import main; main()", "bench"]
TORCHRUN = [sys.executable, "-m", "torch.distributed.run"]
FEW = ["-b", "8", "-e", "64K", "-f", "64", "-n", "2"]
TYPES = 12  # at least, of nccl-tests

needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="torch is not installed"
)


def start(
    *arguments: str,
    launcher: tuple[str, ...] = (),
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    return subprocess.Popen(
        [*launcher, *COMMAND, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


def ended(process: Any) -> str:
    """Wait for a process that ends well; return what it said."""
    try:
        out, err = process.communicate(timeout=200)
    except subprocess.TimeoutExpired:
        process.terminate()
        out, err = process.communicate()
    assert process.returncode == 0, f"{out}\n{err}"
    return str(out)


def run(*arguments: str, launcher: tuple[str, ...] = ()) -> str:
    return ended(start(*arguments, launcher=launcher))


def check_lines(text: str, ranks: int, *, checks: int = 1) -> None:
    assert f"# Ranks: {ranks} hosts: 1" in text
    assert text.count("# Out of bounds values : 0 OK") == checks
    assert "FAILED" not in text


@pytest.fixture(params=["own", "torchrun", "open_mpi", "mpich"])
def four_ranks(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What starts four ranks of a command; nothing for the command itself."""
    if request.param == "own":
        return ()
    if request.param == "torchrun":
        pytest.importorskip("torch", reason="torchrun is torch's")
        return (*TORCHRUN, "--nproc-per-node", "4", "--no-python")
    return (*request.getfixturevalue(request.param), "-n", "4")


@pytest.mark.slow
def test_everything_is_exact(four_ranks: tuple[str, ...]) -> None:
    line = "all -b 8 -e 64K -d all -o all -c 1 -n 1 -w 0 --json"
    # Which sizes there are between the smallest and the largest makes no difference to a launcher.
    more = ("-f", "8192") if four_ranks else ("-f", "8", "--ranks", "4")
    found = json.loads(run(*line.split(), *more, launcher=four_ranks))
    assert found["out_of_bounds"] == {"count": 0, "okay": "true"}
    results = found["results"]
    assert {result["experiment_name"] for result in results} == set(COLLECTIVES)
    for result in results:
        forms = [f for f in (result["out_of_place"], result["in_place"]) if f is not None]
        assert forms
        assert all(form["nwrong"] == 0 for form in forms)
    moved = {r["type"] for r in results if r["experiment_name"] == "all_gather"}
    reduced = {(r["type"], r["redop"]) for r in results if r["experiment_name"] == "all_reduce"}
    assert moved >= {"int8", "uint8", "int32", "uint32", "int64", "uint64", "half", "float"}
    assert reduced >= {("half", "avg"), ("double", "prod"), ("int64", "max"), ("uint8", "min")}
    if importlib.util.find_spec("torch") is not None:
        assert len(moved) >= TYPES
        assert ("bfloat16", "sum") in reduced


def test_the_table_of_two_processes(tmp_path: Path) -> None:
    file = tmp_path / "out.json"
    text = run("all_reduce", "broadcast", *FEW, "-J", str(file), "-m", "3", "-z", "1", "-c", "2")
    check_lines(text, 2, checks=3)
    rows = [line.split() for line in text.splitlines() if not line.startswith("#")]
    assert [row[0] for row in rows] == ["8", "512", "32768"] * 2
    assert {row[-1] for row in rows} != {""}
    assert len(json.loads(file.read_text())["results"]) == 6


def test_threads_as_ranks() -> None:
    text = run("reduce_scatter", "-t", "3", *FEW)
    check_lines(text, 3)
    assert "# nThread 3 " in text


@needs_torch
@pytest.mark.parametrize("backend", ["gloo", "distos"])
def test_through_torch(backend: str) -> None:
    text = run("all", "--ranks", "3", "--backend", backend, *FEW, "-d", "half,int64", "-o", "all")
    check_lines(text, 3, checks=len(COLLECTIVES) + 1)
    assert f"backend {backend})" in text


@needs_torch
@pytest.mark.parametrize("backend", [(), ("--backend", "gloo")], ids=["own", "gloo"])
def test_under_torchrun(backend: tuple[str, ...]) -> None:
    launch = [*TORCHRUN, "--nproc-per-node", "3", "--no-python"]
    text = run("all_reduce", "all_to_all_v", *FEW, *backend, launcher=tuple(launch))
    check_lines(text, 3, checks=3)


def test_under_open_mpi(open_mpi: list[str]) -> None:
    launch = (*open_mpi, "-n", "3")
    check_lines(run("all_gather", "gather", *FEW, launcher=launch), 3, checks=3)


def test_under_mpich(mpich: list[str]) -> None:
    launch = (*mpich, "-n", "3")
    check_lines(run("scatter", "sendrecv", *FEW, launcher=launch), 3, checks=3)


def test_under_slurm() -> None:
    # What srun sets on one node.
    job = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    job |= {"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "n1"}
    every = [
        start("barrier", *FEW, environment={**job, "SLURM_PROCID": str(rank)}) for rank in range(2)
    ]
    first, second = [ended(process) for process in every]
    check_lines(first, 2)
    assert second == ""


@needs_torch
def test_a_backend_that_torch_does_not_have() -> None:
    with pytest.raises(DistosError, match=r"(?s)rank 1 ended with exit code 1:.*nonsense"):
        run_local(Options(sizes=(8,), backend="nonsense"), 2)


def test_a_rank_that_dies_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    from distos_coll.bench import local

    begin = local._start

    def begin_and_kill(task: Task, errors: Any) -> Any:
        process = begin(task, errors)
        if task.rank == 1:
            process.kill()
        return process

    monkeypatch.setattr(local, "_start", begin_and_kill)
    monkeypatch.setattr(local, "LAST_WORDS_S", 0.5)  # rank 0 waits, and has none
    with pytest.raises(DistosError, match="rank 1 was killed by SIGKILL"):
        run_local(Options(sizes=(8,), timeout=20), 2)


SPOILED = """
import sys
from distos_coll.bench import worker
from distos_coll.bench.doors import ArrayDoor
bind = ArrayDoor.bind
def spoiled(door, case, x, out):
    call = bind(door, case, x, out)
    def run(**more):
        result = call(**more)
        if door.rank == 1:
            out[-1] += 1
        return result
    return run
ArrayDoor.bind = spoiled
worker.main()
"""


def test_wrong_results_of_a_process_are_found(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from distos_coll.bench import local

    def begin(task: Task, errors: Any) -> Any:
        return subprocess.Popen([sys.executable, "-c", SPOILED, json.dumps(vars(task))])

    monkeypatch.setattr(local, "_start", begin)
    assert run_local(Options(sizes=(64,)), 2) is False
    assert "# Out of bounds values : 2 FAILED" in capfd.readouterr().out


def test_a_process_whose_starter_is_gone_ends(tmp_path: Path) -> None:
    task = Task(Options().as_dict(), 0, 2, str(tmp_path), parent=1)
    line = [sys.executable, "-m", "distos_coll.bench.worker", json.dumps(vars(task))]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.strip()) == (1, "the starting process has ended")
