"""The speed that the project promises, evaluated on a run's data: figure, bound, met or not.

What a run did not measure is said to be missing. Cells are judged by their medians, whatever their
spread; those that spread are counted, and listed apart in the report.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bench.peers.grid import size_text
from bench.peers.results import Entry, Measured, Results
from bench.peers.stats import ALLOWED_SPREAD, Ratio, best, ratio

KIB, MIB = 1 << 10, 1 << 20
MPIS = ("openmpi", "mpich")
DOORS = ("distos", "distos-torch")
IDLE, FRESH, LOADED = (0, "same"), (0, "fresh"), (4, "same")  # busy loops; how calls follow
SHARE_OF_SPREADING = 0.2


@dataclass(frozen=True)
class Check:
    """A figure and its bound."""

    what: str
    figure: float
    bound: float
    least: bool = False  # the bound is the least, not the most
    unit: str = "x"
    spread: float = 0.0

    @property
    def met(self) -> bool:
        return self.figure >= self.bound if self.least else self.figure <= self.bound


@dataclass(frozen=True)
class Line:
    """A promise in one cell; one of the checks must be met."""

    cell: str
    checks: tuple[Check, ...]

    @property
    def met(self) -> bool:
        return any(check.met for check in self.checks)

    @property
    def spreads(self) -> bool:
        return any(check.spread > ALLOWED_SPREAD for check in self.checks)


@dataclass(frozen=True)
class Promise:
    item: str
    text: str
    lines: Callable[[Results], Iterator[Line]]


def name_of(cell: Measured) -> str:
    size = f" {size_text(cell.nbytes)}" if cell.elements else ""
    mode = ", fresh" if cell.mode == "fresh" else ""
    return f"{cell.ranks} ranks, load {cell.load}{mode}, {cell.collective}{size}"


def _checks(what: str, found: Ratio | None, bound: float, *, least: bool = False) -> list[Check]:
    if found is None:
        return []
    return [Check(what, found.median, bound, least, spread=found.spread)]


def _line(cell: Measured, *checks: list[Check]) -> Iterator[Line]:
    """Yield a line, unless nothing was measured for it."""
    there = tuple(check for some in checks for check in some)
    if there:
        yield Line(name_of(cell), there)


def _cells(
    results: Results,
    where: tuple[int, str],
    ranks: tuple[int, ...],
    sizes: tuple[float, float],
    collectives: tuple[str, ...] = (),
) -> Iterator[Measured]:
    for cell in results.cells:
        there = (cell.load, cell.mode) == where and cell.ranks in ranks
        wanted = not collectives or cell.collective in collectives
        if there and wanted and cell.elements and sizes[0] <= cell.nbytes <= sizes[1]:
            yield cell


def _same_cell(results: Results, where: tuple[int, str], cell: Measured) -> Measured | None:
    sizes = (cell.nbytes, cell.nbytes)
    return next(_cells(results, where, (cell.ranks,), sizes, (cell.collective,)), None)


def _beside_noop(results: Results) -> Iterator[Line]:
    for cell in _cells(results, IDLE, (2,), (4, 4), ("all_reduce",)):
        found = ratio(cell.entry("distos-torch"), cell.entry("noop"))
        yield from _line(cell, _checks("distos-torch / noop", found, 1.5))


def _beside_gloo(results: Results) -> Iterator[Line]:
    for low, high, bound in ((4, 64 * KIB, 15.0), (MIB, float("inf"), 6.0)):
        for cell in _cells(results, IDLE, (2,), (low, high), ("all_reduce",)):
            found = ratio(cell.entry("gloo"), cell.entry("distos-torch"))
            yield from _line(cell, _checks("gloo / distos-torch", found, bound, least=True))


def _not_slower_than_mpi(results: Results) -> Iterator[Line]:
    for cell in _cells(results, IDLE, (2, 4), (4, 64 * MIB)):
        found = ratio(cell.entry("distos"), best(cell, MPIS))
        yield from _line(cell, _checks("distos / best MPI", found, 1.05))


def _faster_than_mpi(cell: Measured) -> list[Check]:
    found = ratio(best(cell, MPIS), cell.entry("distos"))
    return _checks("best MPI / distos", found, 1.5, least=True)


def _reductions_beside_mpi(results: Results) -> Iterator[Line]:
    wanted = ("all_reduce", "reduce_scatter")
    for cell in _cells(results, IDLE, (2, 4), (64 * KIB, 64 * MIB), wanted):
        yield from _line(cell, _faster_than_mpi(cell))


def _copies(results: Results) -> Iterator[Line]:
    wanted = ("broadcast", "all_gather", "all_to_all")
    for cell in _cells(results, IDLE, (2, 4), (64 * KIB, 64 * MIB), wanted):
        fresh = _same_cell(results, FRESH, cell)
        found = ratio(fresh.entry("distos"), fresh.entry("limit")) if fresh else None
        yield from _line(cell, _checks("distos / limit", found, 1.2), _faster_than_mpi(cell))


def _beside_limit(
    peer: str, bounds: list[tuple[int, float, float]]
) -> Callable[[Results], Iterator[Line]]:
    def lines(results: Results) -> Iterator[Line]:
        for low, high, bound in bounds:
            for cell in _cells(results, FRESH, (2,), (low, high), ("all_reduce",)):
                found = ratio(cell.entry(peer), cell.entry("limit"))
                yield from _line(cell, _checks(f"{peer} / limit", found, bound))

    return lines


def _halves(results: Results) -> Iterator[Line]:
    for cell in _cells(results, IDLE, (2, 4), (4 * MIB, float("inf")), ("all_reduce",)):
        for dtype in ("bfloat16", "float16"):
            found = ratio(cell.entry("distos", dtype), cell.entry("distos"))
            yield from _line(cell, _checks(f"{dtype} / float32", found, 0.6))


def _rate_beside_gloo(results: Results) -> Iterator[Line]:
    for cell in _cells(results, LOADED, (2,), (4, float("inf"))):
        for door in DOORS:
            found = ratio(cell.entry("gloo"), cell.entry(door))
            yield from _line(cell, _checks(f"{door}'s rate / gloo's", found, 1.0, least=True))


def _rate_beside_idle(results: Results) -> Iterator[Line]:
    for cell in _cells(results, LOADED, (2,), (MIB, float("inf"))):
        if (alone := _same_cell(results, IDLE, cell)) is None:
            continue
        for door in DOORS:
            found = ratio(cell.entry(door), alone.entry(door))
            yield from _line(cell, _checks(f"{door}'s idle rate / loaded", found, 8.0))


def _mean(entry: Entry | None) -> float | None:
    """Return the seconds of a call over all repeats: a mean, which a few long stalls can spoil."""
    if entry is None:
        return None
    pairs = zip(entry.calls, entry.seconds, strict=True)
    return sum(seconds for calls, seconds in pairs if calls) / sum(entry.calls)


def _loaded_mean(results: Results) -> Iterator[Line]:
    for cell in _cells(results, LOADED, (2,), (4, 4 * KIB)):
        for door in DOORS:
            if (mean := _mean(cell.entry(door))) is not None:
                yield Line(name_of(cell), (Check(f"{door}'s mean", mean * 1e6, 50, unit=" us"),))


def _waiting(results: Results) -> Iterator[Line]:
    for wait in results.waits:
        if wait.peer in DOORS and wait.ranks == 2:
            where = f"{wait.ranks} ranks, load {wait.load}, {wait.absent_s * 1e3:g} ms"
            share = statistics.median(wait.shares) * 100
            yield Line(where, (Check(f"{wait.peer}'s share of a core", share, 5, unit=" %"),))


_FROM_PRIVATE = [(MIB, MIB, 5.0), (4 * MIB, 32 * MIB, 3.0), (64 * MIB, float("inf"), 1.4)]
_FROM_REGISTERED = [(MIB, MIB, 1.5), (MIB + 1, float("inf"), 1.25)]
PROMISES = (
    Promise("1a", "torch, 4 B: at most 1.5 of a backend that does nothing", _beside_noop),
    Promise("1b", "torch: 15 times faster than gloo to 64 KiB, 6 from 1 MiB", _beside_gloo),
    Promise("2a", "numpy: at most 1.05 of the best MPI, 4 B to 64 MiB", _not_slower_than_mpi),
    Promise("2b", "numpy: reductions 1.5 times faster from 64 KiB", _reductions_beside_mpi),
    Promise("2c", "numpy: copies within 1.2 of the limit, or 1.5 times faster", _copies),
    Promise(
        "3a", "private buffers: near the limit from 1 MiB", _beside_limit("distos", _FROM_PRIVATE)
    ),
    Promise(
        "3b",
        "registered memory: at the limit from 1 MiB",
        _beside_limit("distos-registered", _FROM_REGISTERED),
    ),
    Promise("4", "halves take 0.6 of float32's time from 4 MiB", _halves),
    Promise("5a", "loaded: at least gloo's calls a second", _rate_beside_gloo),
    Promise("5b", "loaded: at most 8 times below idle from 1 MiB", _rate_beside_idle),
    Promise("5c", "loaded: a mean of at most 50 us to 4 KiB", _loaded_mean),
    Promise("5d", "a wait longer than 10 ms uses under 5 % of a core", _waiting),
)


def evaluate(results: Results) -> list[tuple[Promise, list[Line]]]:
    return [(promise, list(promise.lines(results))) for promise in PROMISES]


def spreading(evaluated: list[tuple[Promise, list[Line]]]) -> tuple[int, int]:
    """Return how many lines spread by more than a tenth, of how many that could."""
    every = [line for _, lines in evaluated for line in lines]
    ratios = [line for line in every if any(check.unit == "x" for check in line.checks)]
    return sum(line.spreads for line in ratios), len(ratios)
