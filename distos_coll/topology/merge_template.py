"""One template of several that describe the same host, each as its source sees it.

Statements are gathered under the keys of what they speak of (`identity`), and each field is decided
by itself (`merge_fields`). Of two places in the tree the more exact one counts: below a PCI switch
rather than below a NUMA node, and of two switches the deeper, which has the higher bus number.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from distos_coll.topology import identity, pci
from distos_coll.topology.identity import Key, LinkKey
from distos_coll.topology.merge_fields import Conflict, Voice, in_order, merge_fields
from distos_coll.topology.merge_same import Labels, same
from distos_coll.topology.model import (
    NOWHERE,
    Distances,
    HostTemplate,
    Link,
    Node,
    Numa,
    Relation,
)

T = TypeVar("T")
Said: TypeAlias = list[tuple[Voice, T]]
Members: TypeAlias = tuple[tuple[tuple[int, int], ...], ...]
"""For each GPU, or port: which templates have it, and where among their own."""

_LISTS = frozenset({"nodes", "links", "relations", "distances"})
_MADE_UP_BUS = "ffff:"
"""Of the bridges that providers of virtual machines write into files for NCCL."""


@dataclass(frozen=True)
class Fused:
    template: HostTemplate
    gpus: Members
    ports: Members
    conflicts: tuple[Conflict, ...]
    """Voices are the templates' numbers."""


def fuse(templates: Sequence[HostTemplate], labels: Labels = ()) -> Fused:
    """Fuse them; `labels` tell GPUs' UUIDs apart, where a host's are to be compared."""
    return _Fusion(templates, labels).fused()


class _Fusion:
    def __init__(self, templates: Sequence[HostTemplate], labels: Labels) -> None:
        self.templates = templates
        own = [identity.keys(template) for template in templates]
        better, self.conflicts = same(templates, own, labels)
        self.keys = [tuple(better.get(key, key) for key in keys) for keys in own]
        self.said: dict[Key, Said[Node]] = {}
        self.above: dict[Key, Said[Key]] = {}
        self.parents: set[Key] = set()
        """All that something is said to be below."""
        for voice, template in enumerate(templates):
            keys = self.keys[voice]
            for key, first, node in zip(keys, own[voice], template.nodes, strict=True):
                self.said.setdefault(key, []).append((voice, node))
                above = self.above.setdefault(key, [])
                if node.parent != NOWHERE:
                    self.parents.add(keys[node.parent])
                # A GPU that is known by its number alone says nothing of its function.
                if node.parent != NOWHERE and key == first:
                    above.append((voice, keys[node.parent]))
        self.parent = {key: _nearest(above) for key, above in self.above.items()}
        self.links = self._links()

    def fused(self) -> Fused:
        self._cut_circles()
        self._drop_placeholders()
        order = self._order()
        index = {key: i for i, key in enumerate(order)}
        nodes = tuple(self._node(key, index) for key in order)
        self._compare_places(order)
        voices: Said[HostTemplate] = list(enumerate(self.templates))
        values = self._decide(voices, _LISTS)
        links, relations = self._aimed(nodes, index), self._relations(index)
        template = HostTemplate(nodes, links, relations, self._distances(), **values)
        members = self._members()
        gpus = tuple(members[order[i]] for i in template.gpus)
        ports = tuple(members[order[i]] for i in template.ports)
        return Fused(template, gpus, ports, tuple(self.conflicts))

    def _decide(self, said: Said[T], skip: frozenset[str], place: str = "") -> dict[str, Any]:
        values, conflicts = merge_fields(said, skip, place)
        self.conflicts += conflicts
        return values

    def _members(self) -> dict[Key, tuple[tuple[int, int], ...]]:
        found: dict[Key, list[tuple[int, int]]] = {}
        for voice, template in enumerate(self.templates):
            for kind in (template.gpus, template.ports):
                for number, node in enumerate(kind):
                    found.setdefault(self.keys[voice][node], []).append((voice, number))
        return {key: tuple(places) for key, places in found.items()}

    def _node(self, key: Key, index: Mapping[Key, int]) -> Node:
        said, above = self.said[key], self.parent[key]
        parent = NOWHERE if above is None else index[above]
        if len(said) == 1:
            return replace(in_order(said[0][1]), parent=parent)
        values = self._decide(said, frozenset({"parent"}), identity.shown(key))
        return type(said[0][1])(parent=parent, **values)

    def _cut_circles(self) -> None:
        """Where one source says that a is below b, and another that b is below a."""
        good: set[Key] = set()
        for start in sorted(self.parent, key=identity.order):
            path: dict[Key, None] = {}
            here: Key | None = start
            while here is not None and here not in good and here not in path:
                path[here] = None
                here = self.parent[here]
            if here is not None and here in path:
                whole = list(path)
                first = min(whole[whole.index(here) :], key=identity.order)
                self._contradict(first, "place", self.above[first], None)
                self.parent[first] = None
            good |= path.keys()

    def _drop_placeholders(self) -> None:
        """What stands for something unknown goes once others know where its children belong."""
        used = {link.end for link in self.links}
        while True:
            still = set(self.parent.values())
            gone = [
                key
                for key in self.parent
                if identity.is_placeholder(key)
                and key not in still
                and (
                    key in self.parents
                    or (key[0] == "nvswitch" and identity.end_of(key) not in used)
                )
            ]
            if not gone:
                return
            for key in gone:
                del self.parent[key]

    def _order(self) -> list[Key]:
        """Parents before their children, what is alike side by side."""
        below: dict[Key | None, list[Key]] = {}
        for key in sorted(self.parent, key=identity.order, reverse=True):
            below.setdefault(self.parent[key], []).append(key)
        waiting = list(below.get(None, ()))
        found = []
        while waiting:
            key = waiting.pop()
            found.append(key)
            waiting += below.get(key, ())
        return found

    def _compare_places(self, order: Sequence[Key]) -> None:
        """Places contradict each other if neither is above the other, or at other CPUs."""
        chain: dict[Key, tuple[Key, ...]] = {}
        for key in order:
            above = self.parent[key]
            chain[key] = () if above is None else (above, *chain[above])
            stated = {place for _, place in self.above[key]}
            apart = [
                place
                for place in stated
                if place not in chain[key] and not identity.is_placeholder(place)
            ]
            if len(stated) > 1 and apart:
                self._contradict(key, "place", self.above[key], above)
        numa = {
            key: next((k for k in above if k[0] == "numa"), None) for key, above in chain.items()
        }
        for key, near in self._at_cpus().items():
            if key in numa and len({place for _, place in near}) > 1:
                self._contradict(key, "NUMA node", near, numa[key])

    def _at_cpus(self) -> dict[Key, Said[Key]]:
        """Which NUMA node each voice sees a device at, where it knows."""
        found: dict[Key, Said[Key]] = {}
        for voice, template in enumerate(self.templates):
            keys = self.keys[voice]
            at: list[Key | None] = []
            for key, node in zip(keys, template.nodes, strict=True):
                above = at[node.parent] if node.parent != NOWHERE else None
                at.append(key if isinstance(node, Numa) else above)
                numa = at[-1]
                if numa and not identity.is_placeholder(numa) and key[0] in {"gpu", "nic", "port"}:
                    found.setdefault(key, []).append((voice, numa))
        return found

    def _contradict(self, key: Key, field: str, said: Said[Key], kept: Key | None) -> None:
        by_value: dict[str, list[Voice]] = {}
        for voice, value in said:
            by_value.setdefault(identity.shown(value), []).append(voice)
        values = tuple((value, tuple(by_value[value])) for value in sorted(by_value))
        told = "none" if kept is None else identity.shown(kept)
        self.conflicts.append(Conflict(identity.shown(key), field, values, told))

    def _links(self) -> dict[LinkKey, Said[Link]]:
        found: dict[LinkKey, Said[Link]] = {}
        for voice, template in enumerate(self.templates):
            keys = identity.link_keys(template, self.keys[voice])
            for key, link in zip(keys, template.links, strict=True):
                found.setdefault(key, []).append((voice, link))
        vague = self._vague(found)
        return {key: said for key, said in found.items() if key not in vague}

    def _vague(self, found: Mapping[LinkKey, Said[Link]]) -> set[LinkKey]:
        """What others know better: where a GPU's links lead, and to which switches.

        `nvidia-smi topo -m` cannot tell links to another GPU from those to switches, where few are.
        """
        known: dict[tuple[str, Key], set[str]] = {}
        for key, said in found.items():
            known.setdefault((key.kind, key.source), set()).add(self._end_kind(key, said))
        better = {"GPU by number": {"switch", "some switch"}, "some switch": {"switch"}}
        return {
            key
            for key, said in found.items()
            for others in (known[key.kind, key.source],)
            for own in (self._end_kind(key, said),)
            if others & better.get(own, set()) or (own == "nowhere" and len(others) > 1)
        }

    def _end_kind(self, key: LinkKey, said: Said[Link]) -> str:
        if key.end == ("",):
            return "nowhere"
        if key.end[0] in identity.UNSEEN_SWITCHES:
            return "some switch"
        if len(key.end) == 1 and ("nvswitch", *key.end, "0") in self.said:
            return "switch"
        numbered = all(link.named and pci.bus_id(link.named) is None for _, link in said)
        is_gpu = key.end[0] == "gpu" or ("gpu", *key.end, "", "0") in self.said
        return "GPU by number" if numbered and is_gpu else "else"

    def _aimed(self, nodes: tuple[Node, ...], index: Mapping[Key, int]) -> tuple[Link, ...]:
        """Look up whom links lead to among the nodes of all templates."""
        at: dict[Key, int] = {}
        for kind in ("gpu", "nvswitch", "pci"):
            for node, i in index.items():
                if node[0] == kind:
                    at.setdefault(identity.end_of(node), i)
        found: list[tuple[Any, Link]] = []
        for key, said in self.links.items():
            source = index.get(key.source, NOWHERE)
            if source == NOWHERE:
                continue
            place = f"{key.kind} of {identity.shown(key.source)} to {'/'.join(key.end)}"
            values = self._decide(_of_one_link(said), frozenset({"source", "target"}), place)
            if key.end == identity.TO_CPU:
                target = _topmost(nodes, source)
            else:
                target = at.get(key.end, index.get(key.end, NOWHERE))
            link = Link(source=source, target=target, **values)
            found.append(((source, key.kind, target == NOWHERE, target, key.end, key.number), link))
        return tuple(link for _, link in sorted(found, key=lambda item: item[0]))

    def _relations(self, index: Mapping[Key, int]) -> tuple[Relation, ...]:
        found: dict[tuple[int, int], Said[Relation]] = {}
        for voice, template in enumerate(self.templates):
            keys = self.keys[voice]
            for relation in template.relations:
                a, b = sorted(index.get(keys[end], NOWHERE) for end in (relation.a, relation.b))
                if a != b and a != NOWHERE:
                    found.setdefault((a, b), []).append((voice, relation))
        names = {i: identity.shown(key) for key, i in index.items()}
        return tuple(
            Relation(a, b, **self._decide(said, frozenset("ab"), f"{names[a]} to {names[b]}"))
            for (a, b), said in sorted(found.items())
        )

    def _distances(self) -> tuple[Distances, ...]:
        found: dict[tuple[str, tuple[str, ...]], Said[Distances]] = {}
        for voice, template in enumerate(self.templates):
            for each in template.distances:
                found.setdefault((each.name, each.nodes), []).append((voice, each))
        return tuple(
            Distances(**self._decide(said, frozenset(), f"distances {name}"))
            for (name, _), said in sorted(found.items())
        )


def _of_one_link(said: Said[Link]) -> Said[Link]:
    """Share the speed of a whole bundle among its links, where somebody counts them."""
    count = min((link.count for _, link in said if link.count), default=None)
    if count is None:
        return said
    return [
        (voice, replace(link, gbps=link.gbps / count))
        if link.count is None and link.gbps is not None
        else (voice, link)
        for voice, link in said
    ]


def _nearest(said: Said[Key]) -> Key | None:
    """The most exact of the places that a node is said to have."""
    return min((place for _, place in said), key=_exactness, default=None)


def _exactness(place: Key) -> tuple[Any, ...]:
    if place[0] == "pci":
        made_up = place[1].startswith(_MADE_UP_BUS)
        # The deeper, the higher its bus number.
        deep = [-ord(c) for c in place[1]]
        return (1 if made_up else 0, -len(place[1]), deep, place)
    kinds = ("nic", "gpu", "numa", "port", "nvswitch")
    rank = 2 + kinds.index(place[0]) + len(kinds) * identity.is_placeholder(place)
    return (rank, 0, [], identity.order(place))


def _topmost(nodes: Sequence[Node], node: int) -> int:
    while nodes[node].parent != NOWHERE:
        node = nodes[node].parent
    return node
