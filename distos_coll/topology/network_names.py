"""Switches that documents call differently: by an id, as a sweep does, and by the name alone, as a
scheduler's configuration does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from distos_coll.topology.fabric import Cable, End, EndKind, Fabric, Rail, Switch
from distos_coll.topology.merge_conflicts import Conflicts
from distos_coll.topology.merge_fields import Conflict, Voice

_NOBODY = ""


class Names:
    """Looks up whom names mean, in all documents together."""

    def __init__(self, said: Sequence[tuple[Voice, Fabric]]) -> None:
        self.said = said
        self.known: dict[str, dict[str, dict[Voice, str]]] = {}
        """By name: ids, and who says so, and of which technology."""
        for voice, fabric in said:
            for switch in fabric.switches:
                if switch.name and not _is_bare(switch):
                    ids = self.known.setdefault(switch.name, {})
                    ids.setdefault(switch.id, {})[voice] = switch.technology

    def joined(self, conflicts: Conflicts) -> list[tuple[Voice, Fabric]]:
        """Give switches that are known by name the ids that others know."""
        unclear: dict[str, list[Voice]] = {}
        found = []
        for voice, fabric in self.said:
            ids = {}
            for switch in filter(_is_bare, fabric.switches):
                meant = self.meant(switch)
                if len(meant) > 1:
                    unclear.setdefault(switch.id, []).append(voice)
                if meant:
                    ids[switch.id] = meant[0] if len(meant) == 1 else _NOBODY
            found.append((voice, _renamed(fabric, ids) if ids else fabric))
        for name in unclear:
            said = tuple((id_, tuple(self.known[name][id_])) for id_ in sorted(self.known[name]))
            place = f"switch {name}, of which {' and '.join(map(str, unclear[name]))} knows no more"
            conflicts.add("", Conflict(place, "id", said, "none", "name-unclear"))
        return found

    def meant(self, switch: Switch) -> list[str]:
        return [
            id_
            for id_, voices in self.known.get(switch.name, {}).items()
            if not switch.technology or {switch.technology, ""} & set(voices.values())
        ]


def _is_bare(switch: Switch) -> bool:
    return switch.id == switch.name


def _renamed(fabric: Fabric, ids: Mapping[str, str]) -> Fabric:
    """Put ids in the place of names; who is meant by none is left out, with the cables to it."""

    def end(own: End) -> End:
        known = own.kind is EndKind.SWITCH and own.id in ids
        return replace(own, id=ids[own.id]) if known else own

    def cable(own: Cable) -> Cable:
        return replace(own, a=end(own.a), b=end(own.b))

    def rail(own: Rail) -> Rail:
        switches = tuple(filter(None, (ids.get(id_, id_) for id_ in own.switches)))
        return replace(own, switches=switches, members=tuple(map(end, own.members)))

    switches = (replace(each, id=ids.get(each.id, each.id)) for each in fabric.switches)
    cables = map(cable, fabric.cables)
    return replace(
        fabric,
        switches=tuple(each for each in switches if each.id != _NOBODY),
        cables=tuple(each for each in cables if _NOBODY not in {each.a.id, each.b.id}),
        rails=tuple(map(rail, fabric.rails)),
    )


def without_twins(fabric: Fabric) -> Fabric:
    """Leave out cables without ports between nodes that have cables with ports: those who draw
    them only know who is below whom.
    """
    host_of = {a.id: a.host for a in fabric.adapters if a.host is not None}

    pairs = [
        (cable, frozenset(_node(end, host_of) for end in (cable.a, cable.b)))
        for cable in fabric.cables
    ]
    known = {pair for cable, pair in pairs if not _is_drawn(cable)}
    kept = tuple(cable for cable, pair in pairs if not _is_drawn(cable) or pair not in known)
    return fabric if len(kept) == len(fabric.cables) else replace(fabric, cables=kept)


def _is_drawn(cable: Cable) -> bool:
    return cable.a.port is None and cable.b.port is None


def _node(end: End, host_of: Mapping[str, str]) -> tuple[str, str]:
    """What an end belongs to; an adapter to its host."""
    if end.kind is EndKind.ADAPTER and end.id in host_of:
        return EndKind.HOST.value, host_of[end.id]
    return end.kind.value, end.id
