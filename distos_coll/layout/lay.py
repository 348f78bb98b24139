"""From a topology and a placement to a layout: the one function that others call."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distos_coll.errors import TopologyError
from distos_coll.layout.choose import Choice, Chooser
from distos_coll.layout.inside import Solver, ledger_of
from distos_coll.layout.kinds import Kind, Member
from distos_coll.layout.ledger import TINY, Ledger, Sort
from distos_coll.layout.order import in_order
from distos_coll.layout.placement import Placement
from distos_coll.layout.policy import DEFAULT, CrossNic, Policy
from distos_coll.layout.result import Bottleneck, Graph, Layout, Node, Use
from distos_coll.layout.stretch import Stretch
from distos_coll.layout.trees import tree_ledger, tree_speeds
from distos_coll.topology.model import NOWHERE, Gpu, HostTemplate, Topology
from distos_coll.topology.path_type import PathType
from distos_coll.topology.paths import HostPaths

BUDGET = 1 << 17
"""Seats that the search of one kind of node may look at: a second or two, where it needs all."""
_WORTH = 1.02
"""Crossing from port to port must bring so much."""


def lay_out(
    topology: Topology, placement: Placement, policy: Policy = DEFAULT, budget: int = BUDGET
) -> Layout:
    """Lay rings and trees over the devices of all ranks.

    Equal arguments give an equal layout, on every machine. Raises TopologyError if a rank sits
    where nothing is.
    """
    nodes, kinds = _Grouping(topology, placement, policy).nodes()
    choice, turns, visited = _chosen(kinds, policy, budget)
    stretches = tuple(
        _by_rail(kind, laid.stretches)[: choice.channels]
        for kind, laid in zip(kinds, choice.laid, strict=True)
    )
    gbps = choice.gbps
    network = len(nodes) > 1
    rings = Graph(
        choice.channels,
        gbps,
        gbps if network else 0.0,
        choice.type_intra,
        choice.type_inter if network else PathType.LOC,
    )
    speeds = [tree_speeds(k, s, gbps) for k, s in zip(kinds, stretches, strict=True)]
    inter = min(inter for _, inter in speeds) if network else 0.0
    intra = min(intra for intra, _ in speeds)
    if network:
        # Of two nodes each sends one tree's half of the data, of more the whole.
        intra = min(intra, 2 * inter)
    trees = replace(rings, gbps_intra=intra, gbps_inter=inter)
    ledgers = [ledger_of(k, s, gbps) for k, s in zip(kinds, stretches, strict=True)]
    uses = tuple(
        _uses(kind, ledger, tree_ledger(kind, s, trees.gbps_intra, trees.gbps_inter))
        for kind, ledger, s in zip(kinds, ledgers, stretches, strict=True)
    )
    return Layout(
        topology,
        placement,
        nodes,
        stretches,
        turns,
        rings,
        trees,
        _bottleneck(topology, nodes, ledgers),
        uses,
        kinds,
        visited,
    )


@dataclass
class _Grouping:
    """Ranks into nodes, and nodes into kinds."""

    topology: Topology
    placement: Placement
    policy: Policy

    def nodes(self) -> tuple[tuple[Node, ...], tuple[Kind, ...]]:
        seated = self._seated()
        hosts = in_order(self.topology, list(seated))
        grouped: dict[object, list[int]] = {}
        for h in hosts:
            domain = self._domain(h, seated[h])
            grouped.setdefault(h if domain is None else domain, []).append(h)
        first: dict[HostTemplate, HostTemplate] = {}
        alike = {id(t): first.setdefault(t, t) for t in self.topology.templates}
        paths = {id(t): HostPaths(t) for t in first}
        known: dict[object, int] = {}
        kinds: list[Kind] = []
        nodes = []
        for name, members in grouped.items():
            shares = isinstance(name, str)
            look = [
                (id(alike[id(self.topology.hosts[h].template)]), tuple(d for d, _ in seated[h]))
                for h in members
            ]
            number = known.setdefault((shares, *look), len(kinds))
            if number == len(kinds):
                inside = [Member(paths[template], devices, shares) for template, devices in look]
                kinds.append(Kind(inside, self.policy, network=len(grouped) > 1))
            ranks = tuple(rank for h in members for _, rank in seated[h])
            nodes.append(Node(number, tuple(members), ranks))
        return tuple(nodes), tuple(kinds)

    def _seated(self) -> dict[int, list[tuple[int, int]]]:
        """Device and rank of each seat, by hosts in the order of their first ranks."""
        if not self.placement.seats:
            raise TopologyError("a layout of no ranks; place at least one")
        found: dict[int, list[tuple[int, int]]] = {}
        for rank, seat in enumerate(self.placement.seats):
            found.setdefault(seat.host, []).append((seat.device, rank))
        for h, seats in found.items():
            if not 0 <= h < len(self.topology.hosts):
                raise TopologyError(
                    f"rank {seats[0][1]} is on host {h} of {len(self.topology.hosts)}; hosts are "
                    "counted from 0"
                )
            template = self.topology.hosts[h].template
            for device, rank in seats:
                if device != NOWHERE and not _is_gpu(template, device):
                    raise TopologyError(
                        f"rank {rank} is on node {device} of {self.topology.hosts[h].name}, which "
                        "is no GPU there; -1 is the CPU"
                    )
            seats.sort()
        return found

    def _domain(self, h: int, seats: Sequence[tuple[int, int]]) -> str | None:
        """The NVLink domain that all of its devices belong to."""
        host = self.topology.hosts[h]
        if not host.gpus or all(its.nvlink_domain is None for its in host.gpus):
            return None
        its = dict(zip(host.template.gpus, host.gpus, strict=True))
        domains = {its[device].nvlink_domain if device in its else None for device, _ in seats}
        return domains.pop() if len(domains) == 1 else None


def _is_gpu(template: HostTemplate, node: int) -> bool:
    return 0 <= node < len(template.nodes) and isinstance(template.nodes[node], Gpu)


def _chosen(kinds: Sequence[Kind], policy: Policy, budget: int) -> tuple[Choice, bool, int]:
    """The channels, whether every other node is passed backwards, and what the search visited."""
    may_cross = policy.cross_nic is not CrossNic.NEVER and any(len(k.ports) > 1 for k in kinds)
    part = budget // 2 if may_cross else budget
    straight = Chooser([Solver(kind, part) for kind in kinds], CrossNic.NEVER)
    choice = straight.choose()
    visited = straight.visited
    near = choice.type_inter <= PathType.PXN
    solvers = [Solver(kind, part, turns=True) for kind in kinds] if may_cross else []
    enough = near and (straight.is_enough or choice.total * _WORTH >= straight.ceiling)
    if solvers and not enough and all(solver.fallback for solver in solvers):
        crossing = Chooser(solvers, CrossNic.ALWAYS)
        other = crossing.choose()
        visited += crossing.visited
        gain = other.total / choice.total
        nearer = gain > 1 / _WORTH and other.type_inter < choice.type_inter
        if gain >= _WORTH or nearer:
            return other, True, visited
    return choice, False, visited


def _by_rail(kind: Kind, stretches: Sequence[Stretch]) -> tuple[Stretch, ...]:
    """Channels in turn through the rails, so that those of other kinds of nodes match."""
    turn: dict[int, int] = {}
    keyed = []
    for i, stretch in enumerate(stretches):
        rail = kind.ports[stretch.entry].port.rail if stretch.entry is not None else 0
        turn[rail] = turn.get(rail, -1) + 1
        keyed.append((turn[rail], rail, i))
    return tuple(stretches[i] for _, _, i in sorted(keyed))


def _uses(kind: Kind, rings: Ledger, trees: Sequence[Ledger]) -> tuple[Use, ...]:
    known = kind.directions.known
    taken = [rings.all_taken(), *(each.all_taken() for each in trees)]
    return tuple(
        Use(each.name, each.sort, each.gbps, taken[0][n], max(way[n] for way in taken[1:]))
        for n, each in enumerate(known)
        if each.sort in (Sort.NVLINK, Sort.PORT) or any(way[n] for way in taken)
    )


def _bottleneck(
    topology: Topology, nodes: Sequence[Node], ledgers: Sequence[Ledger]
) -> Bottleneck | None:
    """The fullest link of all; of equally full ones a port, then the narrowest."""
    found: list[tuple[float, bool, float, int, int]] = []
    for kind, ledger in enumerate(ledgers):
        taken = ledger.all_taken()
        for n, each in enumerate(ledger.directions.known):
            if taken[n] > TINY:
                share = round(taken[n] / each.gbps, 3)
                found.append((-share, each.sort is not Sort.PORT, each.gbps, kind, n))
    if not found:
        return None
    _, _, gbps, kind, n = min(found)
    node = next(node for node in nodes if node.kind == kind)
    names = [topology.hosts[h].name for h in node.hosts]
    host = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    return Bottleneck(host, ledgers[kind].directions.known[n].name, gbps)
