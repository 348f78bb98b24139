"""Runs inputs in a process that may die of them, and says of each what it did."""

import hashlib
import mmap
import os
import resource
import signal
import struct
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType
from typing import Any

from topology_fuzz.coverage import Coverage, coverage
from topology_fuzz.mutate import LARGEST, Mutator
from topology_fuzz.structure import structured
from topology_fuzz.target import Target, few_names

SECONDS, SECONDS_A_BYTE = 5.0, 50e-6
"""CPU time that an input may take. All that is done with one takes some 10 microseconds a byte."""
BYTES, BYTES_A_BYTE = 256 << 20, 1000
"""Address space that an input may add."""
_GROWTH = 1 << 30
"""Bytes that a process may have grown by after many inputs."""
HANG_SECONDS = 20.0
"""CPU time, after the alarm should have rung three times."""
IDLE_FACTOR = 30.0
"""Wall-clock time over CPU time: who has computed too little for this long sleeps."""
_SLOW = 0.5
"""CPU seconds; what takes longer is not changed further, or nothing else would be run."""
_WHOLE = 0.25
"""Of inputs that a reader reads as it did others: all else that is done takes ten times as long."""
_HEADER = struct.Struct("<4Q")


class TooLong(BaseException):
    """The alarm rang. No handler of errors must catch it."""


class Board:
    """What a worker is at, in memory that it shares with who watches."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _HEADER.size + 2 * LARGEST)
        self.executions = self.places = self.kept = 0

    def put(self, data: bytes) -> None:
        self._map[_HEADER.size : _HEADER.size + len(data)] = data
        self.executions += 1
        header = (len(data), self.executions, self.places, self.kept)
        self._map[: _HEADER.size] = _HEADER.pack(*header)

    def get(self) -> bytes:
        """Take over the figures and return the input."""
        size, *figures = _HEADER.unpack(self._map[: _HEADER.size])
        self.executions, self.places, self.kept = figures
        return self._map[_HEADER.size : _HEADER.size + size]


@dataclass(frozen=True)
class Finding:
    what: str
    """One line, the same for inputs that go wrong at the same place."""
    details: str
    data: bytes

    def save(self, folder: Path) -> None:
        """Keep the smallest input of each."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / hashlib.sha1(self.what.encode(), usedforsecurity=False).hexdigest()[:12]
        if not path.exists() or path.stat().st_size > len(self.data):
            path.write_bytes(self.data)
            path.with_suffix(".txt").write_text(
                f"{self.what}\n\n{self.details}", "utf-8", "replace"
            )


@dataclass
class Limited:
    """Runs a target within limits of time and memory."""

    target: Callable[[bytes], object]
    seconds: float = 0.0
    """CPU time of the last input."""
    _page: int = resource.getpagesize()

    def __post_init__(self) -> None:
        signal.signal(signal.SIGPROF, self._rang)

    @staticmethod
    def _rang(_number: int, _frame: FrameType | None) -> None:
        raise TooLong

    def run(self, data: bytes) -> Finding | None:
        before, hard = resource.getrlimit(resource.RLIMIT_AS)
        mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * self._page
        allowed = BYTES + BYTES_A_BYTE * len(data)
        start = time.process_time()
        try:
            resource.setrlimit(resource.RLIMIT_AS, (mapped + allowed, hard))
            # Again and again: what runs while an object is cleaned up swallows exceptions.
            signal.setitimer(signal.ITIMER_PROF, SECONDS + SECONDS_A_BYTE * len(data), 1.0)
            self.target(data)
        except (Exception, TooLong) as error:  # noqa: BLE001 (finding them is what this is for)
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (before, hard))
            return Finding(_called(error), "".join(traceback.format_exception(error)), data)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            resource.setrlimit(resource.RLIMIT_AS, (before, hard))
            self.seconds = time.process_time() - start
        return None


def _called(error: BaseException) -> str:
    """Name it by where it was raised; where an alarm rings is chance, so by what was being done."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "distos_coll" in f.filename or "topology_fuzz" in f.filename]
    if isinstance(error, TooLong):
        place = next((f for f in own if "distos_coll" in f.filename), own[-1])
    else:
        place = own[-1]
    file = place.filename.rpartition("distos_coll/")[2].rpartition("tools/")[2]
    what = str(error)[:60] if type(error).__name__ == "Broken" else ""
    return f"{type(error).__name__} in {file}, {place.name}, line {place.lineno} {what}".strip()


@dataclass
class Job:
    """One format's."""

    format: str
    own: list[bytes]
    others: list[bytes]
    """Other people's, for the last quarter of the time; nothing that comes of them is kept."""
    corpus: Path
    findings: Path
    folder: Path
    seed: int
    cpu_seconds: float
    executions: int = 1 << 60
    """At most; for tests, which do not wait for a time to be over."""
    _pool: list[bytes] = field(default_factory=list)

    def work(self, board: Board) -> None:
        """Run inputs until the time is over; the process ends with it."""
        few_names()
        covered = coverage()
        target = Target(self.format, self.folder)
        random = Random(self.seed + board.executions)
        mutator = Mutator(random, self._pool)

        def run(data: bytes) -> None:
            known = len(covered.places)
            target.run(data, lambda: len(covered.places) > known or random.random() < _WHOLE)

        limited = Limited(run)
        covered.start()
        for data in self.own:
            self._pool.append(data)
            self._run(data, board, limited, covered, keep=False)
        start = _resident()
        others_at = 0.75 * self.cpu_seconds if self.others else self.cpu_seconds
        keep = True
        while (now := time.process_time()) < self.cpu_seconds:
            if board.executions >= self.executions:
                return
            if keep and now > others_at:
                keep = False
                self._pool += self.others
            chosen = random.choice(self._pool if random.random() < 0.6 else self._pool[-30:])
            data = mutator.changed(chosen, lambda data: structured(mutator, data))
            self._run(data, board, limited, covered, keep=keep)
            if not board.executions % 500 and _resident() - start > _GROWTH:
                Finding("Growth", "memory is not given back", data).save(self.findings)
                return

    def _run(
        self, data: bytes, board: Board, limited: Limited, covered: Coverage, *, keep: bool
    ) -> None:
        board.put(data)
        known = len(covered.places)
        finding = limited.run(data)
        if finding and finding.what.startswith("TooLong"):
            covered.stop()
            finding = limited.run(data)  # without what watches it
            covered.start()
        if finding:
            finding.save(self.findings)
        board.places = places = len(covered.places)
        if places > known and keep and not finding and limited.seconds < _SLOW:
            self._pool.append(data)
            self.corpus.mkdir(parents=True, exist_ok=True)
            name = hashlib.sha1(data, usedforsecurity=False).hexdigest()[:12]
            (self.corpus / name).write_bytes(data)
            board.kept += 1


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def watch(job: Job, board: Board) -> float:
    """Run a worker to its end, kill it where it hangs; return the CPU time that it took."""
    pid = os.fork()
    if not pid:
        code = 1
        try:
            job.work(board)
            code = 0
        except BaseException:  # noqa: BLE001 (nothing of the parent's must run here)
            traceback.print_exc()
        finally:
            os._exit(code)
    last, since, seen, killed = -1, 0.0, time.monotonic(), False
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        data = board.get()
        if ended:
            break
        cpu = _cpu_seconds(pid)
        allowed = 3 * (SECONDS + SECONDS_A_BYTE * len(data)) + HANG_SECONDS
        if board.executions != last:
            last, since, seen = board.executions, cpu, time.monotonic()
        elif cpu - since > allowed or time.monotonic() - seen > IDLE_FACTOR * allowed:
            killed = True
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    if killed:
        Finding("Hang", "no alarm ended it", data).save(job.findings)
    elif status:
        Finding("Death", f"the process ended with {_ending(status)}", data).save(job.findings)
    return used.ru_utime + used.ru_stime


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return f"exit code {os.waitstatus_to_exitcode(status)}"


def _cpu_seconds(pid: int) -> float:
    try:
        fields: Any = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
