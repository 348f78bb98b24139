"""Who is meant by a name that does not tell all: a GPU's number, the CPUs of a NUMA node.

Such a name joins what has it only where it can mean one device alone, by all that is said. Else the
device is kept apart and that is told: a rule that picked one would pick another once more documents
speak.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from distos_coll.topology import identity
from distos_coll.topology.identity import Key
from distos_coll.topology.merge_fields import Conflict, Voice
from distos_coll.topology.model import Gpu, HostTemplate, Node, Numa

Labels: TypeAlias = tuple[tuple[frozenset[int], ...], ...]
"""For each template and each of its GPUs: which UUIDs it is said to have, by number."""
UNCLEAR = {"gpu": "gpu-unclear", "numa": "numa-unclear"}
"""What is told of a device that may be several, by the kind of its key."""
_Marks: TypeAlias = dict[object, dict[Key, list[Voice]]]


@dataclass
class _Names:
    """One way to name devices: keys by mark, and marks by key."""

    keys: _Marks = field(default_factory=dict)
    marks: dict[Key, set[object]] = field(default_factory=dict)

    def add(self, mark: object, key: Key, voice: Voice) -> None:
        self.keys.setdefault(mark, {}).setdefault(key, []).append(voice)
        self.marks.setdefault(key, set()).add(mark)

    def of(self, marks: set[object]) -> dict[Key, list[Voice]]:
        return {key: voices for mark in marks for key, voices in self.keys.get(mark, {}).items()}


def same(
    templates: Sequence[HostTemplate], own: Sequence[Sequence[Key]], labels: Labels
) -> tuple[dict[Key, Key], list[Conflict]]:
    """Return better keys of what can be joined, and what cannot because it may be several."""
    found = _Devices()
    for voice, (template, keys) in enumerate(zip(templates, own, strict=True)):
        numbers = template.gpu_number
        for i, (key, node) in enumerate(zip(keys, template.nodes, strict=True)):
            its = labels[voice][numbers[i]] if labels and i in numbers else frozenset[int]()
            found.add(voice, key, node, its)
    return found.joined()


class _Devices:
    def __init__(self) -> None:
        self.numbers = _Names()
        self.uuids = _Names()
        self.cpus = _Names()
        self.weak: dict[Key, list[Voice]] = {}
        self.weak_uuids: dict[Key, set[object]] = {}

    def add(self, voice: Voice, key: Key, node: Node, uuids: frozenset[int]) -> None:
        if isinstance(node, Gpu) and key[1]:
            if node.dev is not None:
                self.numbers.add(str(node.dev), key, voice)
            for uuid in uuids:
                self.uuids.add(uuid, key, voice)
        elif isinstance(node, Gpu) and key[-1] == "0":
            self.weak.setdefault(key, []).append(voice)
            self.weak_uuids.setdefault(key, set()).update(uuids)
        elif isinstance(node, Numa) and node.cpus:
            if identity.is_placeholder(key):
                self.weak.setdefault(key, []).append(voice)
            else:
                self.cpus.add(identity.cpus_mark(node), key, voice)

    def joined(self) -> tuple[dict[Key, Key], list[Conflict]]:
        found: dict[Key, Key] = {}
        unclear = []
        for key in self.weak:
            candidates, target = self._gpu(key) if key[0] == "gpu" else self._numa(key)
            if target is not None:
                found[key] = target
            if len(candidates) > (target is not None):
                unclear.append(_unclear(key, candidates, target))
        return found, unclear

    def _gpu(self, key: Key) -> tuple[Mapping[Key, list[Voice]], Key | None]:
        """By its UUID; else by its number, where no UUID contradicts it."""
        by_number = self.numbers.of({key[2]}) if key[2] else {}
        uuids = self.weak_uuids[key]
        by_uuid = self.uuids.of(uuids)
        candidates = by_number | by_uuid
        if by_uuid:
            both = by_uuid if len(by_uuid) == 1 else by_number.keys() & by_uuid.keys()
            return candidates, _only(both) if len(uuids) == 1 else None
        target = _only(by_number)
        if target is None:
            return candidates, None
        apart = uuids and self.uuids.marks.get(target)
        certain = len(self.numbers.marks[target]) == 1 and not apart
        return candidates, target if certain else None

    def _numa(self, key: Key) -> tuple[Mapping[Key, list[Voice]], Key | None]:
        candidates = self.cpus.of({key[2]})
        target = _only(candidates)
        certain = target is not None and len(self.cpus.marks[target]) == 1
        return candidates, target if certain else None


def _only(keys: Mapping[Key, object] | set[Key]) -> Key | None:
    return next(iter(keys)) if len(keys) == 1 else None


def _unclear(key: Key, candidates: Mapping[Key, Sequence[Voice]], target: Key | None) -> Conflict:
    ordered = sorted(candidates, key=identity.order)
    said = tuple((identity.shown(each), tuple(dict.fromkeys(candidates[each]))) for each in ordered)
    kept = "none" if target is None else identity.shown(target)
    what = "PCI function" if key[0] == "gpu" else "number"
    return Conflict(identity.shown(key), what, said, kept, UNCLEAR[key[0]])
