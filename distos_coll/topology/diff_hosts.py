"""What changed inside hosts. Hosts that look alike, before and after, are compared once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TypeAlias

from distos_coll.topology import guids, identity
from distos_coll.topology.diff import Difference
from distos_coll.topology.diff_fields import of_extra, of_fields, of_speed, rail_name, told
from distos_coll.topology.graph import has_lanes, pci_gbps
from distos_coll.topology.identity import Key, LinkKey
from distos_coll.topology.model import (
    GpuId,
    Host,
    HostTemplate,
    Link,
    Node,
    Pci,
    Port,
    PortId,
    Topology,
)

Inside: TypeAlias = tuple[Difference, ...]
_LISTS = frozenset({"nodes", "links", "relations", "distances"})
_SPEED = frozenset({"transfers", "width", "gbps"})


@dataclass(frozen=True, slots=True)
class Matching:
    """Which host of one topology is which of the other."""

    pairs: tuple[tuple[Host, Host], ...]
    lost: tuple[Host, ...]
    new: tuple[Host, ...]


def match(old: Topology, new: Topology) -> Matching:
    """Hosts are the same by their names, else by another name or hash of theirs. A name that is
    made up, because the document has none, is that of the one host there is.
    """
    known: dict[str, list[int]] = {}
    for i, host in enumerate(new.hosts):
        known.setdefault(host.name, []).append(i)
    for i, host in enumerate(new.hosts):
        for name in (*host.aliases, host.host_hash):
            if name is not None:
                known.setdefault(name, []).append(i)
    for numbers in known.values():
        numbers.reverse()
    alone = len(old.hosts) == len(new.hosts) == 1
    unnamed = alone and (old.hosts[0].made_up or new.hosts[0].made_up)
    pairs, lost = [], []
    matched: set[int] = set()
    for host in old.hosts:
        names = (host.name, *host.aliases, host.host_hash)
        number = _free((known.get(name, []) for name in names if name is not None), matched)
        if number is None and unnamed:
            number = 0
        if number is None:
            lost.append(host)
            continue
        matched.add(number)
        pairs.append((host, new.hosts[number]))
    left = tuple(host for i, host in enumerate(new.hosts) if i not in matched)
    return Matching(tuple(pairs), tuple(lost), left)


def host_differences(hosts: Matching) -> Iterator[Difference]:
    comparer = _Comparer()
    for before, after in hosts.pairs:
        yield from comparer.compare(before, after)
    for kind, gone in (("host-lost", hosts.lost), ("host-new", hosts.new)):
        for host in gone:
            yield Difference(kind, "", host=host.name)


def _free(candidates: Iterable[list[int]], matched: set[int]) -> int | None:
    """The first host that nobody has been matched with; those that have been are taken out."""
    for numbers in candidates:
        while numbers:
            if numbers[-1] not in matched:
                return numbers[-1]
            numbers.pop()
    return None


class _Comparer:
    def __init__(self) -> None:
        self._known: dict[tuple[int, int], Inside] = {}
        self._keys: dict[int, tuple[HostTemplate, tuple[Key, ...]]] = {}

    def compare(self, old: Host, new: Host) -> Iterator[Difference]:
        if old == new:
            return
        for each in self._inside(old.template, new.template):
            yield each._replace(host=new.name)
        if old.name != new.name and not (old.made_up or new.made_up):
            change = told("host-changed", "name", old.name, new.name)
            yield change._replace(host=new.name, own=True)
        if old.host_hash != new.host_hash:
            change = told("host-changed", "host_hash", old.host_hash, new.host_hash)
            yield change._replace(host=new.name, own=True)
        if old.aliases != new.aliases:
            change = told("host-changed", "aliases", old.aliases, new.aliases)
            yield change._replace(host=new.name, own=True)
        yield from self._ids(old, new)

    def keys(self, template: HostTemplate) -> tuple[Key, ...]:
        found = self._keys.get(id(template))
        if found is None:
            found = self._keys[id(template)] = (template, identity.keys(template))
        return found[1]

    def _inside(self, old: HostTemplate, new: HostTemplate) -> Inside:
        if old is new:
            return ()
        key = (id(old), id(new))
        if key not in self._known:
            different = () if old == new else _Templates(self, old, new).differences()
            self._known[key] = tuple(different)
        return self._known[key]

    def _ids(self, old: Host, new: Host) -> Iterator[Difference]:
        sides: list[tuple[str, Sequence[GpuId | PortId], Sequence[GpuId | PortId]]] = [
            ("gpus", old.gpus, new.gpus),
            ("ports", old.ports, new.ports),
        ]
        for kind, mine, others in sides:
            if old.template is new.template and mine == others:
                continue
            keys = [
                [self.keys(host.template)[node] for node in getattr(host.template, kind)]
                for host in (old, new)
            ]
            after = dict(zip(keys[1], others, strict=True))
            for key, own in zip(keys[0], mine, strict=True):
                other = after.get(key)
                if other is not None and own != other:
                    for each in _of_id(identity.shown(key), own, other):
                        yield each._replace(host=new.name, own=True)


def _of_id(what: str, old: GpuId | PortId, new: GpuId | PortId) -> Iterator[Difference]:
    if isinstance(old, GpuId) and isinstance(new, GpuId):
        if old.uuid != new.uuid:
            yield told("gpu-replaced", what, old.uuid, new.uuid)
        if old.nvlink_domain != new.nvlink_domain:
            yield told("domain-moved", what, old.nvlink_domain, new.nvlink_domain)
        if old.rank != new.rank:
            yield told("rank-changed", what, old.rank, new.rank)
    elif isinstance(old, PortId) and isinstance(new, PortId):
        if guids.either(old.guid or "") != guids.either(new.guid or ""):
            yield told("adapter-replaced", what, old.guid, new.guid)
        if old.lid != new.lid:
            yield told("lid-changed", what, old.lid, new.lid)
        if set(old.addresses) != set(new.addresses):
            yield told("address-changed", what, old.addresses, new.addresses)
    yield from of_extra("id-changed", what, old.extra, new.extra)


class _Templates:
    def __init__(self, comparer: _Comparer, old: HostTemplate, new: HostTemplate) -> None:
        self.templates = (old, new)
        self.keys = (comparer.keys(old), comparer.keys(new))
        self.at = tuple({key: i for i, key in enumerate(keys)} for keys in self.keys)
        self.common = self.at[0].keys() & self.at[1].keys()

    def differences(self) -> Iterator[Difference]:
        yield from self.gone(0, "lost")
        yield from self.gone(1, "new")
        for key in self.common:
            a, b = (self.templates[i].nodes[self.at[i][key]] for i in (0, 1))
            places = [self.place(i, key) for i in (0, 1)]
            what = identity.shown(key)
            if places[0] != places[1]:
                shown = [identity.shown(place) if place else "none" for place in places]
                yield told("device-moved", what, shown[0], shown[1])
            if a != b:
                yield from _of_node(key, a, b)
        yield from self.links()
        yield from self.relations()
        yield from self.others()

    def gone(self, side: int, how: str) -> Iterator[Difference]:
        """What only one of them has, without what comes with another device."""
        template, keys = self.templates[side], self.keys[side]
        gone = {i for i, key in enumerate(keys) if key not in self.common}
        carried = {template.nodes[i].parent for i in gone if keys[i][0] in {"gpu", "nic"}}
        for i in gone:
            kind, above = keys[i][0], template.nodes[i].parent
            if (kind == "pci" and i in carried) or (kind == "port" and above in gone):
                continue
            ports = [
                identity.shown(keys[child])
                for child in template.children[i]
                if kind == "nic" and keys[child][0] == "port"
            ]
            what = identity.shown(keys[i]) + (f" ({' '.join(ports)})" if ports else "")
            yield Difference(f"{kind}-{how}", what)

    def place(self, side: int, key: Key) -> Key | None:
        """The nearest node above that both have."""
        template, keys = self.templates[side], self.keys[side]
        above = template.ancestors(self.at[side][key])
        return next((keys[i] for i in above if keys[i] in self.common), None)

    def links(self) -> Iterator[Difference]:
        sides: list[dict[LinkKey, Link]] = []
        for template, keys in zip(self.templates, self.keys, strict=True):
            sides.append(dict(zip(identity.link_keys(template, keys), template.links, strict=True)))
        old, new = sides
        for one, other, how, side in ((old, new, "lost", 0), (new, old, "new", 1)):
            gone = {identity.end_of(key) for key in self.keys[side] if key not in self.common}
            for key in one.keys() - other.keys():
                if identity.end_of(key.source) not in gone and key.end not in gone:
                    yield Difference(f"link-{how}", _link_name(key))
        for key in old.keys() & new.keys():
            if old[key] != new[key]:
                yield from _of_link(_link_name(key), old[key], new[key])

    def relations(self) -> Iterator[Difference]:
        paths: list[dict[frozenset[Key], str]] = []
        for template, keys in zip(self.templates, self.keys, strict=True):
            ends = ((frozenset((keys[r.a], keys[r.b])), r.path) for r in template.relations)
            paths.append(dict(ends))
        for pair in paths[0].keys() | paths[1].keys():
            old, new = paths[0].get(pair), paths[1].get(pair)
            if old != new and pair <= self.common:
                yield Difference("path-changed", _between(pair), old, new)

    def others(self) -> Iterator[Difference]:
        old, new = self.templates
        if set(old.distances) != set(new.distances):
            names = [" ".join(each.name for each in t.distances) for t in self.templates]
            yield told("host-changed", "distances", names[0], names[1])
        for field in fields(HostTemplate):
            mine, others = getattr(old, field.name), getattr(new, field.name)
            if field.name == "extra":
                yield from of_extra("host-changed", "", mine, others)
            elif field.name not in _LISTS and mine != others:
                yield told("host-changed", field.name, mine, others)


def _between(pair: frozenset[Key]) -> str:
    return " to ".join(identity.shown(key) for key in sorted(pair, key=identity.order))


def _link_name(key: LinkKey) -> str:
    end = key.end[0] if len(key.end) == 1 else identity.shown(key.end)
    again = f" ({key.number + 1})" if key.number else ""
    return f"{key.kind} of {identity.shown(key.source)} to {end}{again}"


def _of_node(key: Key, old: Node, new: Node) -> Iterator[Difference]:
    what, skip = identity.shown(key), frozenset({"parent"})
    if isinstance(old, Pci) and isinstance(new, Pci):
        before, after = pci_gbps(old), pci_gbps(new)
        if before != after:
            skip |= _SPEED
            how = "slower" if after < before else "faster"
            yield Difference(f"pci-{how}", what, _lanes(old), _lanes(new))
    if isinstance(old, Port) and isinstance(new, Port):
        skip |= {"mbps", "rail", "plane"}
        yield from of_speed("port", what, old.mbps, new.mbps)
        rails = rail_name(old.rail, old.plane), rail_name(new.rail, new.plane)
        if rails[0] != rails[1]:
            yield Difference("rail-moved", what, *rails)
    yield from of_fields(key[0], what, old, new, skip)


def _lanes(node: Pci) -> str:
    if node.gbps is not None and not has_lanes(node):
        return f"{node.gbps:g} GB/s"
    transfers = "?" if node.transfers is None else f"{node.transfers:g}"
    return f"{transfers} GT/s x{node.width or '?'}"


def _of_link(what: str, old: Link, new: Link) -> Iterator[Difference]:
    skip = frozenset({"source", "target"})
    if old.count is not None and new.count is not None and old.count != new.count:
        skip |= {"count"}
        how = "fewer" if new.count < old.count else "more"
        yield told(f"links-{how}", what, old.count, new.count)
    if old.gbps is not None and new.gbps is not None and old.gbps != new.gbps:
        skip |= {"gbps"}
        how = "slower" if new.gbps < old.gbps else "faster"
        yield Difference(f"link-{how}", what, f"{old.gbps:g} GB/s", f"{new.gbps:g} GB/s")
    yield from of_fields("link", what, old, new, skip)
