"""Tells the peers in turn what to do: each repeat of a cell sees all of them back to back."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers.grid import MODES, Cell, cells, dtypes_of, size_text
from bench.peers.group import Group, PeerLost, PeerRefused
from bench.peers.launch import Job, Places, Unavailable, new_folder
from bench.peers.results import Entry, Measured, Results, Wait

MOST_CALLS = 100_000
ABSENT_S = (0.02, 0.2)
"""How late the rank is that others wait for."""
FLAG_CALLS = 20_000
FULL = 0.9  # of a window: another batch of calls is not worth its start
TRUSTED_S = 0.25  # how far ahead a rate is believed, which was measured for a moment


@dataclass(frozen=True)
class Options:
    peers: list[str]
    ranks: list[int]
    loads: list[int]
    collectives: list[str]
    sizes: list[int]
    dtypes: list[str]
    repeats: int
    burst_s: float  # how long a peer is measured in a repeat where the machine is idle
    window_s: float  # and where it is loaded
    fresh: bool
    timeout_s: float
    places: Places

    def seconds(self, load: int) -> float:
        return self.window_s if load else self.burst_s


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """Keep so many cores busy, as long as there is anybody who wants to know."""
    loops = [
        subprocess.Popen(
            [sys.executable, "-c", _BUSY], stdin=subprocess.PIPE, start_new_session=True
        )
        for _ in range(count)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.communicate()


_BUSY = """
import select
while not select.select([0], [], [], 0)[0]:
    for _ in range(100000):
        pass
"""


class Conductor:
    """Measures what the options say, into `results`."""

    def __init__(self, options: Options, results: Results, save: Callable[[], None]) -> None:
        self._options, self._results, self._save = options, results, save
        self._groups: dict[str, Group] = {}

    def run(self) -> None:
        for ranks in self._options.ranks:
            with ExitStack() as stack:
                self._groups = self._started(ranks, stack)
                for load in self._options.loads:
                    with busy_loops(load):
                        self._measure_all(ranks, load)
                    self._save()  # how long ranks waited, too

    def _started(self, ranks: int, stack: ExitStack) -> dict[str, Group]:
        groups = {}
        for peer in self._options.peers:
            folder = Path(stack.enter_context(new_folder()))
            try:
                group = Group(Job(peer, ranks, folder, self._options.places))
            except (Unavailable, PeerLost) as error:
                self._results.skipped[f"{peer}, {ranks} ranks"] = str(error)
                say(f"without {peer}: {error}")
                continue
            stack.callback(group.close)
            groups[peer] = group
            self._results.peers[f"{peer}, {ranks} ranks"] = f"{group.title}: {group.command}"
            say(f"{peer}: {group.title}")
        return groups

    def _measure_all(self, ranks: int, load: int) -> None:
        self._measure_flag(ranks, load)
        for cell in cells(self._options.collectives, self._options.sizes, ranks):
            if not self._groups:
                say("nobody is left to measure")
                return
            for mode in MODES if self._options.fresh and not load else MODES[:1]:
                measured = self._measure(cell, ranks, load, mode)
                if measured.entries:
                    self._results.cells.append(measured)
                    self._save()
                    say(progress(measured))
        self._measure_waits(ranks, load)

    def _measure_flag(self, ranks: int, load: int) -> None:
        """Time how long a flag takes from core to core: what no call can be faster than."""
        key = f"{ranks} ranks, load {load}"
        for _ in range(self._options.repeats):
            answers = self._ask("limit", f"flag {FLAG_CALLS}")
            if isinstance(answers, list):
                one_way = float(answers[0]["seconds"]) / FLAG_CALLS / 2
                self._results.flag_s.setdefault(key, []).append(one_way)

    def _measure(self, cell: Cell, ranks: int, load: int, mode: str) -> Measured:
        seconds = self._options.seconds(load)
        measured = Measured(cell.collective, cell.elements, ranks, load, mode)
        turns = []
        # Threads that write no new input find the last one in their own caches, on whichever side
        # it was: no library could do that, and it is not a limit.
        peers = [peer for peer in self._groups if peer != "limit" or mode == "fresh"]
        for peer in peers:
            for dtype in dtypes_of(cell.collective, self._options.dtypes):
                entry = Entry(peer, dtype)
                measured.entries.append(entry)
                turns.append((entry, self._rate(entry, measured, min(seconds, 0.02))))
        for repeat in range(self._options.repeats):
            first = repeat % max(1, len(turns))
            for entry, rate in turns[first:] + turns[:first]:
                self._fill_window(entry, measured, rate, seconds)
        return measured

    def _rate(self, entry: Entry, cell: Measured, seconds: float) -> float:
        """Warm up; return calls a second, roughly."""
        calls, took = 1, 0.0
        for _ in range(4):
            took = self._time(entry, cell, calls)
            if entry.refused or took > seconds / 2:
                break
            calls = math.ceil(min(MOST_CALLS, calls * min(100.0, seconds / max(took, 1e-7))))
        return calls / max(took, 1e-7)

    def _fill_window(self, entry: Entry, cell: Measured, rate: float, seconds: float) -> None:
        """Let the peer call until the seconds are full; all its calls together are a repeat."""
        done, passed = 0, 0.0
        batch = max(1, round(rate * min(seconds, TRUSTED_S)))
        while passed < seconds * FULL:
            took = self._time(entry, cell, min(batch, MOST_CALLS))
            if entry.refused:
                done = 0
                break
            done, passed = done + min(batch, MOST_CALLS), passed + took
            batch = max(1, min(4 * batch, int((seconds - passed) * done / passed)))
        entry.add(done, passed)

    def _time(self, entry: Entry, cell: Measured, calls: int) -> float:
        """Return the slowest rank's seconds for so many calls; or 0.0, and say why in the entry."""
        if entry.refused:
            return 0.0
        line = f"run {cell.collective} {cell.elements} {entry.dtype} {calls} {cell.mode}"
        answers = self._ask(entry.peer, line)
        if isinstance(answers, str):
            entry.refused = answers
            return 0.0
        return max(1e-9, *(float(answer["seconds"]) for answer in answers))

    def _ask(self, peer: str, line: str) -> list[dict[str, Any]] | str:
        """Return the ranks' answers, or why there are none; who is lost is not asked again."""
        group = self._groups.get(peer)
        if group is None:
            return "is not there"
        try:
            return group.ask(line, self._options.timeout_s)
        except PeerRefused as error:
            return str(error)
        except PeerLost as error:
            del self._groups[peer]
            self._results.skipped[f"{peer}, after `{line}`"] = str(error)
            say(f"goes on without {peer}, lost in `{line}`: {error}")
            return f"lost: {error}"

    def _measure_waits(self, ranks: int, load: int) -> None:
        for absent_s in ABSENT_S:
            waits = {peer: Wait(peer, ranks, load, absent_s) for peer in self._groups}
            for _ in range(self._options.repeats):
                for peer, wait in waits.items():
                    answers = self._ask(peer, f"wait {absent_s}")
                    if isinstance(answers, list):
                        wait.shares.append(max(each.get("share", 0.0) for each in answers))
            self._results.waits += [wait for wait in waits.values() if wait.shares]


def progress(measured: Measured) -> str:
    """Return a line for those who watch."""
    title = f"{measured.ranks} ranks, load {measured.load}, {measured.mode}, {measured.collective}"
    size = size_text(measured.elements * 4) if measured.elements else ""
    times = [
        f"{entry.label} {'-' if (time := entry.median()) is None else f'{time * 1e6:.1f}'}"
        for entry in measured.entries
    ]
    return f"{title} {size}: {', '.join(times)} us"
