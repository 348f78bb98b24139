"""Switches in rows, the highest level at the top; of large networks those that are alike are one
box.
"""

from collections import Counter
from dataclasses import dataclass, field

from distos_coll.drawing.host import rail_colour
from distos_coll.drawing.scene import FAINT, INK, SMALL, Box, Line, Point, Scene, Words, text_width
from distos_coll.topology.fabric import EndKind, Fabric
from distos_coll.topology.names import counted, natural, ranges
from distos_coll.topology.node_names import node_names
from distos_coll.topology.switch_classes import switch_classes

ROW_HEIGHT, BOX_HEIGHT = 110.0, 44.0
GAP = 16.0
_MOST_SINGLE = 24
"""Switches that are drawn each by itself."""
_MOST_IN_ROW = 32
_MOST_LABELS = 8
_FILL = "#e4ecf5"


@dataclass
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
        return min(max(96.0, longest + 10), 260.0)


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
        name = ranges((self.names[switch.id] for switch in switches), 2)
        ports = switches[0].ports
        facts = [f"{len(members):,} switches"] if len(members) > 1 else []
        facts += [f"rail {rail}"] if rail is not None else []
        facts += [f"{ports} ports"] if ports else []
        each = counted(hosts, "cable to hosts", "cables to hosts") if hosts else ""
        each += " each" if hosts and len(members) > 1 else ""
        return Unit(members, tier, rail, (name, ", ".join(facts), each))

    def draw(self, x: float, y: float, width: float) -> None:
        for number, row in enumerate(self.rows):
            at = x + (width - sum(unit.width + GAP for unit in row) + GAP) / 2
            for unit in row:
                stroke = INK if unit.rail is None else rail_colour(unit.rail)
                title = ", ".join(line for line in unit.lines if line)
                place = (at, y + number * ROW_HEIGHT)
                unit.box = Box(*place, unit.width, BOX_HEIGHT, _FILL, stroke, title)
                at += unit.width + GAP
        self._cables()
        for row in self.rows:
            for unit in row:
                self.scene.add(unit.box)
                self.scene.label(unit.box, unit.lines)

    def _cables(self) -> None:
        """Lines between boxes, under them; with their numbers where there is room for those."""
        numbers = {id(unit): i for i, unit in enumerate(self.of_switch.values())}
        units = {numbers[id(unit)]: unit for unit in self.of_switch.values()}
        found: Counter[tuple[int, int, int | None]] = Counter()
        for cable in self.fabric.cables:
            if cable.a.kind is cable.b.kind is EndKind.SWITCH:
                ends = [self.of_switch.get(end.id) for end in (cable.a, cable.b)]
                if ends[0] is not None and ends[1] is not None and ends[0] is not ends[1]:
                    a, b = sorted(numbers[id(end)] for end in ends if end is not None)
                    found[a, b, cable.mbps] += 1
        # A label stands at the lower box where that has one line up, else beside its line.
        upwards = Counter(max(a, b, key=lambda n: units[n].box.y) for a, b, _ in found)
        for (a, b, mbps), count in sorted(found.items(), key=str):
            speed = "" if mbps is None else f" of {mbps / 1000:g} Gb/s"
            text = f"{counted(count, 'cable', 'cables')}{speed}"
            upper, lower = sorted((units[a].box, units[b].box), key=lambda box: box.y)
            end = self._line(upper, lower, text)
            alone = upwards[max(a, b, key=lambda n: units[n].box.y)] == 1
            if count > 1 and upper.y < lower.y and (alone or len(found) <= _MOST_LABELS):
                x, y = (lower.x, lower.y - 5) if alone else end
                self.scene.add(Words(x, y, text, SMALL, FAINT, "start"))

    def _line(self, upper: Box, lower: Box, text: str) -> Point:
        """Draw a line between boxes, and return where a label of it may stand."""
        start = (upper.x + upper.width / 2, upper.y + upper.height)
        if upper.y == lower.y:
            # Side by side: an arc below both.
            end = (lower.x + lower.width / 2, start[1])
            middle = ((start[0] + end[0]) / 2, start[1] + 20 + abs(end[0] - start[0]) / 20)
            self.scene.add(Line((start, middle, end), FAINT, 1, text, curved=True))
        else:
            end = (lower.x + lower.width / 2, lower.y)
            self.scene.add(Line((start, end), FAINT, 1, text))
        return (start[0] + 3 * end[0]) / 4 + 4, (start[1] + 3 * end[1]) / 4

    def note(self) -> str:
        return f"and {self.left_out:,} more switches" if self.left_out else ""
