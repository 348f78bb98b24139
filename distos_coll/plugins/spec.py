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
    collective: Collective
    build: Build = field(compare=False)
    cost: Cost = field(compare=False)
    needs: Need = NO_NEEDS
    doc: str = ""
    variant: str = ""
    segments: tuple[int, ...] = (1 << 18,)
    """Candidate values of kSegment in bytes; the planner tries each."""
    between_domains: bool = False
    """It pays between domains only: where there is one, the planner takes it only if named."""

    @property
    def key(self) -> str:
        """Unique: "direct1", "direct1/single_copy"."""
        return f"{self.name}/{self.variant}" if self.variant else self.name
