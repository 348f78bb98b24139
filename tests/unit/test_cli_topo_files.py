"""`distos-coll topo import`, `merge` and `export`."""

import bz2
import gzip
import json
import lzma
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import typer.testing
from error_page import raises, says
from models import Kind, cluster
from topologies import OWN

from distos_coll.api import (
    NOWHERE,
    Adapter,
    Block,
    Cable,
    End,
    EndKind,
    Fabric,
    Gpu,
    GpuId,
    Host,
    Switch,
    Topology,
    recognise_fabric,
)
from distos_coll.cli.app import app
from distos_coll.errors import DistosError
from distos_coll.plugins.manager import default_sources
from distos_coll.sources.cluster_model import write_model
from distos_coll.topology import reading
from distos_coll.topology.importing import Imported, Wanted, import_documents, shortened

ARTIFACTS = {"cluster-topology-model.json", "nvlink-domain-map.json", "ib-rail-assignments.json"}


def invoke(*arguments: object) -> typer.testing.Result:
    runner = typer.testing.CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, ["topo", *map(str, arguments)])


def saved(path: Path, topology: Topology) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(write_model(topology))
    return path


def model_in(folder: Path) -> Topology:
    found = reading.read(folder / "cluster-topology-model.json", default_sources()).found
    assert isinstance(found.content, Topology)
    return found.content


def imported(*arguments: object) -> Imported:
    wanted = [Wanted.of(str(argument)) for argument in arguments]
    return import_documents(wanted, default_sources())


def test_import_writes_three_files(tmp_path: Path) -> None:
    whole = cluster(6, leaves=2)
    files = [saved(tmp_path / f"in/{host.name}.json", Topology((host,))) for host in whole.hosts]
    files.append(saved(tmp_path / "in/network.json", Topology(fabric=whole.fabric)))
    result = invoke("import", *files, "-o", tmp_path / "out/now")
    assert result.exit_code == 0, result.output
    assert {path.name for path in (tmp_path / "out/now").iterdir()} == ARTIFACTS
    assert result.stdout.splitlines()[0] == (
        "7 documents (7 of cluster-topology-model): 6 hosts of 1 kind, 4 switches"
    )
    found = model_in(tmp_path / "out/now")
    assert found.hosts == whole.hosts
    assert set(found.fabric.cables) == set(whole.fabric.cables)
    again = invoke("merge", *reversed(files), "-o", tmp_path / "again", "--json")
    facts = json.loads(again.stdout)
    assert (facts["hosts"], facts["switches"], facts["warnings"]) == (6, 4, [])
    for name in ARTIFACTS:
        assert (tmp_path / "again" / name).read_bytes() == (
            tmp_path / "out/now" / name
        ).read_bytes()
    assert {Path(path).name for path in facts["files"]} == ARTIFACTS
    assert invoke("diff", files[0], tmp_path / "again/cluster-topology-model.json").exit_code == 1


def test_the_files_are_sources_themselves(tmp_path: Path) -> None:
    first = OWN / "nccl-eight-switched.xml"
    assert invoke("import", first, "-o", tmp_path / "a").exit_code == 0
    model = tmp_path / "a/cluster-topology-model.json"
    assert invoke("import", model, "-o", tmp_path / "b").exit_code == 0
    assert model_in(tmp_path / "b") == model_in(tmp_path / "a")
    for name in ARTIFACTS:
        facts = json.loads(invoke("show", "--json", tmp_path / "a" / name).stdout)
        assert facts["format"] == name.removesuffix(".json")
        assert facts["hosts"] == 1
        assert invoke("show", tmp_path / "a" / name).exit_code == 0
        assert invoke("validate", tmp_path / "a" / name).exit_code == 0


def test_contradictions_are_printed_and_kept(tmp_path: Path) -> None:
    slow = cluster(2, Kind(mbps=100_000))
    files = [saved(tmp_path / "a.json", cluster(2)), saved(tmp_path / "b.json", slow)]
    result = invoke("import", *files, "-o", tmp_path / "out")
    assert result.exit_code == 0
    told = "n0 and 1 host like it, mlx5_0: mbps is 100000 by "
    assert f"warning: {told}" in result.stdout
    assert told in invoke("show", tmp_path / "out/cluster-topology-model.json").stdout
    assert invoke("validate", tmp_path / "out/cluster-topology-model.json").exit_code == 1


def test_hosts_without_a_name_are_called_after_their_file(tmp_path: Path) -> None:
    text = (OWN / "nccl-four-mesh.xml").read_bytes()
    files = []
    for name in ("n7.nccl.xml", "n8.nccl.xml"):
        files.append(tmp_path / name)
        files[-1].write_bytes(text)
    found = imported(*files)
    assert [host.name for host in found.topology.hosts] == ["n7", "n8"]
    assert found.named == ((str(files[0]), "n7"), (str(files[1]), "n8"))
    assert not any(host.made_up for host in found.topology.hosts)
    found = imported(f"left={files[0]}", f"right={files[1]}")
    assert [host.name for host in found.topology.hosts] == ["left", "right"]
    assert found.named == ()
    json_too = saved(tmp_path / "n7.json", Topology((replace(cluster(1).hosts[0], name="n7"),)))
    assert len(imported(files[0], json_too).topology.hosts) == 1


def test_two_files_that_would_have_one_name(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "topo.xml").write_bytes((OWN / "nccl-four-mesh.xml").read_bytes())
    paths = tmp_path / "a/topo.xml", tmp_path / "b/topo.xml"
    with raises("import-names", "a/topo.xml and .*b/topo.xml"):
        imported(*paths)
    assert len(imported(f"a={paths[0]}", f"b={paths[1]}").topology.hosts) == 2


def test_several_hosts_without_names(tmp_path: Path) -> None:
    made_up = tuple(Host(f"host{i}", made_up=True) for i in range(2))
    path = saved(tmp_path / "rack3.json", Topology(made_up))
    assert [host.name for host in imported(path).topology.hosts] == ["rack3/host0", "rack3/host1"]
    with raises("import-several", "has 2 hosts"):
        imported(f"n1={path}")


def test_names_up_to_the_first_dot(tmp_path: Path) -> None:
    whole = cluster(1, leaves=1)
    long = replace(whole.hosts[0], name="n0.rack.example")
    paths = saved(tmp_path / "a.json", Topology((long,))), saved(tmp_path / "b.json", whole)
    result = invoke("import", *paths, "-o", tmp_path / "out")
    assert "may be one host each, and are kept apart: n0 and n0.rack.example" in result.stdout
    assert invoke("import", *paths, "-o", tmp_path / "out", "--short-names").exit_code == 0
    assert [host.name for host in model_in(tmp_path / "out").hosts] == ["n0"]
    cable = Cable(End(EndKind.HOST, "n1.example", "eth0"), End(EndKind.SWITCH, "s.example", 1))
    everywhere = Topology(
        (Host("10.0.0.1"), Host("a.b", aliases=("c.d",))),
        Fabric(cables=(cable,), adapters=(replace(whole.fabric.adapters[0], host="x.y"),)),
        (Block("b.c", ("n1.example",)),),
    )
    short = shortened(everywhere)
    assert [(host.name, host.aliases) for host in short.hosts] == [("10.0.0.1", ()), ("a", ("c",))]
    assert [(end.kind, end.id) for end in (short.fabric.cables[0].a, short.fabric.cables[0].b)] == [
        (EndKind.HOST, "n1"),
        (EndKind.SWITCH, "s.example"),
    ]
    assert short.fabric.adapters[0].host == "x"
    assert short.blocks == (Block("b.c", ("n1",)),)


def test_networks_are_recognised_together(tmp_path: Path) -> None:
    """Each of two files has a switch with all hosts; both together are two rails."""
    files = []
    for rail in range(2):
        switch = Switch(f"switch{rail}", technology="infiniband", ports=8)
        adapters = [
            Adapter(f"{rail}{h}", host=f"n{h}", device=f"mlx5_{rail}", ports=1) for h in range(4)
        ]
        cables = [
            Cable(End(EndKind.ADAPTER, own.id, 1), End(EndKind.SWITCH, switch.id, h))
            for h, own in enumerate(adapters)
        ]
        fabric = recognise_fabric(Fabric((switch,), tuple(adapters), tuple(cables)))
        assert [kind.kind for kind in fabric.recognised] == ["single-switch"]
        files.append(saved(tmp_path / f"{rail}.json", Topology(fabric=fabric)))
    fabric = imported(*files).topology.fabric
    assert [kind.kind for kind in fabric.recognised] == ["single-switch", "rail-optimised"]
    assert [(rail.number, rail.switches) for rail in fabric.rails] == [
        (0, ("switch0",)),
        (1, ("switch1",)),
    ]
    assert imported(files[0]).topology.fabric.rails == ()


def test_what_cannot_be_imported(tmp_path: Path) -> None:
    with raises("import-fragment", "nccl-graph says nothing of hosts"):
        imported(OWN / "graph-ring-and-tree.xml")
    with raises("topology-unreadable"):
        imported("n1=nowhere.xml")
    assert invoke("import", "-o", tmp_path).exit_code == 2
    for missing in ("nowhere.xml", "n1=nowhere.xml"):
        result = invoke("import", missing, "-o", tmp_path)
        assert result.exit_code == 2
        assert says("file-missing", result.output)
    result = invoke("merge", OWN / "nccl-four-mesh.xml", "-o", tmp_path)
    assert result.exit_code == 2
    assert says("merge-files", result.output)
    (tmp_path / "file").touch()
    result = invoke("import", OWN / "nccl-four-mesh.xml", "-o", tmp_path / "file/out")
    assert isinstance(result.exception, DistosError)
    assert says("import-write", str(result.exception))


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    """Written with a replacement, as JSON cannot hold them: hosts, and who contradicts whom."""
    folder = os.fsencode(tmp_path)
    paths = [os.fsdecode(folder + b"/" + name) for name in (b"g\xff.xml", b"g\xff.smi.txt")]
    Path(paths[0]).write_bytes((OWN / "nccl-four-mesh.xml").read_bytes())
    slower = (OWN / "nccl-four-mesh.xml").read_bytes().replace(b'"100000"', b'"50000"')
    Path(paths[1]).write_bytes(slower)
    result = invoke("import", paths[0], f"g\udcff={paths[1]}", "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.exception
    assert [host.name for host in model_in(tmp_path / "out").hosts] == ["g\ufffd"]
    assert "g\ufffd.smi.txt" in json.dumps(json.loads(result.stdout), ensure_ascii=False)


def test_files_are_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads while it is written has the old file; what fails leaves nothing behind."""
    first = OWN / "nccl-four-mesh.xml"
    assert invoke("import", first, "-o", tmp_path).exit_code == 0
    old = (tmp_path / "cluster-topology-model.json").read_bytes()

    def fail(self: Path, target: object) -> Path:
        raise OSError("full")

    monkeypatch.setattr(Path, "replace", fail)
    result = invoke("import", OWN / "nccl-eight-switched.xml", "-o", tmp_path)
    assert "full" in str(result.exception)
    assert (tmp_path / "cluster-topology-model.json").read_bytes() == old
    assert {path.name for path in tmp_path.iterdir()} == ARTIFACTS


@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_standard_input(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    source = OWN / "nccl-four-mesh.xml"
    data = packed(source.read_bytes())
    runner = typer.testing.CliRunner()
    result = runner.invoke(app, ["topo", "show", "--json", "-"], input=data)
    assert json.loads(result.stdout)["gpus"] == 4
    for argument, name in (("-", "stdin"), ("n7=-", "n7")):
        words = ["topo", "import", argument, "-o", str(tmp_path)]
        assert runner.invoke(app, words, input=data).exit_code == 0
        assert [host.name for host in model_in(tmp_path).hosts] == [name]
    assert runner.invoke(app, ["topo", "diff", str(source), "-"], input=data).exit_code == 0
    exported = runner.invoke(app, ["topo", "export", "--to", "nccl-xml", "-"], input=data)
    assert exported.stdout_bytes.startswith(b"<system ")
    broken = runner.invoke(app, ["topo", "validate", "-"], input=b"<system>")
    assert broken.stdout.startswith("standard input:")


@pytest.mark.parametrize("packed", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_a_pipe(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """It is read once, in the pieces in which it comes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    data = packed((OWN / "nccl-four-mesh.xml").read_bytes())

    def write() -> None:
        with pipe.open("wb", buffering=0) as file:
            for piece in (data[:2], data[2:5], data[5:]):
                file.write(piece)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    result = invoke("show", "--json", pipe)
    writer.join(20)
    assert not writer.is_alive()
    assert json.loads(result.stdout)["gpus"] == 4


def test_export(tmp_path: Path) -> None:
    source = OWN / "nccl-eight-switched.xml"
    result = invoke("export", "--to", "nccl-xml", source)
    assert result.exit_code == 0
    assert result.stdout_bytes.startswith(b"<system ")
    done = invoke("export", "--to", "nvlink-domain-map", source, "-o", tmp_path / "map.json")
    assert (done.exit_code, done.stdout) == (0, "")
    facts = json.loads(invoke("show", "--json", tmp_path / "map.json").stdout)
    assert len(facts["nvlink_domains"][0]) == 8
    result = invoke("export", "--to", "nonsense", source)
    assert result.exit_code == 2
    assert says("export-format", result.output)
    assert "nccl-xml" in result.output
    result = invoke("export", "--to", "nccl-xml", source, "-o", tmp_path / "none/a.xml")
    assert "cannot be written" in str(result.exception)


def test_a_gpu_without_an_address_is_not_written_into_another(tmp_path: Path) -> None:
    """The last node of the template is a PCI function, and not the GPU's."""
    host = cluster(1, Kind(numa=1, gpus=0, nics=1, bridges=False, switches=0)).hosts[0]
    nodes = (Gpu(NOWHERE, 0), *host.template.nodes[:2])
    moved = tuple(replace(n, parent=n.parent + 1) if n.parent >= 0 else n for n in nodes[1:])
    template = replace(host.template, nodes=(nodes[0], *moved))
    path = saved(
        tmp_path / "a.json",
        Topology((replace(host, template=template, gpus=(GpuId(),), ports=()),)),
    )
    result = invoke("export", "--to", "nccl-xml", path)
    assert says("nccl-unwritable", str(result.exception))
