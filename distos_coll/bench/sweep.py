"""Times every candidate of every collective: each is forced, and they take turns."""

import itertools
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from distos_coll import _native
from distos_coll._vocabulary import Collective
from distos_coll.bench.collectives import COLLECTIVES, Place
from distos_coll.bench.data import NO_OP
from distos_coll.bench.doors import ArrayDoor, Call, Case
from distos_coll.bench.elements import Array, element_named
from distos_coll.bench.run import Arrays
from distos_coll.communicator import Communicator
from distos_coll.planner import Plan
from distos_coll.planner.choose import TYPICAL_BYTES, Candidate
from distos_coll.planner.profile import Curve, Kind, Table
from distos_coll.plugins.manager import default_registry
from distos_coll.program.contract import IN_PLACE, REDUCING
from distos_coll.work import milliseconds, translated

BATCH_US = 1000.0
"""Calls one after the other that are timed as one, as bench does; a longer call is timed alone."""
MOST_CALLS = 1000
FRESH_BYTES = 1 << 18
"""From here on every rank writes its input before each call, as programs do: what another rank
would find unchanged since the last call it still has in its caches. Of smaller calls that would
show less than what it costs to time each alone.
"""
HOPELESS = 4.0
"""A candidate whose first calls twice take so many times the fastest one's is not called again."""
_FIRST_CALLS = 2
_WARM_CALLS, _WARM_US = 400, 6000.0
"""Before that: the first calls of a group write pages of its window that did not exist before (2 us
each; calls of 8 KiB come to the last one after 384), and the very first ones run on cores that were
asleep.
"""


@dataclass(frozen=True)
class Effort:
    sizes: tuple[int, ...]
    """Bytes, as in a choice row."""
    repeats: int
    collectives: tuple[str, ...] = tuple(COLLECTIVES)


def sweep(group: Communicator, plan: Plan, effort: Effort) -> Table:
    """Measure the candidates of a group's plan; all ranks call it and get the same times."""
    with _forced(group, plan) as doors:
        base = ArrayDoor(group)
        kinds = {kind: _curves(base, plan, kind, doors, effort) for kind in _kinds(plan, effort)}
    return Table(plan.view.measured.shape, kinds)


def _kinds(plan: Plan, effort: Effort) -> Iterator[Kind]:
    for collective in plan.allowed:
        if collective.name.lower() not in effort.collectives:
            continue
        yield Kind(collective)
        # Between domains halves have no rows of their own.
        if collective in REDUCING and len(plan.view.members) == 1:
            yield Kind(collective, halves=True)


@contextmanager
def _forced(group: Communicator, plan: Plan) -> Iterator[list[ArrayDoor]]:
    """Make groups of the same ranks: the i-th runs the i-th candidate of every collective."""
    with ExitStack() as stack:
        doors = []
        for i in range(max(map(len, plan.allowed.values()))):
            chosen = {c: each[i % len(each)] for c, each in plan.allowed.items()}
            one = _with_plan(group, plan.forcing(chosen, default_registry()), f"forced/{i}")
            doors.append(ArrayDoor(stack.enter_context(one)))
        yield doors


def _with_plan(group: Communicator, plan: Plan, name: str) -> Communicator:
    native, home = group._native, group._home  # noqa: SLF001  hidden from users, not from here
    ranks = range(group.size)
    with translated():
        store = _native.BoardStore(native, ranks, name)
        timeout_ms = milliseconds(home.timeout)
        made = _native.Communicator(home.runtime, store, group.rank, group.size, timeout_ms, name)
        made.install_plan(plan.encode())
        made.ready(store)
    return Communicator(made, plan, home, name, ranks)


def _curves(
    base: ArrayDoor, plan: Plan, kind: Kind, doors: Sequence[ArrayDoor], effort: Effort
) -> dict[str, Curve]:
    candidates = plan.allowed[kind.collective]
    cells: dict[int, dict[str, float]] = {}
    for size in _sizes(kind.collective, effort):
        case, nbytes = _case(base, kind, size)
        # Of few bytes some collectives leave a rank nothing.
        if nbytes in cells or (nbytes == 0 and size > 0):
            continue
        stands_for = distinct(candidates, nbytes)
        # As programs call it; where the core has no form in place, the door would copy first.
        in_place = kind.collective in IN_PLACE or not base.forms(case.collective)[0]
        arrays = Arrays(case, in_place=in_place, unalign=0)
        arrays.touch(case)
        calls = [
            door.bind(case, arrays.x, arrays.out)
            for door, candidate in zip(doors, candidates, strict=False)
            if candidate.name in stands_for
        ]
        clock = _Clock(base.barrier, arrays.x if nbytes >= FRESH_BYTES else None)
        times = dict(zip(stands_for, _times(base, calls, clock, effort.repeats), strict=True))
        cells[nbytes] = {twin: times[name] for name, twins in stands_for.items() for twin in twins}
    sizes = tuple(sorted(cells))
    return {
        candidate.name: Curve(sizes, tuple(cells[size][candidate.name] for size in sizes))
        for candidate in candidates
        if sizes
    }


def _sizes(collective: Collective, effort: Effort) -> Sequence[int]:
    typical = TYPICAL_BYTES.get(collective)
    return effort.sizes if typical is None else (typical,)


def _case(door: ArrayDoor, kind: Kind, size: int) -> tuple[Case, int]:
    """Return the call, and its bytes as a choice row counts them."""
    reduces = kind.collective in REDUCING
    name = ("half" if kind.halves else "float") if reduces else "uint8"
    element = element_named(name)
    place = Place(door.rank, door.ranks)
    collective = COLLECTIVES[kind.collective.name.lower()]
    shape = collective.shape(place, size // element.nbytes)
    case = Case(collective, element, "sum" if reduces else NO_OP, shape, place)
    return case, shape.elements * element.nbytes


def distinct(candidates: Sequence[Candidate], nbytes: int) -> dict[str, list[str]]:
    """Return which candidates to call, and whom each stands for: where the data fit into one
    segment, a larger one makes no difference. In the order of `candidates`.
    """
    found: dict[str, list[str]] = {}
    whole: dict[str, str] = {}
    for candidate in sorted(candidates, key=lambda c: (c.key, c.segment_bytes)):
        if candidate.key in whole:
            found[whole[candidate.key]].append(candidate.name)
            continue
        found[candidate.name] = [candidate.name]
        if candidate.segment_bytes >= nbytes:
            whole[candidate.key] = candidate.name
    return {c.name: found[c.name] for c in candidates if c.name in found}


def _times(base: ArrayDoor, calls: Sequence[Call], clock: "_Clock", repeats: int) -> list[float]:
    """Return microseconds a call: the median of the repeats, of the mean over the ranks."""
    cold = _over_ranks(base, [clock.us(call, 1) for call in calls])
    for call, us in zip(calls, cold, strict=True):
        clock.us(call, _fitting(_WARM_CALLS, _WARM_US / us))
    tried = _over_ranks(base, [clock.us(call, _FIRST_CALLS) for call in calls])
    # Whoever else ran on the machine meanwhile has made one of them slow.
    slow = [i for i in range(len(calls)) if tried[i] > HOPELESS * tried.min()]
    again = _over_ranks(base, [clock.us(calls[i], _FIRST_CALLS) for i in slow])
    tried[slow] = np.minimum(tried[slow], again)
    alive = [i for i in range(len(calls)) if tried[i] <= HOPELESS * tried.min()]
    batches = [_fitting(MOST_CALLS, BATCH_US / tried[i]) for i in alive]
    own = [
        clock.us(calls[i], batch)
        for _ in range(repeats)
        for i, batch in zip(alive, batches, strict=True)
    ]
    medians = np.median(_over_ranks(base, own).reshape(repeats, -1), axis=0)
    tried[alive] = medians
    return [float(us) for us in tried]


def _fitting(most: int, calls: float) -> int:
    return max(1, min(most, int(calls)))


class _Clock:
    """Times calls. Who only sends is done long before the others, so what is timed ends when all
    have met.
    """

    def __init__(self, barrier: Call, written: Array | None) -> None:
        """`written`: the input, if it is to be written before each call."""
        self._barrier = barrier
        self._bytes = None if written is None else written.view(np.uint8)

    def us(self, call: Call, times: int) -> float:
        """Return microseconds a call, of so many."""
        # The candidates that ran meanwhile have taken the caches; in a program nobody does.
        call()
        if self._bytes is None:
            return self._together(call, times) / times * 1e6
        return sum(self._after_writing(call, self._bytes) for _ in range(times)) / times * 1e6

    def _together(self, call: Call, times: int) -> float:
        rounds = itertools.repeat(None, times)
        self._barrier()
        started = time.perf_counter()
        for _ in rounds:
            call()
        self._barrier()
        return time.perf_counter() - started

    def _after_writing(self, call: Call, written: Array) -> float:
        np.bitwise_or(written, 0, out=written)
        self._barrier()
        started = time.perf_counter()
        call()
        self._barrier()
        return time.perf_counter() - started


def _over_ranks(base: ArrayDoor, own: Sequence[float]) -> Array:
    mean: Array = base.exchange(np.array(own, np.float64)).mean(axis=0)
    return mean
