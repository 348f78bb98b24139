"""What a topology says of the links between its hosts: the widest way through its cables. Pure.

Cables of which nobody gives a rate count for nothing, and a host is no way for others. A pair of
hosts gets one way, the widest, as two processes that talk to each other do; parallel cables count
together.
"""

from collections.abc import Iterator
from itertools import combinations

from distos_coll.planner.links import LinkClass, Links, classed
from distos_coll.topology import infiniband
from distos_coll.topology.fabric import Adapter, Cable, End, EndKind
from distos_coll.topology.model import Topology
from distos_coll.topology.nvlink import Sets

MOST_HOSTS = 1024
"""A table has an entry for each pair."""
_MBPS_OF_GBPS = 8000


def links_of(topology: Topology, source: str) -> Links | None:
    """Make the links; None where nothing is said of any pair, or of too many hosts."""
    network = _Network(topology)
    hosts = sorted(network.hosts)
    if not 2 <= len(hosts) <= MOST_HOSTS:
        return None
    mbps = network.widest()
    if not mbps:
        return None
    ports = [_gbps(sum(network.hosts[host].values())) for host in hosts]

    def of_pair(a: int, b: int) -> LinkClass:
        pair = (hosts[min(a, b)], hosts[max(a, b)])
        return LinkClass(None, _gbps(mbps[pair]) if pair in mbps else None)

    return classed(hosts, of_pair, source, measured=False, ports=ports)


def _gbps(mbps: int) -> float:
    return mbps / _MBPS_OF_GBPS


class _Network:
    """Bundles of cables by their two ends; ends are switches, or hosts."""

    def __init__(self, topology: Topology) -> None:
        self._adapters = {adapter.id: adapter for adapter in topology.fabric.adapters}
        self.hosts: dict[str, dict[tuple[str, str], int]] = {}
        """Of each host: what it is cabled to, at how many Mb/s."""
        self._between: dict[tuple[str, str], int] = {}
        """Of switches."""
        for cable in topology.fabric.cables:
            rate = _rate(cable)
            a, b = self._end(cable.a), self._end(cable.b)
            if rate and a is not None and b is not None and a != b:
                self._add(a, b, rate)

    def _end(self, end: End) -> tuple[str, str] | None:
        """Kind and name; None for what belongs to nobody that is known."""
        if end.kind is EndKind.SWITCH:
            return "switch", end.id
        if end.kind is EndKind.HOST:
            return "host", end.id
        adapter: Adapter | None = self._adapters.get(end.id)
        if end.kind is not EndKind.ADAPTER or adapter is None or adapter.host is None:
            return None
        return "host", adapter.host

    def _add(self, a: tuple[str, str], b: tuple[str, str], rate: int) -> None:
        for near, far in ((a, b), (b, a)):
            if near[0] == "host":
                known = self.hosts.setdefault(near[1], {})
                known[far] = known.get(far, 0) + rate
        if a[0] == b[0] == "switch":
            pair = min(a[1], b[1]), max(a[1], b[1])
            self._between[pair] = self._between.get(pair, 0) + rate

    def widest(self) -> dict[tuple[str, str], int]:
        """For pairs of hosts, the names in order: what the widest way has."""
        rates = {*self._between.values()}
        rates |= {rate for cabled in self.hosts.values() for rate in cabled.values()}
        joined = Sets[str]()
        found: dict[tuple[str, str], int] = {}
        # At each rate all that reach each other over what has as much.
        for rate in sorted(rates, reverse=True):
            for (a, b), has in self._between.items():
                if has >= rate:
                    joined.join(a, b)
            meeting: dict[str, list[str]] = {}
            for host in sorted(self.hosts):
                cabled = {far for far, has in self.hosts[host].items() if has >= rate}
                for place in {joined.find(name) for kind, name in cabled if kind == "switch"}:
                    meeting.setdefault(place, []).append(host)
                for kind, name in cabled:
                    if kind == "host":
                        found.setdefault((min(host, name), max(host, name)), rate)
            for pair in _pairs(meeting):
                found.setdefault(pair, rate)
        return found


def _pairs(meeting: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    for hosts in meeting.values():
        yield from combinations(hosts, 2)


def _rate(cable: Cable) -> int | None:
    if cable.mbps is not None:
        return cable.mbps
    if cable.rate is None or cable.width is None:
        return None
    return infiniband.mbps(cable.width, cable.rate)
