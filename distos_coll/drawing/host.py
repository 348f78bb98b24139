"""One kind of host: its GPUs and adapters in a row at the top, towards the network, what they hang
under below them, and NVLink over the GPUs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from distos_coll.drawing.scene import (
    FAINT,
    INK,
    LARGE,
    NORMAL,
    RAILS,
    SMALL,
    Box,
    Line,
    Point,
    Scene,
    Words,
    text_width,
)
from distos_coll.topology import nvlink, pci
from distos_coll.topology.graph import pci_gbps
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    Host,
    HostTemplate,
    LinkKind,
    Nic,
    Numa,
    Pci,
    Port,
)
from distos_coll.topology.names import counted, ranges
from distos_coll.topology.summary import physical_ports

LEAF_WIDTH, LEAF_HEIGHT = 88.0, 52.0
GAP = 8.0
BAR = 16.0
"""Height of a PCI switch, and of a row of them."""
_GPU_FILL, _SWITCH_FILL, _NUMA_FILL, _HOST_FILL = "#d7ecd0", "#eeeeee", "#f6f1df", "#fbfbfb"
_NVLINK = "#3f7f2f"
_MOST_ARCS = 64
_MOST_LEVELS = 16
_MOST_LEAVES = 64
"""GPUs and adapters that are drawn; of a host with more the first."""


@dataclass
class Branch:
    """A node of the tree and what hangs under it, as far as that is drawn."""

    node: int
    children: "list[Branch]" = field(default_factory=list)
    x: float = 0
    width: float = LEAF_WIDTH

    @property
    def depth(self) -> int:
        """Rows of bars below its leaves."""
        return 1 + max(child.depth for child in self.children) if self.children else 0


@dataclass(frozen=True)
class HostPicture:
    """Where a kind of host was drawn."""

    frame: Box
    """It lies behind all of it, and is not among the scene's shapes yet: cables lie between."""
    ports: dict[int, Point]
    """The point at which the cable of a port begins."""


def branches(template: HostTemplate) -> tuple[list[Branch], int]:
    """The trees that lead to GPUs and adapters, and how many of those are left out."""
    leaves = [i for i in range(len(template.nodes)) if _is_leaf(template, i)]
    found: dict[int, Branch] = {}
    roots: list[Branch] = []
    hung: list[tuple[int, int]] = []
    for i in leaves[:_MOST_LEAVES]:
        above = list(template.ancestors(i))
        # Of a long chain the nearest, and the NUMA node.
        way = [i, *above[:_MOST_LEVELS], *above[-1:][: len(above) > _MOST_LEVELS]]
        for node, parent in zip(way, [*way[1:], NOWHERE], strict=True):
            if node in found:
                break
            found[node] = Branch(node)
            hung.append((node, parent))
    for node, parent in hung:
        (roots if parent == NOWHERE else found[parent].children).append(found[node])
    for branch in found.values():
        branch.children.sort(key=lambda child: child.node)
    roots.sort(key=lambda root: root.node)
    return [_without_carriers(template, root) for root in roots], max(0, len(leaves) - _MOST_LEAVES)


def _is_leaf(template: HostTemplate, i: int) -> bool:
    node = template.nodes[i]
    if isinstance(node, Gpu):
        return template.device_of(i) == i
    if not isinstance(node, Nic):
        return False
    ports = [template.nodes[child] for child in template.children[i]]
    above = template.nodes[node.parent] if node.parent != NOWHERE else None
    is_card = isinstance(above, Pci) and pci.is_nic(above.pci_class)
    return is_card or any(isinstance(port, Port) and not port.virtual for port in ports)


def _without_carriers(template: HostTemplate, branch: Branch) -> Branch:
    """A function that carries one device is that device."""
    branch.children = [_without_carriers(template, child) for child in branch.children]
    is_function = isinstance(template.nodes[branch.node], Pci)
    if is_function and len(branch.children) == 1 and not branch.children[0].children:
        return branch.children[0]
    return branch


def _place(branch: Branch, x: float) -> float:
    """Put leaves side by side; return where the next one goes."""
    branch.x = x
    if not branch.children:
        return x + branch.width + GAP
    end = x
    for child in branch.children:
        end = _place(child, end)
    branch.width = end - x - GAP
    return end


class HostDrawing:
    """Draws one of several hosts that look alike."""

    def __init__(self, scene: Scene, hosts: Sequence[Host], rails: dict[int, int]) -> None:
        self.scene = scene
        self.hosts = hosts
        self.template = hosts[0].template
        self.rails = rails
        """By port."""
        self.physical = frozenset(physical_ports(self.template))
        self.roots, self.left_out = branches(self.template)
        self.tops: dict[int, Point] = {}
        """Of GPUs: the middle of their upper edge."""
        self.ports: dict[int, Point] = {}

    def draw(self, x: float, y: float) -> HostPicture:
        start = end = x + 2 * GAP
        for root in self.roots:
            end = _place(root, end) + GAP
        title, facts = self.title()
        least = max(text_width(title, LARGE), text_width(facts, NORMAL)) + 4 * GAP
        width = max(end - start + 2 * GAP, least)
        links = self.nvlink_height()
        rows = max((root.depth for root in self.roots), default=0)
        height = 2 * GAP + links + LEAF_HEIGHT + rows * (BAR + GAP) + 3.4 * LARGE
        top = y + GAP + links
        for root in self.roots:
            self.branch(root, top, top + LEAF_HEIGHT + GAP)
        self.nvlink(y + GAP, links)
        base = y + height
        self.scene.add(
            Words(x + 2 * GAP, base - 2.1 * LARGE, title, LARGE, anchor="start", bold=True)
        )
        self.scene.add(Words(x + 2 * GAP, base - 0.8 * LARGE, facts, NORMAL, FAINT, "start"))
        frame = Box(x, y, width, height, _HOST_FILL, INK, title, 6)
        return HostPicture(frame, self.ports)

    def title(self) -> tuple[str, str]:
        names = ranges((host.name for host in self.hosts), 2)
        if len(self.hosts) > 1:
            names += f": {len(self.hosts):,} hosts alike"
        template = self.template
        parts = [
            counted(number, one, many)
            for number, one, many in (
                (len(template.numa), "NUMA node", "NUMA nodes"),
                (len(template.devices), "GPU", "GPUs"),
                (len(self.physical), "port", "ports"),
            )
            if number
        ]
        parts += [f"{self.left_out:,} devices more than are drawn"] if self.left_out else []
        return names, ", ".join(parts)

    def branch(self, branch: Branch, top: float, bar: float) -> None:
        """Leaves at `top`; a bar is as far below them as it is levels above them."""
        if not branch.children:
            self.leaf(branch, top)
            return
        y = bar + (branch.depth - 1) * (BAR + GAP)
        for child in branch.children:
            self.branch(child, top, bar)
            below = (
                bar + (child.depth - 1) * (BAR + GAP) + BAR if child.children else top + LEAF_HEIGHT
            )
            middle = child.x + child.width / 2
            self.scene.add(Line(((middle, below), (middle, y)), FAINT))
        node = self.template.nodes[branch.node]
        fill = _NUMA_FILL if isinstance(node, Numa) else _SWITCH_FILL
        name, further, title = self.bar_text(branch.node)
        box = Box(branch.x, y, branch.width, BAR, fill, FAINT, title)
        self.scene.add(box)
        whole = text_width(name + further, SMALL) <= branch.width - 4
        self.scene.label(box, [name + further if whole else name])

    def bar_text(self, i: int) -> tuple[str, str, str]:
        """A name, what follows it where there is room, and what is told under the pointer."""
        node = self.template.nodes[i]
        if isinstance(node, Numa):
            cpus = f", {counted(node.cpus.bit_count(), 'CPU', 'CPUs')}" if node.cpus else ""
            name = f"NUMA node {'?' if node.id is None else node.id}"
            return name, cpus, f"{name}{cpus} {node.arch or ''} {node.vendor or ''}".strip()
        if isinstance(node, Pci):
            speed = f" {pci_gbps(node):.4g} GB/s" if node.transfers or node.gbps else ""
            return node.bus_id, speed, f"PCI {node.bus_id}{speed}"
        return "", "", type(node).__name__

    def leaf(self, branch: Branch, top: float) -> None:
        i = branch.node
        node = self.template.nodes[i]
        own = self.template.bus_id_of(i)
        if isinstance(node, Gpu):
            number = "GPU" if node.dev is None else f"GPU {node.dev}"
            c2c = any(link.kind is LinkKind.C2C for link in self.template.links_of[i])
            version = f"{node.architecture}{' C2C' if c2c else ''}".strip()
            lines = [number, own, version, self.lost_links(i)]
            box = Box(branch.x, top, branch.width, LEAF_HEIGHT, _GPU_FILL, INK, node.name or own)
            self.scene.add(box)
            self.scene.label(box, lines)
            self.tops[i] = (branch.x + branch.width / 2, top)
            return
        ports = [p for p in self.template.children[i] if p in self.physical]
        self.nic(branch, top, own, ports)

    def lost_links(self, i: int) -> str:
        """Those of a GPU of which only the number is known, and which are no lines therefore."""
        count = sum(
            link.count or 1
            for link in self.template.links_of[i]
            if link.kind is LinkKind.NVLINK and link.target == NOWHERE and not link.named
        )
        return counted(count, "NVLink", "NVLinks") if count else ""

    def nic(self, branch: Branch, top: float, own: str, ports: list[int]) -> None:
        rails = [self.rails[port] for port in ports if port in self.rails]
        stroke = rail_colour(rails[0]) if rails else INK
        nodes = [node for p in ports if isinstance(node := self.template.nodes[p], Port)]
        names = [node.name for node in nodes]
        speeds = sorted({node.mbps for node in nodes if node.mbps and node.mbps > 0})
        speed = f"{', '.join(f'{mbps / 1000:g}' for mbps in speeds)} Gb/s" if speeds else ""
        told = f"rail {', '.join(map(str, sorted(set(rails))))}" if rails else ""
        title = f"{own} {' '.join(names)}".strip()
        box = Box(branch.x, top, branch.width, LEAF_HEIGHT, "#ffffff", stroke, title)
        self.scene.add(box)
        lines = [ranges(names, 1) or "NIC", own, speed, told]
        self.scene.label(box, lines)
        for number, port in enumerate(ports):
            part = branch.width * (number + 1) / (len(ports) + 1)
            self.ports[port] = (branch.x + part, top)

    # NVLink.

    def nvlink_height(self) -> float:
        links = nvlink.inside(self.template)
        if links.direct:
            return min(30 + 6 * len(self.template.devices), 140)
        return 2 * BAR + GAP if links.switched or self.domains() else 0

    def domains(self) -> list[str]:
        named = (own.nvlink_domain for host in self.hosts for own in host.gpus)
        return sorted({name for name in named if name is not None})

    def nvlink(self, y: float, height: float) -> None:
        links = nvlink.inside(self.template)
        if not height:
            return
        pairs = [(a, b) for a, b in sorted(links.direct) if a in self.tops and b in self.tops]
        longest = max((self.apart(a, b) for a, b in pairs), default=1)
        for a, b in pairs[:_MOST_ARCS]:
            self.arc(a, b, height * (0.25 + 0.75 * self.apart(a, b) / longest))
        members = [i for i in self.template.devices if i in self.tops]
        joined = links.switched or (() if links.direct else tuple(members))
        if not joined or not members:
            return
        left, right = self.tops[members[0]][0], self.tops[members[-1]][0]
        box = Box(left - GAP, y, right - left + 2 * GAP, BAR, _GPU_FILL, _NVLINK, "NVLink")
        for i in joined:
            if i in self.tops:
                point = self.tops[i]
                self.scene.add(Line((point, (point[0], y + BAR)), _NVLINK, 2, self.links_text(i)))
        self.scene.add(box)
        self.scene.label(box, [self.switch_text()])

    def apart(self, a: int, b: int) -> float:
        return abs(self.tops[a][0] - self.tops[b][0])

    def arc(self, a: int, b: int, height: float) -> None:
        (x1, y1), (x2, y2) = self.tops[a], self.tops[b]
        pull = min(y1, y2) - 2 * height * 0.95
        count = sum(
            link.count or 0 for link in self.template.links_of[a] if self.end(link.target) == b
        )
        links = counted(count, "link", "links")
        names = f"{self.template.bus_id_of(a)} to {self.template.bus_id_of(b)}: {links}"
        points = ((x1, y1), ((x1 + x2) / 2, pull), (x2, y2))
        # One link and two differ to the eye, and four from those; more are as wide as four.
        width = 0.5 + 0.75 * min(max(count, 1), 4)
        self.scene.add(Line(points, _NVLINK, width, names, curved=True))

    def end(self, node: int) -> int:
        is_gpu = node != NOWHERE and isinstance(self.template.nodes[node], Gpu)
        return self.template.device_of(node) if is_gpu else node

    def links_text(self, i: int) -> str:
        total = sum(
            link.count or 0
            for link in self.template.links_of[i]
            if link.kind in {LinkKind.NVLINK, LinkKind.XGMI}
        )
        return f"{self.template.bus_id_of(i)}: {counted(total, 'link', 'links')}"

    def switch_text(self) -> str:
        count = len(self.template.nvswitches)
        domains = self.domains()
        if len(domains) == 1 and not nvlink.is_local_name(domains[0]):
            return f"NVLink domain {domains[0]}"
        if domains:
            several = f", {len(domains):,} domains" if len(domains) > 1 else ""
            return f"NVLink over hosts{several}"
        return f"NVLink, {counted(count, 'switch', 'switches')}" if count else "NVLink"


def rail_colour(rail: int) -> str:
    return RAILS[rail % len(RAILS)]
