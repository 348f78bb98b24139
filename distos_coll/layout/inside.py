"""The best set of channels of a bandwidth for a kind of node, of several ways to look for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from distos_coll.layout import mesh
from distos_coll.layout.bounds import Bounds, fit
from distos_coll.layout.kinds import Kind
from distos_coll.layout.ledger import Ledger, Sort, summed
from distos_coll.layout.policy import CrossNic
from distos_coll.layout.search import Budget, Search
from distos_coll.layout.stretch import (
    Stretch,
    inside,
    is_possible,
    outside,
    ring_hops,
    worst,
)
from distos_coll.topology.path_type import PathType

_ATTEMPTS = 32
"""One search gets this part of the budget at most."""

_RESERVED = 5


@dataclass(frozen=True)
class How:
    """What a search may do."""

    cross: CrossNic
    furthest: PathType = PathType.DIS
    """From a port, where channels begin and end."""
    widest: PathType = PathType.DIS
    """From seat to seat."""


@dataclass(frozen=True)
class Laid:
    """Channels of equal bandwidth in a node."""

    gbps: float
    stretches: tuple[Stretch, ...]
    covered: int
    """Directions of ports that carry something; of NVLinks where there is no network."""
    type_intra: PathType
    type_inter: PathType

    @property
    def total(self) -> float:
        return self.gbps * len(self.stretches)

    def rate(self) -> tuple[float, int, int, int, int]:
        """The larger, the better."""
        types = -self.type_inter, -self.type_intra
        return round(self.total, 3), self.covered, *types, -len(self.stretches)


class Solver:
    """Finds channels for one kind of node. What it may visit in all is bounded."""

    def __init__(self, kind: Kind, budget: int, *, turns: bool = False) -> None:
        self.kind = kind
        self.turns = turns
        """Channels are passed backwards, too, so links must carry that."""
        self.bounds = Bounds(kind)
        self.whole = budget
        self.reserve = 2 * (budget // _RESERVED)
        """What is kept for the last steps of the choice."""
        self.budget = Budget(budget - self.reserve)

    @cached_property
    def fallback(self) -> Laid | None:
        """Seats in the order of the bus, one channel, as fast as the worst of its links; None only
        where channels must be passed both ways and none can.
        """
        kind = self.kind
        order = tuple(range(kind.size))
        ports = range(len(kind.ports)) if kind.ports else (None,)
        ways = (Stretch(_turned(order, i), p, p) for p in ports for i in order)
        found = next(
            (way for way in ways if all(is_possible(kind, w) for w in self._both(way))), None
        )
        if found is None:
            return None
        gbps = kind.channel_gbps
        for way in self._both(found):
            for n, factor in summed(hop.uses for hop in ring_hops(kind, way)).items():
                gbps = min(gbps, kind.directions.known[n].gbps / factor)
        return self._judged([found], gbps)

    def _both(self, stretch: Stretch) -> tuple[Stretch, ...]:
        return (stretch, stretch.turned()) if self.turns else (stretch,)

    @property
    def visited(self) -> int:
        return self.whole - self.reserve - self.budget.left

    def release(self) -> None:
        """Half of what was kept may be spent now."""
        part = min(self.reserve, self.whole // _RESERVED)
        self.reserve -= part
        self.budget.left += part

    def quick(self, gbps: float) -> Laid | None:
        """As many channels of this bandwidth as are found without a search; None: not one."""
        most = self.bounds.channels(gbps)
        if most < 1:
            return None
        found = [self._judged(self._rotated(gbps, most), gbps)]
        if self.kind.size > 1 and (found[0] is None or not self.is_full(found[0])):
            found.append(self._judged(self._mesh(gbps, most), gbps))
        return max((each for each in found if each is not None), key=Laid.rate, default=None)

    def searched(self, gbps: float, how: "How", need: int) -> Laid | None:
        """The same with a search, where it may find as many as are needed."""
        most = self.bounds.channels(gbps)
        if most < max(need, 1) or self.kind.size < 2 or self.budget.left <= 0:
            return None
        allowed = Budget(min(self.budget.left, self.whole // _ATTEMPTS))
        before = allowed.left
        ledger = Ledger(self.kind.directions)
        search = Search(self.kind, ledger, gbps, allowed, how.furthest, how.widest, self.turns)
        found = self._more([], search, how.cross, (need, most))
        self.budget.left -= before - allowed.left
        return self._judged(found, gbps)

    def halved(self, laid: Laid, channels: int, how: How) -> Laid | None:
        """Twice as many channels of half the bandwidth, some by ports that were idle."""
        kind, gbps = self.kind, laid.gbps / 2
        found = [*laid.stretches[:channels]] * 2
        ledger = ledger_of(kind, found, gbps)
        search = Search(kind, ledger, gbps, self.budget, how.furthest, how.widest, self.turns)
        every = list(range(len(kind.ports)))
        for port in every:
            entered = {stretch.entry for stretch in found}
            left = {stretch.exit for stretch in found}
            if port in entered and port in left:
                continue
            exits = [port] if how.cross is CrossNic.NEVER or port not in left else every
            entries = [port] if how.cross is CrossNic.NEVER or port not in entered else every
            self._replace(found, search, entries, exits)
        return self._judged(found, gbps)

    def _replace(
        self, found: list[Stretch], search: Search, entries: Sequence[int], exits: Sequence[int]
    ) -> None:
        """Put a channel of these ports in the place of one whose ports have others."""
        for i, stretch in enumerate(found):
            others = found[:i] + found[i + 1 :]
            needed = stretch.entry not in {each.entry for each in others}
            if needed or stretch.exit not in {each.exit for each in others}:
                continue
            hops = ring_hops(self.kind, stretch)
            for hop in hops:
                search.ledger.give_back(hop.uses, search.gbps)
            for entry in entries:
                new = search.channel(0, entry, exits)
                if new is None:
                    continue
                if not self.turns or self._may_turn([*others, new], search.gbps):
                    found[i] = new
                    return
                for hop in ring_hops(self.kind, new):
                    search.ledger.give_back(hop.uses, search.gbps)
            for hop in hops:
                search.ledger.take(hop.uses, search.gbps)

    def is_full(self, laid: Laid) -> bool:
        """All that `covered` counts is in use."""
        known = self.kind.directions.known
        return laid.covered >= sum(each.sort is self._counted for each in known)

    @property
    def _counted(self) -> Sort:
        """What should all be in use: ports, where there is a network; else links of GPUs."""
        return Sort.PORT if self.kind.ports else Sort.NVLINK

    def _judged(self, stretches: Sequence[Stretch], gbps: float) -> Laid | None:
        kind = self.kind
        if not stretches or not all(is_possible(kind, stretch) for stretch in stretches):
            return None
        ledger = ledger_of(kind, stretches, gbps)
        if ledger.over() or (self.turns and not self._may_turn(stretches, gbps)):
            return None
        within = [hop for stretch in stretches for hop in inside(kind, stretch)]
        beyond = [hop for stretch in stretches for hop in outside(kind, stretch)]
        return Laid(
            gbps,
            tuple(stretches),
            ledger.used(self._counted),
            worst(within, PathType.LOC),
            worst(beyond, PathType.LOC),
        )

    def _may_turn(self, stretches: Sequence[Stretch], gbps: float) -> bool:
        turned = [stretch.turned() for stretch in stretches]
        if not all(is_possible(self.kind, stretch) for stretch in turned):
            return False
        return not ledger_of(self.kind, turned, gbps).over()

    def _dealt(self, gbps: float, most: int) -> list[int]:
        """A port for each channel, in turn, as many times as it has room."""
        room = [fit(at.port.gbps, gbps) for at in self.kind.ports]
        rounds = max(room, default=0)
        dealt = [port for turn in range(rounds) for port, n in enumerate(room) if turn < n]
        return dealt[:most]

    def _rotated(self, gbps: float, most: int) -> list[Stretch]:
        """The order of the bus, turned so that each port has its own begin and end. Where all
        reach each other through switches there is no better one.
        """
        kind = self.kind
        if not kind.ports:
            order = tuple(range(kind.size))
            return self._fitting([Stretch(_turned(order, c)) for c in range(most)], gbps)
        return self._fitting(
            [s for s in (self._at_port(port) for port in self._dealt(gbps, most)) if s], gbps
        )

    def _at_port(self, port: int) -> Stretch | None:
        kind = self.kind
        inward = [(hop.type, s) for s in range(kind.size) if (hop := kind.inward(port, s))]
        outward = {s: hop.type for s in range(kind.size) if (hop := kind.outward(s, port))}
        if not inward or not outward:
            return None
        first = min(inward)[1]
        if kind.size == 1:
            return Stretch((first,), port, port)
        # The last one is the nearest to the port, of these the last before the first on the bus.
        ways = [(kind_, (first - s) % kind.size, s) for s, kind_ in outward.items() if s != first]
        if not ways:
            return None
        last = min(ways)[2]
        member = kind.slots[first][0]
        others = [s for s in _turned(range(kind.size), first) if s not in (first, last)]
        # Other hosts of the domain come in one piece.
        others.sort(key=lambda s: (kind.slots[s][0] - member) % len(kind.members))
        return Stretch((first, *others, last), port, port)

    def _fitting(self, stretches: list[Stretch], gbps: float) -> list[Stretch]:
        ledger = Ledger(self.kind.directions)
        found = []
        for stretch in stretches:
            if not self.budget.spend(len(stretch.order)):
                break
            uses = tuple(use for hop in ring_hops(self.kind, stretch) for use in hop.uses)
            if is_possible(self.kind, stretch) and ledger.takes(uses, gbps):
                found.append(stretch)
        return found

    def distances(self) -> tuple[list[PathType], list[PathType]]:
        """How far ports are from seats, and seats from each other, on this kind of node."""
        kind = self.kind
        between = {each for slot in range(kind.size) for each, _ in kind.around(slot)}
        beyond = {
            hop.type
            for port in range(len(kind.ports))
            for slot in range(kind.size)
            for hop in (kind.inward(port, slot), kind.outward(slot, port))
            if hop is not None
        }
        return sorted(beyond) or [PathType.DIS], sorted(between) or [PathType.DIS]

    def _more(
        self, found: list[Stretch], search: Search, cross: CrossNic, wanted: tuple[int, int]
    ) -> list[Stretch]:
        """Go on laying channels until there are enough; until there is no room, or less than is
        needed.
        """
        need, most = wanted
        if not self.kind.ports:
            while len(found) < most and search.budget.left > 0:
                stretch = search.channel(len(found) % self.kind.size, None, ())
                if stretch is None:
                    break
                found.append(stretch)
            return found
        ports = self._dealt(search.gbps, most)
        for stretch in found:
            if stretch.entry is not None:
                ports.remove(stretch.entry)
        every = range(len(self.kind.ports))
        while ports and len(found) < most and len(found) + len(ports) >= need:
            entry = ports.pop(0)
            exits = [entry] if cross is CrossNic.NEVER else list(every)
            stretch = search.channel(0, entry, exits)
            if stretch is not None:
                found.append(stretch)
            if search.budget.left <= 0:
                break
        return found

    def _mesh(self, gbps: float, most: int) -> list[Stretch]:
        """Rings over direct links, opened where they pass next to a port."""
        kind = self.kind
        room = [[self._direct(a, b, gbps) for b in range(kind.size)] for a in range(kind.size)]
        if not all(map(any, room)):
            return []
        allowed = Budget(min(self.budget.left, self.whole // _ATTEMPTS))
        before = allowed.left
        orders = mesh.rings(room, most, allowed)
        if not kind.ports:
            found = self._fitting([Stretch(_turned(o, c)) for c, o in enumerate(orders)], gbps)
        else:
            found = self._opened(orders, gbps, most)
        if found:
            ledger = ledger_of(kind, found, gbps)
            search = Search(kind, ledger, gbps, allowed, turns=self.turns, hasty=True)
            found = self._more(found, search, CrossNic.NEVER, (0, most))
        self.budget.left -= before - allowed.left
        return found

    def _direct(self, a: int, b: int, gbps: float) -> int:
        """Channels that a link of two devices alone has room for."""
        if a == b:
            return 0
        hop = self.kind.hop(a, b)
        alone = hop.type is PathType.NVL and len(hop.uses) == 1
        return fit(hop.gbps, gbps) if alone else 0

    def _opened(self, orders: Sequence[tuple[int, ...]], gbps: float, most: int) -> list[Stretch]:
        kind = self.kind
        ledger = Ledger(kind.directions)
        found = []
        for order, port in zip(orders, self._dealt(gbps, most), strict=False):
            ways = [Stretch(_turned(order, i), port, port) for i in range(kind.size)]
            ways = [way for way in ways if is_possible(kind, way)]
            ways.sort(key=lambda way: worst(outside(kind, way), PathType.LOC))
            for way in ways:
                uses = tuple(use for hop in ring_hops(kind, way) for use in hop.uses)
                if ledger.takes(uses, gbps):
                    found.append(way)
                    break
        return found


def _turned(order: Sequence[int], by: int) -> tuple[int, ...]:
    by %= len(order)
    return (*order[by:], *order[:by])


def ledger_of(kind: Kind, stretches: Sequence[Stretch], gbps: float) -> Ledger:
    """What rings take together."""
    ledger = Ledger(kind.directions)
    for stretch in stretches:
        for hop in ring_hops(kind, stretch):
            ledger.take(hop.uses, gbps)
    return ledger
