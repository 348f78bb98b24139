"""A network for people: a tree of the kinds of switches, with the hosts that hang at each."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from distos_coll.cli.say import say
from distos_coll.topology.fabric import Block, Fabric
from distos_coll.topology.findings import shown
from distos_coll.topology.names import counted, listed, ranges
from distos_coll.topology.node_names import node_names
from distos_coll.topology.switch_classes import Attached, SwitchClass, Uplinks, switch_classes

_MOST_KINDS = 40
_MOST_LINKS = 3
_MOST_SWITCHES = 16
"""Of one kind that are named with their hosts."""


def show(console: Console, fabric: Fabric, blocks: Sequence[Block] = ()) -> None:
    if fabric.switches:
        console.print(_Network(fabric).tree())
    for block in blocks[:_MOST_SWITCHES]:
        hosts = counted(len(block.hosts), "host", "hosts")
        line = f"{block.kind} {block.name}: {ranges(block.hosts)} ({hosts})"
        say(console, line)
    if len(blocks) > _MOST_SWITCHES:
        say(console, f"and {len(blocks) - _MOST_SWITCHES:,} more blocks of hosts")


class _Network:
    def __init__(self, fabric: Fabric) -> None:
        self.fabric = fabric
        self.names = node_names(fabric)
        found = switch_classes(fabric)
        self.classes = found.classes
        self.attached = found.attached
        self.rail: dict[str, list[int]] = {}
        for rail in fabric.rails:
            for switch in rail.switches:
                self.rail.setdefault(switch, []).append(rail.number)

    def tree(self) -> Tree:
        kinds = sorted({switch.technology for switch in self.fabric.switches if switch.technology})
        root = Tree(_plain(f"network{': ' if kinds else ''}{', '.join(kinds)}"))
        branches: dict[int, Tree] = {}
        for number, kind in enumerate(self.classes[:_MOST_KINDS]):
            # Of several kinds above it the first; the lines tell of them all.
            above = [link.to for link in kind.links if self.classes[link.to].tier > kind.tier]
            parent = next((branches[to] for to in above if to in branches), root)
            branches[number] = branch = parent.add(_plain(self.kind(kind)))
            self.members(branch, kind)
        if len(self.classes) > _MOST_KINDS:
            root.add(f"and {len(self.classes) - _MOST_KINDS:,} other kinds of switches")
        return root

    def kind(self, kind: SwitchClass) -> str:
        switch = self.fabric.switches[kind.members[0]]
        like = len(kind.members) - 1
        name = self.names[switch.id]
        parts = [
            f"{name} and {counted(like, 'switch like it', 'switches like it')}" if like else name
        ]
        parts += [f"{switch.ports} ports"] if switch.ports else []
        parts += [self.link(kind, link) for link in kind.links[:_MOST_LINKS]]
        rest = len(kind.links) - _MOST_LINKS
        parts += [f"and to {counted(rest, 'other kind', 'other kinds')}"] if rest > 0 else []
        return ", ".join(parts)

    def link(self, kind: SwitchClass, link: Uplinks) -> str:
        other = self.classes[link.to]
        first = self.fabric.switches[other.members[0]]
        which = self.names[first.id]
        if link.switches > 1:
            which = f"{link.switches:,} like {which}"
        way = "up" if other.tier > kind.tier else "aside"
        cables = counted(link.cables, "cable", "cables")
        return f"{cables}{_speed(link.mbps)} {way} to {which}"

    def members(self, branch: Tree, kind: SwitchClass) -> None:
        """Each switch that hosts hang at, with its hosts."""
        if not kind.hosts:
            return
        alone = len(kind.members) == 1
        for i in kind.members[:_MOST_SWITCHES]:
            switch = self.fabric.switches[i]
            rails = "".join(f" (rail {number})" for number in self.rail.get(switch.id, ()))
            name = "" if alone and not rails else f"{self.names[switch.id]}{rails}: "
            branch.add(_plain(name + _hosts(self.attached[i])))
        if len(kind.members) > _MOST_SWITCHES:
            branch.add(f"and {len(kind.members) - _MOST_SWITCHES:,} more such switches")


def _hosts(attached: Sequence[Attached]) -> str:
    """Hosts with one port here in one word: n[0-31] mlx5_0 at 400 Gb/s."""
    alike: dict[tuple[str, int | None], list[str]] = {}
    unknown = [each for each in attached if each.host is None]
    for each in attached:
        if each.host is not None:
            alike.setdefault((each.device, each.mbps), []).append(each.host)
    found = [
        f"{ranges(hosts)} {device}".rstrip() + _speed(mbps, " at")
        for (device, mbps), hosts in alike.items()
    ]
    if unknown:
        names = counted(len(unknown), "adapter", "adapters")
        found.append(f"{names} of hosts unknown")
    return listed(found, 10)


def _speed(mbps: int | None, word: str = " of") -> str:
    return "" if mbps is None else f"{word} {mbps / 1000:g} Gb/s"


def _plain(text: str) -> Text:
    """A name is no markup."""
    return Text(shown(text))
