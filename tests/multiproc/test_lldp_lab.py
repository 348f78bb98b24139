"""LLDP on this machine: systems are network namespaces, cables are veth pairs, each system runs
lldpd, and what is read of their reports is what was laid out.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from topologies import read_text, topology_of

from distos_coll.topology.fabric import EndKind, Fabric
from distos_coll.topology.reading import Reading

TOOLS = ("ip", "lldpd", "lldpcli", "unshare", "nsenter")
SPINES, LEAVES, HOSTS = 2, 3, 2

missing = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        os.geteuid() != 0 or bool(missing),
        reason=f"needs root and {', '.join(missing)} (apt-get install lldpd iproute2)",
    ),
]


class System:
    """A network namespace with a name of its own, and lldpd in it."""

    def __init__(self, name: str, folder: Path, *, forwards: bool) -> None:
        self.name, self.folder = name, folder
        self.ports: list[str] = []
        script = (
            f"hostname {name} && echo {int(forwards)} > /proc/sys/net/ipv4/ip_forward "
            "&& echo ready && exec cat"
        )
        self.holder = subprocess.Popen(
            ["unshare", "--net", "--uts", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.holder.stdout is not None
        assert self.holder.stdout.readline() == b"ready\n"
        self.daemon: subprocess.Popen[bytes] | None = None

    def inside(self, *command: str) -> list[str]:
        here = f"/proc/{self.holder.pid}/ns"
        return ["nsenter", f"--net={here}/net", f"--uts={here}/uts", *command]

    def start(self, config: Path) -> None:
        self.daemon = subprocess.Popen(
            self.inside("lldpd", "-d", "-u", str(self.socket), "-O", str(config)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    @property
    def socket(self) -> Path:
        return self.folder / f"{self.name}.socket"

    def says(self, what: str) -> str | None:
        """Its report; None while there is none."""
        command = ["lldpcli", "-u", str(self.socket), "-f", "json", "show", what]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return done.stdout if done.returncode == 0 else None

    def neighbours(self, count: int) -> str:
        """Its report, once it hears so many."""
        deadline = time.monotonic() + 60
        while True:
            said = self.says("neighbors") or "{}"
            if said.count('"rid"') == count:
                return said
            assert time.monotonic() < deadline, f"{self.name} hears {said}"

    def stop(self) -> None:
        if self.daemon is not None:
            self.daemon.terminate()
            self.daemon.wait(timeout=20)
        self.holder.communicate(timeout=20)


class Lab:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.systems: dict[str, System] = {}
        self.cables: list[tuple[str, str, str, str]] = []

    def system(self, name: str, *, forwards: bool) -> None:
        self.systems[name] = System(name, self.folder, forwards=forwards)

    def cable(self, a: str, b: str) -> None:
        ends = []
        for name in (a, b):
            system = self.systems[name]
            port = f"{'swp' if not name.startswith('node') else 'eth'}{len(system.ports) + 1}"
            system.ports.append(port)
            ends.append((system, port))
        (near, near_port), (far, far_port) = ends
        command = f"ip link add {near_port} netns {near.holder.pid} type veth "
        command += f"peer name {far_port} netns {far.holder.pid}"
        subprocess.run(command.split(), check=True, timeout=20)
        for system, port in ends:
            up = system.inside("ip", "link", "set", port, "up")
            subprocess.run(up, check=True, timeout=20)
        self.cables.append((a, near_port, b, far_port))

    def reports(self) -> dict[str, str]:
        return {name: each.neighbours(len(each.ports)) for name, each in self.systems.items()}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """Leaves and spines, and hosts with a port at each of two leaves."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # lldpcli becomes another user
        yield from laid_out(folder)


def laid_out(folder: Path) -> Iterator[Lab]:
    config = folder / "config"
    config.write_text("configure lldp tx-interval 1\n", encoding="ascii")
    found = Lab(folder)
    try:
        for kind, count in (("spine", SPINES), ("leaf", LEAVES), ("node", HOSTS)):
            for i in range(count):
                found.system(f"{kind}{i}", forwards=kind != "node")
        for leaf, spine in itertools.product(range(LEAVES), range(SPINES)):
            found.cable(f"leaf{leaf}", f"spine{spine}")
        for host, leaf in itertools.product(range(HOSTS), range(2)):
            found.cable(f"node{host}", f"leaf{leaf}")
        for system in found.systems.values():
            system.start(config)
        yield found
    finally:
        for system in found.systems.values():
            system.stop()


def test_what_all_say_is_what_was_laid_out(lab: Lab) -> None:
    hosts = {name: json.loads(text) for name, text in lab.reports().items()}
    reading = read_text(json.dumps({"hosts": hosts}))
    assert (reading.format, reading.warnings) == ("lldp", ())
    content = topology_of(reading)
    fabric = content.fabric
    assert {host.name for host in content.hosts} == {f"node{i}" for i in range(HOSTS)}
    assert {switch.name for switch in fabric.switches} == (
        {name for name in lab.systems if not name.startswith("node")}
    )
    assert cabled(fabric) == {frozenset(((a, p), (b, q))) for a, p, b, q in lab.cables}
    assert all(cable.seen_by_both for cable in fabric.cables)
    assert reading.found.facts["confirmed_cables"] == len(lab.cables)
    assert fabric.recognised[0].kind == "fat-tree"
    assert f"2 levels of {LEAVES} and {SPINES} switches" in fabric.recognised[0].evidence[0]


def cabled(fabric: Fabric) -> set[frozenset[tuple[str, int | str | None]]]:
    return {frozenset((end.id, end.port) for end in (c.a, c.b)) for c in fabric.cables}


def test_what_one_says_is_its_part(lab: Lab) -> None:
    """`show chassis` and `show neighbors` after each other, as a shell's >> puts them together."""
    leaf = lab.systems["leaf0"]
    text = leaf.neighbours(len(leaf.ports)) + (leaf.says("chassis") or "")
    reading = read_text(text)
    assert reading.warnings == ()
    fabric = topology_of(reading).fabric
    own = {frozenset(((a, p), (b, q))) for a, p, b, q in lab.cables if "leaf0" in (a, b)}
    assert cabled(fabric) == own
    assert all(not cable.seen_by_both for cable in fabric.cables)
    assert {end.id for c in fabric.cables for end in (c.a, c.b) if end.kind is EndKind.HOST} == (
        {f"node{i}" for i in range(HOSTS)}
    )


def test_json0_says_the_same(lab: Lab) -> None:
    for name, system in lab.systems.items():
        system.neighbours(len(system.ports))
        readings: list[Reading] = []
        for spelling in ("json", "json0"):
            command = ["lldpcli", "-u", str(system.socket), "-f", spelling, "show", "neighbors"]
            said = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
            readings.append(read_text(said))
        assert topology_of(readings[0]) == topology_of(readings[1]), name
