"""Groups of switches of which every two are linked directly: dragonfly and dragonfly+."""

from collections import Counter

from distos_coll.topology.fabric import Recognised
from distos_coll.topology.fabric_graph import SwitchGraph

_NEARLY_ALL = 0.9
_MOST_WORK = 4_000_000


def _groups(part: list[int], links: dict[int, set[int]]) -> list[list[int]]:
    seen: set[int] = set()
    found = []
    for first in part:
        if first in seen:
            continue
        seen.add(first)
        group = [first]
        for here in group:
            fresh = links[here] - seen
            seen |= fresh
            group += sorted(fresh)
        found.append(group)
    return found


def _linked_pairs(graph: SwitchGraph, groups: list[list[int]]) -> tuple[int, int]:
    """Pairs of groups with a cable between them, and cables."""
    of = {switch: n for n, group in enumerate(groups) for switch in group}
    cables: Counter[tuple[int, int]] = Counter()
    for switch, group in of.items():
        for other, count in graph.links[switch].items():
            if group < of[other]:
                cables[group, of[other]] += count
    return len(cables), sum(cables.values())


def _recognised(
    kind: str, graph: SwitchGraph, groups: list[list[int]], inside: str
) -> Recognised | None:
    pairs, cables = _linked_pairs(graph, groups)
    possible = len(groups) * (len(groups) - 1) // 2
    sizes = sorted({len(group) for group in groups})
    if len(groups) < 3 or pairs < _NEARLY_ALL * possible:
        return None
    if sizes[0] > 1 and cables >= _NEARLY_ALL * sizes[0] * possible:
        return None  # every switch to every group: a HyperX
    shown = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    evidence = (
        f"{len(groups)} groups of {shown} switches, {inside}",
        f"{pairs:,} of {possible:,} pairs of groups are linked directly, by {cables:,} cables",
    )
    return Recognised(kind, evidence)


def recognise_dragonfly(graph: SwitchGraph, part: list[int]) -> Recognised | None:
    """Groups are full meshes: their links are in many triangles, those between groups in few."""
    if sum(len(graph.links[i]) ** 2 for i in part) > _MOST_WORK:
        return None
    around = {i: set(graph.links[i]) for i in part}
    shared = {(i, j): len(around[i] & around[j]) for i in part for j in around[i] if i < j}
    most = max(shared.values(), default=0)
    if most == 0:
        return None
    near: dict[int, set[int]] = {i: set() for i in part}
    for (i, j), count in shared.items():
        if count * 2 >= most:
            near[i].add(j)
            near[j].add(i)
    groups = _groups(part, near)
    if min(map(len, groups)) < 2 or min(map(len, groups)) * 2 < max(map(len, groups)):
        return None
    linked = sum(len(near[i]) for i in part)
    possible = sum(len(group) * (len(group) - 1) for group in groups)
    if linked < _NEARLY_ALL * possible:
        return None
    return _recognised("dragonfly", graph, groups, "each linked to every other of its group")


def recognise_dragonfly_plus(graph: SwitchGraph, part: list[int]) -> Recognised | None:
    """Groups are leaves with hosts under spines, and the spines of groups are linked."""
    leaves = {i for i in part if graph.attached[i]}
    links: dict[int, set[int]] = {}
    for i in part:
        far = {j for j in graph.links[i] if (i in leaves) != (j in leaves)}
        if i in leaves and len(far) < len(graph.links[i]):
            return None
        links[i] = far
    groups = _groups(part, links)
    if any(len(group) < 3 for group in groups):
        return None
    return _recognised("dragonfly+", graph, groups, "leaves with hosts under spines")
