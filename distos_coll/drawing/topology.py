"""A whole topology as a picture: the network, below it a host of each kind, cables between them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from distos_coll.drawing.host import HostDrawing, HostPicture, rail_colour
from distos_coll.drawing.network import NetworkDrawing, Unit
from distos_coll.drawing.scene import (
    FAINT,
    LARGE,
    NORMAL,
    Box,
    Line,
    Point,
    Scene,
    Words,
    text_width,
)
from distos_coll.drawing.strangers import MOST_WIDTH, strangers
from distos_coll.topology.joins import Joins
from distos_coll.topology.model import Host, Topology
from distos_coll.topology.names import counted
from distos_coll.topology.rail_assignments import rail_assignments
from distos_coll.topology.summary import physical_ports

MARGIN = 24.0
_CABLES = 50.0
"""Further height for cables between network and hosts."""
_MOST_KINDS = 6
_MOST_STRANGERS = 24
_MOST_CABLES = 32
"""Boxes that lines lead to from one port of a kind of hosts."""


def picture(topology: Topology, title: str) -> Scene:
    """Lay a topology out; hosts that look alike are drawn once."""
    return _Picture(topology, title).draw()


class _Picture:
    def __init__(self, topology: Topology, title: str) -> None:
        self.topology = topology
        self.title = title
        self.scene = Scene()
        self.network = NetworkDrawing(self.scene, topology.fabric)
        self.joins = Joins(topology)
        alike: dict[int, list[int]] = {}
        for h, host in enumerate(topology.hosts):
            alike.setdefault(id(host.template), []).append(h)
        self.kinds = [hosts for hosts in alike.values() if self.host(hosts[0]).template.nodes]
        self.strangers = strangers(topology, self.joins, self.network)
        said = rail_assignments(topology)
        self.rails = {
            each.host: [port.rail for port in each.ports] for each in said.hosts if each.ports
        }

    def host(self, number: int) -> Host:
        return self.topology.hosts[number]

    def draw(self) -> Scene:
        top = MARGIN + 3 * LARGE
        below = top + self.network.height
        if self.network.rows and (self.strangers or self.kinds):
            below += _CABLES
        # Drawn once to see how wide it is: the narrower of network and hosts is centred.
        width = self.hosts(Scene(), MARGIN, below).width
        heading, facts = self.heading()
        words = max(text_width(heading, LARGE), text_width(facts, NORMAL))
        whole = max(width, words, self.network.width)
        hosts = Scene()
        row = self.hosts(hosts, MARGIN + (whole - width) / 2, below)
        self.scene.width = whole + 2 * MARGIN
        self.scene.height = row.bottom + MARGIN
        self.scene.add(Words(MARGIN, MARGIN + LARGE, heading, LARGE, anchor="start", bold=True))
        self.scene.add(Words(MARGIN, MARGIN + 2.2 * LARGE, facts, NORMAL, FAINT, "start"))
        self.network.draw_cables(MARGIN, top, whole)
        for _, found in row.pictures:
            self.scene.add(found.frame)
        for kind, found in row.pictures:
            self.cables(kind, found)
        for box, units in row.boxes:
            start = (box.x + box.width / 2, box.y)
            for unit in units:
                colour = FAINT if unit.rail is None else rail_colour(unit.rail)
                self.scene.add(Line((start, self.foot(unit, start[0])), colour, 1.5))
        self.network.draw_boxes()
        self.scene.shapes += hosts.shapes
        return self.scene

    def hosts(self, scene: Scene, x: float, y: float) -> "_Row":
        """Draw a host of each kind, and those that only the network knows, side by side."""
        row = _Row()
        at = x
        for kind in self.kinds[:_MOST_KINDS]:
            drawing = HostDrawing(scene, [self.host(h) for h in kind], self.rails_of(kind[0]))
            found = drawing.draw(at, y)
            row.pictures.append((kind, found))
            at += found.frame.width + MARGIN
            row.bottom = max(row.bottom, y + found.frame.height)
        for each in self.strangers[:_MOST_STRANGERS]:
            lines = [each.names, counted(each.count, "host", "hosts"), each.blocks]
            longest = max(text_width(line, NORMAL) for line in lines)
            width = min(max(longest + 12, 110), MOST_WIDTH)
            box = Box(at, y, width, 54 if each.blocks else 40, "#fbfbfb", FAINT, each.names)
            scene.add(box)
            scene.label(box, lines, NORMAL)
            row.boxes.append((box, each.units))
            at += width + MARGIN
            row.bottom = max(row.bottom, y + box.height)
        row.width = max(at - MARGIN - x, 0)
        row.bottom = max(row.bottom, y)
        return row

    def heading(self) -> tuple[str, str]:
        topology = self.topology
        kinds_left = len(self.kinds) - _MOST_KINDS
        hosts_left = sum(each.count for each in self.strangers[_MOST_STRANGERS:])
        parts = []
        if topology.hosts:
            hosts = counted(len(topology.hosts), "host", "hosts")
            kinds = f" of {len(self.kinds):,} kinds" if len(self.kinds) > 1 else ""
            parts.append(hosts + kinds)
        if topology.fabric.switches:
            parts.append(counted(len(topology.fabric.switches), "switch", "switches"))
        parts += [kind.kind for kind in topology.fabric.recognised]
        parts += [f"{kinds_left:,} kinds of hosts are not drawn"] if kinds_left > 0 else []
        parts += [f"{hosts_left:,} hosts more than are drawn"] if hosts_left else []
        parts += [self.network.note()] if self.network.note() else []
        return self.title, ", ".join(parts)

    def rails_of(self, host: int) -> dict[int, int]:
        """The rail of each port of a host, where it is known."""
        ports = physical_ports(self.host(host).template)
        rails = self.rails.get(self.host(host).name, [])
        return {port: rail for port, rail in zip(ports, rails, strict=False) if rail is not None}

    def cables(self, kind: Sequence[int], found: HostPicture) -> None:
        rails = self.rails_of(kind[0])
        for port, start in found.ports.items():
            units: Counter[int] = Counter()
            by_id: dict[int, Unit] = {}
            for h in kind:
                cabled = self.joins.cable_of((h, port))
                unit = self.network.of_switch.get(cabled[1].id) if cabled else None
                if unit is not None:
                    units[id(unit)] += 1
                    by_id[id(unit)] = unit
            colour = rail_colour(rails[port]) if port in rails else FAINT
            for key, count in units.most_common(_MOST_CABLES):
                text = counted(count, "cable", "cables")
                end = self.foot(by_id[key], start[0])
                self.scene.add(Line((start, end), colour, 1.5, f"{text} to {by_id[key].lines[0]}"))

    @staticmethod
    def foot(unit: Unit, x: float) -> Point:
        """Where a cable from below ends: at the box's lower edge, as near as can be."""
        box = unit.box
        inner = min(max(x, box.x + 6), box.x + box.width - 6)
        return (inner, box.y + box.height)


@dataclass
class _Row:
    pictures: list[tuple[Sequence[int], HostPicture]] = field(default_factory=list)
    boxes: list[tuple[Box, Sequence[Unit]]] = field(default_factory=list)
    width: float = 0
    bottom: float = 0
