"""Switches that are alike: at the same level, linked to the same kinds of switches, with as many
hosts. Of thousands there are a few kinds, and a picture or a tree of these fits a page.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass

from distos_coll.topology.fabric import Adapter, Cable, End, EndKind, Fabric
from distos_coll.topology.names import natural

_MOST_ROUNDS = 8
"""Of telling switches apart by their neighbours; no known network needs as many."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What hangs at a switch: a host's port, or an adapter of which the host is not known."""

    host: str | None
    device: str
    mbps: int | None


@dataclass(frozen=True, slots=True)
class Uplinks:
    """From each switch of a class to those of another."""

    to: int
    cables: int
    switches: int
    mbps: int | None


@dataclass(frozen=True, slots=True)
class SwitchClass:
    tier: int
    """1: hosts hang at it."""
    members: tuple[int, ...]
    """Indices of switches, in the order of their names."""
    hosts: int
    """Cables to hosts of each."""
    links: tuple[Uplinks, ...]
    """To classes of higher tiers, and of the same."""


@dataclass(frozen=True)
class SwitchClasses:
    classes: tuple[SwitchClass, ...]
    """The highest tier first."""
    attached: tuple[tuple[Attached, ...], ...]
    """By switch."""

    def of_tier(self, tier: int) -> list[int]:
        return [i for i, each in enumerate(self.classes) if each.tier == tier]


def switch_classes(fabric: Fabric) -> SwitchClasses:
    """Find the classes; the same fabric gives the same."""
    return _Finder(fabric).found()


class _Finder:
    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        count = len(fabric.switches)
        self.index: dict[str, int] = {}
        for i, switch in enumerate(fabric.switches):
            self.index.setdefault(switch.id, i)
        self.links: list[Counter[tuple[int, int | None]]] = [Counter() for _ in range(count)]
        """Of each switch: others, and the speed of the cable."""
        self.attached: list[list[Attached]] = [[] for _ in range(count)]
        adapters = {adapter.id: adapter for adapter in fabric.adapters}
        for cable in fabric.cables:
            self._add(cable, adapters)
        self.tier = _tiers(fabric, self.links, self.attached)

    def _add(self, cable: Cable, adapters: dict[str, Adapter]) -> None:
        for near, far in ((cable.a, cable.b), (cable.b, cable.a)):
            here = self.index.get(near.id) if near.kind is EndKind.SWITCH else None
            if here is None:
                continue
            there = self.index.get(far.id) if far.kind is EndKind.SWITCH else None
            if there is not None and there != here:
                self.links[here][there, cable.mbps] += 1
            elif there is None and (found := _attached(far, cable, adapters)) is not None:
                self.attached[here].append(found)

    def found(self) -> SwitchClasses:
        colours = self._colours()
        groups: dict[int, list[int]] = {}
        for i, colour in enumerate(colours):
            groups.setdefault(colour, []).append(i)
        switches = self.fabric.switches
        for members in groups.values():
            members.sort(key=lambda i: natural(switches[i].name or switches[i].id))
        ordered = sorted(
            groups.values(),
            key=lambda own: (
                -self.tier[own[0]],
                natural(switches[own[0]].name or switches[own[0]].id),
            ),
        )
        place = {i: c for c, members in enumerate(ordered) for i in members}
        classes = tuple(self._class(members, place) for members in ordered)
        return SwitchClasses(classes, tuple(map(tuple, self.attached)))

    def _class(self, members: list[int], place: dict[int, int]) -> SwitchClass:
        first = members[0]
        cables: Counter[tuple[int, int | None]] = Counter()
        others: Counter[tuple[int, int | None]] = Counter()
        for (other, mbps), count in self.links[first].items():
            if self.tier[other] >= self.tier[first]:
                cables[place[other], mbps] += count
                others[place[other], mbps] += 1
        links = tuple(
            Uplinks(to, count, others[to, mbps], mbps)
            for (to, mbps), count in sorted(cables.items(), key=lambda item: str(item[0]))
        )
        return SwitchClass(self.tier[first], tuple(members), len(self.attached[first]), links)

    def _colours(self) -> list[int]:
        """Equal numbers for switches that cannot be told apart."""
        colours = _numbered(
            [
                (self.tier[i], switch.technology, switch.ports, len(self.attached[i]))
                for i, switch in enumerate(self.fabric.switches)
            ]
        )
        for _ in range(_MOST_ROUNDS):
            kinds = len(set(colours))
            seen = []
            for i, links in enumerate(self.links):
                around: Counter[tuple[int, int | None]] = Counter()
                for (other, mbps), count in links.items():
                    around[colours[other], mbps] += count
                seen.append((colours[i], frozenset(around.items())))
            colours = _numbered(seen)
            if len(set(colours)) == kinds:
                break
        return colours


def _numbered(values: Sequence[object]) -> list[int]:
    numbers: dict[object, int] = {}
    return [numbers.setdefault(value, len(numbers)) for value in values]


def _attached(far: End, cable: Cable, adapters: dict[str, Adapter]) -> Attached | None:
    if far.kind is EndKind.HOST:
        return Attached(far.id, "" if far.port is None else str(far.port), cable.mbps)
    adapter = adapters.get(far.id)
    if far.kind is not EndKind.ADAPTER or (adapter is not None and adapter.aggregation):
        return None
    if adapter is None:
        return Attached(None, far.id, cable.mbps)
    return Attached(adapter.host, adapter.device or adapter.name or adapter.id, cable.mbps)


def _tiers(
    fabric: Fabric,
    links: Sequence[Counter[tuple[int, int | None]]],
    attached: Sequence[Sequence[Attached]],
) -> list[int]:
    """Levels where all are known; else distances from the switches with hosts."""
    levels = [switch.level for switch in fabric.switches]
    known = [level for level in levels if level is not None]
    if len(known) == len(levels):
        return known
    tiers = [0] * len(levels)
    waiting = deque(i for i, own in enumerate(attached) if own)
    for i in waiting:
        tiers[i] = 1
    while waiting:
        here = waiting.popleft()
        for other, _ in links[here]:
            if not tiers[other]:
                tiers[other] = tiers[here] + 1
                waiting.append(other)
    # Without a way to a host: the lowest.
    return [tier or 1 for tier in tiers]
