"""Which adapter of the network is which port of a host: by its GUID, else by names.

Computed beside the model, from what host and network each say. NCCL tells the GUID of the whole
card, with its bytes in either order; InfiniBand's tools that of the node, and in `extra` the
card's and the ports'. GUIDs that are masked are those of many ports, and join nothing.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from distos_coll.topology import guids
from distos_coll.topology.fabric import Adapter, Cable, End, EndKind
from distos_coll.topology.fabric_graph import device_label
from distos_coll.topology.findings import Finding
from distos_coll.topology.model import Host, Port, PortId, Topology
from distos_coll.topology.names import listed

HostPort: TypeAlias = tuple[int, int]
"""Index of the host, index of the port's node."""

_OTHER_GUIDS = re.compile("guid|^ib:port:", re.I)


@dataclass(frozen=True, slots=True)
class Join:
    adapter: Adapter
    by: str
    """What shows it: "guid", "names"."""


class Joins:
    """All joins of a topology."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.findings: list[Finding] = []
        self.of_port: dict[HostPort, Join] = {}
        self._by_guid: dict[str, list[Adapter]] = {}
        self._by_name: dict[tuple[str, str], list[Adapter]] = {}
        adapters = [each for each in topology.fabric.adapters if not each.aggregation]
        for adapter in adapters:
            self._index(adapter)
        if adapters:
            self._join()

    @cached_property
    def of_adapter(self) -> dict[str, list[HostPort]]:
        found: dict[str, list[HostPort]] = {}
        for port, join in self.of_port.items():
            found.setdefault(join.adapter.id, []).append(port)
        return found

    @cached_property
    def cables(self) -> dict[tuple[str, str], list[tuple[End, End, Cable]]]:
        """By adapter's id, or host's name: its own end and the other of each cable."""
        found: dict[tuple[str, str], list[tuple[End, End, Cable]]] = {}
        for cable in self.topology.fabric.cables:
            for near, far in ((cable.a, cable.b), (cable.b, cable.a)):
                if near.kind in {EndKind.ADAPTER, EndKind.HOST}:
                    found.setdefault((near.kind.value, near.id), []).append((near, far, cable))
        return found

    def cable_of(self, port: HostPort) -> tuple[End, End, Cable] | None:
        """The cable at a host's port: the end that is its own, the other."""
        host = self.topology.hosts[port[0]]
        node = host.template.nodes[port[1]]
        if not isinstance(node, Port):
            return None
        join = self.of_port.get(port)
        if join is not None:
            ends = self.cables.get((EndKind.ADAPTER.value, join.adapter.id), [])
            own = [each for each in ends if each[0].port in {None, node.port or 1}]
            return own[0] if own else None
        for name in (host.name, *host.aliases):
            for each in self.cables.get((EndKind.HOST.value, name), ()):
                if each[0].port == node.name:
                    return each
        return None

    def _index(self, adapter: Adapter) -> None:
        own = {adapter.id, *(text for name, text in adapter.extra if _OTHER_GUIDS.search(name))}
        for guid in {guids.either(text) for text in own if text}:
            self._by_guid.setdefault(guid, []).append(adapter)
        if adapter.host is not None and adapter.device is not None:
            self._by_name.setdefault((adapter.host, device_label(adapter.device)), []).append(
                adapter
            )

    def _ports(self) -> Iterator[tuple[HostPort, Host, Port, PortId]]:
        for h, host in enumerate(self.topology.hosts):
            for i, its in zip(host.template.ports, host.ports, strict=True):
                port = host.template.nodes[i]
                if isinstance(port, Port) and not port.virtual and port.kind == "net":
                    yield (h, i), host, port, its

    def _join(self) -> None:
        ports = list(self._ports())
        hosts_of: dict[str, set[int]] = {}
        for (h, _), _, _, its in ports:
            if its.guid is not None:
                hosts_of.setdefault(guids.either(its.guid), set()).add(h)
        apart: list[str] = []
        for place, host, port, its in ports:
            named = self._named(host, port)
            guid = None if its.guid is None else guids.either(its.guid)
            known = self._by_guid.get(guid, []) if guid is not None else []
            if guid is not None and len(hosts_of[guid]) > 1:
                known = []
            found = _single(known, its, port)
            if found is not None:
                self.of_port[place] = Join(found, "guid")
                if found.host is not None and found.host not in {host.name, *host.aliases}:
                    apart.append(f"{host.name} {port.name} ({found.name or found.id})")
            elif named is not None:
                self.of_port[place] = Join(named, "names")
        self._tell(hosts_of, apart)

    def _named(self, host: Host, port: Port) -> Adapter | None:
        for name in (host.name, *host.aliases):
            found = self._by_name.get((name, device_label(port.name)), [])
            if len(found) == 1:
                return found[0]
        return None

    def _tell(self, hosts_of: dict[str, set[int]], apart: list[str]) -> None:
        shared = [g for g, hosts in hosts_of.items() if len(hosts) > 1 and g in self._by_guid]
        if shared:
            names = listed(sorted(shared))
            self.findings.append(
                Finding("guid-shared", f"ports of several hosts have the GUID {names}; not joined")
            )
        if apart:
            message = "the network gives these ports to another host than their GUID does"
            self.findings.append(Finding("adapter-host", f"{message}: {listed(apart)}"))


def _single(known: Iterable[Adapter], its: PortId, port: Port) -> Adapter | None:
    """Of a card's adapters the one with this very GUID, or with the port's device."""
    found = list({adapter.id: adapter for adapter in known}.values())
    if len(found) > 1:
        same = [
            each
            for each in found
            if each.device and device_label(each.device) == device_label(port.name)
        ]
        own = [each for each in found if guids.either(each.id) == guids.either(its.guid or "")]
        found = same if len(same) == 1 else own
    return found[0] if len(found) == 1 else None


def contradictions(topology: Topology) -> list[Finding]:
    """What a network's files say otherwise than the hosts'; of how many ports, not of each."""
    if not topology.hosts or not topology.fabric.adapters:
        return []
    return Joins(topology).findings
