"""Every way to start the array door's ranks as processes: launchers, spawn, arguments."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
WORKER = str(HERE / "array_worker.py")
DEADLINE_S = 120
LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "OMPI_", "PMI", "MPI_", "SLURM_", "TORCHEL")


def environment() -> dict[str, str]:
    """This process's, without settings and without what a launcher of this process left."""
    kept = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("DISTOS_COLL_", "NCCL_", *LAUNCHERS))
    }
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    kept["OMP_NUM_THREADS"] = "1"
    return kept


@contextlib.contextmanager
def started(*command: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own; of the group nothing is left afterwards."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment() | more,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            # Launchers end their ranks themselves when they are asked to.
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        if process.poll() is None:
            process.communicate(timeout=10)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a good end, and return what it wrote to stderr."""
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, (
        f"{process.args!r} ended with {process.returncode}:\n{out}\n{err}"
    )
    return err


def launch(*command: str, **more: str) -> None:
    with started(*command, **more) as process:
        finish(process)


def reports(folder: Path) -> list[Any]:
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted(found, key=lambda report: int(report["rank"]))


def assert_rounds(folder: Path, size: int) -> None:
    assert reports(folder) == [
        {
            "rank": rank,
            "size": size,
            "names": ["world", "world 2", "world 3"],
            "domains": [0] * size,
        }
        for rank in range(size)
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def unix_place() -> str:
    return f"unix:{uuid.uuid4()}"


# ---- launchers


@pytest.mark.parametrize("mode", ["rounds", "rounds+hosts"])
def test_torchrun(tmp_path: Path, mode: str) -> None:
    pytest.importorskip("torch", reason="torchrun is torch's")
    launch(*torchrun(4), WORKER, mode, str(tmp_path))
    assert_rounds(tmp_path, 4)


def torchrun(size: int, *options: str) -> list[str]:
    where = ("--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", str(size))
    return [sys.executable, "-m", "torch.distributed.run", *where, *options]


def test_torchrun_starts_again_after_a_failure(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torchrun is torch's")
    launch(*torchrun(3, "--max-restarts", "1"), WORKER, "elastic", str(tmp_path))
    assert reports(tmp_path) == [{"rank": r, "size": 3, "restarts": 1} for r in range(3)]


def test_open_mpi(open_mpi: list[str], tmp_path: Path) -> None:
    launch(*open_mpi, "-n", "4", sys.executable, WORKER, "rounds", str(tmp_path))
    assert_rounds(tmp_path, 4)


def test_open_mpi_over_several_hosts_asks_mpi4py(open_mpi: list[str], tmp_path: Path) -> None:
    command = [*open_mpi, "-n", "3", sys.executable, WORKER, "rounds+hosts", str(tmp_path)]
    launch(*command, MPI4PY_LIBMPI=library_of(Path(open_mpi[0])))
    assert_rounds(tmp_path, 3)


def test_mpich(mpich: list[str], tmp_path: Path) -> None:
    launch(*mpich, "-n", "4", sys.executable, WORKER, "rounds", str(tmp_path))
    assert_rounds(tmp_path, 4)


def test_mpich_over_several_hosts_asks_mpi4py(mpich: list[str], tmp_path: Path) -> None:
    command = [*mpich, "-n", "3", sys.executable, WORKER, "rounds+hosts", str(tmp_path)]
    launch(*command, MPI4PY_LIBMPI=library_of(Path(mpich[0])))
    assert_rounds(tmp_path, 3)


@pytest.mark.usefixtures("open_mpi")
def test_an_mpi4py_of_another_mpi_is_named(
    mpich: list[str], open_mpi: list[str], tmp_path: Path
) -> None:
    command = [*mpich, "-n", "2", sys.executable, WORKER, "rounds+hosts", str(tmp_path)]
    with started(*command, MPI4PY_LIBMPI=library_of(Path(open_mpi[0]))) as process:
        _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode != 0
    assert "mpi4py that it is 0 of 1: mpi4py uses another MPI than the launcher" in err


def library_of(launcher: Path) -> str:
    """What mpi4py shall load: the library beside the launcher."""
    pytest.importorskip("mpi4py")
    found = sorted(launcher.parents[1].glob("lib/libmpi.so.*"))
    if not found:
        pytest.skip(f"there is no libmpi.so beside {launcher}")
    return str(found[0])


def test_under_pytest_mpi(open_mpi: list[str]) -> None:
    pytest.importorskip("pytest_mpi")
    tests = str(HERE / "mpi")
    command = [sys.executable, "-m", "pytest", "--with-mpi", "--only-mpi", "-p", "no:cacheprovider"]
    with started(*open_mpi, "-n", "2", *command, tests) as process:
        out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, out + err
    assert out.count("2 passed") == 2, out


def test_spawn_with_a_port(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch.multiprocessing")
    place = f"127.0.0.1:{free_port()}"
    launch(sys.executable, WORKER, "rounds", str(tmp_path), "spawn", "3", place)
    assert_rounds(tmp_path, 3)


# ---- arguments


@contextlib.contextmanager
def ranks(
    modes: dict[int, str], size: int, place: str, folder: Path
) -> Iterator[dict[int, subprocess.Popen[str]]]:
    with contextlib.ExitStack() as stack:
        yield {
            rank: stack.enter_context(
                started(sys.executable, WORKER, mode, str(folder), str(rank), str(size), place)
            )
            for rank, mode in modes.items()
        }


def test_arguments_with_a_unix_name(tmp_path: Path) -> None:
    with ranks(dict.fromkeys(range(3), "rounds"), 3, unix_place(), tmp_path) as processes:
        for process in processes.values():
            assert finish(process) == ""
    assert_rounds(tmp_path, 3)


def test_arguments_with_an_ipv6_port(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
            place = f"[::1]:{probe.getsockname()[1]}"
    except OSError as error:
        pytest.skip(f"no IPv6 here: {error}")
    with ranks(dict.fromkeys(range(2), "rounds"), 2, place, tmp_path) as processes:
        for process in processes.values():
            finish(process)
    assert_rounds(tmp_path, 2)


def test_a_rank_that_ends_without_close_has_left(tmp_path: Path) -> None:
    with ranks(dict.fromkeys(range(3), "leave"), 3, unix_place(), tmp_path) as processes:
        for process in processes.values():
            assert finish(process) == ""
    first, second, third = reports(tmp_path)
    assert second["failure"] == ""
    for report in (first, third):
        assert report["failure"].startswith("PeerLeft: rank 1 (process "), report


def test_a_rank_that_never_comes_is_named_and_may_come_later(tmp_path: Path) -> None:
    place = unix_place()
    with ranks(dict.fromkeys(range(2), "late"), 3, place, tmp_path) as processes:
        for process in processes.values():
            assert process.stdout is not None
            said = process.stdout.readline()
            # Who gives up first may tell the other.
            assert said.startswith(("TimeoutExpired: rank 2", "Aborted: rank ")), said
            assert re.search("rank 2 of group '.*' did not appear", said), said
        with ranks({2: "latecomer"}, 3, place, tmp_path) as others:
            for process in (*processes.values(), *others.values()):
                finish(process)
    assert [report["size"] for report in reports(tmp_path)] == [3, 3, 3]


def test_a_new_rank_0_is_found_by_those_that_are_left(tmp_path: Path) -> None:
    place = unix_place()
    with ranks({1: "survivor"}, 2, place, tmp_path) as processes:
        survivor = processes[1]
        assert survivor.stdin is not None
        assert survivor.stdout is not None
        for _ in range(2):
            with ranks({0: "once"}, 2, place, tmp_path) as first:
                finish(first[0])
            assert survivor.stdout.readline() == "done\n"
            survivor.stdin.write("again\n")
            survivor.stdin.flush()
        finish(survivor)
