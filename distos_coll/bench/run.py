"""The loop of a run: for each case time the calls, then check their results, on every rank."""

import itertools
import os
import platform
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from distos_coll import _native
from distos_coll.bench import data
from distos_coll.bench.collectives import COLLECTIVES, Collective, Piece, Place
from distos_coll.bench.data import NO_OP, Pattern
from distos_coll.bench.doors import Call, Case, Door
from distos_coll.bench.elements import ELEMENTS, Array, Element, element_named
from distos_coll.bench.options import Options
from distos_coll.errors import InvalidArgument

_PAGE = 4096
_POISON = 0xA5  # what a receive buffer holds before a checked call
_NAME_BYTES = 64


@dataclass(frozen=True)
class Member:
    """A rank, for the header."""

    rank: int
    pid: int
    host: str
    processor: str
    domain: int
    """-1: the library has no domains."""


@dataclass(frozen=True)
class Measure:
    """One form, in or out of place, of one row."""

    seconds: float
    """Per call."""
    algorithm_gbps: float
    bus_gbps: float
    wrong: int | None
    """Wrong elements over all ranks; None: not checked."""
    wrong_ranks: int = 0


@dataclass(frozen=True)
class Row:
    collective: str
    nbytes: int
    count: int
    type: str
    op: str
    root: int
    out_of_place: Measure | None
    in_place: Measure | None
    algorithm: str

    @property
    def measures(self) -> tuple[Measure, ...]:
        return tuple(m for m in (self.out_of_place, self.in_place) if m is not None)


@dataclass(frozen=True)
class Totals:
    out_of_bounds: int
    """As nccl-tests counts: once a rank and a measurement with wrong elements."""
    bus_gbps: float
    """The mean over all measurements."""

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Totals":
        measures = [measure for row in rows for measure in row.measures]
        bandwidths = [measure.bus_gbps for measure in measures]
        mean = sum(bandwidths) / len(bandwidths) if bandwidths else 0.0
        return cls(sum(measure.wrong_ranks for measure in measures), mean)


class Listener(Protocol):
    """Whoever reports a run; only rank 0 has any."""

    def begin(self, options: Options, title: str, members: Sequence[Member]) -> None: ...
    def section(self, collective: str) -> None: ...
    def left_out(self, what: str, why: str) -> None: ...
    def row(self, row: Row) -> None: ...
    def section_end(self, collective: str, totals: Totals) -> None: ...
    def end(self, totals: Totals) -> None: ...


def bench(door: Door, options: Options, listeners: Sequence[Listener]) -> Totals:
    """Measure on this rank; all ranks call it with the same options and get the same totals."""
    if not -1 <= options.root < door.ranks:
        raise InvalidArgument(f"-r {options.root}: the ranks are 0 to {door.ranks - 1}")
    members = _members(door)
    for listener in listeners:
        listener.begin(options, door.title, members)
    bench_run = _Run(door, options, listeners)
    rows: list[Row] = []
    for name in options.collectives:
        rows += bench_run.section(COLLECTIVES[name])
    if not rows:
        raise InvalidArgument(f"nothing was measured: {bench_run.last_refusal}")
    totals = Totals.of(rows)
    for listener in listeners:
        listener.end(totals)
    return totals


def _members(door: Door) -> list[Member]:
    mine = np.zeros(8 + 2 * _NAME_BYTES, np.uint8)
    mine[:8] = np.array([os.getpid()], np.int64).view(np.uint8)
    names = (socket.gethostname(), f"{platform.machine()} {_native.isa()}")
    for place, text in enumerate(names):
        letters = np.frombuffer(text.encode()[:_NAME_BYTES], np.uint8)
        mine[8 + place * _NAME_BYTES :][: len(letters)] = letters
    members = []
    for rank, row in enumerate(door.exchange(mine)):
        pid = int(np.ascontiguousarray(row[:8]).view(np.int64)[0])
        host, processor = (
            bytes(row[start : start + _NAME_BYTES]).rstrip(b"\0").decode(errors="replace")
            for start in (8, 8 + _NAME_BYTES)
        )
        domain = door.domains[rank] if door.domains else -1
        members.append(Member(rank, pid, host, processor, domain))
    return members


class _Run:
    def __init__(self, door: Door, options: Options, listeners: Sequence[Listener]) -> None:
        self._door = door
        self._options = options
        self._listeners = listeners
        self._seed = 0
        self.last_refusal = ""

    def section(self, collective: Collective) -> list[Row]:
        """Measure every case of one collective, as often as -N says."""
        for listener in self._listeners:
            listener.section(collective.name)
        rows: list[Row] = []
        kinds = self._kinds(collective)
        for _ in range(self._options.cycles):
            for (element, op), root in itertools.product(kinds, self._roots(collective)):
                for size in (0,) if collective.name == "barrier" else self._options.sizes:
                    row = self._row(collective, element, op, root, size)
                    rows.append(row)
                    for listener in self._listeners:
                        listener.row(row)
        totals = Totals.of(rows)
        for listener in self._listeners:
            listener.section_end(collective.name, totals)
        return rows

    def _roots(self, collective: Collective) -> Sequence[int]:
        if not collective.rooted:
            return (-1,)
        return range(self._door.ranks) if self._options.root < 0 else (self._options.root,)

    def _kinds(self, collective: Collective) -> list[tuple[Element, str]]:
        """Return the types and operations that mean something and that the library offers."""
        names = self._options.types[:1] if collective.name == "barrier" else self._options.types
        kinds = []
        for element in map(element_named, names):
            refused: dict[str, str] = {}
            for op in self._options.ops if collective.reduces else (NO_OP,):
                why = self._refusal(collective, element, op)
                if why is None:
                    kinds.append((element, op))
                elif why:
                    refused[op] = why
            if refused:
                self._leave_out(element, refused)
        return kinds

    def _refusal(self, collective: Collective, element: Element, op: str) -> str | None:
        """Return why not, or None; "" where it goes without saying."""
        if op != NO_OP and not data.defined(element, op):
            # "all" means all that have a meaning.
            every = self._options.ops == data.OPS or len(self._options.types) == len(ELEMENTS)
            return "" if every else "it has no meaning"
        place = Place(self._door.rank, self._door.ranks)
        case = Case(collective, element, op, collective.shape(place, 0), place)
        return self._door.refusal(case) or None

    def _leave_out(self, element: Element, refused: Mapping[str, str]) -> None:
        names = ", ".join(refused)
        what = element.name if names == NO_OP else f"{names} of {element.name}"
        why = next(iter(refused.values()))
        self.last_refusal = f"{what}: {why}"
        for listener in self._listeners:
            listener.left_out(what, why)

    def _row(self, collective: Collective, element: Element, op: str, root: int, size: int) -> Row:
        place = Place(self._door.rank, self._door.ranks, max(root, 0))
        shape = collective.shape(place, size // element.nbytes)
        case = Case(collective, element, op, shape, place)
        measures: list[Measure | None] = []
        algorithm = ""
        for in_place, there in zip((False, True), self._door.forms(collective), strict=True):
            if not there:
                measures.append(None)
                continue
            arrays = Arrays(case, in_place=in_place, unalign=self._options.unalign)
            call = self._door.bind(case, arrays.x, arrays.out)
            seconds, served = self._time(case, arrays, call)
            algorithm = algorithm or served
            wrong = self._check(case, arrays, call) if self._options.checks else None
            measures.append(self._measure(case, seconds, wrong))
        return Row(
            collective.name,
            shape.elements * element.nbytes,
            shape.parameter,
            "none" if collective.name == "barrier" else element.name,
            op,
            root,
            measures[0],
            measures[1],
            algorithm,
        )

    def _time(self, case: Case, arrays: "Arrays", call: Call) -> tuple[float, str]:
        options, door = self._options, self._door
        arrays.touch(case)
        algorithm = door.algorithm(case, call)
        step = door.together(call, options.together) if options.together > 1 else call
        for _ in range(options.warm_ups):
            step()
        door.barrier()
        if options.blocking == 1:
            step = _followed(step, door)
        rounds = itertools.repeat(None, options.iterations)
        started = time.perf_counter()
        for _ in rounds:
            step()
        elapsed = time.perf_counter() - started
        return elapsed / (options.iterations * options.together), algorithm

    def _check(self, case: Case, arrays: "Arrays", call: Call) -> int:
        wrong = 0
        for _ in range(self._options.checks):
            self._seed += 1
            pattern = Pattern(case.element, case.op, case.place.ranks, self._seed)
            arrays.prepare(pattern, case)
            self._door.barrier()
            call()
            wrong += arrays.count_wrong(pattern, case)
        return wrong

    def _measure(self, case: Case, seconds: float, wrong: int | None) -> Measure:
        mine = np.array([seconds, wrong or 0], np.float64)
        every = self._door.exchange(mine)
        times = every[:, 0]
        reported = (times[0], times.mean(), times.min(), times.max())[self._options.average]
        nbytes = case.shape.elements * case.element.nbytes
        bandwidths = case.collective.bandwidths(nbytes, float(reported), case.place.ranks)
        return Measure(
            float(reported),
            *bandwidths,
            None if wrong is None else int(every[:, 1].sum()),
            int(np.count_nonzero(every[:, 1])),
        )


def _followed(step: Call, door: Door) -> Call:
    def run() -> Any:
        step()
        door.barrier()

    return run


class Arrays:
    """A case's memory: two buffers, or one for both in place."""

    def __init__(self, case: Case, *, in_place: bool, unalign: int) -> None:
        shape, storage = case.shape, case.element.storage
        self._in_place = in_place
        if in_place:
            ends = (shape.send_at + shape.send, shape.recv_at + shape.recv)
            whole = _allocate(max(ends), storage, unalign)
            self.x = whole[shape.send_at : ends[0]]
            self.out = whole[shape.recv_at : ends[1]]
        else:
            self.x = _allocate(shape.send, storage, unalign)
            self.out = _allocate(shape.recv, storage, unalign)

    def touch(self, case: Case) -> None:
        """Give the timed calls values that they do not drive to infinity, in memory of its own."""
        self.out.view(np.uint8)[:] = 0
        self.x[:] = data.neutral(case.element, case.op)

    def prepare(self, pattern: Pattern, case: Case) -> None:
        """Fill for a check: what a call leaves unwritten is wrong."""
        self.out.view(np.uint8)[:] = _POISON
        data.write(self.x, pattern, case.place.rank)

    def count_wrong(self, pattern: Pattern, case: Case) -> int:
        """Count wrong elements of the result and, out of place, changed ones of the input."""
        wrong = data.count_wrong(self.out, pattern, case.shape.expected)
        if not self._in_place:
            own = Piece(case.place.rank, 0, len(self.x))
            wrong += data.count_wrong(self.x, pattern, (own,))
        return wrong


def _allocate(count: int, storage: "np.dtype[Any]", unalign: int) -> Array:
    """Return `count` elements that start so many elements after a page does."""
    nbytes = (count + unalign) * storage.itemsize
    raw = np.empty(nbytes + _PAGE, np.uint8)
    start = -raw.ctypes.data % _PAGE
    return raw[start : start + nbytes].view(storage)[unalign:]
