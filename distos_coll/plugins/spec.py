"""What a plugin hands over to add an algorithm."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from distos_coll._vocabulary import Collective, Need
from distos_coll.plugins.costs import CostInput
from distos_coll.program.ir import Program

NO_NEEDS = Need(0)

Build: TypeAlias = Callable[[], Program]
Cost: TypeAlias = Callable[[CostInput], float]
"""Predicted microseconds. Pure; called some thousand times per plan."""


@dataclass(frozen=True)
class AlgorithmSpec:
    """An algorithm for one collective, or one variant of it.

    Several specs may share name and collective when their needs differ (`direct1` through the
    window, `direct1` with single copy): people force an algorithm by name, the planner picks the
    variant.
    """

    name: str
    """What DISTOS_COLL_ALGO calls it: lower-case letters, digits and _."""
    collective: Collective
    build: Build = field(compare=False)
    """Make the program; it has the same name, collective and needs."""
    cost: Cost = field(compare=False)
    """Predict microseconds."""
    needs: Need = NO_NEEDS
    """One domain, single copy, registered memory; nothing: it runs anywhere."""
    doc: str = ""
    """A line for people."""
    variant: str = ""
    """Tells specs of one name and collective apart."""
    segments: tuple[int, ...] = (1 << 18,)
    """Candidate values of kSegment in bytes; the planner tries each."""
    between_domains: bool = False
    """It pays between domains only: where there is one, the planner takes it only if named."""

    @property
    def key(self) -> str:
        """Unique: "direct1", "direct1/single_copy"."""
        return f"{self.name}/{self.variant}" if self.variant else self.name
