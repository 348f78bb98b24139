"""Channels over the hosts that they pass: rings, from port over GPUs to port, and the two trees
between nodes.
"""

from collections.abc import Sequence
from itertools import pairwise

from distos_coll.drawing.host import HostDrawing
from distos_coll.drawing.scene import (
    FAINT,
    INK,
    LARGE,
    NORMAL,
    PAPER,
    RAILS,
    Box,
    Line,
    Point,
    Scene,
    Shape,
    Words,
    text_width,
)
from distos_coll.layout import told
from distos_coll.layout.result import Layout
from distos_coll.layout.stretch import Stretch
from distos_coll.program.double_tree import NONE, links
from distos_coll.topology.model import Host
from distos_coll.topology.names import counted

MARGIN = 24.0
_MOST_CHANNELS = len(RAILS)
_MOST_NODES = 16
_MOST_KINDS = 4
_ARCS = 90.0
_NODE_HEIGHT = 26.0
_ABOVE = 8.0
"""Between the highest arc and the frame."""
_TREES = ("#0072b2", "#d55e00")


def picture(layout: Layout, title: str) -> Scene:
    """Draw a node of each kind with its channels, below the nodes in the order of the rings."""
    scene = Scene()
    y = _heading(scene, layout, title)
    if len(layout.nodes) > 1:
        y = _nodes(scene, layout, y)
    for kind, places in told.kinds_of_nodes(layout)[:_MOST_KINDS]:
        host = layout.topology.hosts[layout.nodes[places[0]].hosts[0]]
        drawing = _Channels(scene, host, layout, kind, counted(len(places), "node", "nodes"))
        frame, shapes = _framed(drawing, scene, y)
        scene.shapes += [frame, *shapes]
        scene.width = max(scene.width, frame.x + frame.width + MARGIN)
        y += frame.height + MARGIN
    scene.height = y
    return scene


def _framed(drawing: HostDrawing, scene: Scene, y: float) -> tuple[Box, list[Shape]]:
    """Draw a host; its frame lies behind the rest."""
    before = len(scene.shapes)
    found = drawing.draw(MARGIN, y)
    shapes = scene.shapes[before:]
    del scene.shapes[before:]
    return found.frame, shapes


def _heading(scene: Scene, layout: Layout, title: str) -> float:
    rings, trees = layout.rings, layout.trees
    ranks = counted(layout.placement.size, "rank", "ranks")
    channels = counted(rings.channels, "channel", "channels")
    facts = [
        f"{ranks}, {channels}: rings {rings.gbps:.4g} GB/s, trees {trees.gbps:.4g} GB/s",
        f"bottleneck {layout.bottleneck}" if layout.bottleneck else "",
    ]
    scene.add(Words(MARGIN, MARGIN + LARGE, title, LARGE, anchor="start", bold=True))
    y = MARGIN + LARGE
    for fact in filter(None, facts):
        y += 1.4 * NORMAL
        scene.add(Words(MARGIN, y, fact, NORMAL, FAINT, "start"))
        scene.width = max(scene.width, text_width(fact, NORMAL) + 2 * MARGIN)
    scene.width = max(scene.width, text_width(title, LARGE) + 2 * MARGIN)
    return y + MARGIN


def _nodes(scene: Scene, layout: Layout, y: float) -> float:
    """Nodes in the order of the rings, trees as arcs over them."""
    shown = min(len(layout.nodes), _MOST_NODES)
    names = [told.node_name(layout, place) for place in range(shown)]
    width = max(text_width(name, NORMAL) for name in names) + 12
    base = y + _ARCS
    middles = [MARGIN + width / 2 + place * (width + 12) for place in range(shown)]
    for which, colour in enumerate(_TREES):
        for place in range(shown):
            for child in links(which, place, len(layout.nodes)).children:
                if child == NONE or child >= shown:
                    continue
                a, b = middles[place], middles[child]
                shift = 3 * which
                high = base - 2 * _ARCS * (0.25 + 0.7 * abs(a - b) / (middles[-1] - middles[0]))
                points = ((a + shift, base), ((a + b) / 2, high), (b + shift, base))
                scene.add(Line(points, colour, 1.5, f"tree {which}", curved=True))
    for place, name in enumerate(names):
        box = Box(middles[place] - width / 2, base, width, _NODE_HEIGHT, PAPER, INK, name)
        scene.add(box)
        scene.label(box, [name], NORMAL)
    foot = base + _NODE_HEIGHT
    for a, b in pairwise(middles):
        line = ((a + width / 2, foot - _NODE_HEIGHT / 2), (b - width / 2, foot - _NODE_HEIGHT / 2))
        scene.add(Line(line, INK, 2.0, "rings"))
    back = ((middles[-1], foot), ((middles[0] + middles[-1]) / 2, foot + 26), (middles[0], foot))
    scene.add(Line(back, INK, 2.0, "rings", curved=True))
    left = len(layout.nodes) - shown
    words = "rings go round; tree 0 blue, tree 1 orange"
    words += f"; {left:,} nodes more are not drawn" if left else ""
    scene.add(Words(MARGIN, foot + 34, words, NORMAL, FAINT, "start"))
    right = middles[-1] + width / 2
    scene.width = max(scene.width, right + MARGIN, text_width(words, NORMAL) + 2 * MARGIN)
    return foot + 34 + MARGIN


class _Channels(HostDrawing):
    """A host with rings where else its NVLinks are drawn."""

    def __init__(self, scene: Scene, host: Host, layout: Layout, kind: int, count: str) -> None:
        super().__init__(scene, [host], {})
        self.kind = layout.kinds[kind]
        self.stretches = layout.stretches[kind][:_MOST_CHANNELS]
        self.left_channels = len(layout.stretches[kind]) - len(self.stretches)
        self.count = count

    def title(self) -> tuple[str, str]:
        name, facts = super().title()
        more = f", {self.left_channels:,} channels more" if self.left_channels else ""
        return f"{name}: {self.count} alike" if self.count != "1 node" else name, facts + more

    def nvlink_height(self) -> float:
        return _ARCS + 6 * len(self.stretches)

    def nvlink(self, y: float, height: float) -> None:  # noqa: ARG002  arcs begin below
        ways = [self.way(stretch) for stretch in self.stretches]
        widest = max((abs(a[0] - b[0]) for way in ways for a, b in _hops(way)), default=1) or 1
        for channel, way in enumerate(ways):
            shift = 3.0 * (channel - (len(ways) - 1) / 2)
            names = " > ".join(told.stops(self.kind, self.stretches[channel]))
            for a, b in _hops(way):
                lift = (height - _ABOVE) * (0.3 + 0.7 * abs(a[0] - b[0]) / widest)
                middle = ((a[0] + b[0]) / 2 + shift, min(a[1], b[1]) - 2 * lift * 0.95)
                ends = (a[0] + shift, a[1]), (b[0] + shift, b[1])
                title = f"channel {channel}: {names}"
                points = (ends[0], middle, ends[1])
                self.scene.add(Line(points, RAILS[channel], 1.5, title, curved=True))

    def way(self, stretch: Stretch) -> list[Point]:
        """The points of a ring in this host; what is in other hosts of its node is left out."""
        found: list[Point | None] = []
        if stretch.entry is not None:
            found.append(self.port_point(stretch.entry))
        for seat in stretch.order:
            member, device = self.kind.slots[seat]
            found.append(self.tops.get(device) if member == 0 else None)
        if stretch.exit is not None:
            found.append(self.port_point(stretch.exit))
        way = [point for point in found if point is not None]
        return [*way, way[0]] if stretch.entry is None and len(way) > 2 else way

    def port_point(self, port: int) -> Point | None:
        at = self.kind.ports[port]
        return self.ports.get(at.port.node) if at.member == 0 else None


def _hops(way: Sequence[Point]) -> list[tuple[Point, Point]]:
    return list(pairwise(way))
