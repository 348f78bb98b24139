"""Slurm's topology.conf: a tree of switches (topology/tree) or blocks (topology/block).

SwitchName=s0 Nodes=dev[0-5]                 BlockName=b1 Nodes=node[01-04]
SwitchName=root Switches=s[0-2]              BlockSizes=4,8,16
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from distos_coll.api import (
    Block,
    Document,
    Found,
    Notes,
    TopologySource,
    hookimpl,
    text_lines,
)
from distos_coll.sources.switch_tree import Names, SwitchTree

_HEAD = re.compile(rb"^[ \t]*(?:SwitchName|BlockName)[ \t]*=", re.M | re.I)
_KEY = re.compile(r"([A-Za-z]\w*)\s*=\s*")
_KNOWN = {"switchname", "switches", "nodes", "linkspeed", "blockname", "blocksizes"}
_MAX_JOINED = 1 << 20


@dataclass
class _Reader:
    document: Document
    notes: Notes
    tree: SwitchTree
    names: Names
    sizes: tuple[int, ...] = ()

    def read(self) -> Found:
        for number, line in _joined(self.document):
            text = line.partition("#")[0].strip()
            if text:
                self.line(number, self.fields(number, text))
        if not self.tree.nodes and not self.tree.blocks:
            raise self.document.error("no SwitchName and no BlockName in it")
        self.tree.blocks = [replace(block, sizes=self.sizes) for block in self.tree.blocks]
        facts = self.tree.facts()
        if self.sizes:
            facts["block_sizes"] = list(self.sizes)
        return Found(self.tree.topology(), self.notes.warnings, facts)

    def fields(self, number: int, text: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for part in text.split():
            match = _KEY.match(part)
            if match is None:
                raise self.document.error(f"expected NAME=VALUE, not {part[:60]!r}", number)
            key = match[1].lower()
            if key not in _KNOWN:
                self.notes.add("key-unknown", f"{match[1][:40]} is left out", number)
            found[key] = part[match.end() :].strip("\"'")
        return found

    def line(self, number: int, said: dict[str, str]) -> None:
        if "blocksizes" in said:
            texts = said["blocksizes"].split(",")
            if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in texts):
                raise self.document.error(
                    f"BlockSizes={said['blocksizes'][:40]}: expected numbers", number
                )
            self.sizes = tuple(map(int, texts))
        if "switchname" in said:
            speed = said.get("linkspeed")
            extra = (("slurm:LinkSpeed", speed),) if speed else ()
            children = self.names.of(said.get("switches", ""), number)
            hosts = self.names.of(said.get("nodes", ""), number)
            for name in self.names.of(said["switchname"], number):
                self.tree.add(name, children, hosts, number, extra)
        elif "blockname" in said:
            hosts = self.names.of(said.get("nodes", ""), number)
            self.tree.block(Block(said["blockname"], tuple(hosts)), number)


def _joined(document: Document) -> Iterator[tuple[int, str]]:
    """Lines; a backslash at the end joins the next."""
    before, first = "", 0
    for number, line in text_lines(document):
        first = first or number
        if line.endswith("\\") and len(before) < _MAX_JOINED:
            before += line[:-1] + " "
            continue
        yield first, before + line
        before, first = "", 0
    if before:
        yield first, before


def read_conf(document: Document) -> Found:
    notes, names = Notes(document), Names(document)
    return _Reader(document, notes, SwitchTree(notes, names), names).read()


def recognise_conf(document: Document) -> bool:
    return _HEAD.search(document.head) is not None


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "slurm-topology",
            "Slurm's topology.conf: trees of switches, blocks.",
            recognise_conf,
            read_conf,
            max_bytes=1 << 24,
        )
    ]
