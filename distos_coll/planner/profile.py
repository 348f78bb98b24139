"""What was measured of a machine, as the planner uses it. Pure; distos_coll/profiles.py keeps the
file.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import exp, log
from types import MappingProxyType

from distos_coll._vocabulary import Collective
from distos_coll.planner.links import Links
from distos_coll.plugins.costs import Figures
from distos_coll.program.contract import REDUCING

Predict = Callable[[int], float]


@dataclass(frozen=True)
class Shape:
    """What makes two groups alike: the same candidates take about as long in both."""

    domains: tuple[int, ...]
    """The ranks of each domain."""
    single_copy: bool
    sharing: float
    """Ranks per core in the fullest domain, at least 1."""
    slot_bytes: int
    links: str = ""
    """Between domains, where they are known (`Links.digest`): they decide the order of ranks, and
    what of it is slow.
    """


@dataclass(frozen=True)
class Curve:
    """The times of one candidate: sizes in bytes, ascending, and microseconds."""

    sizes: tuple[int, ...]
    us: tuple[float, ...]

    def at(self, size: int) -> float | None:
        """Return the time at a size, interpolated between two; None outside of what was measured,
        unless there is one size only.
        """
        if len(self.sizes) > 1 and not self.sizes[0] <= size <= self.sizes[-1]:
            return None
        return exp(_interpolated(_logs(self.sizes), [log(us) for us in self.us], _log(size)))

    def correct(self, model: Predict) -> Predict:
        """Return the model times what it was wrong by at the sizes next to the one asked for."""
        places = _logs(self.sizes)
        wrong = [
            log(us / max(model(size), _TINY_US))
            for size, us in zip(self.sizes, self.us, strict=True)
        ]

        def corrected(size: int) -> float:
            return max(model(size), _TINY_US) * exp(_interpolated(places, wrong, _log(size)))

        return corrected


# Of nothing a model may say that it takes no time.
_TINY_US = 1e-3
_HALVES = " of halves"


@dataclass(frozen=True)
class Kind:
    """Of what a table has times: choice rows differ for a collective's halves."""

    collective: Collective
    halves: bool = False
    """float16 and bfloat16, of collectives that reduce."""

    @property
    def text(self) -> str:
        return self.collective.name.lower() + (_HALVES if self.halves else "")

    @staticmethod
    def of_text(text: str) -> "Kind":
        """Read what `text` gave; ValueError for anything else."""
        collective = Collective.__members__.get(text.removesuffix(_HALVES).upper())
        kind = None if collective is None else Kind(collective, text.endswith(_HALVES))
        if kind is None or kind.text != text or (kind.halves and kind.collective not in REDUCING):
            raise ValueError(f"{text!r} is no collective")
        return kind


@dataclass(frozen=True)
class Table:
    """Every candidate's times in groups of one shape."""

    shape: Shape
    kinds: Mapping[Kind, Mapping[str, Curve]]
    """By the name of a candidate (`Candidate.name`)."""

    def curve(self, kind: Kind, name: str) -> Curve | None:
        return self.kinds.get(kind, {}).get(name)


@dataclass(frozen=True)
class Profile:
    figures: Figures = field(default_factory=Figures)
    tables: tuple[Table, ...] = ()
    links: tuple[Links, ...] = ()
    """Between hosts; of several the first that has all hosts of a group holds for it."""

    @property
    def is_built_in(self) -> bool:
        """Nothing was measured on any host; links may be known."""
        return self.figures == Figures() and not self.tables

    def table(self, shape: Shape) -> Table:
        """Return the times in groups of that shape; none if such were not measured."""
        for table in self.tables:
            if table.shape == shape:
                return table
        return Table(shape, MappingProxyType({}))


BUILT_IN = Profile()
"""Where nothing was measured."""


def _log(size: int) -> float:
    return log(max(size, 1))


def _logs(sizes: tuple[int, ...]) -> list[float]:
    return [_log(size) for size in sizes]


def _interpolated(places: list[float], values: list[float], place: float) -> float:
    """Linear between neighbours, constant outside."""
    if place <= places[0]:
        return values[0]
    if place >= places[-1]:
        return values[-1]
    right = bisect_right(places, place)
    low, high = places[right - 1], places[right]
    part = (place - low) / (high - low)
    return values[right - 1] * (1 - part) + values[right] * part
