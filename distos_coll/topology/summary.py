"""The figures of a topology, as `distos-coll topo show --json` prints them."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from distos_coll.topology import nvlink, pci
from distos_coll.topology.model import NOWHERE, Host, HostTemplate, Pci, Port, Topology
from distos_coll.topology.reading import Reading

KEYS = (
    "format",
    "hosts",
    "numa_nodes",
    "gpus",
    "nics",
    "net_ports",
    "hcas",
    "switches",
    "rails",
    "nvlink_pairs",
    "nvlink_domains",
    "fabric",
    "warnings",
)


def summary(reading: Reading) -> dict[str, Any]:
    """Every key of KEYS; null where the document cannot say."""
    found: dict[str, Any] = dict.fromkeys(KEYS)
    found["format"] = reading.format
    content = reading.found.content
    if isinstance(content, Topology):
        found |= topology_facts(content)
    else:
        found |= content.facts()
    found |= reading.found.facts
    found["warnings"] = [str(warning) for warning in reading.warnings]
    return found


def topology_facts(topology: Topology) -> dict[str, Any]:
    return {**_inside_hosts(topology), **_between_hosts(topology)}


def _inside_hosts(topology: Topology) -> Mapping[str, Any]:
    hosts = [host for host in topology.hosts if host.template.nodes]
    if not hosts:
        return {"hosts": len(topology.hosts) or None}
    domains = nvlink.domains(topology)
    return {
        "hosts": len(topology.hosts),
        "numa_nodes": sum(len(host.template.numa) for host in hosts),
        "gpus": sum(len(host.template.devices) for host in hosts),
        "nics": sum(map(adapters, hosts)),
        "net_ports": sum(len(physical_ports(host.template)) for host in hosts),
        "nvlink_pairs": nvlink.pairs(topology),
        "nvlink_domains": [
            [topology.hosts[h].gpu_name(gpu) for h, gpu in domain] for domain in domains
        ],
        "rails": _rails(topology),
    }


def _between_hosts(topology: Topology) -> Mapping[str, Any]:
    fabric = topology.fabric
    if not fabric.switches and not fabric.adapters:
        return {}
    rails = {rail.number for rail in fabric.rails}
    found: dict[str, Any] = {
        "hcas": sum(not adapter.aggregation for adapter in fabric.adapters),
        "switches": len(fabric.switches),
        "fabric": [
            {"kind": each.kind, "evidence": list(each.evidence)} for each in fabric.recognised
        ]
        or None,
    }
    return found | ({"rails": len(rails)} if rails else {})


def _rails(topology: Topology) -> int | None:
    """Stated ones; a host's file without them cannot say, for rails are made by the fabric."""
    stated = {
        node.rail
        for template in topology.templates
        for node in template.nodes
        if isinstance(node, Port) and node.rail is not None and node.rail >= 0
    }
    return len(stated) or None


def physical_ports(template: HostTemplate) -> tuple[int, ...]:
    """Ports for data of adapters, each once; several sources list one at several places."""
    found: dict[tuple[str, int | None], int] = {}
    for i in template.ports:
        port = template.nodes[i]
        if isinstance(port, Port) and port.kind == "net" and not port.virtual:
            found.setdefault((port.name, port.dev), i)
    return tuple(found.values())


def adapters(host: Host) -> int:
    """Physical network adapters. One PCI function is one, if its class says so; ports elsewhere
    (sandboxes show them at a host bridge, NCCL at a NUMA node) are told apart by their GUIDs.
    """
    template = host.template
    guids = dict(zip(template.ports, (its.guid for its in host.ports), strict=True))
    physical = set(physical_ports(template))
    count = 0
    elsewhere: Counter[str] = Counter()
    for nic in template.nics:
        above = template.nodes[nic].parent
        function = template.nodes[above] if above != NOWHERE else None
        if isinstance(function, Pci) and pci.is_nic(function.pci_class):
            count += 1
            continue
        for i in template.children[nic]:
            if i in physical:
                elsewhere[guids[i] or f"port {i}"] += 1
    return count + len(elsewhere)
