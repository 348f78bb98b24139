"""What links carry: capacities in each direction, and what channels took of them."""

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

TINY = 1e-6


class Sort(str, Enum):
    """Kinds of links that a layout fills."""

    NVLINK = "nvlink"  # and xGMI
    C2C = "c2c"
    PCI = "pci"
    CPUS = "between CPUs"
    PORT = "port"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Direction:
    """A link, or all parallel ones of a kind, one way."""

    name: str
    sort: Sort
    gbps: float


Uses = tuple[tuple[int, float], ...]
"""Directions that a hop takes, each with a factor: what passes per byte of the channel."""


@dataclass
class Directions:
    """Those of one kind of node, by number."""

    known: list[Direction] = field(default_factory=list)
    _number: dict[Hashable, int] = field(default_factory=dict)

    def number(self, key: Hashable, direction: Direction) -> int:
        """Of a direction that is asked for again the first statement counts."""
        found = self._number.setdefault(key, len(self.known))
        if found == len(self.known):
            self.known.append(direction)
        return found

    def of(self, key: Hashable) -> int | None:
        return self._number.get(key)


class Ledger:
    """What is taken; never more than a direction has."""

    def __init__(self, directions: Directions) -> None:
        self.directions = directions
        self.taken = [0.0] * len(directions.known)

    def _grown(self) -> list[float]:
        missing = len(self.directions.known) - len(self.taken)
        if missing:
            self.taken += [0.0] * missing
        return self.taken

    def all_taken(self) -> Sequence[float]:
        """By number, of all directions that are known by now."""
        return self._grown()

    def fits(self, uses: Uses, gbps: float) -> bool:
        taken, known = self._grown(), self.directions.known
        return all(taken[n] + factor * gbps <= known[n].gbps * (1 + TINY) for n, factor in uses)

    def take(self, uses: Uses, gbps: float) -> None:
        taken = self._grown()
        for n, factor in uses:
            taken[n] += factor * gbps

    def give_back(self, uses: Uses, gbps: float) -> None:
        for n, factor in uses:
            self.taken[n] -= factor * gbps
            if self.taken[n] < TINY:
                self.taken[n] = 0.0

    def takes(self, uses: Uses, gbps: float) -> bool:
        """Take it if it fits; uses of one direction twice count twice."""
        self.take(uses, gbps)
        known = self.directions.known
        if all(self.taken[n] <= known[n].gbps * (1 + TINY) for n, _ in uses):
            return True
        self.give_back(uses, gbps)
        return False

    def is_fresh(self, uses: Uses, sort: Sort) -> bool:
        """Whether it takes a direction of the sort that nothing uses."""
        taken, known = self._grown(), self.directions.known
        return any(not taken[n] and known[n].sort is sort for n, _ in uses)

    def share(self, uses: Uses) -> float:
        """How full the fullest of them is."""
        taken, known = self._grown(), self.directions.known
        return max((taken[n] / known[n].gbps for n, _ in uses), default=0.0)

    def used(self, sort: Sort) -> int:
        """How many directions of a sort carry something."""
        pairs = zip(self._grown(), self.directions.known, strict=True)
        return sum(taken > TINY and each.sort is sort for taken, each in pairs)

    def over(self) -> tuple[Direction, ...]:
        """Those that carry more than they have: none, or the search is wrong."""
        pairs = zip(self._grown(), self.directions.known, strict=True)
        return tuple(each for taken, each in pairs if taken > each.gbps * (1 + 10 * TINY))


def summed(hops: Iterable[Uses]) -> dict[int, float]:
    """What one GB/s through all hops takes of each direction."""
    found: dict[int, float] = {}
    for uses in hops:
        for n, factor in uses:
            found[n] = found.get(n, 0.0) + factor
    return found
