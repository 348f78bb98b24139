"""A topology for people: a tree of each kind of host, who is how far from whom, the network."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from distos_coll.cli import topo_network
from distos_coll.cli.say import say
from distos_coll.topology import pci
from distos_coll.topology.findings import shown
from distos_coll.topology.graph import pci_gbps
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    Host,
    HostTemplate,
    Link,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    Topology,
)
from distos_coll.topology.names import counted
from distos_coll.topology.paths import HostPaths
from distos_coll.topology.reading import Reading

_MOST_HOSTS = 20
"""Kinds of hosts that are drawn; the others are counted."""
_MOST_GPUS = 16
_MOST_PORTS = 4
_FIGURES = (
    ("hosts", "host", "hosts"),
    ("numa_nodes", "NUMA node", "NUMA nodes"),
    ("gpus", "GPU", "GPUs"),
    ("nics", "network adapter", "network adapters"),
    ("net_ports", "port", "ports"),
    ("hcas", "channel adapter", "channel adapters"),
    ("switches", "switch", "switches"),
    ("rails", "rail", "rails"),
    ("nvlink_pairs", "pair of GPUs with NVLink", "pairs of GPUs with NVLink"),
)


def show(console: Console, reading: Reading, facts: Mapping[str, Any]) -> None:
    """Print it all, and contradictions last, where they are seen."""
    say(console, f"{reading.name}: {reading.format}")
    content = reading.found.content
    if isinstance(content, Topology):
        _hosts(console, content)
        topo_network.show(console, content.fabric, content.blocks)
    for graph in facts.get("graphs", ()):
        _graph(console, graph)
    known = [
        counted(facts[key], one, many) for key, one, many in _FIGURES if facts[key] is not None
    ]
    say(console, ", ".join(known))
    sizes = Counter(map(len, facts["nvlink_domains"] or ()))
    for size, count in sorted(sizes.items(), reverse=True):
        say(console, f"NVLink domains of {size} GPUs: {count:,}")
    if fabric := facts["fabric"]:
        for kind in (fabric, *fabric["also"]):
            say(console, f"{kind['kind']}: {'; '.join(kind['evidence'])}")
    for warning in facts["warnings"]:
        say(console, f"warning: {warning}", "yellow")


def _hosts(console: Console, topology: Topology) -> None:
    alike: dict[int, list[Host]] = {}
    for host in topology.hosts:
        alike.setdefault(id(host.template), []).append(host)
    kinds = [hosts for hosts in alike.values() if hosts[0].template.nodes]
    for hosts in kinds[:_MOST_HOSTS]:
        console.print(_tree(hosts))
        _distances(console, hosts[0].template)
    if len(kinds) > _MOST_HOSTS:
        say(console, f"and {len(kinds) - _MOST_HOSTS:,} other kinds of hosts")


def _tree(hosts: list[Host]) -> Tree:
    host, template = hosts[0], hosts[0].template
    others = counted(len(hosts) - 1, "host like it", "hosts like it")
    root = Tree(_plain(f"{host.name} and {others}" if len(hosts) > 1 else host.name))
    branches: dict[int, Tree] = {}
    for i, node in enumerate(template.nodes):
        above = branches.get(node.parent, root)
        if isinstance(node, NvSwitch):
            continue
        if isinstance(node, Nic) and not template.children[i] and node.parent != NOWHERE:
            continue  # its function says that it is one
        label = _label(template, i)
        branches[i] = above.add(_plain(label)) if label else above
        for line in _links(template, template.links_of[i]):
            branches[i].add(_plain(line))
    return root


def _label(template: HostTemplate, i: int) -> str:
    """Nothing for what adds nothing to the line above it."""
    node = template.nodes[i]
    if isinstance(node, Numa):
        parts = [f"NUMA node {node.id}", node.arch, node.vendor]
        cpus = f"{node.cpus.bit_count()} CPUs" if node.cpus else None
        return ", ".join(part for part in (*parts, cpus) if part)
    if isinstance(node, Pci):
        speed = f"{pci_gbps(node):g} GB/s" if node.transfers or node.gbps else None
        names = " ".join(node.os_names) or None
        return ", ".join(p for p in (f"{node.bus_id} {_kind(node)}", names, speed) if p)
    if isinstance(node, Gpu):
        if node.implied:
            return ""
        number = "GPU" if node.dev is None else f"GPU {node.dev}"
        return ", ".join(part for part in (number, node.name, node.architecture) if part)
    if isinstance(node, Port):
        speed = f"{node.mbps / 1000:g} Gb/s" if node.mbps and node.mbps > 0 else None
        rail = f"rail {node.rail}" if node.rail is not None else None
        virtual = "virtual" if node.virtual else None
        port = f"port {node.port}" if node.port else None
        return ", ".join(p for p in (node.name, port, speed, node.state, rail, virtual) if p)
    return ""


def _kind(node: Pci) -> str:
    if pci.is_gpu(node.pci_class):
        return "GPU"
    if pci.is_nic(node.pci_class):
        return "NIC"
    if pci.is_bridge(node.pci_class):
        return "switch"
    return "function" if node.pci_class is None else f"class {node.pci_class:06x}"


def _links(template: HostTemplate, links: tuple[Link, ...]) -> list[str]:
    """One line for each kind and count: 1 nvlink to each of 0000:02:00.0, 0000:03:00.0."""
    found: dict[tuple[str, int | None], list[str]] = {}
    unknown: dict[str, int] = {}
    for link in links:
        if end := _end(template, link):
            found.setdefault((link.kind.value, link.count), []).append(end)
        else:
            unknown[link.kind.value] = unknown.get(link.kind.value, 0) + (link.count or 0)
    return [
        f"{'' if count is None else count} {kind} to {'each of ' * (len(ends) > 1)}".lstrip()
        + ", ".join(ends)
        for (kind, count), ends in found.items()
    ] + [f"{count or ''} {kind}, where to is not known".lstrip() for kind, count in unknown.items()]


def _end(template: HostTemplate, link: Link) -> str:
    """What a link leads to; nothing where only its number is known."""
    if link.target == NOWHERE:
        return link.named
    end = template.nodes[link.target]
    if isinstance(end, Numa):
        return f"NUMA node {end.id}"
    own = link.named or template.bus_id_of(link.target)
    return own or (f"GPU {end.dev}" if isinstance(end, Gpu) and end.dev is not None else "")


def _distances(console: Console, template: HostTemplate) -> None:
    """Types of paths between GPUs, as `nvidia-smi topo -m` draws them, and each one's ports."""
    paths = HostPaths(template)
    gpus = template.devices
    if not 1 < len(gpus) <= _MOST_GPUS:
        return
    table = Table(box=None)
    for name in ("", *(f"GPU{i}" for i in range(len(gpus))), "nearest ports"):
        table.add_column(name, no_wrap=name != "nearest ports")
    for i, gpu in enumerate(gpus):
        cells = [paths.between(gpu, end).type.name if gpu != end else "X" for end in gpus]
        table.add_row(f"GPU{i}", *cells, _plain(_ports(paths, gpu)))
    console.print(table)


def _ports(paths: HostPaths, gpu: int) -> str:
    near = paths.nearest(gpu, paths.ports)
    if not near:
        return ""
    nodes = (paths.template.nodes[i] for i in near)
    names = [node.name for node in nodes if isinstance(node, Port)]
    more = f" and {len(names) - _MOST_PORTS} more" if len(names) > _MOST_PORTS else ""
    path = paths.between(gpu, near[0])
    return f"{path.type.name} {path.gbps:g} GB/s: {' '.join(names[:_MOST_PORTS])}{more}"


def _plain(text: str) -> Text:
    """A name is no markup."""
    return Text(shown(text))


def _graph(console: Console, graph: Mapping[str, Any]) -> None:
    kind = graph["pattern_name"] or f"pattern {graph['pattern']}"
    speeds = f"{graph['gbps_intra']} GB/s in a host, {graph['gbps_inter']} between hosts"
    types = f"{graph['type_intra']} and {graph['type_inter']}"
    say(console, f"graph {graph['id']}, {kind}: {speeds}; {types}")
    for i, channel in enumerate(graph["channels"]):
        say(console, f"  channel {i}: {', '.join(channel)}")
