"""One rank of one peer: it does what the conductor says, one line at a time, and answers with JSON.

Between lines it sleeps in a read, whatever its library, so that it takes nothing from the peer that
is being measured.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import signal
import socket
import time
from itertools import repeat
from typing import Any

from bench.peers.doors import Array, Call, Door, MpiDoor, NumpyDoor, TorchDoor, pattern
from bench.peers.grid import IN_PLACE, part

KEPT_BYTES = 8 << 20
"""Buffers up to this size are kept for the next repeat; larger ones would fill the memory, since
every rank of every peer has its own."""


class Bound:
    """A call with its buffers."""

    def __init__(self, door: Door, collective: str, elements: int, dtype: str) -> None:
        self._door, self._collective, self._dtype = door, collective, dtype
        in_count, out_count = part(collective, elements, door.ranks)
        self.x = door.empty(in_count, dtype)
        self.out = self.x if collective in IN_PLACE else door.empty(out_count, dtype)
        self.call: Call = door.bind(collective, self.x, self.out, dtype)
        self._check()
        # Zeros stay what they are, however often they are added; touched, unlike new pages.
        self.x.fill(0)

    def write(self) -> None:
        self.x.fill(pattern(self._dtype, self._door.rank + 1))

    def _check(self) -> None:
        """Run the call once and look at every element: a wrong result is not worth timing."""
        self.write()
        self.out.fill(0) if self.out is not self.x else None
        self.call()
        if not self._door.computes or self._collective == "barrier":
            return
        for block, value in self._expected():
            wrong = int((block != pattern(self._dtype, value)).sum())
            if wrong:
                raise ArithmeticError(f"{wrong} wrong elements of {block.size}")

    def _expected(self) -> list[tuple[Array, float]]:
        ranks, total = self._door.ranks, sum(range(1, self._door.ranks + 1))
        if self._collective in {"all_reduce", "reduce_scatter"}:
            return [(self.out, total)]
        if self._collective == "reduce":
            return [(self.out, total)] if self._door.rank == 0 else []
        if self._collective == "broadcast":
            return [(self.out, 1)]
        blocks = self.out.reshape(ranks, -1)
        return [(blocks[source], source + 1) for source in range(ranks)]


def time_back_to_back(door: Door, bound: Bound, calls: int) -> float:
    call = bound.call
    for _ in repeat(None, min(50, 1 + calls // 10)):
        call()
    door.barrier()
    start = time.perf_counter()
    for _ in repeat(None, calls):
        call()
    return time.perf_counter() - start


def time_fresh(door: Door, bound: Bound, calls: int) -> float:
    """Each rank writes its input before each call; only the calls count."""
    total = 0.0
    for number in range(calls + 1):
        bound.write()
        door.barrier()
        start = time.perf_counter()
        bound.call()
        total += time.perf_counter() - start if number > 0 else 0.0
    return total


class Server:
    """Serves the conductor's lines."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._kept: dict[tuple[str, int, str], Bound] = {}

    def answer(self, line: str) -> dict[str, Any]:
        what, *words = line.split()
        if what == "run":
            return self._run(*words)
        if what == "wait":
            return self._wait(float(words[0]))
        raise ValueError(f"no such command: {line!r}")

    def _run(
        self, collective: str, elements: str, dtype: str, calls: str, mode: str
    ) -> dict[str, Any]:
        key = (collective, int(elements), dtype)
        if key not in self._kept:
            if any(kept[:2] != key[:2] for kept in self._kept):
                self._kept.clear()
            self._kept[key] = Bound(self._door, *key)
        timed = time_fresh if mode == "fresh" else time_back_to_back
        gc.disable()
        seconds = timed(self._door, self._kept[key], int(calls))
        gc.enable()
        if self._kept[key].x.nbytes > KEPT_BYTES:
            del self._kept[key]
        return {"seconds": seconds}

    def _wait(self, absent_s: float) -> dict[str, Any]:
        """Rank 0 comes late to an all_reduce; the others say what waiting for it cost."""
        if not self._door.computes:
            raise ValueError("a backend that does nothing waits for nobody")
        bound = Bound(self._door, "all_reduce", 1, "float32")
        self._door.barrier()
        if self._door.rank == 0:
            time.sleep(absent_s)
        start, cpu = time.perf_counter(), time.process_time()
        bound.call()
        if self._door.rank == 0:
            return {}
        return {"share": (time.process_time() - cpu) / (time.perf_counter() - start)}


def open_door(options: argparse.Namespace) -> Door:
    if options.door == "mpi":
        return MpiDoor(options.ranks)
    if options.door == "numpy":
        registered = options.backend == "registered"
        return NumpyDoor(options.rank, options.ranks, options.meet, registered=registered)
    return TorchDoor(options.rank, options.ranks, options.meet, options.backend, options.noop)


def main() -> None:
    parser = argparse.ArgumentParser(description="One rank of bench/peers, which starts it.")
    parser.add_argument("--door", choices=["numpy", "torch", "mpi"], required=True)
    parser.add_argument("--backend", default="")
    parser.add_argument("--noop", default="", help="the built backend that does nothing")
    parser.add_argument("--rank", type=int, default=0)
    parser.add_argument("--ranks", type=int, required=True)
    parser.add_argument("--meet", default="")
    parser.add_argument("--conductor", required=True, help="the conductor's Unix socket")
    options = parser.parse_args()
    # A rank that waits for others inside a call would not see that nobody conducts any more.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(options.conductor)
    with connection, connection.makefile("rw") as conductor:

        def say(answer: dict[str, Any]) -> None:
            conductor.write(json.dumps(answer) + "\n")
            conductor.flush()

        door = open_door(options)
        say({"title": door.title})
        server = Server(door)
        for line in conductor:
            if line.strip() == "end":
                break
            try:
                answer = server.answer(line)
            except Exception as error:  # noqa: BLE001  whatever a library throws is its answer
                answer = {"failed": f"{type(error).__name__}: {error}".split("\n")[0]}
            say(answer)
        door.close()


if __name__ == "__main__":
    main()
