"""The figures of a topology, as `distos-coll topo show --json` prints them."""

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
    """What a topology says, without format and warnings; absent keys are those it cannot say."""
    found: dict[str, Any] = {}
    if topology.fabric.switches or topology.fabric.adapters:
        found |= _between_hosts(topology)
    if topology.hosts:
        known = {n for host in topology.hosts for n in (host.name, *host.aliases)}
        found["hosts"] = len(topology.hosts) + len(_swept_hosts(topology) - known)
    if any(host.template.nodes for host in topology.hosts):
        found |= _inside_hosts(topology)
    if rails := {rail.number for rail in topology.fabric.rails} or _stated_rails(topology):
        found["rails"] = len(rails)
    return found


def _inside_hosts(topology: Topology) -> Mapping[str, Any]:
    hosts = topology.hosts
    domains = nvlink.domains(topology)
    return {
        "numa_nodes": sum(len(host.template.numa) for host in hosts),
        "gpus": sum(len(host.template.devices) for host in hosts),
        "nics": sum(map(adapters, hosts)),
        "net_ports": sum(len(physical_ports(host.template)) for host in hosts),
        "nvlink_pairs": nvlink.pairs(topology),
        "nvlink_domains": [
            [topology.hosts[h].gpu_name(gpu) for h, gpu in domain] for domain in domains
        ],
    }


def _between_hosts(topology: Topology) -> Mapping[str, Any]:
    fabric = topology.fabric
    # Others know hosts and their ports, and no adapters.
    swept = fabric.adapters or any(s.technology == "infiniband" for s in fabric.switches)
    kinds: list[dict[str, Any]] = [
        {"kind": each.kind, "evidence": list(each.evidence)} for each in fabric.recognised
    ]
    return {
        "hosts": len(_swept_hosts(topology)),
        "hcas": sum(not adapter.aggregation for adapter in fabric.adapters) if swept else None,
        "switches": len(fabric.switches),
        "fabric": {**kinds[0], "also": kinds[1:]} if kinds else None,
    }


def _swept_hosts(topology: Topology) -> set[str]:
    """Whose adapters a sweep has found."""
    names = (adapter.host or adapter.shared_name for adapter in topology.fabric.adapters)
    return {name for name in names if name is not None}


def _stated_rails(topology: Topology) -> set[int]:
    """A host's file without them cannot say: the fabric makes rails."""
    return {
        node.rail
        for template in topology.templates
        for node in template.nodes
        if isinstance(node, Port) and node.rail is not None and node.rail >= 0
    }


def physical_ports(template: HostTemplate) -> tuple[int, ...]:
    """Ports for data of adapters, each once; several sources list one at several places."""
    found: dict[tuple[str, int | None], int] = {}
    for i in template.ports:
        port = template.nodes[i]
        if isinstance(port, Port) and port.kind == "net" and not port.virtual:
            found.setdefault((port.name, port.port), i)
    return tuple(found.values())


def adapters(host: Host) -> int:
    """Physical network adapters. One PCI function is one, if its class says so; ports elsewhere
    (sandboxes show them at a host bridge, NCCL at a NUMA node) are told apart by their GUIDs, or
    by the devices' names.
    """
    template = host.template
    guids = dict(zip(template.ports, (its.guid for its in host.ports), strict=True))
    physical = set(physical_ports(template))
    count = 0
    elsewhere: set[tuple[int, str]] = set()
    for nic in template.nics:
        above = template.nodes[nic].parent
        function = template.nodes[above] if above != NOWHERE else None
        if isinstance(function, Pci) and pci.is_nic(function.pci_class):
            count += 1
            continue
        for i in template.children[nic]:
            if i in physical:
                port = template.nodes[i]
                name = port.name if isinstance(port, Port) else ""
                own = guids[i]
                elsewhere.add((nic, name) if own is None else (NOWHERE, own))
    return count + len(elsewhere)
