"""Switches in rows, the highest level at the top; of large networks those that are alike are one
box.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from distos_coll.drawing.host import rail_colour
from distos_coll.drawing.labels import Labels, Place, ranges_within
from distos_coll.drawing.scene import FAINT, INK, SMALL, Box, Line, Scene, text_width
from distos_coll.topology.fabric import EndKind, Fabric
from distos_coll.topology.names import counted, natural
from distos_coll.topology.node_names import node_names
from distos_coll.topology.switch_classes import switch_classes

ROW_HEIGHT, BOX_HEIGHT = 110.0, 44.0
GAP = 16.0
_MOST_SINGLE = 24
"""Switches that are drawn each by itself."""
_MOST_IN_ROW = 32
_MOST_LABELS = 8
_LEAST_WIDTH, _MOST_WIDTH = 96.0, 260.0
_FILL = "#e4ecf5"


@dataclass(eq=False)
class Unit:
    """A box: a switch, or several that are alike."""

    members: tuple[int, ...]
    tier: int
    rail: int | None
    lines: tuple[str, ...]
    box: Box = field(default_factory=lambda: Box(0, 0, 0, 0))

    @property
    def width(self) -> float:
        longest = max(text_width(line, SMALL) for line in self.lines)
        return min(max(_LEAST_WIDTH, longest + 10), _MOST_WIDTH)


class NetworkDrawing:
    def __init__(self, scene: Scene, fabric: Fabric) -> None:
        self.scene = scene
        self.fabric = fabric
        self.rails = {s: rail.number for rail in reversed(fabric.rails) for s in rail.switches}
        self.names = node_names(fabric)
        self.left_out = 0
        self.rows = self._rows()
        self.of_switch = {
            fabric.switches[i].id: unit for row in self.rows for unit in row for i in unit.members
        }
        self._tell_of_cables_inside()

    @property
    def width(self) -> float:
        rows = (sum(unit.width + GAP for unit in row) for row in self.rows)
        return max(rows, default=0)

    @property
    def height(self) -> float:
        return ROW_HEIGHT * len(self.rows)

    def _rows(self) -> list[list[Unit]]:
        units = self._alike() if len(self.fabric.switches) > _MOST_SINGLE else self._single()
        tiers: dict[int, list[Unit]] = {}
        for unit in units:
            row = tiers.setdefault(unit.tier, [])
            if len(row) < _MOST_IN_ROW:
                row.append(unit)
            else:
                self.left_out += len(unit.members)
        return [tiers[tier] for tier in sorted(tiers, reverse=True)]

    def _single(self) -> list[Unit]:
        found = [
            self._unit((i,), kind.tier, kind.hosts)
            for kind in switch_classes(self.fabric).classes
            for i in kind.members
        ]
        return sorted(found, key=lambda unit: natural(unit.lines[0]))

    def _alike(self) -> list[Unit]:
        """Of one kind those of each rail are a box of their own."""
        found: list[Unit] = []
        for kind in switch_classes(self.fabric).classes:
            by_rail: dict[int | None, list[int]] = {}
            for i in kind.members:
                by_rail.setdefault(self.rails.get(self.fabric.switches[i].id), []).append(i)
            found += [self._unit(tuple(m), kind.tier, kind.hosts) for m in by_rail.values()]
        return found

    def _unit(self, members: tuple[int, ...], tier: int, hosts: int) -> Unit:
        switches = [self.fabric.switches[i] for i in members]
        rail = self.rails.get(switches[0].id)
        names = [self.names[switch.id] for switch in switches]
        name = ranges_within(names, 2, _MOST_WIDTH - 10, SMALL)
        ports = switches[0].ports
        facts = [f"{len(members):,} switches"] if len(members) > 1 else []
        facts += [f"rail {rail}"] if rail is not None else []
        facts += [f"{ports} ports"] if ports else []
        each = counted(hosts, "cable to hosts", "cables to hosts") if hosts else ""
        each += " each" if hosts and len(members) > 1 else ""
        return Unit(members, tier, rail, (name, ", ".join(facts), each))

    def _tell_of_cables_inside(self) -> None:
        """Cables among switches that are one box would show nowhere: a dragonfly is one box."""
        inside: Counter[int] = Counter()
        for a, b, _ in self._between():
            inside[id(a)] += a is b
        for row in self.rows:
            for unit in row:
                if count := inside[id(unit)]:
                    *lines, last = unit.lines
                    among = f"{counted(count, 'cable', 'cables')} among them"
                    unit.lines = (*lines, f"{last}, {among}" if last else among)

    def _between(self) -> Iterator[tuple[Unit, Unit, int | None]]:
        """The boxes of each cable between switches, and its speed."""
        for cable in self.fabric.cables:
            if cable.a.kind is cable.b.kind is EndKind.SWITCH and cable.a.id != cable.b.id:
                a, b = self.of_switch.get(cable.a.id), self.of_switch.get(cable.b.id)
                if a is not None and b is not None:
                    yield a, b, cable.mbps

    def draw_cables(self, x: float, y: float, width: float) -> None:
        """Say where each box is, and draw the lines between them."""
        for number, row in enumerate(self.rows):
            at = x + (width - sum(unit.width + GAP for unit in row) + GAP) / 2
            for unit in row:
                stroke = INK if unit.rail is None else rail_colour(unit.rail)
                title = ", ".join(line for line in unit.lines if line)
                place = (at, y + number * ROW_HEIGHT)
                unit.box = Box(*place, unit.width, BOX_HEIGHT, _FILL, stroke, title)
                at += unit.width + GAP
        self._cables()

    def draw_boxes(self) -> None:
        """Over all lines, those to hosts too."""
        for row in self.rows:
            for unit in row:
                self.scene.add(unit.box)
                self.scene.label(unit.box, unit.lines)

    def _cables(self) -> None:
        """Lines between boxes, under them; with their numbers where there is room for those."""
        numbers = {id(unit): i for i, unit in enumerate(self.of_switch.values())}
        units = {numbers[id(unit)]: unit for unit in self.of_switch.values()}
        found: Counter[tuple[int, int, int | None]] = Counter()
        for one, other, mbps in self._between():
            if one is not other:
                a, b = sorted((numbers[id(one)], numbers[id(other)]))
                found[a, b, mbps] += 1
        labels = Labels(self.scene, [unit.box for unit in units.values()])
        upwards = Counter(max(a, b, key=lambda n: units[n].box.y) for a, b, _ in found)
        for (a, b, mbps), count in sorted(found.items(), key=str):
            speed = "" if mbps is None else f" of {mbps / 1000:g} Gb/s"
            text = f"{counted(count, 'cable', 'cables')}{speed}"
            upper, lower = sorted((units[a].box, units[b].box), key=lambda box: box.y)
            self._line(upper, lower, text)
            alone = upwards[max(a, b, key=lambda n: units[n].box.y)] == 1
            if count > 1 and upper.y < lower.y and (alone or len(found) <= _MOST_LABELS):
                labels.add(text, _places(upper, lower, alone))
        labels.draw()

    def _line(self, upper: Box, lower: Box, text: str) -> None:
        start = (upper.x + upper.width / 2, upper.y + upper.height)
        if upper.y == lower.y:
            # Side by side: an arc below both.
            end = (lower.x + lower.width / 2, start[1])
            middle = ((start[0] + end[0]) / 2, start[1] + 20 + abs(end[0] - start[0]) / 20)
            self.scene.add(Line((start, middle, end), FAINT, 1, text, curved=True))
        else:
            end = (lower.x + lower.width / 2, lower.y)
            self.scene.add(Line((start, end), FAINT, 1, text))

    def note(self) -> str:
        return f"and {self.left_out:,} more switches" if self.left_out else ""


def _places(upper: Box, lower: Box, alone: bool) -> Iterator[Place]:
    """Where the label of a line may stand: beside its lower end, where no other line ends there,
    on the side that it does not come from; else somewhere on the line.
    """
    x1, x2 = upper.x + upper.width / 2, lower.x + lower.width / 2
    y1, y2 = upper.y + upper.height, lower.y
    if alone:
        left = x1 > x2
        yield (x2 - 4 if left else x2 + 4), y2 - 5, "end" if left else "start"
    for part in (0.5, 0.35, 0.65, 0.25, 0.75):
        yield x1 + part * (x2 - x1), y1 + part * (y2 - y1), "middle"
