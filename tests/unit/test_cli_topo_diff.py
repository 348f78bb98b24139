"""`distos-coll topo diff`: its lines, its JSON, its exit codes."""

import json
from dataclasses import replace
from pathlib import Path

import typer.testing
from error_page import says
from models import cluster
from topologies import OWN

from distos_coll.api import Host, Port, Topology
from distos_coll.cli.app import app
from distos_coll.cli.topo_diff import line
from distos_coll.sources.cluster_model import write_model
from distos_coll.topology.diff import Change


def invoke(*arguments: object) -> typer.testing.Result:
    runner = typer.testing.CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, ["topo", "diff", *map(str, arguments)])


def saved(path: Path, topology: Topology) -> Path:
    path.write_bytes(write_model(topology))
    return path


def with_speed(host: Host, mbps: int) -> Host:
    """Its first port's."""
    nodes = list(host.template.nodes)
    i, port = next((i, node) for i, node in enumerate(nodes) if isinstance(node, Port))
    nodes[i] = replace(port, mbps=mbps)
    return replace(host, template=replace(host.template, nodes=tuple(nodes)))


def test_the_command(tmp_path: Path) -> None:
    many = cluster(1000)
    slow = tuple(with_speed(host, 100_000) for host in many.hosts)
    old = saved(tmp_path / "old.json", many)
    new = saved(tmp_path / "new.json", replace(many, hosts=slow[:-1]))
    result = invoke(old, new)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "host lost: n999",
        "port slower: mlx5_0 on n[0-998] (999 hosts): 400 Gb/s -> 100 Gb/s",
        "host lost 1, port slower 999",
    ]
    found = json.loads(invoke(old, new, "--json").stdout)
    assert [(each["kind"], each["count"]) for each in found] == [
        ("host-lost", 1),
        ("port-slower", 999),
    ]
    same = invoke(old, old)
    assert (same.exit_code, same.stdout) == (0, "no changes\n")
    assert json.loads(invoke(old, old, "--json").stdout) == []


def test_another_format_of_the_same(tmp_path: Path) -> None:
    source = OWN / "nccl-eight-switched.xml"
    runner = typer.testing.CliRunner()
    copy = tmp_path / "copy.json"
    done = runner.invoke(
        app, ["topo", "export", "--to", "cluster-topology-model", str(source), "-o", str(copy)]
    )
    assert done.exit_code == 0, done.output
    assert invoke(source, copy).exit_code == 0


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    good = saved(tmp_path / "good.json", cluster(4))
    result = invoke(good, OWN / "graph-ring-and-tree.xml")
    assert result.exit_code == 2
    assert says("diff-fragment", result.output)
    assert invoke(good, tmp_path / "none").exit_code == 2
    (tmp_path / "broken.json").write_bytes(good.read_bytes()[:100])
    assert invoke(tmp_path / "broken.json", good).exit_code == 2


def test_many_different_changes_stay_readable(tmp_path: Path) -> None:
    many = cluster(100)
    hosts = tuple(with_speed(host, 1000 + i) for i, host in enumerate(many.hosts))
    old = saved(tmp_path / "old.json", many)
    result = invoke(old, saved(tmp_path / "new.json", replace(many, hosts=hosts)))
    lines = result.stdout.splitlines()
    assert len(lines) == 22
    assert lines[-2:] == ["port slower: and 80 more such lines", "port slower 100"]


def test_lines() -> None:
    ids = Change("gpu-replaced", ("a", "b"), None, None, ("n1", "n2"), (("n1", "x", None),))
    assert line(ids) == "GPU replaced: a, b on n[1-2] (2 hosts): of n1 x -> nothing, and so on"
    assert line(Change("host-lost", (), hosts=("n1",))) == "host lost: n1"
    names = tuple(f"d{i}" for i in range(9))
    assert line(Change("pci-lost", names)) == "PCI lost: d0, d1, d2, d3, d4, d5 and 3 more"


def test_two_sweeps_of_a_network(tmp_path: Path) -> None:
    """A cable that was put elsewhere, a slower one; when it was swept is no change."""
    old = OWN / "ibnetdiscover-racks.txt"
    text = old.read_text(encoding="utf-8")
    for before, after in (
        ("Tue Mar  3", "Wed Mar  4"),
        ('[2]\t"H-a000000000000021"[1]', '[4]\t"H-a000000000000021"[1]'),
        ('"S-a000000000000001"[2]\t\t# lid 21', '"S-a000000000000001"[4]\t\t# lid 21'),
        ('# "node1 mlx5_1" lid 12 4xNDR', '# "node1 mlx5_1" lid 12 2xNDR'),
    ):
        assert before in text
        text = text.replace(before, after)
    new = tmp_path / "new.txt"
    new.write_text(text, encoding="utf-8")
    rail0, rail1 = (f"MF0;rack1-rail{i}:MQM9701/U1" for i in range(2))
    assert invoke(old, new).stdout.splitlines() == [
        f"cable slower: node1 mlx5_1[1] to {rail1}[1]: 400 Gb/s -> 200 Gb/s",
        f"cable moved: node2 HCA-1[1]: {rail0}[2] -> {rail0}[4]",
        "cable slower 1, cable moved 1",
    ]
