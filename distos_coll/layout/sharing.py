"""Groups of one job on the same links: tensor, data, pipeline parallel, and what they take from
each other.

A dimension's groups communicate at the same time, each over a layout of its own; dimensions meet
by chance, each for the share of time that it communicates. What is left to a dimension of a link
is what the others do not take of it on the average.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from distos_coll.errors import TopologyError
from distos_coll.layout.lay import lay_out
from distos_coll.layout.ledger import TINY
from distos_coll.layout.placement import Placement
from distos_coll.layout.policy import DEFAULT, Policy
from distos_coll.layout.result import Layout
from distos_coll.topology.model import Topology

Link = tuple[int, str]
"""Of a host, by the name of one direction."""


@dataclass(frozen=True)
class Dimension:
    """Groups that are alike: "tensor", of eight ranks each."""

    name: str
    groups: tuple[tuple[int, ...], ...]
    """Ranks of the job; groups of one dimension have none in common."""
    share: float
    """Of the time that it communicates, 0 to 1."""


@dataclass(frozen=True)
class Shared:
    """What a dimension gets beside the others."""

    dimension: Dimension
    layouts: tuple[Layout, ...]
    """Of each group, as if it were alone."""
    crowding: float
    """How many times longer its groups take because they are several."""
    slowdown: float
    """The same, and because of the other dimensions: what prices are multiplied by."""
    link: Link | None
    """The one that says so; None: nothing is shared."""
    beside: tuple[str, ...]
    """The other dimensions on that link."""

    @property
    def gbps(self) -> float:
        """Of the slowest group's rings, with all others about."""
        return min(layout.rings.gbps for layout in self.layouts) / self.slowdown


def by_strides(size: int, lengths: Sequence[tuple[str, int, float]]) -> tuple[Dimension, ...]:
    """Cut ranks 0 to size - 1 into dimensions: names, lengths, shares of time, the innermost first:
    neighbours are tensor parallel. Raises TopologyError if the lengths do not multiply to the size.
    """
    found, stride = [], 1
    for name, length, share in lengths:
        if length < 1 or not 0 <= share <= 1:
            raise TopologyError(
                f"{name}: {length} ranks for {share} of the time; a length is at least 1, a share "
                "between 0 and 1"
            )
        starts = [r for r in range(size) if r // stride % length == 0]
        groups = tuple(tuple(start + i * stride for i in range(length)) for start in starts)
        found.append(Dimension(name, groups, share))
        stride *= length
    if stride != size:
        raise TopologyError(
            f"dimensions of {' x '.join(str(length) for _, length, _ in lengths)} ranks are "
            f"{stride:,}, and the job has {size:,}"
        )
    return tuple(found)


def share_out(
    topology: Topology,
    placement: Placement,
    dimensions: Sequence[Dimension],
    policy: Policy = DEFAULT,
) -> tuple[Shared, ...]:
    """Lay every group out, and price what they take from each other, in the given order."""
    loads = [_Load(topology, placement, each, policy) for each in dimensions]
    return tuple(_shared(load, [o for o in loads if o is not load]) for load in loads)


class _Load:
    """What all groups of a dimension together ask of each link."""

    def __init__(
        self, topology: Topology, placement: Placement, dimension: Dimension, policy: Policy
    ) -> None:
        self.dimension = dimension
        alike: dict[tuple[object, ...], Layout] = {}
        self.layouts = tuple(
            self._laid(topology, placement, group, policy, alike) for group in dimension.groups
        )

    @staticmethod
    def _laid(
        topology: Topology,
        placement: Placement,
        group: Sequence[int],
        policy: Policy,
        alike: dict[tuple[object, ...], Layout],
    ) -> Layout:
        """Groups on the same devices of hosts that look alike are searched once, where the network
        says nothing of the hosts.
        """
        seats = tuple(placement.seats[rank] for rank in group)
        hosts = list(dict.fromkeys(seat.host for seat in seats))
        look = tuple((hosts.index(seat.host), seat.device) for seat in seats)
        key = (look, *(id(topology.hosts[h].template) for h in hosts))
        plain = not topology.fabric.switches and not topology.blocks
        named = any(own.nvlink_domain for h in hosts for own in topology.hosts[h].gpus)
        if not plain or named or key not in alike:
            found = lay_out(topology, Placement(seats), policy)
            alike.setdefault(key, found)
            return found
        found = alike[key]
        before = list(dict.fromkeys(seat.host for seat in found.placement.seats))
        moved = dict(zip(before, hosts, strict=True))
        nodes = tuple(
            replace(node, hosts=tuple(moved[h] for h in node.hosts)) for node in found.nodes
        )
        return replace(found, placement=Placement(seats), nodes=nodes)

    @cached_property
    def asked(self) -> Mapping[Link, float]:
        """Gigabytes a second, of rings or trees, whichever is more."""
        found: dict[Link, float] = defaultdict(float)
        for layout in self.layouts:
            for node in layout.nodes:
                for use in layout.uses[node.kind]:
                    most = max(use.rings, use.trees)
                    if most > TINY:
                        found[_link(node.hosts, use.name)] += most
        return found

    @cached_property
    def carries(self) -> Mapping[Link, float]:
        """What each of its links carries at most."""
        return {
            _link(node.hosts, use.name): use.gbps
            for layout in self.layouts
            for node in layout.nodes
            for use in layout.uses[node.kind]
        }

    def taken(self, link: Link) -> float:
        """On the average over time."""
        asked = self.asked.get(link, 0.0)
        return self.dimension.share * min(asked, self.carries[link]) if asked else 0.0


def _link(hosts: Sequence[int], name: str) -> Link:
    """Links of nodes with several hosts are named after the host's place in the node."""
    for m, host in enumerate(hosts):
        if len(hosts) > 1 and f"host {m}'s " in name:
            return host, name.replace(f"host {m}'s ", "")
    return hosts[0], name


def _shared(load: _Load, others: Sequence[_Load]) -> Shared:
    crowding, slowdown, worst = 1.0, 1.0, None
    for link, asked in sorted(load.asked.items()):
        carries = load.carries[link]
        if asked > carries * (1 + TINY):
            crowding = max(crowding, asked / carries)
        left = carries - sum(other.taken(link) for other in others)
        # Where the others would leave nothing, all get a part of what they ask for.
        everybody = asked + sum(other.asked.get(link, 0.0) for other in others)
        left = max(left, carries * asked / everybody)
        if asked / left > slowdown * (1 + TINY):
            slowdown, worst = asked / left, link
    beside = tuple(other.dimension.name for other in others if worst and other.taken(worst))
    return Shared(load.dimension, load.layouts, crowding, slowdown, worst, beside)
