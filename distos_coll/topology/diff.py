"""What changed between two topologies, told once for all hosts and devices that changed alike.

Devices are the same if they have the same key (`identity`); the order of documents, and what they
say of themselves, is no change. What goes with something lost, such as the links of a lost GPU, is
not told again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from distos_coll.topology.model import Topology
from distos_coll.topology.names import natural


class Difference(NamedTuple):
    """One change at one place."""

    kind: str
    """Stable, for programs: "gpu-lost"."""
    what: str
    """A device, a cable; "" of the host itself."""
    old: str | None = None
    new: str | None = None
    host: str = ""
    """"" of the network."""
    own: bool = False
    """Its values are of one host only, as ids are."""


@dataclass(frozen=True, slots=True)
class Change:
    """The same change at one place or many."""

    kind: str
    what: tuple[str, ...]
    old: str | None = None
    """None also where each host has its own values: those are in `each`."""
    new: str | None = None
    hosts: tuple[str, ...] = ()
    each: tuple[tuple[str, str | None, str | None], ...] = ()
    """Host, old, new."""

    @property
    def count(self) -> int:
        return max(len(self.what), 1) * max(len(self.hosts), 1)

    def as_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "what": list(self.what),
            "old": self.old,
            "new": self.new,
            "hosts": list(self.hosts),
            "each": {host: [old, new] for host, old, new in self.each},
            "count": self.count,
        }


_ENDINGS = ("lost", "fewer", "slower", "moved", "replaced", "changed", "more", "faster", "new")
"""Of kinds; the worst first."""


def diff(old: Topology, new: Topology) -> tuple[Change, ...]:
    """Return what changed, the worst first; nothing where both say the same."""
    # Only here: both make differences.
    from distos_coll.topology.diff_hosts import host_differences, match
    from distos_coll.topology.diff_network import network_differences

    hosts = match(old, new)
    network = network_differences(old, new, hosts.lost, hosts.new)
    return grouped([*host_differences(hosts), *network])


def grouped(differences: Iterable[Difference]) -> tuple[Change, ...]:
    """Put together hosts that changed alike, then devices that changed alike on the same hosts."""
    alike: dict[tuple[Any, ...], list[Difference]] = {}
    for each in differences:
        values = () if each.own else (each.old, each.new)
        alike.setdefault((each.kind, each.what, values), []).append(each)
    wider: dict[tuple[Any, ...], list[Sequence[Difference]]] = {}
    for (kind, what, values), members in alike.items():
        hosts = tuple(sorted({each.host for each in members if each.host}, key=natural))
        # Own values of one device are not those of another.
        key = (kind, hosts, values if values else what)
        wider.setdefault(key, []).append(members)
    changes = [_change(kind, hosts, groups) for (kind, hosts, _), groups in wider.items()]
    return tuple(sorted(changes, key=_order))


def _change(kind: str, hosts: tuple[str, ...], groups: list[Sequence[Difference]]) -> Change:
    first = groups[0][0]
    what = tuple(sorted({group[0].what for group in groups if group[0].what}, key=natural))
    if not first.own or len(hosts) < 2:
        return Change(kind, what, first.old, first.new, hosts)
    each = sorted(((d.host, d.old, d.new) for d in groups[0]), key=lambda told: natural(told[0]))
    return Change(kind, what, None, None, hosts, tuple(each))


def _order(change: Change) -> tuple[Any, ...]:
    ending = change.kind.rpartition("-")[2]
    rank = _ENDINGS.index(ending)
    names = tuple(map(natural, change.what[:1]))
    hosts = tuple(map(natural, change.hosts[:1]))
    return (rank, change.kind, -len(change.hosts), hosts, names, str(change.old), str(change.new))
