"""What kind of fabric the cables make, with what shows it."""

from collections import Counter
from dataclasses import replace

from distos_coll.topology.fabric import Fabric, Recognised
from distos_coll.topology.fabric_dragonfly import recognise_dragonfly, recognise_dragonfly_plus
from distos_coll.topology.fabric_graph import SwitchGraph, counted
from distos_coll.topology.fabric_levels import Levels, find_levels, recognise_levels
from distos_coll.topology.fabric_products import recognise_product
from distos_coll.topology.fabric_rails import Rails, find_rails

_MOST_PARTS = 64
"""Networks that are looked at; of more only the largest."""


def recognise_fabric(fabric: Fabric) -> Fabric:
    """Add levels, rails and kinds to what a source says; what it says of them itself stays.

    It computes from the cables alone, so the same cables are always called the same, however often
    they are looked at.
    """
    fabric = as_stated(fabric)
    if not fabric.switches:
        return fabric
    computed = []
    graph = SwitchGraph(fabric)
    parts = graph.components()
    kinds: list[list[Recognised]] = []
    levels: dict[int, int] = {}
    for part in parts[:_MOST_PARTS]:
        found, its = _classified(graph, part)
        kinds.append(found)
        levels.update(its.of if its else {})
    recognised = _together(graph, len(parts), kinds)
    rails = find_rails(graph)
    if rails is not None:
        recognised += (rails.recognised,)
    if not fabric.recognised:
        fabric = replace(fabric, recognised=recognised)
        computed.append("kinds")
    if levels and all(switch.level is None for switch in fabric.switches):
        leveled = tuple(replace(s, level=levels.get(i)) for i, s in enumerate(fabric.switches))
        fabric = replace(fabric, switches=leveled)
        computed.append("levels")
    stated = fabric.rails or any(adapter.rail is not None for adapter in fabric.adapters)
    if rails is not None and not stated:
        fabric = _with_rails(fabric, rails)
        computed.append("rails")
    return replace(fabric, computed=tuple(computed))


def as_stated(fabric: Fabric) -> Fabric:
    """Return what sources say, without what was computed from it."""
    if "kinds" in fabric.computed:
        fabric = replace(fabric, recognised=())
    if "levels" in fabric.computed:
        fabric = replace(fabric, switches=tuple(replace(s, level=None) for s in fabric.switches))
    if "rails" in fabric.computed:
        adapters = tuple(replace(adapter, rail=None) for adapter in fabric.adapters)
        fabric = replace(fabric, adapters=adapters, rails=())
    return replace(fabric, computed=())


def _with_rails(fabric: Fabric, rails: Rails) -> Fabric:
    adapters = tuple(
        replace(adapter, rail=rails.of_adapter.get(adapter.id)) for adapter in fabric.adapters
    )
    return replace(fabric, adapters=adapters, rails=rails.rails)


def _together(
    graph: SwitchGraph, parts: int, kinds: list[list[Recognised]]
) -> tuple[Recognised, ...]:
    """The largest network's kind stands for all; how many there are is told."""
    first, *also = kinds[0]
    more: list[str] = []
    if parts > 1:
        others = Counter(found[0].kind for found in kinds[1:])
        shown = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        more.append(f"the largest of {parts:,} networks; the others: {shown}")
    if graph.loops:
        more.append(f"{counted(graph.loops, 'cable')} back to the same switch")
    return (replace(first, evidence=(*first.evidence, *more)), *also)


def _classified(graph: SwitchGraph, part: list[int]) -> tuple[list[Recognised], Levels | None]:
    """The kinds of connected switches, the best name first."""
    if len(part) == 1:
        cables = counted(len(graph.attached[part[0]]), "cable")
        return [Recognised("single-switch", (f"{cables} to hosts at one switch",))], None
    degrees = {len(graph.links[i]) for i in part}
    if degrees == {len(part) - 1} and len(part) > 2:
        shown = f"every one of {len(part):,} switches is linked to every other"
        return [Recognised("full-mesh", (shown,))], None
    levels = find_levels(graph, part)
    found = [recognise_levels(graph, part, levels)] if levels else []
    if degrees == {2}:
        # Two leaves under two spines are a ring too.
        shown = f"each of {len(part):,} switches is linked to two others"
        found.insert(0, Recognised("ring", (shown,)))
    elif len(part) - 1 == sum(len(graph.links[i]) for i in part) // 2 and not found:
        shown = f"{len(part):,} switches with one way between any two"
        found.append(Recognised("tree", (shown,)))
    if found:
        return found, levels
    for recognise in (recognise_dragonfly_plus, recognise_product, recognise_dragonfly):
        kind = recognise(graph, part)
        if kind is not None:
            return [kind], None
    shown = f"{min(degrees)} to {max(degrees)} neighbours each, and no known order"
    return [Recognised("irregular", (f"{len(part):,} switches with {shown}",))], None
