"""Which ports of a host carry channels, and why the others do not."""

from collections.abc import Sequence
from dataclasses import dataclass

from distos_coll.topology import speeds
from distos_coll.topology.graph import Via
from distos_coll.topology.model import NOWHERE, HostTemplate, Nic, Port
from distos_coll.topology.names import natural
from distos_coll.topology.paths import NONE, HostPaths

_DOWN = frozenset({"down", "disabled", "lowerlayerdown", "notpresent", "polling"})
_SLOW = 0.5
"""Of the fastest: all channels go at one speed, so that a port which is no faster than this would
hold up those of the others, or carry next to nothing. What such ports are for is management.
"""
UNKNOWN_PORT_GBPS = 10 / 8
"""Of a host whose ports nobody tells: NCCL's assumption for a port without a speed."""


@dataclass(frozen=True, slots=True)
class HostPort:
    """A port that carries channels."""

    node: int
    """A port; of adapters without any the adapter; NOWHERE: nothing is known of it."""
    name: str
    gbps: float
    rail: int
    dev: int
    """The number by which NCCL's graphs call it."""
    latency_us: float = 0.0


@dataclass(frozen=True)
class HostPorts:
    used: tuple[HostPort, ...]
    left_out: tuple[tuple[str, str], ...]
    """Name and reason of each other one."""


def host_ports(paths: HostPaths, devices: Sequence[int]) -> HostPorts:
    """Choose among the ports of a host for these devices, or NUMA nodes."""
    left_out: list[tuple[str, str]] = []
    known = _offered(paths)
    found = []
    for port in known:
        node = paths.template.nodes[port.node]
        state = (node.state or "").lower() if isinstance(node, Port) else ""
        if state in _DOWN:
            left_out.append((port.name, f"it is {state}"))
        elif all(paths.between(device, port.node) is NONE for device in devices):
            left_out.append((port.name, "no way leads there"))
        else:
            found.append(port)
    fastest = max((port.gbps for port in found), default=0.0)
    for port in [port for port in found if port.gbps <= _SLOW * fastest]:
        found.remove(port)
        left_out.append((port.name, f"{port.gbps:g} GB/s beside ports of {fastest:g}"))
    near = _near(paths, devices, [port.node for port in found])
    left_out += [
        (port.name, "every device has another that is nearer")
        for port in found
        if port.node not in near
    ]
    used = [port for port in found if port.node in near]
    return HostPorts(tuple(used), tuple(left_out))


def _near(paths: HostPaths, devices: Sequence[int], ports: Sequence[int]) -> set[int]:
    """Those that are the nearest of some device."""
    return {port for device in devices for port in paths.nearest(device, ports)}


def _offered(paths: HostPaths) -> list[HostPort]:
    """Ports; where a source tells adapters only, these, as fast as their PCI links let them."""
    template, ports = paths.template, paths.ports
    named = {node: template.nodes[node] for node in ports}
    if not ports:
        carriers = [nic for nic in template.nics if _is_alone(template, nic)]
        return [_adapter(paths, nic, place) for place, nic in enumerate(carriers)]
    order = sorted(ports, key=lambda node: natural(_name(named[node])))
    place = {node: number for number, node in enumerate(order)}
    found = []
    for number, node in enumerate(ports):
        port = named[node]
        if not isinstance(port, Port):
            continue
        stated = port.rail is not None and port.rail >= 0
        rail = port.rail if stated and port.rail is not None else place[node]
        dev = number if port.dev is None else port.dev
        gbps = speeds.port_mbps(port) / 8000
        latency = port.latency_us or 0.0
        found.append(HostPort(node, port.name, gbps, rail, dev, latency))
    return found


def _name(node: object) -> str:
    return node.name if isinstance(node, Port) else ""


def _is_alone(template: HostTemplate, nic: int) -> bool:
    """An adapter of which the source tells no port at all; interfaces of software are ports."""
    return isinstance(template.nodes[nic], Nic) and not template.children[nic]


def _adapter(paths: HostPaths, nic: int, place: int) -> HostPort:
    links = paths.graph.edges[nic]
    gbps = max((edge.gbps for edge in links if edge.via is Via.PCI), default=UNKNOWN_PORT_GBPS)
    name = f"adapter {paths.template.bus_id_of(nic) or place}"
    return HostPort(nic, name, min(gbps, speeds.LOCAL), place, place)


def unknown_port() -> HostPort:
    return HostPort(NOWHERE, "network", UNKNOWN_PORT_GBPS, 0, 0)
