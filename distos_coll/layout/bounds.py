"""How many channels of a bandwidth a node can have at most, and which bandwidths are worth trying.

Every channel must leave every part of the host that has some of its seats and not all, over a link
or a port; so what leads out of the part bounds the channels. Devices, PCI switches and NUMA nodes
are such parts.
"""

from collections.abc import Iterator
from functools import lru_cache

from distos_coll.layout.kinds import Kind
from distos_coll.layout.ledger import TINY
from distos_coll.topology import speeds
from distos_coll.topology.model import NOWHERE, Gpu

_PARTS = 24
"""Into how many channels a link is cut."""


def fit(width: float, gbps: float) -> int:
    return int(width / gbps + TINY)


class Bounds:
    """Of one kind of node."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._cuts = tuple(dict.fromkeys(self._found_cuts()))
        if kind.ports:
            self._cuts += (self._of_ports(out=True), self._of_ports(out=False))
        self.channels = lru_cache(maxsize=None)(self._channels)

    def _channels(self, gbps: float) -> int:
        most = self.kind.policy.most_channels
        return min([most, *(sum(fit(width, gbps) for width in cut) for cut in self._cuts)])

    def _of_ports(self, *, out: bool) -> tuple[float, ...]:
        """What passes the ports: those that share a link, as ports of one adapter do, together no
        more than it.
        """
        kind = self.kind
        together: dict[int, list[float]] = {}
        for port, at in enumerate(kind.ports):
            ways = [
                kind.outward(slot, port) if out else kind.inward(port, slot)
                for slot in range(kind.size)
            ]
            hops = [hop for hop in ways if hop is not None]
            passed = [{n for n, _ in hop.uses} for hop in hops]
            shared = set.intersection(*passed) if passed else set()
            known = kind.directions.known
            narrowest = min(shared, key=lambda n: (known[n].gbps, n), default=-1 - port)
            together.setdefault(narrowest, []).append(at.port.gbps)
        found: list[float] = []
        for n, group in together.items():
            most = kind.directions.known[n].gbps if n >= 0 else speeds.LOCAL
            found += group if sum(group) <= most else [most]
        return tuple(sorted(found))

    def _found_cuts(self) -> Iterator[tuple[float, ...]]:
        """The widths of what leads out of a part, for each part."""
        kind = self.kind
        if kind.size < 2:
            return
        for m, member in enumerate(kind.members):
            graph, template = member.paths.graph, member.paths.template
            devices = {device for device in member.devices if device != NOWHERE}
            if template.relations or member.shares_nvlink or len(devices) < len(member.devices):
                continue
            for root in (*template.numa, *template.pci, *sorted(devices)):
                part = _below(member.paths.template.children, root)
                inside = part & devices
                if not inside or len(inside) == kind.size:
                    continue
                ports = [
                    at.port.gbps for at in kind.ports if at.member == m and at.port.node in part
                ]
                out = [
                    edge.gbps
                    for node in sorted(part)
                    for edge in graph.edges[node]
                    if edge.to not in part
                    and graph.stands_for[node] == node
                    # Links to GPUs that have no rank lead nowhere.
                    and (graph.kind(edge.to) is not Gpu or edge.to in devices)
                ]
                if out and max(out) < speeds.LOCAL:
                    yield tuple(sorted(out + ports))


def _below(children: tuple[tuple[int, ...], ...], root: int) -> set[int]:
    found, waiting = set(), [root]
    while waiting:
        node = waiting.pop()
        found.add(node)
        waiting += children[node]
    return found


def widths(kind: Kind) -> list[float]:
    """Of all that a channel may pass, each once."""
    found = set()
    for a in range(kind.size):
        for b in range(kind.size):
            if a != b:
                found.add(kind.hop(a, b).gbps)
        for port in range(len(kind.ports)):
            found |= {hop.gbps for hop in (kind.outward(a, port), kind.inward(port, a)) if hop}
    found |= {direction.gbps for direction in kind.directions.known}
    return sorted(found)


def candidates(kind: Kind) -> list[float]:
    """Bandwidths of a channel: what a whole number of channels leaves nothing over of."""
    most = kind.channel_gbps
    found = set()
    for width in widths(kind):
        first = max(1, int(width / most - TINY) + 1) if width > most else 1
        found |= {round(width / parts, 6) for parts in range(first, first + _PARTS)}
    return sorted((gbps for gbps in found if gbps <= most * (1 + TINY)), reverse=True)


def ladder(kind: Kind, parts: int) -> list[float]:
    """What links get if so many channels share each, the widest first."""
    most = kind.channel_gbps * (1 + TINY)
    return [width / parts for width in reversed(widths(kind)) if width / parts <= most]
