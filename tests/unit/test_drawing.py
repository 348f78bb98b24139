"""Pictures and trees of topologies: what is in them, and that nothing lies outside."""

import io
import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import matplotlib.image
import numpy as np
import pytest
import typer.testing
from error_page import raises, says
from hypothesis import given
from models import Kind, cluster, clusters
from rich.console import Console
from topologies import OWN, read_own, topology_of

from distos_coll.api import (
    NOWHERE,
    Adapter,
    Block,
    Cable,
    End,
    EndKind,
    Fabric,
    Found,
    Gpu,
    GpuId,
    Host,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
    Switch,
    Topology,
)
from distos_coll.cli import topo_network, topo_tree
from distos_coll.cli.app import app
from distos_coll.drawing import png, svg
from distos_coll.drawing.host import branches
from distos_coll.drawing.scene import Box, Line, Scene, Words, fitting, text_width
from distos_coll.drawing.topology import picture
from distos_coll.testing import fabrics
from distos_coll.topology.reading import Reading
from distos_coll.topology.summary import summary
from distos_coll.topology.switch_classes import switch_classes


def words(scene: Scene) -> list[str]:
    return [shape.text for shape in scene.shapes if isinstance(shape, Words)]


def corners(scene: Scene) -> Iterator[tuple[float, float]]:
    for shape in scene.shapes:
        if isinstance(shape, Box):
            yield shape.x, shape.y
            yield shape.x + shape.width, shape.y + shape.height
        elif isinstance(shape, Line):
            # The middle of a curve pulls it, and is not on it.
            yield shape.points[0]
            yield shape.points[-1]


def overlaps(scene: Scene) -> list[tuple[str, str]]:
    """Words that lie upon others. Monospaced: their width is known."""
    found = []
    for shape in scene.shapes:
        if isinstance(shape, Words):
            width = text_width(shape.text, shape.size)
            left = shape.x - {"start": 0, "middle": width / 2, "end": width}[shape.anchor]
            found.append((left, left + width, shape.y - shape.size, shape.y, shape.text))
    return [
        (a[4], b[4])
        for a, b in combinations(found, 2)
        if a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
    ]


@given(clusters())
def test_everything_lies_inside(whole: Topology) -> None:
    scene = picture(whole, "a cluster")
    assert all(0 <= x <= scene.width and 0 <= y <= scene.height for x, y in corners(scene))
    assert overlaps(scene) == []
    assert svg.render(scene) == svg.render(picture(whole, "a cluster"))
    ET.fromstring(svg.render(scene))


def test_hosts_that_look_alike_are_drawn_once() -> None:
    told = words(picture(cluster(2000), "t"))
    assert "n[0-1999]: 2,000 hosts alike" in told
    assert told.count("GPU 0") == 1
    odd = replace(cluster(1, Kind(gpus=1)).hosts[0], name="m")
    told = words(picture(Topology((*cluster(3).hosts, odd)), "t"))
    assert told.count("GPU 0") == 2
    assert {"n[0-2]: 3 hosts alike", "m"} <= set(told)


def test_what_is_told_of_a_host() -> None:
    told = words(picture(cluster(1), "t"))
    assert {"GPU 3", "0000:12:00.0", "sm 90", "mlx5_1", "400 Gb/s", "rail 1"} <= set(told)
    assert {"NUMA node 1, 8 CPUs", "0000:10:01.0 48 GB/s", "NVLink, 2 switches"} <= set(told)
    assert "2 NUMA nodes, 4 GPUs, 2 ports" in told


def test_nvlink_between_gpus_is_arcs() -> None:
    """Four GPUs, four pairs; and switched ones hang at a bar."""
    scene = picture(topology_of(read_own("nccl-four-mesh.xml")), "t")
    arcs = [shape for shape in scene.shapes if isinstance(shape, Line) and shape.curved]
    assert len(arcs) == 4
    assert arcs[0].title == "0000:21:00.0 to 0000:22:00.0: 1 link"
    switched = picture(topology_of(read_own("nccl-eight-switched.xml")), "t")
    stubs = [s for s in switched.shapes if isinstance(s, Line) and "links" in s.title]
    assert len(stubs) == 8


def test_domains() -> None:
    assert "NVLink domain rack.0" in words(picture(cluster(4, per_domain=4), "t"))
    told = words(picture(cluster(4, per_domain=2), "t"))
    assert "NVLink over hosts, 2 domains" in told
    trays = words(picture(topology_of(read_own("nccl-two-trays.xml")), "t"))
    assert "NVLink over hosts" in trays
    assert any("C2C" in each for each in trays)


def test_rails_have_colours_of_their_own() -> None:
    scene = picture(cluster(3, leaves=2), "t")
    boxes = {s.title.partition(",")[0]: s.stroke for s in scene.shapes if isinstance(s, Box)}
    assert boxes["leaf-0"] == boxes["0000:09:00.0 mlx5_0"] != boxes["leaf-1"]
    cables = [s for s in scene.shapes if isinstance(s, Line) and "3 cables to leaf-" in s.title]
    assert [line.colour for line in cables] == [boxes["leaf-0"], boxes["leaf-1"]]


def leaf_spine(leaves: int, spines: int, hosts: int) -> Fabric:
    """Only the network: hosts are names of adapters."""
    found = [Switch(f"leaf{i}", technology="infiniband") for i in range(leaves)]
    found += [Switch(f"spine{i}", technology="infiniband") for i in range(spines)]
    adapters, cables = [], []
    for i in range(leaves):
        leaf = End(EndKind.SWITCH, f"leaf{i}")
        for s in range(spines):
            spine = End(EndKind.SWITCH, f"spine{s}", i)
            cables.append(Cable(replace(leaf, port=100 + s), spine, mbps=400_000))
        for h in range(hosts):
            own = f"{i:04x}{h:04x}"
            adapters.append(Adapter(own, host=f"n{i * hosts + h}", device="mlx5_0"))
            end = End(EndKind.ADAPTER, own, 1)
            cables.append(Cable(end, replace(leaf, port=h), mbps=200_000))
    return Fabric(tuple(found), tuple(adapters), tuple(cables))


def test_a_small_network_is_drawn_switch_by_switch() -> None:
    told = words(picture(Topology(fabric=leaf_spine(4, 2, 3)), "t"))
    assert {"leaf0", "leaf3", "spine0", "spine1", "n[0-2]", "n[9-11]"} <= set(told)
    assert told.count("3 cables to hosts") == 4


def test_of_a_large_network_alike_switches_are_one() -> None:
    scene = picture(Topology(fabric=leaf_spine(64, 16, 30)), "t")
    told = words(scene)
    assert {"leaf[0-63]", "64 switches", "spine[0-15]", "1,024 cables of 400 Gb/s"} <= set(told)
    assert {"n[0-1919]", "1,920 hosts"} <= set(told)
    assert len(scene.shapes) < 30


def test_a_switch_that_is_not_like_the_others_shows() -> None:
    fabric = leaf_spine(64, 16, 30)
    lost = Cable(End(EndKind.SWITCH, "leaf7", 103), End(EndKind.SWITCH, "spine3", 7), mbps=400_000)
    cables = tuple(cable for cable in fabric.cables if cable != lost)
    assert len(cables) == len(fabric.cables) - 1
    kinds = switch_classes(replace(fabric, cables=cables)).classes
    assert sorted(len(kind.members) for kind in kinds) == [1, 1, 15, 63]
    assert "leaf7" in words(picture(Topology(fabric=replace(fabric, cables=cables)), "t"))


def test_networks_without_levels() -> None:
    """A ring, of which nobody says levels, with hosts at one switch; and one without hosts."""
    names = [f"s{i}" for i in range(6)]
    ring = [
        Cable(End(EndKind.SWITCH, a, 1), End(EndKind.SWITCH, b, 2))
        for a, b in zip(names, names[1:] + names[:1], strict=True)
    ]
    host = Cable(End(EndKind.HOST, "n1", "eth0"), End(EndKind.SWITCH, "s0", 3))
    switches = tuple(map(Switch, names))
    tiers = Counter(
        kind.tier for kind in switch_classes(Fabric(switches, (), (*ring, host))).classes
    )
    assert tiers == {1: 1, 2: 1, 3: 1, 4: 1}
    without = Topology(fabric=Fabric(switches, (), tuple(ring)))
    assert {kind.tier for kind in switch_classes(without.fabric).classes} == {1}
    assert "s5" in words(picture(without, "t"))


def test_switches_that_reduce_are_no_hosts() -> None:
    fabric = leaf_spine(2, 1, 3)
    inside = tuple(replace(a, host=None, aggregation=True) for a in fabric.adapters)
    told = words(picture(Topology(fabric=replace(fabric, adapters=inside)), "t"))
    assert not any("host" in each for each in told)


@pytest.mark.parametrize(
    "layout",
    [
        fabrics.dragonfly_plus(4, 4, 4, 4),
        fabrics.dragonfly(9, 8, 2),
        fabrics.fat_tree(8),
        fabrics.rail_optimised(32, 32, 8, 16),
        fabrics.hyperx(4, 4),
        fabrics.torus(5, 5),
    ],
)
def test_words_do_not_lie_upon_each_other(layout: fabrics.FabricLayout) -> None:
    scene = picture(Topology(fabric=layout.fabric()), "t")
    assert overlaps(scene) == []
    assert all(0 <= x <= scene.width and 0 <= y <= scene.height for x, y in corners(scene))


def test_lines_pass_behind_words() -> None:
    """Labels have paper of their own, over all lines between switches; NVLink lies over cables."""
    scene = picture(Topology(fabric=fabrics.rail_optimised(32, 32, 8, 16).fabric()), "t")
    labels = [i for i, s in enumerate(scene.shapes) if isinstance(s, Words) and "Gb/s" in s.text]
    lines = [i for i, s in enumerate(scene.shapes) if isinstance(s, Line) and "Gb/s" in s.title]
    assert len(labels) == len(lines) == 8
    assert max(lines) < min(labels) - 1
    assert all(isinstance(scene.shapes[i - 1], Box) for i in labels)
    shapes = picture(cluster(3, leaves=2), "t").shapes
    titles = [shape.title if not isinstance(shape, Words) else shape.text for shape in shapes]
    assert titles.index("n[0-2]: 3 hosts alike") < titles.index("3 cables to leaf-0")
    assert titles.index("3 cables to leaf-0") < titles.index("NVLink")


def test_cables_among_switches_of_one_box() -> None:
    told = words(picture(Topology(fabric=fabrics.dragonfly(9, 8, 2).fabric()), "t"))
    assert "2 cables to hosts each, 288 cables among them" in told


def test_many_boxes_of_hosts_are_counted() -> None:
    lone = [
        Cable(End(EndKind.HOST, f"m{i}", "a"), End(EndKind.SWITCH, f"s{i % 24}", i), mbps=1)
        for i in range(24)
    ]
    both = [
        Cable(End(EndKind.HOST, f"x{i}", f"a{j}"), End(EndKind.SWITCH, f"s{i + j}", 100 + i))
        for i in range(5)
        for j in range(2)
    ]
    fabric = Fabric(tuple(Switch(f"s{i}") for i in range(24)), (), (*lone, *both))
    told = words(picture(Topology(fabric=fabric), "t"))
    assert told.count("1 host") == 24
    assert any(each.endswith("5 hosts more than are drawn") for each in told)


def test_blocks() -> None:
    """Hosts that a scheduler put together, and nobody knows at which switches."""
    hosts = tuple(Host(f"n{i}") for i in range(6))
    blocks = (Block("b1", ("n0", "n1", "n2")), Block("b2", ("n3", "n4", "n5"), "accelerator"))
    told = words(picture(Topology(hosts, blocks=blocks), "t"))
    assert {"n[0-2]", "n[3-5]", "3 hosts", "block b1", "accelerator b2"} <= set(told)
    fabric = leaf_spine(2, 1, 3)
    told = words(picture(Topology(hosts, fabric, blocks=blocks), "t"))
    assert told.count("block b1") == told.count("accelerator b2") == told.count("n[0-2]") == 1


def test_hosts_lie_below_their_switches() -> None:
    """In whatever order the cables are told."""
    fabric = leaf_spine(4, 2, 3)
    scene = picture(Topology(fabric=replace(fabric, cables=fabric.cables[::-1])), "t")
    found = sorted((s.x, s.text) for s in scene.shapes if isinstance(s, Words) and "n[" in s.text)
    assert [text for _, text in found] == ["n[0-2]", "n[3-5]", "n[6-8]", "n[9-11]"]


def test_names_that_several_switches_have() -> None:
    fabric = leaf_spine(2, 1, 3)
    same = tuple(replace(switch, name="Product") for switch in fabric.switches)
    told = words(picture(Topology(fabric=replace(fabric, switches=same)), "t"))
    assert {"Product leaf0", "Product leaf1", "Product spine0"} <= set(told)
    assert any("up to Product spine0" in line for line in tree(replace(fabric, switches=same)))


def test_hosts_without_a_name() -> None:
    fabric = leaf_spine(1, 1, 3)
    nameless = tuple(replace(adapter, host=None) for adapter in fabric.adapters)
    told = words(picture(Topology(fabric=replace(fabric, adapters=nameless)), "t"))
    assert {"hosts without a name", "3 hosts"} <= set(told)


def test_a_host_with_more_than_fits() -> None:
    nodes: list[Gpu | Pci] = []
    for i in range(100):
        nodes += [Pci(NOWHERE, f"0000:{i:02x}:00.0"), Gpu(2 * i, i)]
    host = Host("n", HostTemplate(tuple(nodes)), (GpuId(),) * 100)
    told = words(picture(Topology((host,)), "t"))
    assert sum(each.startswith("GPU ") for each in told) == 64
    assert any("36 devices more than are drawn" in each for each in told)


def test_a_long_chain_of_bridges() -> None:
    """Of which one leads two ways: nothing is drawn twice, and it ends."""
    numa = Numa(id=0)
    chain = tuple(Pci(i, f"0000:{i:02x}:01.0", 0x060400) for i in range(80))
    gpus = (Pci(80, "0000:f0:00.0"), Gpu(81, 0), Pci(60, "0000:f1:00.0"), Gpu(83, 1))
    template = HostTemplate((numa, *chain, *gpus))
    roots, left = branches(template)
    seen: Counter[int] = Counter()
    waiting = list(roots)
    while waiting:
        branch = waiting.pop()
        seen[branch.node] += 1
        waiting += branch.children
    assert left == 0
    assert max(seen.values()) == 1
    assert {82, 84} <= seen.keys()
    picture(Topology((Host("n", template, (GpuId(), GpuId())),)), "t")


def test_names_of_strangers_are_text() -> None:
    nodes = (Numa(arch='"<&'), Nic(0), Port(1, "<script>&\x1b[31m", mbps=100_000))
    host = Host('</svg><b id="', HostTemplate(nodes), (), (PortId(),))
    data = svg.render(picture(Topology((host,)), "<title>\n$x^2$"))
    root = ET.fromstring(data)
    texts = ["".join(node.itertext()) for node in root.iter()]
    assert any('</svg><b id="' in text for text in texts)
    assert b"<script>" not in data
    assert png.render(picture(Topology((host,)), "$x^2"))


def test_words_are_cut_to_their_room() -> None:
    assert fitting("short", 100, 10) == "short"
    assert fitting("much too long for this", 60, 10) == "much too \N{HORIZONTAL ELLIPSIS}"
    scene = Scene()
    scene.label(Box(0, 0, 60, 40), ["a very long name indeed", "", "b"])
    assert [w.text[-1] for w in scene.shapes if isinstance(w, Words)] == [
        "\N{HORIZONTAL ELLIPSIS}",
        "b",
    ]


def pixels(data: bytes) -> Any:
    """Rows of red, green, blue, from 0 to 255."""
    return np.rint(matplotlib.image.imread(io.BytesIO(data))[..., :3] * 255).astype(int)


def test_png() -> None:
    scene = picture(cluster(2, leaves=2), "t")
    image = pixels(png.render(scene))
    assert image.shape[:2] == (int(scene.height * 2), int(scene.width * 2))
    assert (image == (0xD7, 0xEC, 0xD0)).all(axis=2).sum() > 1000, "the colour of GPUs"
    wide = Scene(40_000, 10, [Box(0, 0, 40_000, 10)])
    assert pixels(png.render(wide)).shape[1] < 1 << 15


def invoke(*arguments: object) -> typer.testing.Result:
    runner = typer.testing.CliRunner(env={"COLUMNS": "150"})
    return runner.invoke(app, ["topo", "show", *map(str, arguments)])


def test_the_command(tmp_path: Path) -> None:
    source = OWN / "nccl-eight-switched.xml"
    for name in ("a.svg", "a.PNG"):
        assert invoke(source, "--picture", tmp_path / name).exit_code == 0
    assert (tmp_path / "a.svg").read_bytes().startswith(b"<svg ")
    assert (tmp_path / "a.PNG").read_bytes().startswith(b"\x89PNG")
    result = invoke(source, "--json", "--picture", tmp_path / "b.svg")
    assert json.loads(result.stdout)["gpus"] == 8
    result = invoke(source, "--picture", tmp_path / "a.pdf")
    assert result.exit_code == 2
    assert says("picture-kind", result.output)
    result = invoke(OWN / "graph-ring-and-tree.xml", "--picture", tmp_path / "c.svg")
    assert says("picture-nothing", str(result.exception))
    result = invoke(source, "--picture", tmp_path / "none/c.svg")
    assert "cannot be written" in str(result.exception)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with raises("picture-png"):
        png.render(Scene(10, 10))


# The tree in the terminal.


def terminal(whole: Topology) -> list[str]:
    """A host's tree, without the name above it and what is told below it."""
    console = Console(width=160, file=io.StringIO())
    reading = Reading("f", "x", Found(whole), ())
    topo_tree.show(console, reading, summary(reading))
    assert isinstance(console.file, io.StringIO)
    found = console.file.getvalue().splitlines()
    return [line.strip("│├└─ ") for line in found if "── " in line]


def tree(fabric: Fabric) -> list[str]:
    console = Console(width=160, file=io.StringIO())
    topo_network.show(console, fabric)
    assert isinstance(console.file, io.StringIO)
    return [line.strip("│├└─ ") for line in console.file.getvalue().splitlines()]


def test_the_tree_of_a_network() -> None:
    assert tree(cluster(6, leaves=2).fabric) == [
        "network: infiniband",
        "spine-0 and 1 switch like it, 64 ports",
        "leaf-0 and 1 switch like it, 64 ports, 2 cables of 400 Gb/s up to 2 like spine-0",
        "leaf-0 (rail 0): n[0-5] mlx5_0 at 400 Gb/s",
        "leaf-1 (rail 1): n[0-5] mlx5_1 at 400 Gb/s",
    ]
    assert tree(Fabric()) == []


def test_the_tree_of_a_large_network() -> None:
    told = tree(leaf_spine(64, 16, 30))
    assert len(told) == 20
    assert told[1:3] == [
        "spine0 and 15 switches like it",
        "leaf0 and 63 switches like it, 16 cables of 400 Gb/s up to 16 like spine0",
    ]
    assert told[3] == "leaf0: n[0-29] mlx5_0 at 200 Gb/s"
    assert told[-1] == "and 48 more such switches"


def test_the_tree_of_switches_side_by_side() -> None:
    a, b = End(EndKind.SWITCH, "[red]", 1), End(EndKind.SWITCH, "b", 1)
    host = Cable(End(EndKind.HOST, "n1"), a)
    stranger = Cable(End(EndKind.ADAPTER, "f00"), b)
    fabric = Fabric((Switch("[red]", ports=4), Switch("b")), (), (Cable(a, b), host, stranger))
    assert tree(fabric) == [
        "network",
        "[red], 4 ports, 1 cable aside to b",
        "n1",
        "b, 1 cable aside to [red]",
        "1 adapter of hosts unknown",
    ]


def test_blocks_of_hosts() -> None:
    console = Console(width=160, file=io.StringIO())
    blocks = [Block(f"b{i}", (f"n{2 * i}", f"n{2 * i + 1}"), "rack") for i in range(20)]
    topo_network.show(console, Fabric(), blocks)
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue().splitlines()
    assert told[3] == "rack b3: n[6-7] (2 hosts)"
    assert told[-1] == "and 4 more blocks of hosts"


def test_show_has_hosts_and_network(tmp_path: Path) -> None:
    from distos_coll.sources.cluster_model import write_model

    path = tmp_path / "a.json"
    path.write_bytes(write_model(cluster(4, leaves=2)))
    text = invoke(path).stdout
    assert "n0 and 3 hosts like it" in text
    assert "leaf-1 (rail 1): n[0-3] mlx5_1 at 400 Gb/s" in text


def test_links_that_lead_nowhere_are_no_arcs() -> None:
    nodes = (Pci(NOWHERE, "0000:01:00.0"), Gpu(0, 0))
    links = (Link(LinkKind.NVLINK, 1, NOWHERE, 4, named="0000:09:00.0"),)
    scene = picture(Topology((Host("n", HostTemplate(nodes, links), (GpuId(),)),)), "t")
    assert not any(isinstance(shape, Line) for shape in scene.shapes)


def test_links_of_which_only_the_number_is_known() -> None:
    """So nvidia-smi nvlink --status tells them."""
    nodes = (Numa(id=0), Gpu(0, 0, gcn="gfx942"), Gpu(0, 1, gcn="910"), Gpu(0, 2))
    links = (
        Link(LinkKind.NVLINK, 1, count=8),
        Link(LinkKind.NVLINK, 1, count=4),
        Link(LinkKind.NVLINK, 2, 3, 2),
        Link(LinkKind.C2C, 2),
        Link(LinkKind.C2C, 3, 0, 5),
    )
    whole = Topology((Host("n", HostTemplate(nodes, links), (GpuId(),) * 3),))
    assert {"12 NVLinks", "gfx942", "gfx 910 C2C"} <= set(words(picture(whole, "t")))
    assert terminal(whole) == [
        "NUMA node 0",
        "GPU 0, gfx942",
        "12 nvlink, where to is not known",
        "GPU 1, gfx 910",
        "2 nvlink to GPU 2",
        "c2c, where to is not known",
        "GPU 2",
        "5 c2c to NUMA node 0",
    ]


def test_what_has_no_room_is_left_away() -> None:
    nodes = (Numa(id=1, cpus=(1 << 24) - 1), Gpu(0, 0))
    told = words(picture(Topology((Host("n", HostTemplate(nodes), (GpuId(),)),)), "t"))
    assert "NUMA node 1" in told
    assert {"1 host", "1 NUMA node, 1 GPU"} <= set(told), "of no ports nothing is told"


def test_what_hangs_below_a_switch_of_nvlinks() -> None:
    """No source says so, and a file may."""
    nodes = (NvSwitch("0000:01:00.0"), Pci(0, "0000:02:00.0"), Gpu(1, 0))
    whole = Topology((Host("n", HostTemplate(nodes), (GpuId(),)),))
    assert "GPU 0" in words(picture(whole, "t"))
    assert "0000:02:00.0 function" in terminal(whole)
