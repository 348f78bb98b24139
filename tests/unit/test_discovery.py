"""`topo discover`: the running machine, other roots, and nodes that tell each other."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import joined
import pytest
import typer.testing
from error_page import raises, says
from fake_machine import server

from distos_coll.cli.app import app
from distos_coll.communicator import Communicator
from distos_coll.discovery import Discovered, gathered, job, machine
from distos_coll.plugins.manager import default_sources
from distos_coll.settings import Settings
from distos_coll.topology import reading
from distos_coll.topology.source import Found, TopologySource

T = TypeVar("T")
ARTIFACTS = ["cluster-topology-model.json", "ib-rail-assignments.json", "nvlink-domain-map.json"]
VALUES = Settings(slot_bytes=1 << 16, profile="none")


def invoke(*arguments: object) -> typer.testing.Result:
    runner = typer.testing.CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, ["topo", "discover", *map(str, arguments)])


def root_of(path: Path, name: str) -> Path:
    """A server's /sys and /proc."""
    made = server(path / name)
    made.file("proc/sys/kernel/hostname", f"{name}\n")
    return made.root


def together(hosts: list[str], function: Callable[[Communicator], T]) -> list[T]:
    """Call it as ranks of these hosts."""
    return joined.together([replace(VALUES, host_id=host) for host in hosts], function)


# ---- one machine


def test_the_running_machine() -> None:
    found = machine()
    (host,) = found.topology.hosts
    assert host.name == os.uname().nodename[:255]
    assert host.template.threads == os.cpu_count()
    assert found.nodes == (("sysfs", (host.name,)),)


def test_the_command_on_the_running_machine(tmp_path: Path) -> None:
    facts = json.loads(invoke("--json", "--out", tmp_path).output)
    assert facts["hosts"] == 1
    assert facts["nodes"] == {"sysfs": [os.uname().nodename]}
    assert sorted(Path(path).name for path in facts["files"]) == ARTIFACTS
    model = reading.read(tmp_path / ARTIFACTS[0], default_sources())
    assert model.found.content == machine().topology
    shown = invoke().output
    assert shown.startswith("this machine: discovered\n")
    assert "1 host, " in shown


def test_another_root(tmp_path: Path) -> None:
    found = machine(root_of(tmp_path, "n1"))
    assert [host.name for host in found.topology.hosts] == ["n1"]
    assert found.topology.hosts[0].gpus
    result = invoke("--root", tmp_path / "missing")
    assert says("discover-root", str(result.exception))


def test_every_source_that_asks_the_machine_is_asked() -> None:
    here = machine().topology

    def asked() -> Found:
        return Found(replace(here, extra=(("asked", "yes"),)))

    more = TopologySource("test", "", lambda _: False, lambda _: asked(), discover=asked)
    found = machine(sources=(*default_sources(), more))
    assert found.topology.hosts == here.hosts
    assert found.topology.extra == (("asked", "yes"),)
    assert [who for who, _ in found.nodes] == ["sysfs", "test"]


# ---- a job


def test_every_node_of_a_job_learns_of_all(tmp_path: Path) -> None:
    names = ["n0", "n1", "n2", "n1"]
    roots = [root_of(tmp_path, name) for name in ("n0", "n1", "n2")]

    def one(group: Communicator) -> Discovered:
        return job(group, roots[int(names[group.rank][1])])

    first, *others = together(names, one)
    assert all(other == first for other in others)
    assert [host.name for host in first.topology.hosts] == ["n0", "n1", "n2"]
    # Alike but for names: one template.
    assert len(first.topology.templates) == 1
    # Ranks of one process share memory only if they say that they are of one host.
    assert dict(first.nodes)["rank 1"] == ("n1",)
    # The servers have an adapter that runs at half of its lanes; each says so of itself.
    assert {finding.code for finding in first.findings} == {"fewer-lanes"}
    assert {str(finding).partition(":")[0] for finding in first.findings} == {"n0", "n1", "n2"}


def test_what_nodes_say_differently_is_told(tmp_path: Path) -> None:
    one, other = root_of(tmp_path / "a", "n0"), root_of(tmp_path / "b", "n0")
    (other / "sys/devices/system/cpu/cpu0/topology/physical_package_id").write_text("7\n")
    found = together(["x", "y"], lambda g: job(g, (one, other)[g.rank]))[0]
    assert [host.name for host in found.topology.hosts] == ["n0"]
    told = " ".join(map(str, found.findings))
    assert "rank 0" in told
    assert "rank 1" in told


def test_a_node_that_cannot_say_is_named_on_all(tmp_path: Path) -> None:
    roots = [root_of(tmp_path, "n0"), tmp_path / "missing"]

    def one(group: Communicator) -> str:
        with raises("discover-root", "^rank 1: ") as caught:
            job(group, roots[group.rank])
        return str(caught.value)

    first, second = together(["x", "y"], one)
    assert first == second


def test_a_bug_in_a_source_is_told_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Path | None) -> Discovered:
        raise KeyError("lost")

    monkeypatch.setattr("distos_coll.discovery.machine", broken)

    def one(group: Communicator) -> None:
        with pytest.raises(Exception, match="rank 0: KeyError: 'lost'; rank 1: KeyError"):
            job(group)

    together(["x", "y"], one)


@pytest.mark.parametrize("lengths", [(0, 0), (3, 0), (0, 70_000), (5, 1)])
def test_bytes_of_any_length_are_gathered(lengths: tuple[int, int]) -> None:
    texts = [bytes([65 + i]) * n for i, n in enumerate(lengths)]
    assert together(["x", "y"], lambda g: gathered(g, texts[g.rank])) == [texts, texts]
