"""A layout: channels over all ranks, what each gets, and what limits them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from distos_coll.layout.kinds import Kind
from distos_coll.layout.ledger import Sort
from distos_coll.layout.placement import Placement
from distos_coll.layout.stretch import Stretch
from distos_coll.program.double_tree import NONE, links
from distos_coll.topology.model import Topology
from distos_coll.topology.path_type import PathType


@dataclass(frozen=True, slots=True)
class Node:
    """A host, or the hosts of an NVLink domain, with its ranks."""

    kind: int
    """Of the layout's kinds of nodes."""
    hosts: tuple[int, ...]
    ranks: tuple[int, ...]
    """By seat."""


@dataclass(frozen=True, slots=True)
class Graph:
    """Channels of rings, or of trees."""

    channels: int
    gbps_intra: float
    """Gigabytes a second of one channel, inside nodes."""
    gbps_inter: float
    """The same between nodes; 0 where there is one."""
    type_intra: PathType
    type_inter: PathType

    @property
    def gbps(self) -> float:
        """Of all channels, at their narrowest."""
        return self.channels * min(self.gbps_intra, self.gbps_inter or self.gbps_intra)


@dataclass(frozen=True, slots=True)
class Use:
    """A link in one direction, on all nodes of a kind."""

    name: str
    sort: Sort
    gbps: float
    """What it carries at most."""
    rings: float
    """What rings take of it, in gigabytes a second."""
    trees: float
    """What trees take, of a reduction or a broadcast; the larger."""


@dataclass(frozen=True, slots=True)
class Bottleneck:
    host: str
    link: str
    gbps: float

    def __str__(self) -> str:
        return f"{self.host}: {self.link} ({self.gbps:g} GB/s)"


@dataclass(frozen=True, slots=True)
class TreePlace:
    """Of a rank in a tree; NONE where there is none."""

    parent: int
    child0: int = NONE
    child1: int = NONE


@dataclass(frozen=True)
class Layout:
    topology: Topology
    placement: Placement
    nodes: tuple[Node, ...]
    """As channels visit them."""
    stretches: tuple[tuple[Stretch, ...], ...]
    """Of each kind of node, by channel."""
    turns: bool
    """Every other node is passed the other way round, so that channels that enter by one port and
    leave by another stay on their rails.
    """
    rings: Graph
    trees: Graph
    bottleneck: Bottleneck | None
    """Of the rings. None: nothing limits them, as where there is one rank."""
    uses: tuple[tuple[Use, ...], ...]
    """Of each kind of node."""
    kinds: tuple[Kind, ...] = field(compare=False)
    visited: int
    """Seats that the search looked at, on the kind of node that took most."""

    @property
    def channels(self) -> int:
        return self.rings.channels

    def stretch(self, channel: int, place: int) -> Stretch:
        """How a channel passes through the node at this place."""
        found = self.stretches[self.nodes[place].kind][channel]
        return found.turned() if self.turns and place % 2 else found

    def ring(self, channel: int) -> tuple[int, ...]:
        """All ranks, in the order of a ring."""
        return tuple(
            node.ranks[seat]
            for place, node in enumerate(self.nodes)
            for seat in self.stretch(channel, place).order
        )

    def chain(self, channel: int, place: int) -> tuple[int, ...]:
        """The ranks of the node at this place, from the head of its tree."""
        node = self.nodes[place]
        order = self.stretches[node.kind][channel].order
        return tuple(node.ranks[seat] for seat in order)

    def tree(self, channel: int, which: int) -> tuple[TreePlace, ...]:
        """For each rank its place in the first (0) or second (1) tree of a channel: chains inside
        nodes, a double tree between them. The first of a chain has the parent and one child in
        other nodes, the second the other child.
        """
        chains = [self.chain(channel, place) for place in range(len(self.nodes))]
        found = [TreePlace(NONE)] * self.placement.size
        for place, chain in enumerate(chains):
            above, *below = links(which, place, len(chains))
            heads = [NONE if other == NONE else chains[other][0] for other in below]
            # A chain of one has both children itself; programs take no first child for none.
            outside = [[heads[0]], [heads[1]]] if len(chain) > 1 else [heads]
            parent = NONE if above == NONE else self._hook(chains, which, place, above)
            for i, rank in enumerate(chain):
                own = [chain[i + 1]] if i + 1 < len(chain) else []
                own += [head for head in (outside[i] if i < len(outside) else []) if head != NONE]
                found[rank] = TreePlace(parent, *own)
                parent = rank
        return tuple(found)

    @staticmethod
    def _hook(chains: Sequence[Sequence[int]], which: int, place: int, above: int) -> int:
        """The rank of the node above that the one at this place hangs at."""
        chain = chains[above]
        is_second = links(which, above, len(chains)).child1 == place
        return chain[1] if is_second and len(chain) > 1 else chain[0]

    @cached_property
    def same_order(self) -> bool:
        """Whether all channels visit ranks in one order, wherever they begin."""
        return all(len({_from_first(s.order) for s in kind}) <= 1 for kind in self.stretches)

    @property
    def left_out(self) -> tuple[tuple[str, str], ...]:
        """Ports that carry nothing, and why; each kind's."""
        return tuple(each for kind in self.kinds for each in kind.left_out)


def _from_first(order: Sequence[int]) -> tuple[int, ...]:
    at = order.index(min(order))
    return (*order[at:], *order[:at])
