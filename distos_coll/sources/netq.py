"""NetQ's topology graph (JSON): devices in tiers, bundles of cables between them.

[{"nodes": [{"tier": 1, "compounded_nodes": [{"id": "node0", "name": "leaf1",
             "device_type": "switch", "tier": 1}]}],
  "links": [{"compounded_links": [{"interfaces": [{"node": "node0", "interface": "swp1"},
                                                  {"node": "node2", "interface": "eth0"}]}]}]}]
"""

import re
from collections import Counter
from dataclasses import dataclass, field

from distos_coll.api import (
    Cable,
    Data,
    Document,
    End,
    EndKind,
    Fabric,
    Found,
    HostBuilder,
    Notes,
    Switch,
    TopologySource,
    build_topology,
    hookimpl,
    parse_json,
    recognise_fabric,
)

MAX_BYTES = 1 << 24
_HEAD = re.compile(rb'"compounded_(?:links|nodes)"\s*:')


@dataclass
class _Reader:
    document: Document
    notes: Notes
    switches: list[Switch] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    ends: dict[str, tuple[EndKind, str]] = field(default_factory=dict)
    """By NetQ's id."""
    cables: list[Cable] = field(default_factory=list)
    names: Counter[str] = field(default_factory=Counter)
    hosts_seen: set[str] = field(default_factory=set)
    bundles: int = 0

    def read(self) -> Found:
        graphs = [each for text in parse_json(self.document) for each in _items(text)]
        groups = [group for graph in graphs for group in graph.required("nodes").items()]
        nodes = [node for group in groups for node in _inside(group, "compounded_nodes")]
        names: dict[str, str] = {}
        for node in nodes:
            names.setdefault(node.required("id").text(), _name(node))
        self.names.update(names.values())
        for node in nodes:
            self.node(node)
        for graph in graphs:
            self.links(graph)
        fabric = recognise_fabric(Fabric(tuple(self.switches), (), tuple(self.cables)))
        facts = {
            "node_groups": len(groups),
            "bundles": self.bundles,
            "cables": len(self.cables),
        }
        content = build_topology(map(HostBuilder, self.hosts), fabric)
        return Found(content, self.notes.warnings, facts)

    def links(self, graph: Data) -> None:
        links = graph.get("links")
        for bundle in links.items() if links is not None else ():
            self.bundles += 1
            for link in _inside(bundle, "compounded_links"):
                self.link(link)

    def node(self, node: Data) -> None:
        own = node.required("id").text()
        name = _name(node)
        if own in self.ends:
            self.notes.add("node-twice", f"{node.place}: node {own} is there twice")
            return
        kind = node.get("device_type")
        if kind is not None and kind.text() == "switch":
            tier = node.get("tier")
            level = tier.text() if tier is not None else ""
            above = int(level) if level.isascii() and level.isdigit() and len(level) < 4 else 0
            # NetQ's ids count the nodes of one document.
            known = name if self.names[name] == 1 else f"{name} {own}"
            self.switches.append(Switch(known, name, "ethernet", level=above or None))
            self.ends[own] = EndKind.SWITCH, known
        else:
            if name in self.hosts_seen:
                self.notes.add("host-twice", f"{node.place}: two hosts are called {name}")
                name = f"{name} {own}"
            self.hosts_seen.add(name)
            self.hosts.append(name)
            self.ends[own] = EndKind.HOST, name

    def link(self, link: Data) -> None:
        both = list(link.required("interfaces").items())
        if len(both) != 2:
            raise link.error(f"expected two interfaces, not {len(both)}")
        ends = []
        for each in both:
            node = each.required("node").text()
            port = each.get("interface")
            if node not in self.ends:
                self.notes.add("end-unknown", f"{each.place}: node {node[:60]} is not there")
                return
            kind, own = self.ends[node]
            ends.append(End(kind, own, None if port is None else port.text()))
        self.cables.append(Cable(ends[0], ends[1]))


def _items(data: Data) -> list[Data]:
    return list(data.items()) if data.is_list else [data]


def _inside(data: Data, name: str) -> list[Data]:
    """What a group is made of, or the thing itself, where it is no group."""
    inside = data.get(name)
    return [data] if inside is None else list(inside.items())


def _name(node: Data) -> str:
    said = node.get("name")
    return (node.required("id") if said is None else said).text()


def read_netq(document: Document) -> Found:
    return _Reader(document, Notes(document)).read()


def recognise_netq(document: Document) -> bool:
    head = document.head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return head.startswith((b"{", b"[")) and _HEAD.search(head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "netq",
            "NetQ's graph of switches and hosts.",
            recognise_netq,
            read_netq,
            max_bytes=MAX_BYTES,
        )
    ]
