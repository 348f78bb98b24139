"""In which order channels visit hosts: those that are near in the network come one after another.

Hosts of a block stay together, within it those below the same switches: first of a whole part of
the network that hangs together below its upper levels, then of a smaller one, at last of a leaf
switch. What does not tell hosts apart leaves them in the order of their ranks.
"""

from collections.abc import Sequence

from distos_coll.topology.fabric_graph import SwitchGraph
from distos_coll.topology.model import NOWHERE, Topology


def in_order(topology: Topology, hosts: Sequence[int]) -> list[int]:
    """The same hosts, given in the order of their first ranks."""
    block_of = {name: i for i, block in enumerate(topology.blocks) for name in block.hosts}
    leaf_of, parts_of, steps = _network(topology)
    if not block_of and not leaf_of:
        return list(hosts)
    keys: dict[int, tuple[int, ...]] = {}
    step: dict[int, int] = {}
    for h in hosts:
        names = (topology.hosts[h].name, *topology.hosts[h].aliases)
        block = next((block_of[name] for name in names if name in block_of), NOWHERE)
        leaf = next((leaf_of[name] for name in names if name in leaf_of), NOWHERE)
        keys[h] = (block, *(parts_of[leaf] if leaf != NOWHERE else ()))
        step[h] = steps.get(leaf, 0)
    # Groups follow each other as their first hosts do, so that what is in order stays so.
    first: dict[tuple[int, ...], int] = {}
    place = {h: i for i, h in enumerate(hosts)}
    for h in hosts:
        for depth in range(len(keys[h])):
            first.setdefault(keys[h][: depth + 1], place[h])

    def rank(h: int) -> tuple[list[int], int, int]:
        groups = [first[keys[h][: depth + 1]] for depth in range(len(keys[h]))]
        return groups, step[h], place[h]

    return sorted(hosts, key=rank)


def _network(
    topology: Topology,
) -> tuple[dict[str, int], dict[int, tuple[int, ...]], dict[int, int]]:
    """The switch of each host's first port; for each of those what it is part of, and its place on
    a walk along links.
    """
    if not topology.fabric.cables:
        return {}, {}, {}
    graph = SwitchGraph(topology.fabric)
    ports: dict[str, tuple[str, int]] = {}
    for attachment in graph.attachments():
        if attachment.host is not None:
            here = (attachment.label, attachment.switch)
            ports[attachment.host] = min(ports.get(attachment.host, here), here)
    leaf_of = {name: switch for name, (_, switch) in ports.items()}
    leaves = list(dict.fromkeys(sorted(leaf_of.values())))
    height = graph.distances(leaves)
    found: dict[int, list[int]] = {leaf: [] for leaf in leaves}
    steps: dict[int, int] = {}
    for most in range(max(height, default=0), -1, -1):
        part = _walked(graph, leaves, [0 <= each <= most for each in height])
        for leaf in leaves:
            found[leaf].append(part[leaf][0])
            steps[leaf] = part[leaf][1]
    return leaf_of, {leaf: tuple(parts) for leaf, parts in found.items()}, steps


def _walked(
    graph: SwitchGraph, leaves: Sequence[int], counts: Sequence[bool]
) -> dict[int, tuple[int, int]]:
    """Walk from leaf to leaf over switches that count: for each switch the leaf that the walk
    began with, and its place on it.
    """
    found: dict[int, tuple[int, int]] = {}
    for start in leaves:
        waiting = [start]
        while waiting:
            here = waiting.pop()
            if here not in found:
                found[here] = start, len(found)
                waiting += [n for n in sorted(graph.links[here], reverse=True) if counts[n]]
    return found
