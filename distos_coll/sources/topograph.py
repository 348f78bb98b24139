"""Cluster models of NVIDIA's topograph (YAML), in both of their spellings.

    switches:                              switches:
      core: {switches: [spine-1]}          - {name: core, switches: [sw1]}
    blocks:                                - {name: sw1, capacity_blocks: [cb1]}
    - switch: leaf-1                       capacity_blocks:
      nodes: ["srv[01-08]"]                - {name: cb1, nvlink: nvl1, nodes: [n1, n2]}
      annotations: {.../domain: nvl-1}

A switch that is only named as part of another is one too. Accelerator domains are NVLink domains
over hosts; how many GPUs these have is not told.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from distos_coll.api import (
    YAML_MAX_BYTES,
    Attributes,
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

_SWITCHES = re.compile(rb"^switches[ \t]*:", re.M)
_BLOCKS = re.compile(rb"^(?:blocks|capacity_blocks|nodes)[ \t]*:", re.M)
_DOMAIN, _PART = "/domain", "/sub-domain"


@dataclass
class _Reader:
    document: Document
    names: Names
    tree: SwitchTree
    domains: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Hosts by kind and name."""
    under: dict[str, list[str]] = field(default_factory=dict)
    """Switches of the capacity blocks that they name."""

    def read(self) -> Found:
        for model in parse_yaml(self.document):
            switches = model.get("switches")
            if switches is not None:
                for name, said in self.switches(switches):
                    self.switch(name, said)
            for key in ("blocks", "capacity_blocks"):
                blocks = model.get(key)
                for block in blocks.items() if blocks is not None else ():
                    self.block(block)
        if not self.tree.nodes and not self.tree.hosts:
            raise self.document.error("no switches and no nodes in it")
        for (kind, name), hosts in self.domains.items():
            self.tree.block(Block(name, tuple(dict.fromkeys(hosts)), kind), 0)
        return Found(self.tree.topology(), self.tree.notes.warnings, self.tree.facts())

    def switches(self, listed: Data) -> Iterator[tuple[str, Data]]:
        if listed.is_mapping:
            yield from listed.entries()
        else:
            for each in listed.items():
                yield each.required("name").text(), each

    def switch(self, name: str, said: Data) -> None:
        if said.value is None:
            self.tree.add(name, [], [], said.line)
            return
        children = [
            child for each in self.listed(said, "switches") for child in self.names.of_data(each)
        ]
        extra: Attributes = ()
        for kind in ("labels", "metadata"):
            labels = said.get(kind)
            if labels is not None:
                extra += tuple((f"topograph:{key}", text.text()) for key, text in labels.entries())
        self.tree.add(name, children, [], said.line, extra)
        for block in self.listed(said, "capacity_blocks"):
            self.under.setdefault(block.text(), []).append(name)

    def block(self, said: Data) -> None:
        hosts = [host for each in self.listed(said, "nodes") for host in self.names.of_data(each)]
        switch, name = said.get("switch"), said.get("name")
        at = [switch.text()] if switch is not None else []
        at += self.under.get(name.text(), []) if name is not None else []
        for each in at:
            self.tree.add(each, [], hosts, said.line)
        self.tree.hosts.update(dict.fromkeys(hosts))
        domain = said.get("nvlink")
        if domain is not None:
            self.domains.setdefault(("accelerator", domain.text()), []).extend(hosts)
        annotations = said.get("annotations")
        for key, text in annotations.entries() if annotations is not None else ():
            if key.endswith(_PART):
                self.domains.setdefault(("accelerator-part", text.text()), []).extend(hosts)
            elif key.endswith(_DOMAIN):
                self.domains.setdefault(("accelerator", text.text()), []).extend(hosts)

    def listed(self, said: Data, name: str) -> Iterator[Data]:
        found = said.get(name)
        return found.items() if found is not None else iter(())


def read_topograph(document: Document) -> Found:
    names = Names(document)
    tree = SwitchTree(Notes(document), names, names_alone=True)
    return _Reader(document, names, tree).read()


def recognise_topograph(document: Document) -> bool:
    head = document.head
    return _SWITCHES.search(head) is not None or _BLOCKS.search(head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "topograph-model",
            "Cluster models of NVIDIA's topograph.",
            recognise_topograph,
            read_topograph,
            max_bytes=YAML_MAX_BYTES,
        )
    ]
