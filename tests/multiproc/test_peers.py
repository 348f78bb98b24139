"""bench/peers with real ranks: a short run, and peers that die or fall silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.peers.group import Group, PeerLost, PeerRefused
from bench.peers.launch import PEERS, ROOT, Job, Launch, Unavailable, default_places, new_folder
from bench.peers.results import load

PLACES = default_places("", os.environ.get("DISTOS_TEST_MPICH", ""), str(ROOT / "build/dev"))
NEVER_ANSWERS = """
import socket, sys, time
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
connection.sendall(b'{"title": "silent"}\\n')
time.sleep(600)
"""


def test_a_short_run(tmp_path: Path) -> None:
    line = "--collectives all_reduce all_gather --min 4 --max 4K --factor 1024 --repeats 2"
    command = [sys.executable, "-m", "bench.peers", *line.split(), "--burst", "0.005", "--fresh"]
    command += ["--peers", "distos", "gloo", "openmpi", "mpich", "limit", "--out", str(tmp_path)]
    command += ["--dtypes", "float32", "--mpich", PLACES.mpich]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = load(tmp_path / "results.json")
    there = {key.partition(",")[0] for key in results.peers}
    missing = {key.partition(",")[0] for key in results.skipped}
    assert "distos" in there
    assert there | missing == {"distos", "gloo", "openmpi", "mpich", "limit"}, results.skipped
    assert not any("wrong" in entry.refused for cell in results.cells for entry in cell.entries)
    assert [(cell.collective, cell.nbytes, cell.mode) for cell in results.cells] == [
        (collective, nbytes, mode)
        for collective, least in (("all_reduce", 4), ("all_gather", 8))
        for nbytes in (least, 4096)
        for mode in ("same", "fresh")
    ]
    for cell in results.cells:
        without = {"limit"} if cell.mode == "same" else set()
        assert {entry.peer for entry in cell.entries} == there - without
        assert all(len(entry.calls) == 2 and min(entry.calls) > 0 for entry in cell.entries)
    assert {wait.peer for wait in results.waits} == there - {"limit"}
    assert "| all_gather | fresh | float32 | 8 B |" in (tmp_path / "tables.md").read_text()


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


def test_a_dead_rank_is_told_and_takes_the_others_along() -> None:
    with new_folder() as folder:
        group = Group(Job("distos", 2, Path(folder), PLACES))
        try:
            with pytest.raises(PeerRefused, match="no such command"):
                group.ask("sing", 60)
            assert len(group.ask("run all_reduce 1 float32 1 same", 60)) == 2
            pids = [process.pid for process in group._processes]
            os.kill(pids[1], signal.SIGKILL)
            with pytest.raises(PeerLost):
                group.ask("run all_reduce 1 float32 1 same", 60)
            assert all(is_gone(pid) for pid in pids)
        finally:
            group.close()


def test_a_peer_that_does_not_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", NEVER_ANSWERS]
    monkeypatch.setitem(PEERS, "silent", lambda job: Launch([[*command, job.socket]], 1))
    with new_folder() as folder:
        group = Group(Job("silent", 2, Path(folder), PLACES))
        pid = group._processes[0].pid
        with pytest.raises(PeerLost, match=r"no answer in 0\.1 s"):
            group.ask("run all_reduce 1 float32 1 same", 0.1)
        assert is_gone(pid)


def test_a_peer_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such backend')"]
    monkeypatch.setitem(PEERS, "broken", lambda _: Launch([command], 1))
    with new_folder() as folder, pytest.raises(Unavailable, match="ended with 1: no such backend"):
        Group(Job("broken", 2, Path(folder), PLACES))
