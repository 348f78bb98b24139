"""Switches that are told by what is below them: Slurm's trees, topograph's models."""

from dataclasses import dataclass, field

from distos_coll.api import (
    MAX_HOSTS,
    Attributes,
    Block,
    Cable,
    Data,
    Document,
    End,
    EndKind,
    Fabric,
    HostBuilder,
    Notes,
    Switch,
    TooManyHosts,
    Topology,
    TopologyError,
    build_topology,
    expand_hosts,
    recognise_fabric,
)


@dataclass
class Names:
    """Lists of hosts and switches of one document, together no more than a machine can have."""

    document: Document
    left: int = MAX_HOSTS

    def of(self, text: str, line: int, place: str = "") -> list[str]:
        """Expand node[01-04]; "" is no name."""
        if not text:
            return []
        try:
            found = expand_hosts(text, self.left)
        except TooManyHosts:
            raise self._too_many(line) from None
        except ValueError as error:
            raise self.document.error(f"in {text[:60]!r} {error}", line, place) from None
        self.take(len(found), line)
        return found

    def of_data(self, said: Data | None) -> list[str]:
        return [] if said is None else self.of(said.text(), said.line, said.place)

    def take(self, count: int, line: int) -> None:
        """Count names that are used once more."""
        self.left -= count
        if self.left < 0:
            raise self._too_many(line)

    def _too_many(self, line: int) -> TopologyError:
        return self.document.error(f"names more than {MAX_HOSTS:,} hosts and switches", line)


@dataclass(slots=True)
class _Node:
    line: int
    children: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    extra: Attributes = ()
    described: bool = True
    """It has a line of its own; else it is only named as part of another."""


@dataclass
class SwitchTree:
    notes: Notes
    names: Names
    nodes: dict[str, _Node] = field(default_factory=dict)
    hosts: dict[str, None] = field(default_factory=dict)
    """All of them once, in order; those of no switch too."""
    blocks: list[Block] = field(default_factory=list)
    names_alone: bool = False
    """A switch needs no description of its own."""

    def add(
        self, name: str, children: list[str], hosts: list[str], line: int, extra: Attributes = ()
    ) -> None:
        """Add a switch; of two descriptions what they say together counts."""
        self.names.take(1 + len(children) + len(hosts), line)
        node = self.nodes.get(name)
        if node is None:
            self.nodes[name] = _Node(line, list(children), list(hosts), extra)
        else:
            if node.described and not self.names_alone:
                self.notes.add("switch-twice", f"switch {name} is described twice", line)
            node.children += children
            node.hosts += hosts
            node.extra += extra
            node.described = True
        for child in children:
            self.nodes.setdefault(child, _Node(line, described=False))
        self.hosts.update(dict.fromkeys(hosts))

    def block(self, block: Block, line: int) -> None:
        self.names.take(len(block.hosts), line)
        self.blocks.append(block)
        self.hosts.update(dict.fromkeys(block.hosts))
        if len(set(block.hosts)) < len(block.hosts):
            self.notes.add("host-twice", f"{block.name} has a host twice", line)

    @property
    def leaves(self) -> list[str]:
        return [name for name, node in self.nodes.items() if not node.children]

    @property
    def roots(self) -> list[str]:
        below = {child for node in self.nodes.values() for child in node.children}
        return [name for name in self.nodes if name not in below]

    def levels(self) -> dict[str, int]:
        """Heights: 1 for those without switches below. What is part of itself has none."""
        found = dict.fromkeys(self.leaves, 1)
        above: dict[str, list[str]] = {}
        missing = {}
        for name, node in self.nodes.items():
            missing[name] = len(set(node.children))
            for child in set(node.children):
                above.setdefault(child, []).append(name)
        waiting = list(found)
        for here in waiting:
            for parent in above.get(here, ()):
                missing[parent] -= 1
                if not missing[parent]:
                    found[parent] = 1 + max(found[child] for child in self.nodes[parent].children)
                    waiting.append(parent)
        return found

    def topology(self, technology: str = "") -> Topology:
        levels = self.levels()
        self._check(levels)
        switches = tuple(
            Switch(name, name, technology, level=levels.get(name), extra=node.extra)
            for name, node in self.nodes.items()
        )
        cables = []
        for name, node in self.nodes.items():
            here = End(EndKind.SWITCH, name)
            below = [End(EndKind.SWITCH, each) for each in dict.fromkeys(node.children)]
            below += [End(EndKind.HOST, each) for each in dict.fromkeys(node.hosts)]
            cables += [Cable(end, here) for end in below]
        fabric = recognise_fabric(Fabric(switches, (), tuple(cables)))
        return build_topology(map(HostBuilder, self.hosts), fabric, tuple(self.blocks))

    def _check(self, levels: dict[str, int]) -> None:
        parent: dict[str, str] = {}
        leaf: dict[str, str] = {}
        for name, node in self.nodes.items():
            if not node.described and not self.names_alone:
                self.notes.add("switch-unknown", f"switch {name} is not described", node.line)
            if name not in levels:
                self.notes.add("switch-loop", f"switch {name} is below itself", node.line)
            for child in node.children:
                if parent.setdefault(child, name) != name:
                    both = f"{parent[child]} and {name}"
                    self.notes.add("two-parents", f"switch {child} is below {both}", node.line)
            for host in node.hosts:
                if leaf.setdefault(host, name) != name:
                    both = f"{leaf[host]} and {name}"
                    self.notes.add("two-parents", f"host {host} is below {both}", node.line)

    def facts(self) -> dict[str, object]:
        """What `topo show` prints beside the usual keys."""
        found: dict[str, object] = {}
        if self.nodes:
            with_hosts = sum(bool(node.hosts) for node in self.nodes.values())
            found |= {
                "leaves": with_hosts,
                "roots": self.roots,
                "depth": max(self.levels().values(), default=None),
            }
        if self.blocks:
            found["blocks"] = [
                {"name": block.name, "kind": block.kind, "hosts": len(block.hosts)}
                for block in self.blocks
            ]
        return found
