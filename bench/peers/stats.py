"""The figures of a report: medians over repeats of ratios, and how far they spread."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench.peers.results import Entry, Measured

ALLOWED_SPREAD = 0.10


@dataclass(frozen=True)
class Ratio:
    """The median of the repeats' ratios, and the distance of their quartiles relative to it."""

    median: float
    spread: float

    @property
    def spreads(self) -> bool:
        return self.spread > ALLOWED_SPREAD


def ratio_of(over: Sequence[float | None], under: Sequence[float | None]) -> Ratio | None:
    """Divide repeat by repeat: both saw the same machine. None without a repeat of both."""
    pairs = zip(over, under, strict=False)
    ratios = [a / b for a, b in pairs if a is not None and b is not None and b > 0]
    if not ratios:
        return None
    median = statistics.median(ratios)
    if len(ratios) == 1:
        return Ratio(median, 0.0)
    first, _, third = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(median, (third - first) / median)


def ratio(over: Entry | None, under: Entry | None) -> Ratio | None:
    """Return the ratio of two peers' times in one cell."""
    if over is None or under is None:
        return None
    return ratio_of(over.times(), under.times())


def best(cell: Measured, peers: Sequence[str], dtype: str = "float32") -> Entry | None:
    """Return the entry of the fastest of these peers, by its median."""
    there = [entry for peer in peers if (entry := cell.entry(peer, dtype)) is not None]
    return min(there, key=lambda entry: entry.median() or 0.0, default=None)
