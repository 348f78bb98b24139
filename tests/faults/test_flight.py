"""Flight records of real failures: each rank's file is there when it is told of the failure, and
read together they name whoever is to blame.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from distos_coll.flight import dump, merge, report
from distos_coll.flight.merge import Reading

PATIENCE_S = 100

# `body` calls collectives on `world` and `dp`, two groups of all ranks, and may fail.
PROGRAM = """
import os, resource, signal, sys, time
import numpy, distos_coll
rank = int(sys.argv[1])
world = distos_coll.init(rank=rank, size=3, rendezvous="unix:" + sys.argv[2], timeout=100)
dp = world.split(0)
world.all_reduce(numpy.ones(6))
for group in (world, dp):  # once all have come
    group._native.set_timeout({timeout} * 1000)
print("ready", flush=True)
try:
{body}
except Exception as error:
    print(type(error).__name__, error, flush=True)
os._exit(0)  # as hard as a program can end
"""


@contextlib.contextmanager
def started(
    folder: Path, body: str, *, timeout: int = 60, **settings: str
) -> Iterator[list["subprocess.Popen[str]"]]:
    """Three ranks, which say when they are past their first collectives."""
    program = PROGRAM.format(
        timeout=timeout, body="\n".join("    " + line for line in body.splitlines())
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DISTOS_COLL_")}
    environment["DISTOS_COLL_FLIGHT_FILE"] = f"{folder}/rank_"
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), f"{folder.name}{os.getpid()}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {f"DISTOS_COLL_{k}": v for k, v in settings.items()},
        )
        for rank in range(3)
    ]
    try:
        yield ranks
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
            rank.communicate()


def ended(ranks: Sequence["subprocess.Popen[str]"]) -> list[tuple[str, str]]:
    """What they said after their first collectives, and on stderr."""
    said = [rank.communicate(timeout=PATIENCE_S) for rank in ranks]
    return [(out.removeprefix("ready\n"), err) for out, err in said]


def readings(folder: Path) -> dict[str, Reading]:
    found = merge.merge(dump.read(path) for path in dump.find([folder]))
    return {reading.name: reading for reading in found}


def torchfrtrace(folder: Path, *options: str) -> str:
    module = "torch.distributed.flight_recorder.fr_trace"
    done = subprocess.run(
        [sys.executable, "-m", module, str(folder), *options],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def converted(folder: Path) -> Path:
    command = "from distos_coll.cli.app import main; main()"
    to = folder / "torch"
    done = subprocess.run(
        [sys.executable, "-c", command, "flight", str(folder), "--to-torch", str(to)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    return to


MISMATCH = "(dp.broadcast if rank == 2 else dp.all_reduce)(numpy.ones(8))"


def test_a_mismatch_is_in_the_files_and_torchfrtrace_finds_it(tmp_path: Path) -> None:
    with started(tmp_path, MISMATCH) as ranks:
        for out, err in ended(ranks):
            assert out.startswith("Mismatch"), err
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"rank_{r}.json" for r in range(3)]
    found = readings(tmp_path)
    assert not found["world"].problem
    [conclusion] = report.conclusions(found["world/1.0"])
    assert conclusion == (
        "different calls at #1: ranks 0, 1 called all_reduce of 8 float64, op sum; rank 2 called "
        "broadcast of 64 bytes, root 0"
    )
    # Each has the words of whoever told it, or its own, so they may differ.
    errors = found["world/1.0"].errors
    assert {code for code, _, _ in errors} == {"mismatch"}
    assert sorted(rank for _, _, ranks in errors for rank in ranks) == [0, 1, 2]
    said = torchfrtrace(converted(tmp_path))
    assert "Collective sequence number: 1 has errors" in said
    assert "Culprit rank 2; Error type: COLLECTIVE_TYPE_MISMATCH" in said
    assert ":world/1.0" in said


@pytest.mark.parametrize("how", ["SIGSTOP", "SIGKILL"])
def test_a_rank_that_stops_or_dies_is_missing(tmp_path: Path, how: str) -> None:
    body = f"if rank == 1: os.kill(os.getpid(), signal.{how})\nworld.all_reduce(numpy.ones(8))"
    with started(tmp_path, body, timeout=4) as ranks:
        for out, err in ended([ranks[0], ranks[2]]):
            assert out.startswith("TimeoutExpired" if how == "SIGSTOP" else "PeerDied"), err
    world = readings(tmp_path)["world"]
    assert world.missing == (1,)
    [(place, there)] = world.places
    assert (place.sequence, place.state, there) == (3, "started", (0, 2))
    for code, text, _ in world.errors:
        assert code == ("timeout" if how == "SIGSTOP" else "peer_died")
        assert "rank 1 (process" in text
    said = torchfrtrace(converted(tmp_path), "--allow-incomplete-ranks")
    assert "we missed FR dumps from ranks ({1})" in said


def test_a_signal_writes_the_files_while_the_ranks_are_stuck(tmp_path: Path) -> None:
    body = "time.sleep(1000) if rank == 1 else world.all_reduce(numpy.ones(8))"
    settings = {"FLIGHT_SIGNAL": "SIGUSR1"}
    files = [tmp_path / f"rank_{rank}.json" for rank in range(3)]
    with started(tmp_path, body, timeout=1000, **settings) as ranks:
        for rank in ranks:
            assert rank.stdout
            assert rank.stdout.readline() == "ready\n"
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            for rank in ranks:
                rank.send_signal(signal.SIGUSR1)
            while time.monotonic() < give_up and not all(file.exists() for file in files):
                time.sleep(0.05)
            world = readings(tmp_path)["world"]
            if len(world.behind) == 1:
                break  # the other two have come to their call
        assert all(rank.poll() is None for rank in ranks), "they wait on"
    assert world.behind == (1,)
    assert not world.errors
    conclusion = "rank 1 is behind #3: through with #2, all_reduce of 6 float64, op sum"
    assert any(text.startswith(conclusion) for text in report.conclusions(world))
    said = torchfrtrace(converted(tmp_path))
    assert "Not all ranks joining collective, sequence number: 3" in said
    assert "missing ranks: {1}" in said


def test_a_disk_that_is_full_costs_the_file_only(tmp_path: Path) -> None:
    full = "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
    with started(tmp_path, full + MISMATCH) as ranks:
        for rank, (out, err) in enumerate(ended(ranks)):
            assert out.startswith("Mismatch"), err
            part = f"{tmp_path}/rank_{rank}.json.{ranks[rank].pid}"
            assert err.count("\n") == 1, err
            assert f"no flight record was written: cannot write {part}: write: File too" in err
    assert list(tmp_path.iterdir()) == []


def test_messages_that_nobody_answers_are_named(tmp_path: Path) -> None:
    body = """\
if rank == 0: dp.send(numpy.ones(2), 1, tag=5)
if rank == 1: dp.recv(numpy.ones(2), 0, tag=6)
if rank == 2: dp.recv(numpy.ones(2), tag=9)
"""
    # A message that failed alone does not end the group, so each rank has a file of its own time.
    with started(tmp_path, body, timeout=3) as ranks:
        for out, err in ended(ranks[1:]):
            assert out.startswith(("TimeoutExpired", "PeerLeft", "PeerDied")), err
    said = list(report.conclusions(readings(tmp_path)["world/1.0"]))
    assert any("rank 1 waits for 1 message (tag 6) from rank 0" in text for text in said), said
    assert any("rank 2 waits for 1 message (tag 9) from any rank" in text for text in said), said


def test_a_program_may_ask_for_the_files(tmp_path: Path) -> None:
    body = f'print(distos_coll.dump_flight_record("{tmp_path}/mine_"), flush=True)'
    with started(tmp_path, body) as ranks:
        for rank, (out, err) in enumerate(ended(ranks)):
            assert out == f"['{tmp_path}/mine_{rank}.json']\n", err
    assert not any(reading.problem for reading in readings(tmp_path).values())
