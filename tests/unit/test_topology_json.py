"""cluster-topology-model.json and what follows from it: written, read back, and refused."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from models import Kind, cluster, clusters, documents
from topologies import OWN, topology_of

from distos_coll.api import (
    NOWHERE,
    Adapter,
    Block,
    Cable,
    Distances,
    Document,
    End,
    EndKind,
    Fabric,
    Finding,
    Found,
    Gpu,
    GpuId,
    Host,
    HostBuilder,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
    Rail,
    Recognised,
    Relation,
    Switch,
    Topology,
    domain_map,
    local_nvlink_domain,
    rail_assignments,
)
from distos_coll.plugins.manager import default_sources
from distos_coll.sources import cluster_model, json_text, scheduler_views
from distos_coll.sources.json_records import cpu_mask, cpu_text
from distos_coll.topology import reading
from distos_coll.topology.artifacts import ARTIFACTS, artifacts, export
from distos_coll.topology.merge import Part

SCHEMAS = Path(cluster_model.__file__).parent / "schemas"
TEXT = (
    ("a:b", 'with "quotes", lines\nand \N{SNOWMAN}'),
    ("c", ""),
    ("d", "1"),
    ("d", "2"),
    ("d", "1"),
)


def everything() -> Topology:
    """Every class of the model, every field set to what is not its default."""
    nodes = (
        Numa(NOWHERE, 1, 0b1011 << 70, "arm64", "ARM", 8, 2, 3, 1 << 40, TEXT),
        Pci(0, "0000:01:00.0", 0x030200, 0x10DE, 0x2330, 1, 2, 32.0, 16, 3.5, ("a", "b"), TEXT),
        Gpu(1, 3, 90, "H100", 1 << 36, "gfx942", False, 2, True, TEXT),
        Pci(0, "0000:02:00.0"),
        Nic(3, True, TEXT),
        Port(4, "mlx5_0", "gin", 1, 2, 400_000, 0.5, 3, 4, True, False, "IB", "UP", True, TEXT),
        NvSwitch("0000:03:00.0", 0, TEXT),
    )
    links = (Link(LinkKind.XGMI, 2, 6, 18, 20.5, "x", 0x068000, TEXT), Link(LinkKind.PCI, 1))
    template = HostTemplate(
        nodes, links, (Relation(2, 5, "PIX"),), (Distances("d", ("a", "b"), (1.0, 2.0, 2.5, 1e9)),),
        1, 2, 4, TEXT,
    )  # fmt: skip
    host = Host(
        "n1",
        template,
        (GpuId("GPU-1", 7, "u.1", TEXT),),
        (PortId("0x1", 3, ("10.0.0.1", "::1"), TEXT),),
        "0xff",
        ("other", "names"),
        True,
    )
    ends = End(EndKind.SWITCH, "s", 1), End(EndKind.HOST, "n1", "eth0")
    fabric = Fabric(
        (Switch("s", "name", "infiniband", 40, 1, 2, TEXT),),
        (Adapter("a", "n", "h", "d", "t", 2, (1, 2), True, 3, 4, TEXT),),
        (Cable(*ends, 4, "HDR", 200_000, 0.25, False, TEXT),),
        (Rail(1, 2, ("s",), ends),),
        (Recognised("fat-tree", ("because", "of")),),
        TEXT,
    )
    return Topology((host,), fabric, (Block("b", ("n1",), "rack", (1, 2), TEXT),), TEXT)


def read(data: bytes, name: str = "a.json") -> Found:
    return reading.understood(Document(name, data), default_sources())[1]


def written(topology: Topology) -> dict[str, bytes]:
    return artifacts(topology, (), default_sources())


def test_everything_is_written_and_read_back() -> None:
    whole = everything()
    for value in (*whole.hosts[0].template.nodes[:3], whole.hosts[0], whole.hosts[0].template):
        default = {each.name: each.default for each in fields(value) if each.name != "parent"}
        assert all(getattr(value, name) != own for name, own in default.items())
    assert read(cluster_model.write_model(whole)).content == whole


@given(clusters())
def test_what_is_written_is_read_back(whole: Topology) -> None:
    files = written(whole)
    assert read(files["cluster-topology-model.json"]).content == whole
    assert read(files["nvlink-domain-map.json"]).content == domain_map(whole)
    assert read(files["ib-rail-assignments.json"]).content == rail_assignments(whole)


@given(st.data())
def test_whatever_a_source_says(data: st.DataObject) -> None:
    part: Part = data.draw(documents(data.draw(clusters())))
    data_ = cluster_model.write_model(part.topology)
    again = read(data_).content
    assert again == part.topology
    assert cluster_model.write_model(again) == data_


@pytest.mark.parametrize("path", sorted(OWN.glob("*ccl-*.xml")), ids=lambda path: path.name)
def test_other_formats_pass_through_it(path: Path) -> None:
    """Written as JSON, and that as the format that it came from, nothing is lost."""
    source, found = reading.understood(reading.open_document(path), default_sources())
    again = read(export(found, _source("cluster-topology-model")))
    assert again.content == found.content
    assert again.warnings == found.warnings
    assert export(again, source) == export(found, source)


def _source(name: str) -> Any:
    return next(source for source in default_sources() if source.name == name)


@pytest.mark.parametrize("name", ARTIFACTS)
def test_schemas(name: str) -> None:
    schema = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for whole in (everything(), cluster(2, leaves=2), cluster(3, per_domain=2), Topology()):
        document = json.loads(written(whole)[f"{name}.json"])
        validator.validate(document)
        assert document["schema_version"] == 1
    with pytest.raises(jsonschema.ValidationError):
        validator.validate({**document, "more": 1})


def test_hosts_that_look_alike_are_one_template() -> None:
    small, large = (len(cluster_model.write_model(cluster(n))) for n in (1, 101))
    assert large - small < 100 * 600
    document = json.loads(cluster_model.write_model(cluster(5)))
    (template,) = document["templates"]
    assert {host["template"] for host in document["hosts"]} == {template["id"]}


def test_lines_change_with_what_they_tell_of() -> None:
    """Another host, or another kind of host, moves no line of the others."""
    whole = cluster(3)
    odd = cluster(1, Kind(gpus=1)).hosts[0]
    lines = cluster_model.write_model(whole).decode().splitlines()
    more = replace(whole, hosts=(*whole.hosts, replace(odd, name="n9")))
    wider = cluster_model.write_model(more).decode().splitlines()
    assert {line.rstrip(",") for line in lines} <= {line.rstrip(",") for line in wider}


def test_findings_stay_with_the_model() -> None:
    finding = Finding("sources-differ", "width is 8 by a, 16 by b; 8 stays", "n1")
    data = cluster_model.write_model(Found(everything(), (finding,)))
    assert read(data).warnings == (finding,)


def test_ids_are_left_out_where_there_are_none() -> None:
    whole = cluster(1)
    bare = replace(
        whole.hosts[0],
        gpus=(GpuId(),) * len(whole.hosts[0].gpus),
        ports=(PortId(),) * len(whole.hosts[0].ports),
    )
    document = json.loads(cluster_model.write_model(Topology((bare,))))
    assert document["hosts"] == [{"name": "n0", "template": document["templates"][0]["id"]}]
    assert read(cluster_model.write_model(Topology((bare,)))).content == Topology((bare,))


@given(st.integers(0, 1 << 200))
def test_cpu_lists(mask: int) -> None:
    assert cpu_mask(cpu_text(mask)) == mask


def test_cpu_lists_of_people() -> None:
    assert cpu_mask("0-3,8,10-11") == 0b110100001111
    assert cpu_text(0b110100001111) == "0-3,8,10-11"
    assert cpu_text(0) == ""
    for text in ("3-1", "4,4", "5,2", "70000", "0-99999", "1,,2"):
        with pytest.raises(ValueError, match="ascending order"):
            cpu_mask(text)


def changed(*path: str | int, to: Any) -> bytes:
    """A good document with one value of another kind."""
    document = json.loads(cluster_model.write_model(everything()))
    inside = document
    for step in path[:-1]:
        inside = inside[step]
    if to is None:
        del inside[path[-1]]
    else:
        inside[path[-1]] = to
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    ("path", "to", "row", "where"),
    [
        (("hosts", 0, "name"), 3, "json-schema", r"\$.hosts\[0\].name: is not as"),
        (("hosts", 0, "extra"), {}, "json-schema", r"\$.hosts\[0\]: .*unknown field `extra`"),
        (("templates", 0, "nodes", 2, "node"), "cpu", "json-schema", r"nodes\[2\]"),
        (("templates", 0, "nodes", 0, "parent"), 1 << 70, "json-schema", "parent"),
        (("templates", 0, "nodes", 0, "cpus"), "x", "json-schema", "cpus"),
        (("templates", 0, "nodes", 0, "cpus"), "9-1", "cpu-list", r"templates\[0\].nodes: '9-1'"),
        (("templates", 0, "nodes", 1, "pci_class"), "0xG", "json-schema", "pci_class"),
        (("schema_version",), 2, "json-version", r"\$.schema_version: schema_version is 2"),
        (("schema_version",), None, "json-schema", "schema_version"),
        (("templates", 0, "nodes", 1, "parent"), 1, "json-parent", r"nodes\[1\].parent: parent 1"),
        (("templates", 0, "nodes", 1, "parent"), -2, "json-parent", "parent -2"),
        (("templates", 0, "links", 0, "target"), 7, "json-node", r"links\[0\].target: node 7"),
        (("templates", 0, "links", 0, "source"), -1, "json-node", r"links\[0\].source: node -1"),
        (("templates", 0, "relations", 0, "b"), 99, "json-node", r"relations\[0\].b"),
        (("templates", 0, "distances", 0, "values"), [1.0], "json-square", "1 values of 2"),
        (("hosts", 0, "template"), "x", "json-template", r"hosts\[0\].template: no template.*'x'"),
        (("hosts", 0, "gpus"), [{}, {}], "json-ids", r"hosts\[0\].gpus: 2 gpus.* has 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(
    path: tuple[Any, ...], to: Any, row: str, where: str
) -> None:
    with raises(row, where) as caught:
        read(changed(*path, to=to))
    assert str(caught.value).startswith("a.json: ")


def test_two_templates_of_one_id() -> None:
    document = json.loads(cluster_model.write_model(everything()))
    document["templates"] *= 2
    with raises("json-id-twice", r"\$.templates\[1\].id"):
        read(json.dumps(document).encode())


def test_what_is_no_json() -> None:
    good = cluster_model.write_model(cluster(2))
    with raises("json-broken", "truncated"):
        read(good[:-20])
    line = good[:900].count(b"\n") + 1
    with raises("json-broken", f"a.json:{line}: is not JSON: "):
        read(good[:900] + b"\x01" + good[900:])
    with raises("json-broken"):
        read(good.replace(b"n1", b"\xff1"))
    deep = b'{"format": "cluster-topology-model", "schema_version": 1, "x": ' + b"[" * 200_000
    with raises("json-broken"):
        read(deep)
    assert read(b"\xef\xbb\xbf \n" + good).content == cluster(2)


def test_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    good = cluster_model.write_model(cluster(20))
    monkeypatch.setattr(json_text, "MOST_VALUES", 500)
    with raises("json-values", "at most 500"):
        read(good)


def test_too_deep_and_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = tuple(Pci(i - 1, f"0000:00:00.{i % 8}") for i in range(101))
    with raises("model-depth", r"nodes\[100\]: nodes hang deeper than 100"):
        read(cluster_model.write_model(Topology((Host("n", HostTemplate(chain)),))))
    fits = Topology((Host("n", HostTemplate(chain[:100])),))
    assert read(cluster_model.write_model(fits)).content == fits
    host = cluster(1).hosts[0]
    bare = replace(host, gpus=(GpuId(),) * 4, ports=(PortId(),) * 2)
    data = cluster_model.write_model(Topology((bare,) * 50))
    monkeypatch.setattr(cluster_model, "MOST_IDS", 280)
    with raises("model-many", r"\$.hosts\[46\]: more than 280"):
        read(data)


def test_too_many_nodes() -> None:
    nodes = tuple(Numa(id=i) for i in range(1025))
    data = cluster_model.write_model(Topology((Host("n", HostTemplate(nodes)),)))
    with raises("topology-many", r"a.json: \$.templates\[0\] has 1,025 Numa"):
        read(data)


def test_what_cannot_be_written() -> None:
    host = cluster(1).hosts[0]
    for change, row in (
        ({"name": "a\ud800"}, "json-characters"),
        ({"gpus": (GpuId(rank=1 << 64), *host.gpus[1:])}, "json-number"),
    ):
        with raises(row):
            cluster_model.write_model(Topology((replace(host, **change),)))
    template = replace(host.template, links=(Link(LinkKind.C2C, 0, gbps=float("nan")),))
    with raises("json-finite", "nan"):
        cluster_model.write_model(Topology((replace(host, template=template),)))


def test_texts_of_one_name_are_put_together() -> None:
    """Two sweeps in one file say what they are twice."""
    told = (("a", "1"), ("b", "x"), ("a", "2"), ("b", "y"))
    found = read(cluster_model.write_model(Topology(cluster(1).hosts, extra=told)))
    assert isinstance(found.content, Topology)
    assert found.content.extra == (("a", "1"), ("a", "2"), ("b", "x"), ("b", "y"))


def test_what_a_format_cannot_say() -> None:
    graphs = reading.read(OWN / "graph-ring-and-tree.xml", default_sources()).found
    with raises("export-content", "cluster-topology-model cannot say"):
        export(graphs, _source("cluster-topology-model"))
    with raises("export-content", "nccl-graph cannot say"):
        export(Found(cluster(1)), _source("nccl-graph"))
    with raises("export-read-only", "mine can be read"):
        export(graphs, replace(_source("nccl-xml"), name="mine", write=None))


def test_domains_of_schedulers() -> None:
    whole = cluster(4, Kind(gpus=1, switches=1), per_domain=3)
    found = domain_map(whole)
    assert [(d.id, d.gpus, d.complete, len(d.hosts)) for d in found.domains] == [
        ("rack.0", 6, True, 3),
        ("rack.1", 2, True, 1),
    ]
    assert found.domains[0].hosts[1].gpus[0].uuid == "GPU-00000001-0000"
    assert domain_map(cluster(1, Kind(switches=0))).alone[0].host == "n0"
    mesh = domain_map(topology_of(reading.read(OWN / "nccl-four-mesh.xml", default_sources())))
    assert [domain.complete for domain in mesh.domains] == [False]
    amd = domain_map(topology_of(reading.read(OWN / "rccl-four-mesh.xml", default_sources())))
    assert {domain.links for domain in amd.domains} == {"xgmi"}


def in_domains(whole: Topology, *names: str | None) -> Topology:
    """The same with the domains of the first host's GPUs."""
    host = whole.hosts[0]
    gpus = tuple(replace(own, nvlink_domain=n) for own, n in zip(host.gpus, names, strict=True))
    return replace(whole, hosts=(replace(host, gpus=gpus), *whole.hosts[1:]))


def test_a_domain_that_has_no_name_is_called_after_its_host() -> None:
    """What one document calls a domain says nothing to anybody else."""
    whole = in_domains(cluster(1, Kind(numa=1)), *[local_nvlink_domain("0x5")] * 2)
    assert [domain.id for domain in domain_map(whole).domains] == ["n0"]


def test_domains_that_a_gpu_joins_are_not_complete() -> None:
    """A GPU of each joins two domains: not each of their GPUs reaches each other."""
    near, far = Kind(numa=1, switches=1), Kind(numa=1, switches=0)
    hosts = (near.builder("n0").build(), far.builder("n1").build(), far.builder("n2").build())
    whole = in_domains(Topology(hosts), "a", "b")
    others = [
        replace(host, gpus=tuple(replace(own, nvlink_domain=name) for own in host.gpus))
        for host, name in zip(hosts[1:], ("a", "b"), strict=True)
    ]
    (domain,) = domain_map(replace(whole, hosts=(whole.hosts[0], *others))).domains
    assert (domain.id, domain.gpus, domain.complete) == ("a", 6, False)


def test_the_networks_word_on_a_rail_counts_more() -> None:
    whole = cluster(1, leaves=2)
    turned = tuple(replace(rail, number=7 - rail.number) for rail in whole.fabric.rails)
    found = rail_assignments(replace(whole, fabric=replace(whole.fabric, rails=turned)))
    assert [(port.rail, port.stated_by) for port in found.hosts[0].ports] == [
        (7, "network"),
        (6, "network"),
    ]


def test_an_interface_that_host_and_switch_tell_of_is_one_port() -> None:
    host = HostBuilder("n0")
    host.add_port(Port(host.add(Nic(host.add(Numa(id=0)))), "eth0", mbps=100_000))
    cables = tuple(
        Cable(End(EndKind.HOST, "n0", name), End(EndKind.SWITCH, "sw", f"swp{i}"))
        for i, name in enumerate(("eth0", "eth1"))
    )
    found = rail_assignments(Topology((host.build(),), Fabric((Switch("sw"),), cables=cables)))
    (ports,) = (each.ports for each in found.hosts)
    assert [(port.device, port.switch_port) for port in ports] == [
        ("eth0", "swp0"),
        ("eth1", "swp1"),
    ]


def test_rails_of_schedulers() -> None:
    whole = cluster(2, leaves=2)
    found = rail_assignments(whole)
    assert [(each.rail, each.switches) for each in found.rails] == [
        (0, ("leaf0",)),
        (1, ("leaf1",)),
    ]
    port = found.hosts[1].ports[1]
    assert (port.device, port.rail, port.stated_by, port.switch) == (
        "mlx5_1",
        1,
        "network",
        "leaf1",
    )
    assert (port.numa, port.gpus) == (1, ("0000:11:00.0", "0000:12:00.0"))
    assert found.facts() == {"hosts": 2, "net_ports": 4, "rails": 2}
    # Without a network the host's own word, without hosts the network's.
    alone = rail_assignments(Topology(whole.hosts)).hosts[1].ports[1]
    assert (alone.rail, alone.stated_by, alone.switch) == (1, "host", None)
    outside = rail_assignments(Topology(fabric=whole.fabric))
    assert [(p.device, p.rail, p.numa, p.mbps) for p in outside.hosts[0].ports] == [
        ("mlx5_0", 0, None, 400_000),
        ("mlx5_1", 1, None, 400_000),
    ]


def test_they_are_recognised_by_what_they_say() -> None:
    for name, data in written(cluster(1)).items():
        source, _ = reading.understood(Document("x", data), default_sources())
        assert f"{source.name}.json" == name
    turned = re.sub(rb'"format": "([\w-]+)",\n', b"", written(cluster(1))["nvlink-domain-map.json"])
    turned = turned.rstrip()[:-1] + b', "format": "nvlink-domain-map"}'
    assert (
        reading.recognise(Document("x", turned), default_sources()).name == scheduler_views.DOMAINS
    )
    with raises("topology-unknown"):
        read(b'{"format": "something"}')
