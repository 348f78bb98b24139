"""kill -9 of any rank in the middle of each collective: all others raise within 2 s and name it;
nothing is left.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fork_server import spawner
from ranks import COLLECTIVES, run

torch = pytest.importorskip("torch", reason="the torch backend is what is killed")

SIZE = 3
# Every pair in `make test-faults`; here each collective once, over all victims in turn.
CASES = [(name, victim) for name in COLLECTIVES for victim in range(SIZE)]
if not os.environ.get("DISTOS_TEST_ALL"):
    CASES = [(name, i % SIZE) for i, name in enumerate(COLLECTIVES)]


@pytest.fixture(scope="module")
def workers() -> Iterator[list[int]]:
    """The DataLoader workers of all cases, which end by themselves."""
    pids: list[int] = []
    yield pids
    # They look for their parent every five seconds, so all cases wait for them together.
    assert wait_until(lambda: not any(map(alive, pids)), 30), "DataLoader workers are left"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def any_left(names: set[str]) -> bool:
    lines = Path("/proc/net/unix").read_text().splitlines()
    return any(line.split()[-1] in names for line in lines)


def wait_until(condition: object, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize(("name", "victim"), CASES)
def test_survivors_raise_and_name_the_dead(workers: list[int], name: str, victim: int) -> None:
    pipes = [spawner().Pipe(duplex=False) for _ in range(SIZE)]
    address = ("127.0.0.1", free_port())
    # Large enough that a kill lands inside an operation, small enough to be quick.
    count = 1 << 18
    processes = [
        spawner().Process(target=run, args=(rank, SIZE, address, name, count, pipes[rank][1]))
        for rank in range(SIZE)
    ]
    sockets: set[str] = set()
    try:
        for process, (_, writer) in zip(processes, pipes, strict=True):
            process.start()
            writer.close()  # so that the end of a rank that fails is seen
        for reader, _ in pipes:
            assert reader.poll(90), "a rank did not get going"
            kind, loaders, names = reader.recv()
            assert kind == "ready"
            assert len(loaders) == 2
            assert all(map(alive, loaders))
            workers += loaders
            sockets |= names
        assert len(sockets) >= SIZE
        time.sleep(0.2)  # well into the loop
        pid = processes[victim].pid
        assert pid is not None
        killed = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        for rank, (reader, _) in enumerate(pipes):
            if rank == victim:
                continue
            assert reader.poll(10), f"rank {rank} still waits 10 s after rank {victim} was killed"
            kind, when, text = reader.recv()
            assert kind == "raised"
            assert f"rank {victim}" in text, text
            assert str(pid) in text, text
            assert when - killed < 2.0, f"rank {rank} took {when - killed:.2f} s: {text}"
        for process in processes:
            process.join(10)
            assert process.exitcode is not None, "a rank did not end"
    finally:
        for process in processes:
            if process.is_alive():
                process.kill()
                process.join(10)
    assert wait_until(lambda: not any_left(sockets), 20), "sockets are left"
