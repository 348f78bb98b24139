"""Which port of which host is on which rail, at which switch, near which GPUs, for schedulers:
ib-rail-assignments.json.

The network's word on a rail counts more than the host's, whose number comes from a setting; where
neither says, there is none. Ports of hosts that only the network knows are listed too.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from distos_coll.topology.fabric import Adapter, End, EndKind, Fabric
from distos_coll.topology.joins import HostPort, Joins
from distos_coll.topology.model import NOWHERE, Gpu, HostTemplate, Numa, Port, Topology
from distos_coll.topology.names import natural
from distos_coll.topology.paths import HostPaths
from distos_coll.topology.summary import physical_ports

_MOST_STEPS = 1 << 20
"""Ports times nodes of a host, to find the GPUs that are nearest to each."""


@dataclass(frozen=True, slots=True)
class RailPort:
    device: str
    """mlx5_0; an interface's name; the adapter's GUID where the network knows no more."""
    port: int | None = None
    """Its number on the adapter."""
    guid: str | None = None
    rail: int | None = None
    plane: int | None = None
    stated_by: str | None = None
    """Who says on which rail it is: "network", "host"."""
    switch: str | None = None
    """The id of the switch at the other end of its cable."""
    switch_port: int | str | None = None
    mbps: int | None = None
    numa: int | None = None
    gpus: tuple[str, ...] = ()
    """Those that it is nearest to, by their PCI addresses."""


@dataclass(frozen=True, slots=True)
class RailHost:
    host: str
    ports: tuple[RailPort, ...]


@dataclass(frozen=True, slots=True)
class RailSwitches:
    rail: int
    plane: int | None = None
    switches: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RailAssignments:
    rails: tuple[RailSwitches, ...] = ()
    hosts: tuple[RailHost, ...] = ()

    def facts(self) -> Mapping[str, Any]:
        ports = [port for host in self.hosts for port in host.ports]
        numbers = {port.rail for port in ports} | {each.rail for each in self.rails}
        return {
            "hosts": len(self.hosts),
            "net_ports": len(ports),
            "rails": len(numbers - {None}) or None,
        }


@dataclass(slots=True)
class _Rails:
    """What the network says of rails."""

    fabric: Fabric
    of_end: dict[End, tuple[int, int | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for rail in self.fabric.rails:
            for end in rail.members:
                self.of_end.setdefault(end, (rail.number, rail.plane))

    def of(self, near: End | None, adapter: Adapter | None) -> tuple[int, int | None] | None:
        if near is not None and near in self.of_end:
            return self.of_end[near]
        if adapter is not None and adapter.rail is not None:
            return adapter.rail, adapter.plane
        return None


def rail_assignments(topology: Topology) -> RailAssignments:
    """Put together what hosts and network say of ports."""
    joins = Joins(topology)
    rails = _Rails(topology.fabric)
    inside = {id(template): _Inside(template) for template in topology.templates}
    found: dict[str, list[RailPort]] = {}
    for h, host in enumerate(topology.hosts):
        known = inside[id(host.template)]
        guid = dict(zip(host.template.ports, host.ports, strict=True))
        ports = [_port(joins, rails, known, (h, i), guid[i].guid) for i in known.ports]
        if ports:
            found.setdefault(host.name, []).extend(ports)
    for name, port in _unseen(topology, joins, rails):
        found.setdefault(name, []).append(port)
    numbered = tuple(
        RailSwitches(rail.number, rail.plane, rail.switches) for rail in topology.fabric.rails
    )
    ordered = sorted(found, key=natural)
    return RailAssignments(numbered, tuple(RailHost(name, tuple(found[name])) for name in ordered))


class _Inside:
    """What all hosts of a template have alike."""

    def __init__(self, template: HostTemplate) -> None:
        self.template = template
        self.ports = physical_ports(template)
        paths = HostPaths(template)
        self.gpus: dict[int, tuple[str, ...]] = {}
        self.numa: dict[int, int | None] = {}
        few = len(self.ports) * len(template.nodes) <= _MOST_STEPS
        for port in self.ports:
            near = paths.nearest(port, template.devices) if few else ()
            self.gpus[port] = tuple(self._gpu_name(gpu) for gpu in near)
            above = template.numa_of(port)
            node = template.nodes[above] if above != NOWHERE else None
            self.numa[port] = node.id if isinstance(node, Numa) else None

    def _gpu_name(self, gpu: int) -> str:
        node = self.template.nodes[gpu]
        dev = node.dev if isinstance(node, Gpu) and node.dev is not None else 0
        return self.template.bus_id_of(gpu) or f"GPU{dev}"


def _port(
    joins: Joins, rails: _Rails, inside: _Inside, place: HostPort, guid: str | None
) -> RailPort:
    node = cast(Port, inside.template.nodes[place[1]])
    join = joins.of_port.get(place)
    cabled = joins.cable_of(place)
    near, far, cable = cabled if cabled is not None else (None, None, None)
    said = rails.of(near, join.adapter if join else None)
    own = (node.rail, node.plane) if node.rail is not None and node.rail >= 0 else None
    rail, plane = said or own or (None, None)
    return RailPort(
        node.name,
        node.port,
        guid,
        rail,
        plane,
        "network" if said else "host" if own else None,
        **_at(far),
        mbps=node.mbps if node.mbps is not None else (cable.mbps if cable else None),
        numa=inside.numa[place[1]],
        gpus=inside.gpus[place[1]],
    )


def _at(far: End | None) -> dict[str, Any]:
    if far is None or far.kind is not EndKind.SWITCH:
        return {}
    return {"switch": far.id, "switch_port": far.port}


def _unseen(topology: Topology, joins: Joins, rails: _Rails) -> Iterator[tuple[str, RailPort]]:
    """Ports that only the network knows, of hosts that it can name."""
    known = {alias: host.name for host in topology.hosts for alias in (host.name, *host.aliases)}
    for adapter in topology.fabric.adapters:
        if adapter.host is None or adapter.aggregation or adapter.id in joins.of_adapter:
            continue
        name = known.get(adapter.host, adapter.host)
        cables = joins.cables.get((EndKind.ADAPTER.value, adapter.id), ())
        for near, far, cable in cables:
            port = near.port if isinstance(near.port, int) else None
            seen = _Seen(adapter.device or adapter.id, port, adapter.id, cable.mbps)
            yield name, seen.port_of(rails.of(near, adapter), far)
        if not cables:
            seen = _Seen(adapter.device or adapter.id, guid=adapter.id)
            yield name, seen.port_of(rails.of(None, adapter), None)
    described = {
        (host.name, port.name)
        for host in topology.hosts
        for port in host.template.nodes
        if isinstance(port, Port)
    }
    for (kind, name), cables in joins.cables.items():
        own = known.get(name, name)
        for near, far, cable in cables if kind == EndKind.HOST.value else ():
            if near.port is not None and (own, near.port) not in described:
                seen = _Seen(str(near.port), mbps=cable.mbps)
                yield own, seen.port_of(rails.of(near, None), far)


@dataclass(frozen=True, slots=True)
class _Seen:
    """A port from outside."""

    device: str
    port: int | None = None
    guid: str | None = None
    mbps: int | None = None

    def port_of(self, said: tuple[int, int | None] | None, far: End | None) -> RailPort:
        rail, plane = said or (None, None)
        by = "network" if said else None
        own = (self.device, self.port, self.guid)
        return RailPort(*own, rail, plane, by, **_at(far), mbps=self.mbps)
