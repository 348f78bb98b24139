"""InfiniBand without hardware: a fabric is laid out, ibsim simulates it, OpenSM routes it,
ibnetdiscover finds it, and what is read of that is what was laid out.
"""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from topologies import read_text, topology_of

from distos_coll.plugins.manager import default_sources
from distos_coll.testing import fabrics
from distos_coll.testing.fabrics import FabricLayout
from distos_coll.topology.fabric import Cable, End, EndKind, Fabric
from distos_coll.topology.model import Topology
from distos_coll.topology.routes import ForwardingTables

TOOLS = ("ibsim", "opensm", "ibnetdiscover", "unshare", "nsenter")
MANAGEMENT = next(iter(Path("/usr/lib").glob("*/umad2sim/libumad2sim.so")), None)
"""Sends what would go to hardware to the simulator."""

missing = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(missing) or MANAGEMENT is None,
        reason=f"needs root and {', '.join(missing) or 'libumad2sim.so'} "
        "(apt-get install ibsim-utils opensm infiniband-diags)",
    ),
]


class Lab:
    """A simulated fabric in a network namespace: ibsim's sockets have names in one."""

    def __init__(self, fabric: Fabric, folder: Path) -> None:
        self.folder = folder
        self.first = fabric.adapters[0].id
        write = next(source.write for source in default_sources() if source.name == "ibsim-net")
        assert write is not None
        (folder / "net").write_bytes(write(Topology(fabric=fabric)))
        self.simulator = subprocess.Popen(
            ["unshare", "-n", "ibsim", "-s", "-N", "4096", "-S", "1024", "-P", "65536", "net"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
        self.prompt()

    def prompt(self) -> str:
        """What ibsim says until it waits for the next command."""
        assert self.simulator.stdout is not None
        said, deadline = b"", time.monotonic() + 60
        while b"sim>" not in said:
            ready, _, _ = select.select([self.simulator.stdout], [], [], 1)
            assert time.monotonic() < deadline, said
            if ready:
                piece = os.read(self.simulator.stdout.fileno(), 65536)
                assert piece, said
                said += piece
        return said.decode()

    def command(self, text: str) -> str:
        assert self.simulator.stdin is not None
        self.simulator.stdin.write(text.encode() + b"\n")
        self.simulator.stdin.flush()
        return self.prompt()

    def run(self, *command: str, expected: int = 0) -> bytes:
        """Run a tool as if it ran on the first host."""
        inside = ["nsenter", f"--net=/proc/{self.simulator.pid}/ns/net", *command]
        done = subprocess.run(
            inside, env=self.environment(), cwd=self.folder, capture_output=True, timeout=120
        )
        assert done.returncode == expected, done.stdout + done.stderr
        return done.stdout

    def environment(self) -> Mapping[str, str]:
        return os.environ | {
            "SIM_HOST": f"H-{self.first}",
            "LD_PRELOAD": str(MANAGEMENT),
            "OSM_TMP_DIR": str(self.folder),
            "OSM_CACHE_DIR": str(self.folder),
        }

    def route(self, engine: str) -> None:
        """One sweep of a subnet manager; 0x43 has it dump its tables."""
        self.run("opensm", "-o", "-R", engine, "-D", "0x43", "-f", str(self.folder / "log"))

    def found(self, *options: str) -> Fabric:
        reading = read_text(self.run("ibnetdiscover", *options))
        assert reading.format == "ibnetdiscover"
        assert reading.warnings == ()
        return topology_of(reading).fabric

    def dump(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def close(self) -> None:
        self.simulator.kill()
        self.simulator.communicate(timeout=20)


@pytest.fixture
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    layout: FabricLayout = request.param
    found = Lab(layout.fabric(), tmp_path)
    try:
        yield found
    finally:
        found.close()


LAYOUTS = {
    "three levels": (fabrics.fat_tree(8), "ftree"),
    "rails": (fabrics.rail_optimised(units=2, hosts=6, rails=4, spines=3), "ftree"),
    "bundles": (fabrics.leaf_spine(4, 2, 5, cables=3), "updn"),
    "torus": (fabrics.torus(5, 4), "lash"),
    "dragonfly": (fabrics.dragonfly(5, 3, 2), "minhop"),
}


@pytest.mark.parametrize(
    ("lab", "layout", "engine"),
    [(layout, layout, engine) for layout, engine in LAYOUTS.values()],
    ids=LAYOUTS.keys(),
    indirect=["lab"],
)
def test_what_is_found_is_what_was_laid_out(lab: Lab, layout: FabricLayout, engine: str) -> None:
    lab.route(engine)
    found = lab.found()
    expected = layout.fabric()
    assert fabrics.outline(found) == fabrics.outline(expected)
    for option in ("-g", "-f"):  # chassis, and all that is known of a port
        assert fabrics.outline(lab.found(option)) == fabrics.outline(expected)
    lids = [switch.lid for switch in found.switches] + [a.lids[0] for a in found.adapters]
    assert len(set(lids)) == len(lids)
    assert all(lids)
    listed = read_text(lab.dump("opensm-subnet.lst"))
    assert (listed.format, listed.warnings) == ("opensm-subnet", ())
    assert fabrics.outline(topology_of(listed).fabric) == fabrics.outline(expected)
    routes = read_text(lab.dump("opensm-lfts.dump")).found.content
    assert isinstance(routes, ForwardingTables)
    follow(found, routes)


def follow(fabric: Fabric, routes: ForwardingTables) -> None:
    """From every switch each adapter's LID leads to it, over the cables that were found."""
    ways = {(c.a.id, c.a.port): c.b.id for c in fabric.cables}
    ways |= {(c.b.id, c.b.port): c.a.id for c in fabric.cables}
    tables = {table.switch: table.ports for table in routes.tables}
    assert tables.keys() == {switch.id for switch in fabric.switches}
    for adapter in fabric.adapters:
        for start in tables:
            at = start
            for _ in tables:
                if at == adapter.id:
                    break
                at = ways[at, tables[at][adapter.lids[0]]]
            assert at == adapter.id


@pytest.mark.parametrize("lab", [LAYOUTS["three levels"][0]], indirect=True)
def test_a_cable_that_is_pulled(lab: Lab) -> None:
    before = lab.found()
    pulled = next(c for c in before.cables if c.a.kind is c.b.kind is EndKind.SWITCH)
    lab.command(f'Unlink "S-{pulled.a.id}"[{pulled.a.port}]')
    after = lab.found()
    assert set(map(ends, before.cables)) - set(map(ends, after.cables)) == {ends(pulled)}
    assert len(after.cables) == len(before.cables) - 1
    assert after.recognised[0].kind == "fat-tree"
    lab.command(f'Link "S-{pulled.a.id}"[{pulled.a.port}] "S-{pulled.b.id}"[{pulled.b.port}]')
    assert fabrics.outline(lab.found()) == fabrics.outline(before)


def ends(cable: Cable) -> frozenset[End]:
    return frozenset((cable.a, cable.b))


@pytest.mark.parametrize("lab", [fabrics.fat_tree(16)], indirect=True)
def test_one_thousand_hosts(lab: Lab) -> None:
    lab.route("updn")
    found = lab.found()
    assert len(found.adapters) == 1024
    assert fabrics.outline(found) == fabrics.outline(fabrics.fat_tree(16).fabric())
