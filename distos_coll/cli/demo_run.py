"""Runs the demo's ranks as plain processes: all end well, or all are ended and the reason is told.

Nothing here may hang: a run has a deadline, and so has the ending of a process.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

from distos_coll.cli.demo_worker import Job, Result
from distos_coll.errors import DistosError

END_GRACE_S = 5.0
# How long the others get to tell what they saw after one rank failed; they know within two seconds.
LAST_WORDS_S = 5.0


@dataclass
class _Rank:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]
    pending: bytes = b""
    results: list[Result] | None = None


def run_ranks(job: Job, on_steps: Callable[[int], None]) -> list[list[Result]]:
    """Run `job` on job.size processes; return by backend, then by rank.

    The job's rank and port are filled in here. Raises DistosError with every failed rank's last
    words.
    """
    deadline = time.monotonic() + job.timeout_s
    with _started(job) as ranks:
        _collect(ranks, deadline, on_steps)
        failed = [i for i, rank in enumerate(ranks) if rank.process.poll() != 0]
        if failed:
            raise DistosError(_report(ranks, failed, job.timeout_s))
        by_rank = [rank.results for rank in ranks if rank.results is not None]
    if len(by_rank) != job.size:
        raise DistosError(f"{job.size - len(by_rank)} ranks ended well without a result")
    return [list(results) for results in zip(*by_rank, strict=True)]


@contextmanager
def _started(job: Job) -> Iterator[list[_Rank]]:
    ranks: list[_Rank] = []
    # The store's socket is opened here and inherited by rank 0, so that no port is guessed.
    with socket.create_server(("127.0.0.1", 0)) as listener:
        try:
            for index in range(job.size):
                fd = listener.fileno() if index == 0 else -1
                port = listener.getsockname()[1]
                ranks.append(_start(replace(job, rank=index, port=port, listen_fd=fd)))
            yield ranks
        finally:
            _end(ranks)
            for rank in ranks:
                rank.errors.close()
                if rank.process.stdout is not None:
                    rank.process.stdout.close()


def _start(job: Job) -> _Rank:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        # All ranks are on this host; what its name resolves to does not matter.
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
    }
    errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _started
    process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "distos_coll.cli.demo_worker", json.dumps(asdict(job))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=errors,
        env=environment,
        pass_fds=[job.listen_fd] if job.listen_fd >= 0 else [],
    )
    return _Rank(process, errors)


def _collect(ranks: list[_Rank], deadline: float, on_steps: Callable[[int], None]) -> None:
    """Read what ranks say until all have ended, one has failed, or the deadline has passed."""
    with selectors.DefaultSelector() as selector:
        for rank in ranks:
            selector.register(rank.process.stdout, selectors.EVENT_READ, rank)  # type: ignore[arg-type]
        while selector.get_map() and time.monotonic() < deadline:
            for key, _ in selector.select(timeout=max(0.0, deadline - time.monotonic())):
                rank = key.data
                data = os.read(key.fd, 1 << 16)
                if data:
                    _hear(rank, data, on_steps)
                    continue
                selector.unregister(key.fileobj)
                if _exit_code(rank.process) != 0:
                    deadline = min(deadline, time.monotonic() + LAST_WORDS_S)


def _hear(rank: _Rank, data: bytes, on_steps: Callable[[int], None]) -> None:
    *lines, rank.pending = (rank.pending + data).split(b"\n")
    for line in lines:
        try:
            said: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # a library's own words
        if "steps" in said:
            on_steps(said["steps"])
        elif "results" in said:
            rank.results = [Result(**result) for result in said["results"]]


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    """Return the exit code of a process whose output has ended, None if it lingers."""
    try:
        return process.wait(END_GRACE_S)
    except subprocess.TimeoutExpired:
        return None


def _end(ranks: list[_Rank]) -> None:
    for rank in ranks:
        if rank.process.poll() is None:
            rank.process.kill()
    for rank in ranks:
        _exit_code(rank.process)


def _report(ranks: list[_Rank], failed: list[int], timeout_s: int) -> str:
    lines = [f"the demo failed on {len(failed)} of {len(ranks)} ranks"]
    for index in failed:
        rank = ranks[index]
        code = rank.process.poll()
        if code is None:
            how = f"did not end (the limit is {timeout_s} s; --timeout raises it)"
        elif code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        words = _last_words(rank)
        lines.append(f"rank {index} {how}" + (":" if words else ""))
        lines += [f"    {line}" for line in words]
    return "\n".join(lines)


def _last_words(rank: _Rank) -> list[str]:
    rank.errors.seek(0)
    text = rank.errors.read().decode(errors="replace")
    # After a crash faulthandler lists a hundred extension modules on one line.
    lines = [line for line in text.splitlines() if not line.startswith("Extension modules:")]
    return [line[:200] for line in lines if line.strip()][-12:]
