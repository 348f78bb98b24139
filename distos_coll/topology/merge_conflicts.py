"""What documents say differently, told once for all hosts that have it alike."""

from collections.abc import Sequence
from typing import TypeAlias

from distos_coll.topology.findings import Finding
from distos_coll.topology.merge_fields import Conflict
from distos_coll.topology.names import counted, listed, natural

_Alike: TypeAlias = tuple[str, str, tuple[str, ...], str, str]


class Conflicts:
    def __init__(self) -> None:
        self._found: dict[_Alike, list[tuple[str, str]]] = {}

    def add(self, host: str, conflict: Conflict, voices: Sequence[Sequence[str]] = ()) -> None:
        """Add one of a host; `voices` are the documents that each of its numbers stands for."""
        values = tuple(value for value, _ in conflict.said)
        alike = (conflict.place, conflict.field, values, conflict.kept, conflict.code)
        said = []
        for value, speakers in conflict.said:
            names = {
                name
                for voice in speakers
                for name in (voices[voice] if isinstance(voice, int) else (voice,))
            }
            said.append(f"{value} by {listed(sorted(names, key=natural), 3)}")
        self._found.setdefault(alike, []).append((host, ", ".join(said)))

    def findings(self) -> tuple[Finding, ...]:
        """In the order of hosts and places, whatever came first."""
        found = []
        for (place, field, _, kept, code), hosts in self._found.items():
            host, said = min(hosts, key=lambda told: (natural(told[0]), told[1]))
            like = counted(len(hosts) - 1, "host like it", "hosts like it")
            whose = f"{host} and {like}" if len(hosts) > 1 else host
            where = ", ".join(part for part in (whose, place) if part)
            finding = Finding(code, f"{field} is {said}; {kept} stays", where)
            found.append((natural(host), natural(place), finding))
        return tuple(
            finding for *_, finding in sorted(found, key=lambda item: (*item[:2], str(item[2])))
        )
