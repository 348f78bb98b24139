"""What changed between hosts: switches, adapters, cables, rails, blocks."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from distos_coll.topology.diff import Difference
from distos_coll.topology.diff_fields import of_fields, of_speed, rail_name, told
from distos_coll.topology.fabric import Adapter, Block, Cable, End, EndKind, Fabric, Switch
from distos_coll.topology.merge_fields import sort_key
from distos_coll.topology.merge_network import turned
from distos_coll.topology.model import Host, Topology
from distos_coll.topology.node_names import node_names

T = TypeVar("T")
_Key: TypeAlias = tuple[tuple[End, End], int]
"""Of a cable: its ends, and its number among those of the same ends, for those without ports."""
_Names: TypeAlias = frozenset[str]


def network_differences(
    old: Topology, new: Topology, lost: Sequence[Host] = (), found: Sequence[Host] = ()
) -> Iterator[Difference]:
    """`lost` and `found` are the hosts that only one of them has: what hangs at those is no change
    of its own.
    """
    gone, come = _unheard_of(lost, new), _unheard_of(found, old)
    if old.fabric != new.fabric:
        yield from _Fabrics(old.fabric, new.fabric, gone, come).differences()
    yield from _blocks(old.blocks, new.blocks, gone | come)


def _unheard_of(hosts: Sequence[Host], topology: Topology) -> _Names:
    """Names of the hosts that a topology's network does not know either."""
    fabric = topology.fabric
    ends = (end for cable in fabric.cables for end in (cable.a, cable.b))
    heard = {end.id for end in ends if end.kind is EndKind.HOST}
    heard |= {adapter.host for adapter in fabric.adapters if adapter.host is not None}
    heard |= {name for block in topology.blocks for name in block.hosts}
    names = [{host.name, *host.aliases} for host in hosts]
    return frozenset(name for own in names if not own & heard for name in own)


def _numbered(items: Iterable[T], key_of: Callable[[T], Hashable]) -> dict[tuple[Hashable, int], T]:
    counts: Counter[Hashable] = Counter()
    found = {}
    for item in items:
        key = key_of(item)
        found[key, counts[key]] = item
        counts[key] += 1
    return found


def _id(node: Switch | Adapter) -> str:
    return node.id


class _Fabrics:
    def __init__(self, old: Fabric, new: Fabric, lost: _Names, found: _Names) -> None:
        self.old, self.new = old, new
        self.hosts = lost | found
        self.names = node_names(old, new)
        self.gone: set[str] = set()
        """Ids of what only one of them has: its cables and rails are no change of their own."""

    def differences(self) -> Iterator[Difference]:
        yield from self.nodes("switch", self.old.switches, self.new.switches)
        yield from self.nodes("adapter", self.old.adapters, self.new.adapters)
        yield from self.nodes("router", self.old.routers, self.new.routers)
        yield from self.cables()
        yield from self.rails()
        if self.old.recognised != self.new.recognised:
            kinds = [" ".join(kind.kind for kind in f.recognised) for f in (self.old, self.new)]
            if kinds[0] != kinds[1]:
                yield told("fabric-changed", "kind", kinds[0], kinds[1])

    def nodes(
        self, noun: str, old: Sequence[Switch | Adapter], new: Sequence[Switch | Adapter]
    ) -> Iterator[Difference]:
        before, after = _numbered(old, _id), _numbered(new, _id)
        for one, other, how in ((before, after, "lost"), (after, before, "new")):
            for key in one.keys() - other.keys():
                node = one[key]
                self.gone.add(node.id)
                if not isinstance(node, Adapter) or node.host not in self.hosts:
                    yield Difference(f"{noun}-{how}", self.names[node.id])
        for key in before.keys() & after.keys():
            a, b = before[key], after[key]
            if a != b:
                yield from of_fields(noun, self.names[a.id], a, b, frozenset({"rail", "plane"}))

    def end(self, end: End) -> str:
        name = self.names.get(end.id, end.id)
        return name if end.port is None else f"{name}[{end.port}]"

    def is_gone(self, end: End) -> bool:
        return end.id in (self.hosts if end.kind is EndKind.HOST else self.gone)

    def cable(self, key: _Key) -> str:
        (a, b), number = key
        again = f" ({number + 1})" if number else ""
        return f"{self.end(a)} to {self.end(b)}{again}"

    def cables(self) -> Iterator[Difference]:
        old, new = (_cables(fabric) for fabric in (self.old, self.new))
        lost = self.apart(old, new)
        found = self.apart(new, old)
        yield from self.moved(lost, found)
        for how, cables in (("lost", lost), ("new", found)):
            for key in cables:
                yield Difference(f"cable-{how}", self.cable(key))
        for key in old.keys() & new.keys():
            a, b = old[key], new[key]
            if a != b:
                what = self.cable(key)
                yield from of_speed("cable", what, a.mbps, b.mbps)
                if a.mbps != b.mbps:
                    # Its lanes and its generation, each end's own too, say the same again.
                    a, b = _without_rate(a), _without_rate(b)
                yield from of_fields("cable", what, a, b, frozenset({"a", "b", "mbps"}))

    def apart(self, one: Mapping[_Key, Cable], other: Mapping[_Key, Cable]) -> dict[_Key, None]:
        """Cables that only one has, in order, without those of nodes that only one has."""
        apart = one.keys() - other.keys()
        kept = (key for key in apart if not any(map(self.is_gone, key[0])))
        return dict.fromkeys(sorted(kept, key=sort_key))

    def moved(self, lost: dict[_Key, None], found: dict[_Key, None]) -> Iterator[Difference]:
        """Take out pairs of a lost and a new cable with one end in common: it was put elsewhere.

        A switch's port is the better place to stand and look from: hosts are what moves.
        """
        for wanted in (EndKind.SWITCH, EndKind.ADAPTER, EndKind.HOST, EndKind.ROUTER):
            at = {
                end: key
                for key in found
                for end in reversed(key[0])
                if end.kind is wanted and end.port is not None
            }
            for key in list(lost):
                ends = key[0]
                here = next((end for end in reversed(ends) if at.get(end) in found), None)
                if here is None:
                    continue
                other = at[here]
                del lost[key], found[other]
                pairs = (ends, other[0])
                before, after = (pair[0] if pair[1] == here else pair[1] for pair in pairs)
                yield told("cable-moved", self.end(here), self.end(before), self.end(after))

    def rails(self) -> Iterator[Difference]:
        before, after = (_places(fabric) for fabric in (self.old, self.new))
        old, new = ({rail for rails in side.values() for rail in rails} for side in (before, after))
        for how, gone in (("lost", old - new), ("new", new - old)):
            for rail in gone:
                yield Difference(f"rail-{how}", rail_name(*rail))
        # Of a rail that is gone its members are, too.
        common = old & new
        for place in before.keys() | after.keys():
            sides = [side.get(place, frozenset()) & common for side in (before, after)]
            if sides[0] != sides[1] and not self.is_gone(place):
                shown = [", ".join(sorted(rail_name(*rail) for rail in side)) for side in sides]
                yield told("rail-moved", self.end(place), shown[0] or "none", shown[1] or "none")


def _cables(fabric: Fabric) -> dict[_Key, Cable]:
    found: dict[_Key, Cable] = {}
    counts: Counter[tuple[End, End]] = Counter()
    for cable in map(turned, fabric.cables):
        ends = (cable.a, cable.b)
        found[ends, counts[ends]] = cable
        counts[ends] += 1
    return found


def _without_rate(cable: Cable) -> Cable:
    extra = tuple((name, text) for name, text in cable.extra if "rate" not in name)
    return replace(cable, width=None, rate=None, extra=extra)


def _places(fabric: Fabric) -> dict[End, frozenset[tuple[int, int | None]]]:
    """On which rails each switch and adapter is."""
    found: dict[End, set[tuple[int, int | None]]] = {}
    for rail in fabric.rails:
        switches = (End(EndKind.SWITCH, id_) for id_ in rail.switches)
        for end in (*switches, *rail.members):
            found.setdefault(end, set()).add((rail.number, rail.plane))
    listed = {end.id for end in found if end.kind is EndKind.ADAPTER}
    for adapter in fabric.adapters:
        if adapter.rail is not None and adapter.id not in listed:
            end = End(EndKind.ADAPTER, adapter.id)
            found.setdefault(end, set()).add((adapter.rail, adapter.plane))
    return {end: frozenset(rails) for end, rails in found.items()}


def _blocks(
    old: Sequence[Block], new: Sequence[Block], gone: _Names = frozenset()
) -> Iterator[Difference]:
    before, after = (_numbered(blocks, lambda b: (b.kind, b.name)) for blocks in (old, new))
    for one, other, how in ((before, after, "lost"), (after, before, "new")):
        for key in one.keys() - other.keys():
            yield Difference(f"block-{how}", f"{one[key].kind} {one[key].name}")
    common = before.keys() & after.keys()
    for key in common:
        what = f"{before[key].kind} {before[key].name}"
        yield from of_fields("block", what, before[key], after[key], frozenset({"hosts"}))
    members = [_members({key: side[key] for key in common}) for side in (before, after)]
    for kind, host in members[0].keys() | members[1].keys():
        names = [" ".join(sorted(side.get((kind, host), ()))) for side in members]
        if names[0] != names[1] and host not in gone:
            yield Difference("block-moved", kind, names[0] or "none", names[1] or "none", host)


def _members(blocks: Mapping[object, Block]) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for block in blocks.values():
        for host in block.hosts:
            found.setdefault((block.kind, host), set()).add(block.name)
    return found
