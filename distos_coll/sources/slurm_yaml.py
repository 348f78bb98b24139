"""Slurm's topology.yaml: several topologies in one file, of which one is the cluster's default.

    - topology: name
      cluster_default: true
      tree: {switches: [{switch: root, children: "s[1-2]"}, {switch: s1, nodes: "node[01-02]"}]}

The others are tree, block, flat, ring and torus3d. The default becomes the topology (the first
where none is); every one is read, and named among the facts.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from distos_coll.api import (
    YAML_MAX_BYTES,
    Block,
    Data,
    Document,
    Found,
    Notes,
    TopologySource,
    hookimpl,
    parse_yaml,
)
from distos_coll.sources.switch_tree import Names, SwitchTree

_HEAD = re.compile(rb"^[ \t]*(?:-[ \t]*)?topology[ \t]*:", re.M)
_KINDS = re.compile(rb"^[ \t]*(?:tree|block|flat|ring|torus3d)[ \t]*:", re.M)
_AXES = ("x", "y", "z")


@dataclass
class _Reader:
    document: Document
    notes: Notes
    names: Names

    def read(self) -> Found:
        texts = parse_yaml(self.document)
        listed = [each for text in texts for each in (text.items() if text.is_list else [text])]
        if not listed:
            raise self.document.error("no topology in it")
        trees: list[SwitchTree] = []
        facts: list[dict[str, Any]] = []
        default = 0
        for n, each in enumerate(listed):
            name = each.required("topology").text()
            said = each.get("cluster_default")
            if said is not None and said.is_true() and default:
                self.notes.add("default-twice", f"{name} is a default too", each.line)
            if said is not None and said.is_true() and not default:
                default = n + 1
            kind, tree = self.one(each)
            trees.append(tree)
            facts.append({"name": name, "kind": kind, "hosts": len(tree.hosts), **tree.facts()})
        found = trees[max(0, default - 1)]
        content = found.topology()
        named = {"topologies": facts, "topology": facts[max(0, default - 1)]["name"]}
        return Found(content, self.notes.warnings, named)

    def one(self, each: Data) -> tuple[str, SwitchTree]:
        """Read one topology: its kind, and what it says."""
        tree = SwitchTree(self.notes, self.names)
        kinds: dict[str, Callable[[Data, SwitchTree], None]] = {
            "tree": self.tree,
            "block": self.block,
            "ring": self.ring,
            "torus3d": self.torus,
            "flat": lambda _said, _tree: None,
        }
        for kind, read in kinds.items():
            said = each.get(kind)
            if said is not None:
                read(said, tree)
                return kind, tree
        raise each.error("it is none of " + ", ".join(kinds))

    def tree(self, said: Data, tree: SwitchTree) -> None:
        for switch in said.required("switches").items():
            children, hosts = self.hosts(switch, "children"), self.hosts(switch, "nodes")
            tree.add(switch.required("switch").text(), children, hosts, switch.line)

    def block(self, said: Data, tree: SwitchTree) -> None:
        listed = said.get("block_sizes")
        sizes = tuple(size.whole() for size in listed.items()) if listed else ()
        for block in said.required("blocks").items():
            name, hosts = block.required("block").text(), self.hosts(block, "nodes")
            tree.block(Block(name, tuple(hosts), "block", sizes), block.line)

    def ring(self, said: Data, tree: SwitchTree) -> None:
        for ring in said.required("rings").items():
            name, hosts = ring.required("ring").text(), self.hosts(ring, "nodes")
            tree.block(Block(name, tuple(hosts), "ring"), ring.line)

    def torus(self, said: Data, tree: SwitchTree) -> None:
        for torus in said.required("toruses").items():
            dims = torus.required("dims")
            sizes = tuple(dims.required(axis).whole() for axis in _AXES)
            name, hosts = torus.required("name").text(), self.hosts(torus, "nodes")
            if prod(sizes) != len(hosts):
                message = f"{name} of {' x '.join(map(str, sizes))} has {len(hosts)} hosts"
                self.notes.add("torus-size", message, torus.line)
            tree.block(Block(name, tuple(hosts), "torus3d", sizes), torus.line)

    def hosts(self, said: Data, name: str) -> list[str]:
        return self.names.of_data(said.get(name))


def read_yaml(document: Document) -> Found:
    return _Reader(document, Notes(document), Names(document)).read()


def recognise_yaml(document: Document) -> bool:
    head = document.head
    return _HEAD.search(head) is not None and _KINDS.search(head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "slurm-topology-yaml",
            "Slurm's topology.yaml: trees, blocks, rings, tori.",
            recognise_yaml,
            read_yaml,
            rank=1,
            max_bytes=YAML_MAX_BYTES,
        )
    ]
