"""The switches of a fabric as a graph, and what hangs at each of them."""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from copy import copy
from dataclasses import dataclass

from distos_coll.topology.fabric import Adapter, Cable, End, EndKind, Fabric

_DEVICE = re.compile("(mlx5_|HCA-)([0-9]{1,4})")


@dataclass(frozen=True, slots=True)
class Attachment:
    """A cable from a host to a switch."""

    host: str | None
    """None where the source cannot say."""
    label: str
    """What tells a host's ports apart: a device's name; a number alone for one that drivers count,
    so that mlx5_0 and HCA-1 are the same."""
    end: End
    switch: int
    switch_port: int | str | None


class SwitchGraph:
    """Indices are those of `fabric.switches`; cables to what is not described are left out."""

    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.switches = fabric.switches
        index: dict[str, int] = {}
        for i, switch in enumerate(fabric.switches):
            index.setdefault(switch.id, i)
        self.index = index
        self.links: list[dict[int, int]] = [{} for _ in self.switches]
        """Of each switch: the others it is linked to, and by how many cables."""
        self.loops = 0
        """Cables between two ports of one switch."""
        self.attached: list[list[Attachment]] = [[] for _ in self.switches]
        adapters = {adapter.id: adapter for adapter in fabric.adapters}
        for cable in fabric.cables:
            self._add(cable, adapters)

    def _add(self, cable: Cable, adapters: dict[str, Adapter]) -> None:
        here = [self.index.get(end.id, -1) for end in (cable.a, cable.b)]
        is_switch = [end.kind is EndKind.SWITCH for end in (cable.a, cable.b)]
        if all(is_switch) and -1 not in here:
            a, b = here
            self.loops += a == b
            if a != b:
                self.links[a][b] = self.links[a].get(b, 0) + 1
                self.links[b][a] = self.links[b].get(a, 0) + 1
        elif any(is_switch):
            at = is_switch.index(True)
            far, near = (cable.b, cable.a) if at == 0 else (cable.a, cable.b)
            found = _attachment(far, here[at], near.port, adapters)
            if found is not None and here[at] >= 0:
                self.attached[here[at]].append(found)

    @property
    def with_hosts(self) -> list[int]:
        return [i for i, attached in enumerate(self.attached) if attached]

    @property
    def pairs(self) -> int:
        """Pairs of switches with a cable between them."""
        return sum(map(len, self.links)) // 2

    def attachments(self) -> Iterator[Attachment]:
        for attached in self.attached:
            yield from attached

    def without(self, pairs: Iterable[tuple[int, int]]) -> "SwitchGraph":
        """The same without the cables between some pairs of switches."""
        found = copy(self)
        found.links = [dict(links) for links in self.links]
        for a, b in pairs:
            del found.links[a][b], found.links[b][a]
        return found

    def name(self, switch: int) -> str:
        return self.switches[switch].name or self.switches[switch].id

    def distances(self, start: Iterable[int]) -> list[int]:
        """Hops of every switch from the nearest of `start`; -1 where there is no way."""
        found = [-1] * len(self.switches)
        waiting = deque(start)
        for i in waiting:
            found[i] = 0
        while waiting:
            here = waiting.popleft()
            for other in self.links[here]:
                if found[other] < 0:
                    found[other] = found[here] + 1
                    waiting.append(other)
        return found

    def components(self) -> list[list[int]]:
        """Switches that reach each other; the largest first, else by their ids, so that it does not
        matter where a sweep began.
        """
        seen = [False] * len(self.switches)
        found = []
        for first in range(len(self.switches)):
            if seen[first]:
                continue
            seen[first] = True
            part = [first]
            for here in part:
                for other in self.links[here]:
                    if not seen[other]:
                        seen[other] = True
                        part.append(other)
            found.append(sorted(part))
        return sorted(found, key=lambda part: (-len(part), min(self.switches[i].id for i in part)))


def _attachment(
    far: End, switch: int, switch_port: int | str | None, adapters: dict[str, Adapter]
) -> Attachment | None:
    if far.kind is EndKind.HOST:
        label = "" if far.port is None else str(far.port)
        return Attachment(far.id, label, far, switch, switch_port)
    adapter = adapters.get(far.id) if far.kind is EndKind.ADAPTER else None
    if adapter is None or adapter.aggregation:
        return None
    label = device_label(adapter.device or "")
    if (adapter.ports or 1) > 1:
        label += f":{far.port}"
    return Attachment(adapter.host, label, far, switch, switch_port)


def device_label(device: str) -> str:
    """Bring the names that one driver gives to one card together: mlx5_3 and HCA-4."""
    match = _DEVICE.fullmatch(device)
    if match is None:
        return device
    return f"#{int(match[2]) - (match[1] == 'HCA-')}"


def counted(count: int, what: str) -> str:
    """One cable, two cables, no cables."""
    return f"{count or 'no':{',' if count else ''}} {what}{'s' if count != 1 else ''}"


def natural(text: str) -> tuple[tuple[int, str], ...]:
    """Order names by their numbers: eth2 before eth10."""
    parts: list[tuple[int, str]] = []
    digits = ""
    for c in [*text, ""]:
        if c.isdecimal() and len(digits) < 18:
            digits += c
            continue
        if digits:
            parts.append((int(digits), ""))
        digits = ""
        parts.append((-1, c))
    return tuple(parts)
