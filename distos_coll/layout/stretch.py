"""How a channel passes through a node, and what that takes."""

from dataclasses import dataclass
from itertools import pairwise

from distos_coll.layout.kinds import Hop, Kind
from distos_coll.topology.path_type import PathType


@dataclass(frozen=True, slots=True)
class Stretch:
    order: tuple[int, ...]
    """Seats of the node, from the one that receives from outside to the one that sends there."""
    entry: int | None = None
    """Number of the port, among the kind's; None where there is no network."""
    exit: int | None = None

    def turned(self) -> "Stretch":
        """The other way round."""
        return Stretch(self.order[::-1], self.exit, self.entry)


def inside(kind: Kind, stretch: Stretch) -> list[Hop]:
    """The hops between seats; of a ring that stays in the node the one that closes it, too."""
    order = stretch.order
    pairs = list(pairwise(order))
    if stretch.entry is None and len(order) > 1:
        pairs.append((order[-1], order[0]))
    return [kind.hop(a, b) for a, b in pairs]


def outside(kind: Kind, stretch: Stretch) -> list[Hop]:
    """From the port and to it."""
    found = []
    if stretch.entry is not None:
        found.append(kind.inward(stretch.entry, stretch.order[0]))
    if stretch.exit is not None:
        found.append(kind.outward(stretch.order[-1], stretch.exit))
    return [hop for hop in found if hop is not None]


def ring_hops(kind: Kind, stretch: Stretch) -> list[Hop]:
    return inside(kind, stretch) + outside(kind, stretch)


def is_possible(kind: Kind, stretch: Stretch) -> bool:
    wanted = (stretch.entry is not None) + (stretch.exit is not None)
    return len(outside(kind, stretch)) == wanted


def worst(hops: list[Hop], none: PathType) -> PathType:
    return max((hop.type for hop in hops), default=none)
