"""Levels of switches: hosts at the first, and cables between neighbouring levels only."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from statistics import median

from distos_coll.topology.fabric import Recognised
from distos_coll.topology.fabric_graph import SwitchGraph, counted, natural

_SAME_LEVEL_AT_MOST = 0.02
"""Of pairs of switches."""
_NEARLY_ALL = 0.9
_ALIKE = 0.8
_MOST_LEVELS = 8
_MOST_ODD = 100
"""Switches with hosts above the first level."""
_MOST_WORK = 4_000_000


@dataclass(frozen=True)
class Levels:
    of: dict[int, int]
    """By switch, from 1. Those without a way to a host have none."""
    odd: tuple[int, ...]
    """Switches above the first level that hosts hang at too."""
    sideways: int
    """Pairs of switches of one level with cables between them."""
    peers: int = 0
    """Pairs of switches that are linked and have the same others above and below: two that act as
    one for hosts with a port at each (MLAG)."""

    @cached_property
    def top(self) -> int:
        return max(self.of.values(), default=0)

    def at(self, level: int) -> list[int]:
        return [switch for switch, its in self.of.items() if its == level]


def find_levels(graph: SwitchGraph, part: list[int]) -> Levels | None:
    """Find the levels of connected switches; None where they have none."""
    peers = _peers(graph, part)
    graph = graph.without(peers) if peers else graph
    stated = [graph.switches[i].level for i in part]
    if all(level is not None and level > 0 for level in stated):
        of = {i: level or 0 for i, level in zip(part, stated, strict=True)}
        return _checked(graph, part, of, peers)
    sides = _two_sides(graph, part)
    if sides is not None:
        return _checked(graph, part, sides, peers)
    leaves = _leaves(graph, part)
    if not leaves:
        return None
    distances = graph.distances(leaves)
    of = {i: distances[i] + 1 for i in part}
    if max(of.values()) == 5:
        # Pods where no host is yet, seen from below through the top level: no fabric has five.
        of = {i: 6 - level if level > 3 else level for i, level in of.items()}
    _empty_leaves(graph, of)
    return _checked(graph, part, of, peers)


def _peers(graph: SwitchGraph, part: list[int]) -> list[tuple[int, int]]:
    """Linked pairs that have all their other neighbours in common, each in one such pair only."""
    found: list[tuple[int, int]] = []
    of: Counter[int] = Counter()
    if sum(len(graph.links[i]) ** 2 for i in part) > _MOST_WORK:
        return []
    for a in part:
        for b in graph.links[a]:
            if a < b and len(graph.links[a]) == len(graph.links[b]) > 1:
                others = graph.links[a].keys() - {b}
                if others == graph.links[b].keys() - {a}:
                    found.append((a, b))
                    of.update((a, b))
    return found if max(of.values(), default=0) == 1 else []


def _two_sides(graph: SwitchGraph, part: list[int]) -> dict[int, int] | None:
    """Two sides, of which nearly every switch is linked to nearly all of the other: leaves and
    spines, even where few hosts are connected yet.
    """
    side = {part[0]: 0}
    waiting = [part[0]]
    for here in waiting:
        for other in graph.links[here]:
            if other not in side:
                side[other] = 1 - side[here]
                waiting.append(other)
            elif side[other] == side[here]:
                return None
    sides = [[i for i in part if side[i] == s] for s in (0, 1)]
    pairs = sum(len(graph.links[i]) for i in sides[0])
    if min(map(len, sides)) < 2 or max(map(len, sides)) < 3:
        return None
    if pairs < _NEARLY_ALL * len(sides[0]) * len(sides[1]):
        return None
    weight = [(sum(bool(graph.attached[i]) for i in s), len(s)) for s in sides]
    leaf = 0 if weight[0] >= weight[1] else 1
    return {i: 1 if side[i] == leaf else 2 for i in part}


def _leaves(graph: SwitchGraph, part: list[int]) -> list[int]:
    """Switches with hosts, but for few with few hosts that are linked to others with hosts."""
    leaves = {i for i in part if graph.attached[i]}
    if not leaves:
        return []
    usual = median(len(graph.attached[i]) for i in leaves)
    allowed = min(max(2, len(leaves) * 15 // 100), _MOST_ODD)
    conflicts = {i: sum(other in leaves for other in graph.links[i]) for i in leaves}
    while True:
        worst = max(leaves, key=lambda i: (conflicts[i], -i))
        if not conflicts[worst]:
            return sorted(leaves)
        if allowed == 0 or len(graph.attached[worst]) * 2 > usual:
            return []  # every switch has hosts: no levels
        allowed -= 1
        leaves.remove(worst)
        for other in graph.links[worst]:
            if other in leaves:
                conflicts[other] -= 1
        del conflicts[worst]


def _empty_leaves(graph: SwitchGraph, of: dict[int, int]) -> None:
    """What is linked to the same switches as a leaf is a leaf, though no host hangs there."""
    uplinks: dict[int, list[int]] = {}
    for leaf in (i for i, level in of.items() if level == 1):
        for above in graph.links[leaf]:
            uplinks.setdefault(above, []).append(leaf)
    for switch in [i for i, level in of.items() if level == 3]:
        own = graph.links[switch]
        if any(of.get(other) != 2 for other in own):
            continue
        shared = Counter(leaf for above in own for leaf in uplinks.get(above, ())[:256])
        leaf, count = shared.most_common(1)[0] if shared else (switch, 0)
        if count and count >= _ALIKE * len(own) and 2 * count >= len(graph.links[leaf]):
            of[switch] = 1


def _checked(
    graph: SwitchGraph, part: list[int], of: dict[int, int], peers: list[tuple[int, int]]
) -> Levels | None:
    sideways = pairs = 0
    if any(of[a] != of[b] or of[a] < 1 for a, b in peers) or min(of.values()) < 1:
        return None
    for i in part:
        for other in graph.links[i]:
            if other > i:
                pairs += 1
                sideways += of[other] == of[i]
                if abs(of[other] - of[i]) > 1:
                    return None
    if not 2 <= max(of.values()) <= _MOST_LEVELS or sideways > _SAME_LEVEL_AT_MOST * pairs:
        return None
    odd = tuple(i for i in part if of[i] > 1 and graph.attached[i])
    return Levels(of, odd, sideways, len(peers))


def recognise_levels(graph: SwitchGraph, part: list[int], levels: Levels) -> Recognised:
    """Name what has levels: a tree, or a fat-tree where there is more than one way up."""
    ups = {
        i: [n for other, n in graph.links[i].items() if levels.of[other] > levels.of[i]]
        for i in part
        if levels.of[i] < levels.top
    }
    several = sum(sum(cables) > 1 for cables in ups.values())
    kind = "fat-tree" if several * 2 > len(ups) and len(part) > 2 else "tree"
    counts = [f"{len(levels.at(level)):,}" for level in range(1, levels.top + 1)]
    pairs = counted(sum(len(graph.links[i]) for i in part) // 2, "pair")
    sideways = levels.sideways + levels.peers
    which = f"all but {sideways} between" if sideways else "all between"
    shown = f"{', '.join(counts[:-1])} and {counts[-1]}"
    evidence = [
        f"{levels.top} levels of {shown} switches, hosts at the first",
        f"{pairs} of switches are linked, {which} neighbouring levels",
    ]
    if kind == "fat-tree":
        evidence.append(f"{several:,} of {len(ups):,} switches below the top have several ways up")
    down = sum(len(graph.attached[i]) for i in levels.at(1))
    up = sum(sum(ups.get(i, ())) for i in levels.at(1))
    if up and down:
        evidence.append(f"the first level has {counted(down, 'cable')} to hosts and {up:,} upwards")
    if levels.peers:
        evidence.append(f"{counted(levels.peers, 'pair')} of switches of one level act as one")
    if levels.odd:
        cables = counted(sum(len(graph.attached[i]) for i in levels.odd), "cable")
        names = ", ".join(sorted(map(graph.name, levels.odd), key=natural)[:5])
        evidence.append(f"{cables} to hosts at higher levels: {names}")
    return Recognised(kind, tuple(evidence))
