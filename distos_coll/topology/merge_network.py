"""One network of what several documents say: switches, adapters, cables, rails, blocks of hosts.

What is alike is known by its id, a cable by its two ends; a switch of which a document knows the
name alone is the one that others call so (`network_names`). All is put in order, so that the same
network is the same text whoever swept it from wherever. What was computed of one document's cables
is computed anew from all of them.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from distos_coll.topology.fabric import (
    Adapter,
    Block,
    Cable,
    End,
    Fabric,
    Rail,
    Recognised,
    Switch,
)
from distos_coll.topology.fabric_kinds import as_stated, recognise_fabric
from distos_coll.topology.merge_conflicts import Conflicts
from distos_coll.topology.merge_fields import Voice, in_order, merge_fields, sort_key
from distos_coll.topology.network_names import Names, without_twins

T = TypeVar("T")
Said: TypeAlias = list[tuple[Voice, T]]


@dataclass(frozen=True)
class Network:
    """What one document says between hosts."""

    name: str
    fabric: Fabric
    blocks: tuple[Block, ...]


def merge(networks: Sequence[Network], conflicts: Conflicts) -> tuple[Fabric, tuple[Block, ...]]:
    """Merge them all; the order of documents does not matter."""
    merger = _Merger(conflicts)
    said: Said[Fabric] = [(network.name, network.fabric) for network in networks]
    speak = [fabric for _, fabric in said if fabric.switches or fabric.adapters or fabric.cables]
    computed: tuple[str, ...] = ()
    if len(speak) > 1:
        computed = tuple(sorted({each for fabric in speak for each in fabric.computed}))
        said = Names([(voice, as_stated(fabric)) for voice, fabric in said]).joined(conflicts)
    elif speak:
        computed = speak[0].computed
    fabric = Fabric(
        merger.merge([(v, f.switches) for v, f in said], _id, _switch_name),
        merger.merge([(v, f.adapters) for v, f in said], _id, _adapter_name),
        merger.cables([(v, f.cables) for v, f in said]),
        merger.merge([(v, f.rails) for v, f in said], _rail, _rail_name),
        _recognised([f.recognised for _, f in said]),
        # What documents say of themselves cannot contradict each other.
        merge_fields([(v, Fabric(extra=f.extra)) for v, f in said])[0]["extra"] if said else (),
        merger.merge([(v, f.routers) for v, f in said], _id, _router_name),
        computed,
    )
    if len(speak) > 1:
        fabric = without_twins(fabric)
        if computed:
            fabric = recognise_fabric(replace(fabric, computed=()))
            fabric = replace(fabric, rails=tuple(map(in_order, fabric.rails)))
    blocks = [(network.name, network.blocks) for network in networks]
    return fabric, merger.merge(blocks, lambda b: (b.kind, b.name), lambda b: f"{b.kind} {b.name}")


def _id(item: Switch | Adapter) -> str:
    return item.id


def _switch_name(switch: Switch) -> str:
    return f"switch {switch.name or switch.id}"


def _adapter_name(adapter: Adapter) -> str:
    return f"adapter {adapter.name or adapter.id}"


def _router_name(router: Adapter) -> str:
    return f"router {router.name or router.id}"


def _rail(rail: Rail) -> tuple[int, int | None]:
    return rail.number, rail.plane


def _rail_name(rail: Rail) -> str:
    return f"rail {rail.number}"


class _Merger:
    def __init__(self, conflicts: Conflicts) -> None:
        self.conflicts = conflicts

    def merge(
        self,
        said: Iterable[tuple[Voice, Sequence[T]]],
        key_of: Callable[[T], Hashable],
        name_of: Callable[[T], str],
    ) -> tuple[T, ...]:
        found = _gathered(said, key_of)
        ordered = sorted(found, key=sort_key)
        return tuple(in_order(self.one(found[key], name_of)) for key in ordered)

    def one(self, said: Said[T], name_of: Callable[[T], str]) -> T:
        first = said[0][1]
        if all(item == first for _, item in said):
            return first
        values, conflicts = merge_fields(said)
        found = type(first)(**values)
        for conflict in conflicts:
            self.conflicts.add("", replace(conflict, place=name_of(found)))
        return found

    def cables(self, said: Iterable[tuple[Voice, Sequence[Cable]]]) -> tuple[Cable, ...]:
        """From the lesser end to the greater; where only one end names the other, from that."""
        turned = [(voice, [_turned(cable) for cable in cables]) for voice, cables in said]
        found = _gathered(turned, lambda each: (each.cable.a, each.cable.b))
        cables = []
        for key in sorted(found, key=sort_key):
            cable = self.one([(voice, each.cable) for voice, each in found[key]], _cable_name)
            naming = frozenset(end for _, each in found[key] for end in each.naming)
            if len(naming) < 2:
                cable = replace(cable, seen_by_both=False)
                cable = cable if naming == {cable.a} else swapped(cable)
            cables.append(cable)
        return tuple(cables)


@dataclass(frozen=True, slots=True)
class _Turned:
    cable: Cable
    """The lesser end first."""
    naming: frozenset[End]
    """Ends that name the other: one-sided statements of both make a cable that both know."""


def _turned(cable: Cable) -> _Turned:
    naming = frozenset({cable.a, cable.b} if cable.seen_by_both else {cable.a})
    return _Turned(turned(replace(cable, seen_by_both=True)), naming)


def turned(cable: Cable) -> Cable:
    """The same cable, the lesser end first."""
    return cable if sort_key(cable.a) <= sort_key(cable.b) else swapped(cable)


def swapped(cable: Cable) -> Cable:
    """The same cable from its other end."""
    other = {"-a": "-b", "-b": "-a"}
    extra = tuple((name[:-2] + other.get(name[-2:], name[-2:]), text) for name, text in cable.extra)
    return replace(cable, a=cable.b, b=cable.a, extra=tuple(sorted(extra)))


def _cable_name(cable: Cable) -> str:
    return f"cable {end_name(cable.a)} to {end_name(cable.b)}"


def end_name(end: End) -> str:
    return end.id if end.port is None else f"{end.id}[{end.port}]"


def _gathered(
    said: Iterable[tuple[Voice, Sequence[T]]], key_of: Callable[[T], Hashable]
) -> dict[tuple[Any, int], Said[T]]:
    """By key, and number among those of the same key in one document."""
    found: dict[tuple[Any, int], Said[T]] = {}
    for voice, items in said:
        counts: Counter[Hashable] = Counter()
        for item in items:
            key = key_of(item)
            found.setdefault((key, counts[key]), []).append((voice, item))
            counts[key] += 1
    return found


def _recognised(said: Iterable[tuple[Recognised, ...]]) -> tuple[Recognised, ...]:
    """One document's as they are, the best name first; of several each kind once."""
    different = {kinds for kinds in said if kinds}
    if len(different) < 2:
        return next(iter(different), ())
    found: dict[str, Recognised] = {}
    for kind in sorted((each for kinds in different for each in kinds), key=_recognised_order):
        found.setdefault(kind.kind, kind)
    return tuple(found.values())


def _recognised_order(kind: Recognised) -> tuple[str, tuple[str, ...]]:
    return kind.kind, kind.evidence
