"""Hosts that are only names: the network or a scheduler knows them, and nobody their inside."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from distos_coll.drawing.labels import ranges_within
from distos_coll.drawing.network import NetworkDrawing, Unit
from distos_coll.drawing.scene import NORMAL
from distos_coll.topology.fabric import EndKind
from distos_coll.topology.joins import Joins
from distos_coll.topology.model import Topology
from distos_coll.topology.names import ranges

MOST_WIDTH = 300.0
"""Of a box of them."""


@dataclass(frozen=True)
class Stranger:
    """Hosts that are one box."""

    names: str
    count: int
    units: Sequence[Unit] = ()
    """The boxes of the network that their cables lead to."""
    blocks: str = ""


def strangers(topology: Topology, joins: Joins, network: NetworkDrawing) -> list[Stranger]:
    return _Strangers(topology, joins, network).found()


class _Strangers:
    def __init__(self, topology: Topology, joins: Joins, network: NetworkDrawing) -> None:
        self.topology = topology
        self.joins = joins
        self.network = network
        self.known = {
            name
            for host in topology.hosts
            if host.template.nodes
            for name in (host.name, *host.aliases)
        }
        self.block: dict[str, list[str]] = {}
        """By host."""
        for block in topology.blocks:
            for host in block.hosts:
                self.block.setdefault(host, []).append(f"{block.kind} {block.name}")

    def found(self) -> list[Stranger]:
        at, nameless = self.cabled()
        together: dict[tuple[Unit, ...], list[str]] = {}
        for host, units in at.items():
            together.setdefault(units, []).append(host)
        found = [
            Stranger(self.names(names), len(names), units, self.blocks_of(names))
            for units, names in together.items()
        ]
        found += [
            Stranger("hosts without a name", count, (unit,)) for unit, count in nameless.items()
        ]
        # Below the switches that they hang at, as far as that goes.
        place = {unit: i / len(row) for row in self.network.rows for i, unit in enumerate(row)}
        found.sort(key=lambda each: sum(place[u] for u in each.units) / len(each.units))
        for block in self.topology.blocks:
            names = [host for host in block.hosts if host not in at and host not in self.known]
            if names:
                title = f"{block.kind} {block.name}"
                found.append(Stranger(self.names(names), len(names), (), title))
        return found

    @staticmethod
    def names(hosts: Sequence[str]) -> str:
        return ranges_within(hosts, 3, MOST_WIDTH - 12, NORMAL)

    def cabled(self) -> tuple[dict[str, tuple[Unit, ...]], dict[Unit, int]]:
        """Of each host the boxes that it hangs at, and of boxes their hosts without a name."""
        at: dict[str, dict[Unit, None]] = {}
        nameless: Counter[Unit] = Counter()
        adapters = self.topology.fabric.adapters
        hosts = {adapter.id: adapter.host for adapter in adapters}
        inside = {adapter.id for adapter in adapters if adapter.aggregation}
        order: dict[Unit, int] = {}
        for ends in self.joins.cables.values():
            for near, far, _ in ends:
                unit = self.network.of_switch.get(far.id)
                host = near.id if near.kind is EndKind.HOST else hosts.get(near.id)
                if unit is None or near.id in inside:
                    continue
                order.setdefault(unit, len(order))
                if host is None:
                    nameless[unit] += near.id not in self.joins.of_adapter
                elif host not in self.known:
                    at.setdefault(host, {})[unit] = None
        units = {host: tuple(sorted(its, key=order.__getitem__)) for host, its in at.items()}
        return units, {unit: count for unit, count in nameless.items() if count}

    def blocks_of(self, hosts: Sequence[str]) -> str:
        """Nothing where some are in none."""
        blocks = {block for host in hosts for block in self.block.get(host, ())}
        return ranges(blocks, 2) if all(host in self.block for host in hosts) else ""
