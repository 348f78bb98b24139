"""`distos-coll topo` and what `distos-coll plugins list` says of sources."""

import json
from pathlib import Path

import pytest
import typer.testing
from topologies import OWN

from distos_coll.cli.app import app
from distos_coll.errors import TopologyError
from distos_coll.topology.summary import KEYS


def invoke(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner(env={"COLUMNS": "150"}).invoke(app, ["topo", *arguments])


def shown(name: str) -> str:
    result = invoke("show", str(OWN / name))
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.mark.parametrize("path", sorted(OWN.iterdir()), ids=lambda path: path.name)
def test_json_has_every_key(path: Path) -> None:
    result = invoke("show", "--json", str(path))
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert set(KEYS) <= found.keys()
    assert invoke("show", str(path)).exit_code == 0


def test_lines_are_printed_as_they_are(tmp_path: Path) -> None:
    """Neither `:100:` of a place nor `[x]` of a name means anything; a long word costs little."""
    path = tmp_path / "[x]:100:.xml"
    path.write_bytes((OWN / "nccl-contradictions.xml").read_bytes())
    output = invoke("show", str(path)).stdout
    assert "[x]:100:.xml: nccl-xml" in output
    path = tmp_path / "long.net"
    path.write_text(f'Switch 2 "a"\n[1] "{"b" * 60_000}"\n', "utf-8")
    output = invoke("show", str(path)).stdout
    assert f"warning: {path}:2: " in output
    assert "b" * 1000 in output


def test_the_tree_names_devices_and_links() -> None:
    text = shown("nccl-four-mesh.xml")
    assert "NUMA node 1, x86_64, AuthenticAMD, 16 CPUs" in text
    assert "0000:21:00.0 GPU, 12 GB/s" in text
    assert "GPU 0, sm 70" in text
    assert "1 nvlink to 0000:22:00.0" in text
    assert "veth0a1b2c3, 10 Gb/s, virtual" in text
    assert [line.split() for line in text.splitlines() if line.strip().startswith("GPU0  X")] == [
        ["GPU0", "X", "NVL", "NVL", "NVB", "PHB", "12", "GB/s:", "mlx5_0"]
    ]
    assert "2 network adapters, 2 ports, 4 pairs of GPUs with NVLink" in text
    assert "NVLink domains of 4 GPUs: 1" in text


def test_hosts_that_look_alike_are_drawn_once() -> None:
    text = shown("nccl-two-trays.xml")
    assert "0x1111222233334444 and 1 host like it" in text
    assert text.count("5 c2c to NUMA node 0") == 2
    assert "0x5555666677778888" not in text


def test_amd_and_switches() -> None:
    assert "1 xgmi to each of 0000:22:00.0, 0000:23:00.0, 0000:24:00.0" in shown(
        "rccl-four-mesh.xml"
    )
    assert "mlx5_5, port 1, 400 Gb/s, rail 5" in shown("nccl-eight-switched.xml")


def test_graphs() -> None:
    text = shown("graph-ring-and-tree.xml")
    assert "graph 0, ring: 20.0 GB/s in a host, 17.5 between hosts; NVL and PXN" in text
    assert "channel 1: net 10, gpu 1/10, gpu 1/0, gpu 1, gpu 0, net 0" in text


def test_contradictions_are_shown_last() -> None:
    text = shown("nccl-contradictions.xml")
    assert text.rstrip().splitlines()[-1] == "warning: two GPUs have rank 1"


def test_validate() -> None:
    good = OWN / "nccl-two-trays.xml"
    result = invoke("validate", str(good))
    assert (result.exit_code, result.stdout) == (0, f"{good}: nccl-xml, no contradictions\n")
    result = invoke("validate", str(OWN / "nccl-contradictions.xml"))
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 16
    found = json.loads(invoke("validate", "--json", str(good)).stdout)
    assert found == {"format": "nccl-xml", "valid": True, "problems": []}


def test_what_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text("<system version='1'><cpu/></system>")
    result = invoke("validate", "--json", str(path))
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["valid"], found["format"]) == (False, None)
    assert found["problems"] == [f"{path}:1: <cpu>: it has no numaid"]
    assert isinstance(invoke("show", str(path)).exception, TopologyError)
    assert invoke("show", str(tmp_path / "none.xml")).exit_code == 2


def test_names_of_strangers_are_text(tmp_path: Path) -> None:
    """No markup of the terminal's library, no line of their own."""
    path = tmp_path / "a.xml"
    path.write_text(
        '<system version="1"><cpu numaid="0" arch="[/red]"><nic><net name="[bold]a&#10;b" '
        'dev="0"/></nic></cpu></system>'
    )
    text = invoke("show", str(path)).stdout
    assert "[/red]" in text
    assert "[bold]a\N{REPLACEMENT CHARACTER}b" in text


def test_plugins_list_names_sources() -> None:
    runner = typer.testing.CliRunner()
    found = json.loads(runner.invoke(app, ["plugins", "list", "--json"]).stdout)
    names = {source["name"] for entry in found["plugins"] for source in entry["topology_sources"]}
    assert {"nccl-xml", "rccl-xml", "nccl-graph"} <= names
    assert "nccl-graph" in runner.invoke(app, ["plugins", "list"]).stdout
