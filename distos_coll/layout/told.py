"""A layout in words: how channels pass nodes, and the trees between those."""

from collections.abc import Iterator, Sequence

from distos_coll.layout.kinds import Kind
from distos_coll.layout.result import Layout
from distos_coll.layout.stretch import Stretch
from distos_coll.program.double_tree import NONE, links


def stops(kind: Kind, stretch: Stretch) -> list[str]:
    """What a ring passes in a node of this kind, in order: port, devices, port."""
    seats = [kind.slot_name(seat) for seat in stretch.order]
    into = [] if stretch.entry is None else [kind.ports[stretch.entry].port.name]
    out = [] if stretch.exit is None else [kind.ports[stretch.exit].port.name]
    return [*into, *seats, *out]


def chain_stops(kind: Kind, stretch: Stretch) -> list[str]:
    """The same of a tree: from its port, through which it is joined to those of other nodes, down
    to the last device.
    """
    seats = [kind.slot_name(seat) for seat in stretch.order]
    return seats if stretch.entry is None else [kind.ports[stretch.entry].port.name, *seats]


def node_name(layout: Layout, place: int) -> str:
    """A host, or the first and the last of an NVLink domain's."""
    names = [layout.topology.hosts[h].name for h in layout.nodes[place].hosts]
    return names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"


def kinds_of_nodes(layout: Layout) -> list[tuple[int, list[int]]]:
    """Each kind with the places of its nodes."""
    found: dict[int, list[int]] = {}
    for place, node in enumerate(layout.nodes):
        found.setdefault(node.kind, []).append(place)
    return sorted(found.items())


def tree_lines(layout: Layout, which: int, most: int = 32) -> list[str]:
    """One of the two trees between nodes, drawn with a line for each, `most` at most."""
    n = len(layout.nodes)
    root = next(place for place in range(n) if links(which, place, n).parent == NONE)
    lines: list[str] = []
    for depth, last, place in _walk(which, root, n, (), is_last=True):
        if len(lines) == most:
            lines.append(f"... and {n - most:,} nodes more")
            break
        lines.append(_branch(depth, last) + node_name(layout, place))
    return lines


def _walk(
    which: int, place: int, n: int, above: tuple[bool, ...], *, is_last: bool
) -> Iterator[tuple[tuple[bool, ...], bool, int]]:
    """Depth first; of all ancestors but the root whether they are the last of their parent's."""
    yield above, is_last, place
    children = links(which, place, n).children
    here = (*above, is_last)
    for child in children:
        yield from _walk(which, child, n, here, is_last=child == children[-1])


def _branch(above: Sequence[bool], is_last: bool) -> str:
    if not above:
        return ""
    rails = "".join("    " if last else "│   " for last in above[1:])
    return rails + ("└── " if is_last else "├── ")
