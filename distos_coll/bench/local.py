"""Starts the ranks of a run as processes of this host: all end well, or all are ended and each
failed one's last words are told.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from distos_coll.bench.options import Options
from distos_coll.bench.worker import WRONG, Task
from distos_coll.errors import DistosError

LAST_WORDS_S = 5.0
"""How long the others get to tell what they saw after a rank failed."""
END_GRACE_S = 5.0
_POLL_S = 0.02


@dataclass
class _Rank:
    process: subprocess.Popen[bytes]
    errors: IO[bytes]


def run_local(
    options: Options, ranks: int, environment: Mapping[str, str] = MappingProxyType({})
) -> bool:
    """Run on `ranks` new processes, with more variables in their `environment`; rank 0 reports on
    this one's standard output.

    Return whether every result was right. DistosError has the words of the ranks that failed.
    """
    with _started(options, ranks, environment) as started:
        _wait(started)
        codes = [rank.process.poll() for rank in started]
        failed = [i for i, code in enumerate(codes) if code not in {0, WRONG}]
        if failed:
            raise DistosError(_report(started, failed))
        for rank in started:
            _pass_on(rank)
    return WRONG not in codes


@contextmanager
def _started(options: Options, ranks: int, environment: Mapping[str, str]) -> Iterator[list[_Rank]]:
    started: list[_Rank] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="distos_coll.bench.")))
        try:
            for rank in range(ranks):
                errors = stack.enter_context(tempfile.TemporaryFile())
                task = Task(
                    options.as_dict(), rank, ranks, str(folder), os.getpid(), dict(environment)
                )
                started.append(_Rank(_start(task, errors), errors))
            yield started
        finally:
            for one in started:
                if one.process.poll() is None:
                    one.process.kill()
            for one in started:
                _exit_code(one.process)


def _start(task: Task, errors: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1"),
        # All ranks are on this host; what its name resolves to does not matter.
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        **task.environment,
    }
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "distos_coll.bench.worker", json.dumps(vars(task))],
        stdin=subprocess.DEVNULL,
        stdout=None if task.rank == 0 else errors,
        stderr=errors,
        env=environment,
    )


def _wait(started: list[_Rank]) -> None:
    """Wait until all have ended, or one failed and the others had their time."""
    deadline = float("inf")
    while time.monotonic() < deadline:
        codes = [rank.process.poll() for rank in started]
        if None not in codes:
            return
        if deadline == float("inf") and any(code not in {None, 0, WRONG} for code in codes):
            deadline = time.monotonic() + LAST_WORDS_S
        time.sleep(_POLL_S)


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(END_GRACE_S)
    except subprocess.TimeoutExpired:
        return None


def _report(started: list[_Rank], failed: list[int]) -> str:
    lines = [f"the run failed on {len(failed)} of {len(started)} ranks"]
    for index in failed:
        code = started[index].process.poll()
        if code is None:
            how = f"did not end within {LAST_WORDS_S:.0f} s of another's failure"
        elif code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
        else:
            how = f"ended with exit code {code}"
        words = _words(started[index])[-12:]
        lines.append(f"rank {index} {how}" + (":" if words else ""))
        lines += [f"    {line[:200]}" for line in words]
    return "\n".join(lines)


def _pass_on(rank: _Rank) -> None:
    """Show what a rank that ended well said on standard error, such as what logging was asked."""
    for line in _words(rank):
        print(line, file=sys.stderr)


def _words(rank: _Rank) -> list[str]:
    rank.errors.seek(0)
    text = rank.errors.read().decode(errors="replace")
    # After a crash faulthandler lists a hundred extension modules on one line.
    lines = [line for line in text.splitlines() if not line.startswith("Extension modules:")]
    return [line for line in lines if line.strip()]
