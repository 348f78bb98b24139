"""Fabrics to try things on: laid out by formula, as InfiniBand's tools would find them."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations, product
from typing import TypeVar

from distos_coll.topology.fabric import Adapter, Cable, End, EndKind, Fabric, Switch
from distos_coll.topology.fabric_kinds import recognise_fabric
from distos_coll.topology.infiniband import mbps

_SWITCHES, _ADAPTERS = 0x200000, 0x100000
_T = TypeVar("_T")


@dataclass
class FabricLayout:
    """Switches and hosts in the order of their making; a cable takes the next free ports."""

    width: int = 4
    rate: str = "SDR"
    """What ibsim's links run at."""
    switches: list[str] = field(default_factory=list)
    adapters: list[tuple[str, str]] = field(default_factory=list)
    cables: list[tuple[End, End]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._next: dict[tuple[EndKind, str], int] = {}

    def switch(self, name: str) -> End:
        self.switches.append(name)
        return End(EndKind.SWITCH, f"{_SWITCHES + len(self.switches):016x}")

    def adapter(self, host: str, device: str) -> End:
        self.adapters.append((host, device))
        # ibsim gives a port the number after its node's.
        return End(EndKind.ADAPTER, f"{_ADAPTERS + 4 * len(self.adapters):016x}")

    def host(self, name: str, *at: End) -> None:
        """A host with one adapter for each switch of `at`."""
        for number, switch in enumerate(at):
            self.cable(self.adapter(name, f"mlx5_{number}"), switch)

    def cable(self, a: End, b: End, count: int = 1) -> None:
        for _ in range(count):
            self.cables.append((self._port(a), self._port(b)))

    def _port(self, node: End) -> End:
        port = self._next.get((node.kind, node.id), 0) + 1
        self._next[node.kind, node.id] = port
        return End(node.kind, node.id, port)

    def fabric(self) -> Fabric:
        """Switches have as many ports as are used."""
        switches = tuple(
            Switch(id_, name, "infiniband", max(1, self._next.get((EndKind.SWITCH, id_), 0)))
            for id_, name in self._ids(_SWITCHES, 1, self.switches)
        )
        adapters = tuple(
            Adapter(id_, f"{host} {device}", host, device, "infiniband", 1)
            for id_, (host, device) in self._ids(_ADAPTERS, 4, self.adapters)
        )
        speed = mbps(self.width, self.rate)
        cables = tuple(Cable(a, b, self.width, self.rate, speed) for a, b in self.cables)
        return recognise_fabric(Fabric(switches, adapters, cables))

    @staticmethod
    def _ids(base: int, step: int, items: list[_T]) -> Iterator[tuple[str, _T]]:
        for number, item in enumerate(items, 1):
            yield f"{base + step * number:016x}", item


def outline(fabric: Fabric) -> dict[str, object]:
    """What a fabric is, apart from the order in which it was told and from what a subnet manager
    gives out: two are the same where these are equal.
    """
    return {
        "switches": {s.id: (s.name, s.ports, s.level) for s in fabric.switches},
        "adapters": {a.id: (a.name, a.host, a.device, a.ports, a.rail) for a in fabric.adapters},
        "cables": Counter((frozenset((c.a, c.b)), c.width, c.rate) for c in fabric.cables),
        "rails": {r.number: (frozenset(r.switches), frozenset(r.members)) for r in fabric.rails},
        "recognised": fabric.recognised,
    }


def leaf_spine(leaves: int, spines: int, hosts: int, cables: int = 1) -> FabricLayout:
    """Two levels; `hosts` of one adapter at every leaf, `cables` to every spine."""
    layout = FabricLayout()
    lower = [layout.switch(f"leaf{i}") for i in range(leaves)]
    upper = [layout.switch(f"spine{i}") for i in range(spines)]
    for leaf, spine in product(lower, upper):
        layout.cable(leaf, spine, cables)
    for i, leaf in enumerate(lower):
        for j in range(hosts):
            layout.host(f"node{i * hosts + j}", leaf)
    return layout


def fat_tree(radix: int) -> FabricLayout:
    """The three-level fat-tree of switches with `radix` ports: radix³ / 4 hosts."""
    half = radix // 2
    layout = FabricLayout()
    leaves = [[layout.switch(f"leaf{p}-{i}") for i in range(half)] for p in range(radix)]
    spines = [[layout.switch(f"spine{p}-{i}") for i in range(half)] for p in range(radix)]
    cores = [layout.switch(f"core{i}") for i in range(half * half)]
    for p in range(radix):
        for leaf, spine in product(leaves[p], spines[p]):
            layout.cable(leaf, spine)
        for i, spine in enumerate(spines[p]):
            for core in cores[i * half : (i + 1) * half]:
                layout.cable(spine, core)
    hosts = (leaf for pod in leaves for leaf in pod for _ in range(half))
    for number, leaf in enumerate(hosts):
        layout.host(f"node{number}", leaf)
    return layout


def rail_optimised(units: int, hosts: int, rails: int, spines: int) -> FabricLayout:
    """A leaf for each rail of a unit; adapter r of a unit's hosts is at leaf r."""
    layout = FabricLayout()
    upper = [layout.switch(f"spine{i}") for i in range(spines)]
    for unit in range(units):
        lower = [layout.switch(f"leaf{unit}-{rail}") for rail in range(rails)]
        for leaf, spine in product(lower, upper):
            layout.cable(leaf, spine)
        for i in range(hosts):
            layout.host(f"node{unit * hosts + i}", *lower)
    return layout


def dragonfly(groups: int, routers: int, hosts: int) -> FabricLayout:
    """Full meshes of routers; each pair of groups has one cable, dealt out to routers in turn."""
    layout = FabricLayout()
    nodes = [[layout.switch(f"router{g}-{i}") for i in range(routers)] for g in range(groups)]
    for group in nodes:
        for a, b in combinations(group, 2):
            layout.cable(a, b)
    used = [0] * groups
    for g, h in combinations(range(groups), 2):
        a, b = nodes[g][used[g] % routers], nodes[h][used[h] % routers]
        used[g], used[h] = used[g] + 1, used[h] + 1
        layout.cable(a, b)
    _one_host_each(layout, [router for group in nodes for router in group], hosts)
    return layout


def dragonfly_plus(groups: int, leaves: int, spines: int, hosts: int) -> FabricLayout:
    """Leaves and spines in each group; each pair of groups has one cable between spines."""
    layout = FabricLayout()
    lower = [[layout.switch(f"leaf{g}-{i}") for i in range(leaves)] for g in range(groups)]
    upper = [[layout.switch(f"spine{g}-{i}") for i in range(spines)] for g in range(groups)]
    for g in range(groups):
        for leaf, spine in product(lower[g], upper[g]):
            layout.cable(leaf, spine)
    used = [0] * groups
    for g, h in combinations(range(groups), 2):
        layout.cable(upper[g][used[g] % spines], upper[h][used[h] % spines])
        used[g], used[h] = used[g] + 1, used[h] + 1
    _one_host_each(layout, [leaf for group in lower for leaf in group], hosts)
    return layout


def torus(*sizes: int, hosts: int = 1, closed: bool = True) -> FabricLayout:
    """A ring in each dimension; a mesh, with lines instead, where it is not closed."""
    layout = FabricLayout()
    nodes = {at: layout.switch("s" + "-".join(map(str, at))) for at in _grid(sizes)}
    for at, switch in nodes.items():
        for d, size in enumerate(sizes):
            step = at[d] + 1
            if step < size or (closed and size > 2):
                beside = list(at)
                beside[d] = step % size
                layout.cable(switch, nodes[tuple(beside)])
    _one_host_each(layout, list(nodes.values()), hosts)
    return layout


def hyperx(*sizes: int, hosts: int = 1) -> FabricLayout:
    """A full mesh in each dimension."""
    layout = FabricLayout()
    nodes = {at: layout.switch("s" + "-".join(map(str, at))) for at in _grid(sizes)}
    for a, b in combinations(nodes, 2):
        if sum(x != y for x, y in zip(a, b, strict=True)) == 1:
            layout.cable(nodes[a], nodes[b])
    _one_host_each(layout, list(nodes.values()), hosts)
    return layout


def _grid(sizes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return product(*map(range, sizes))


def _one_host_each(layout: FabricLayout, switches: list[End], hosts: int) -> None:
    for i, switch in enumerate(switches):
        for j in range(hosts):
            layout.host(f"node{i * hosts + j}", switch)
