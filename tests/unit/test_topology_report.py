"""What a node says of itself: sent, put together with the others', read back equal."""

import gzip
import json
import math
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any

import pytest
from error_page import raises
from fake_machine import server
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN, read_own, read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import report
from distos_coll.topology.fabric import Fabric, Switch
from distos_coll.topology.findings import Finding
from distos_coll.topology.model import (
    Distances,
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
    Relation,
    Topology,
)
from distos_coll.topology.reading import parse, read
from distos_coll.topology.report import pack, unpack
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary

EXTRA = (("mine:a", "1"), ("mine:b", "\u00e9\n\ud800"))
FULL = HostTemplate(
    nodes=(
        Numa(-1, 0, 1 << 200, "arm64", "v", 1, 2, 3, 4, EXTRA),
        Pci(0, "0000:01:00.0", 1, 2, 3, 4, 5, 2.5, 16, 15.75, ("eth0", "mlx5_0"), EXTRA),
        Gpu(1, 0, 90, "H100", 1, "gfx942", True, 2, implied=True, extra=EXTRA),
        Nic(1, implied=True, extra=EXTRA),
        Port(3, "mlx5_0", "gin", 1, 2, 3, 1.5, 4, 5, False, True, "l", "s", True, EXTRA),
        NvSwitch("0000:02:00.0", 1, EXTRA),
    ),
    links=(Link(LinkKind.C2C, 2, 0, 1, 44.7, "n", 7, EXTRA), Link(LinkKind.XGMI, 2)),
    relations=(Relation(2, 4, "PXB"),),
    distances=(Distances("NUMALatency", ("0", "1"), (1.0, 2.5, 1e300, 0.1)),),
    packages=1,
    cores=2,
    threads=4,
    extra=EXTRA,
)
WHOLE = Topology(
    (
        Host(
            "node7",
            FULL,
            (GpuId("GPU-1", 3, "rack.1", EXTRA),),
            (PortId("0c42:a103", 7, ("fe80::1",), EXTRA),),
            "0xabc",
            ("mgmt-7",),
            made_up=True,
        ),
        Host("node8", HostTemplate()),
    ),
    extra=EXTRA,
)


def test_every_field_arrives() -> None:
    """Each of the model's fields has another value than its default here."""
    for kind, value in [
        *((type(node), node) for node in FULL.nodes),
        (Link, FULL.links[0]),
        (GpuId, WHOLE.hosts[0].gpus[0]),
        (PortId, WHOLE.hosts[0].ports[0]),
        (HostTemplate, FULL),
        (Host, WHOLE.hosts[0]),
    ]:
        for each in fields(kind):
            if each.default is not MISSING and (kind, each.name) != (Numa, "parent"):
                assert getattr(value, each.name) != each.default, (kind, each.name)
    topology, findings = unpack(Document("a", pack(WHOLE)))
    assert (topology, findings) == (WHOLE, ())


def test_it_is_canonical() -> None:
    """Equal hosts are equal bytes, of ASCII alone, whatever order they were made in."""
    data = pack(WHOLE)
    assert pack(unpack(Document("a", data))[0]) == data
    assert data.isascii()
    assert data.startswith(b'{"distos_host_report":1,')
    head, template, *_ = data.splitlines()
    for line in (head, template):
        own = json.loads(line)
        assert json.dumps(own, sort_keys=True, separators=(",", ":")).encode() == line
    assert json.loads(template)["nodes"][0]["cpus"] == hex(1 << 200)


def test_findings_go_along() -> None:
    found = (Finding("vanished", "is not there", "/sys/a"), Finding("a", "b"))
    topology, findings = unpack(Document("a", pack(WHOLE, found)))
    assert (topology, findings) == (WHOLE, found)


def test_this_machine_is_sent_and_read_back_equal() -> None:
    discover = next(source.discover for source in default_sources() if source.name == "sysfs")
    assert discover is not None
    found = discover()
    content = found.content
    assert isinstance(content, Topology)
    data = pack(content, found.warnings)
    assert unpack(Document("a", data)) == (content, found.warnings)
    assert len(data) < 1 << 16
    reading = parse(Document("a", data), default_sources())
    assert reading.format == "host-report"
    assert summary(reading)["hosts"] == 1


@pytest.mark.parametrize("name", sorted(path.name for path in OWN.glob("*ccl-*.xml")))
def test_hosts_of_any_source(name: str) -> None:
    content = topology_of(read_own(name))
    assert unpack(Document("a", pack(content)))[0] == content


def test_reports_of_all_nodes_are_put_together_by_joining_them(tmp_path: Path) -> None:
    machines = [server(tmp_path / name) for name in ("a", "b", "c")]
    hosts = []
    for i, machine in enumerate(machines):
        machine.file("proc/sys/kernel/hostname", f"node{i}")
        hosts.append(machine.host())
    path = tmp_path / "all"
    path.write_bytes(b"".join(pack(Topology((host,))) for host in hosts))
    topology = topology_of(read(path, default_sources()))
    assert topology.hosts == tuple(hosts)
    assert len(topology.templates) == 1
    assert path.read_bytes() == pack(topology)


def test_two_thousand_hosts_are_one_template() -> None:
    host = topology_of(read_own("nccl-eight-switched.xml")).hosts[0]
    hosts = tuple(replace(host, name=f"n{i}") for i in range(2048))
    (host, *_), one = unpack(Document("a", pack(Topology(hosts))))[0].hosts, host.template
    topology = unpack(Document("a", pack(Topology(hosts))))[0]
    assert topology.hosts == hosts
    assert (len(topology.templates), host.template) == (1, one)
    assert sum(len(host.gpus) for host in topology.hosts) == 16384


def write(topology: Topology) -> bytes:
    found = next(source.write for source in default_sources() if source.name == "host-report")
    assert found is not None
    return found(topology)


def test_what_cannot_be_written() -> None:
    assert unpack(Document("a", write(WHOLE)))[0] == WHOLE
    with raises("report-network"):
        write(Topology(WHOLE.hosts, Fabric((Switch("leaf"),))))
    with raises("report-no-host"):
        write(Topology())


HEAD = {"distos_host_report": 1, "name": "n", "gpus": [], "ports": []}


def lines(head: Any = HEAD, template: Any = "{}") -> bytes:
    texts = (text if isinstance(text, str) else json.dumps(text) for text in (head, template))
    return "\n".join(texts).encode() + b"\n"


def own_ports(**fields: Any) -> bytes:
    return lines({**HEAD, "ports": [fields]})


def node(**fields: Any) -> bytes:
    return lines(template={"nodes": [fields]})


def gpu(**fields: Any) -> bytes:
    return node(**{"is": "gpu", "parent": -1, **fields})


def template(of: str, **fields: Any) -> bytes:
    return lines(template={of: [fields]})


def matrix(values: list[Any]) -> bytes:
    return template("distances", name="a", nodes=["0"], values=values)


@pytest.mark.parametrize(
    ("row", "data", "match"),
    [
        ("report-short", b"{}", "a:1"),
        ("report-short", lines() + b"{}\n", "a:3"),
        ("report-version", lines({**HEAD, "distos_host_report": 2}), "version 2.*reads version 1"),
        ("report-version", lines({**HEAD, "distos_host_report": "1"}), "version 1"),
    ],
)
def test_refused(row: str, data: bytes, match: str) -> None:
    with raises(row, match):
        unpack(Document("a", data))


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (lines("{"), "a:1: no JSON"),
        (lines(template="[" * 100_000), "a:2: no JSON"),
        (lines(template='{"threads":NaN}'), "NaN is no number"),
        (lines(template="1" * 5000), "a:2: "),
        (lines([]), "a:1: expected an object"),
        (lines({"distos_host_report": 1}), "a:1: name: it is missing"),
        (lines({**HEAD, "name": 1}), "name: expected text"),
        (lines({**HEAD, "name": "n" * 70_000}), "name: expected text"),
        (lines({**HEAD, "colour": 1}), "colour: no field of version 1"),
        (lines({**HEAD, "findings": [["a", "b"]]}), r"findings\[0\]: expected three texts"),
        (lines({**HEAD, "gpus": [{}]}), "gpus: 1 of them, and 0 in the template"),
        (lines({**HEAD, "gpus": [{"rank": True}]}), r"gpus\[0\].rank: expected a whole number"),
        (own_ports(addresses="a"), r"ports\[0\].addresses: expected a list"),
        (own_ports(extra=[["a"]]), "expected two texts"),
        (node(**{"is": "cpu"}), r"a:2: nodes\[0\].is: expected one of numa"),
        (node(**{"is": []}), "expected one of numa"),
        (lines(template={"nodes": [1]}), "expected one of numa"),
        (node(**{"is": "pci", "parent": -1}), "bus_id: it is missing"),
        (gpu(parent=0), "parent: expected the index of a node before it"),
        (gpu(parent=-2), "parent: expected the index"),
        (gpu(sm=1 << 63), "sm: expected a whole number"),
        (gpu(gdr=1), "gdr: expected true or false"),
        (
            node(**{"is": "pci", "parent": -1, "bus_id": "a", "device": -1}),
            "device: .* not negative",
        ),
        (node(**{"is": "numa", "cpus": "x"}), "cpus: expected a set of CPUs"),
        (node(**{"is": "numa", "cpus": "-1"}), "cpus: expected a set of CPUs"),
        (node(**{"is": "numa", "cpus": "f" * 17_000}), "cpus: expected a set of CPUs"),
        (template("links", kind="nvlink", source=0), "source: expected the index"),
        (template("links", kind="rope", source=0), "kind: expected one of nvlink"),
        (template("relations", a=0, b=0, path="PIX"), "a: expected the index"),
        (matrix([]), r"distances\[0\]: expected a square"),
        (matrix(["1"]), r"values\[0\]: expected a number"),
        (matrix([1e999]), "no number|expected a number"),
    ],
)
def test_values_refused(data: bytes, match: str) -> None:
    with raises("report-value", match):
        unpack(Document("a", data))


def test_more_gpus_than_any_host_has() -> None:
    gpus = [{"is": "gpu", "parent": -1}] * 1025
    data = lines({**HEAD, "gpus": [{}] * 1025}, {"nodes": gpus})
    with raises("topology-many", "1,025 Gpu"):
        unpack(Document("a", data))


def chain(length: int) -> list[dict[str, Any]]:
    """PCI functions below each other."""
    return [{"is": "pci", "parent": i - 1, "bus_id": f"{i:04x}:00:00.0"} for i in range(length)]


def test_nodes_below_each_other() -> None:
    deep = lines(HEAD, {"nodes": chain(101)})
    with raises("model-depth", r"a:2: n: nodes\[100\]: "):
        unpack(Document("a", deep))
    content, _ = unpack(Document("a", lines(HEAD, {"nodes": chain(100)})))
    assert len(content.hosts[0].template.nodes) == 100


@pytest.mark.parametrize(
    "node",
    [
        NvSwitch("x" * 65_537),
        Numa(id=1 << 63),
        Numa(extra=(("a", "x" * 65_537),)),
        Pci(-1, "0000:01:00.0", gbps=math.inf),
    ],
)
def test_what_no_reader_takes_is_not_written(node: Any) -> None:
    with raises("report-large"):
        pack(Topology((Host("a", HostTemplate((node,))),)))


def test_a_packed_report_is_a_report(tmp_path: Path) -> None:
    path = tmp_path / "node7"
    path.write_bytes(gzip.compress(pack(WHOLE)))
    assert read(path, default_sources()).found.content == WHOLE


TEXTS = st.text(max_size=6)
NUMBERS = st.integers(-(1 << 62), 1 << 62)
REALS = st.floats(allow_nan=False, allow_infinity=False)
EXTRAS = st.lists(st.tuples(TEXTS, TEXTS), max_size=2).map(tuple)


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


NODES = st.lists(
    st.one_of(
        st.builds(Numa, id=maybe(NUMBERS), cpus=maybe(st.integers(0, 1 << 300)), extra=EXTRAS),
        st.builds(Pci, st.just(-1), TEXTS, gbps=maybe(REALS), os_names=st.tuples(TEXTS, TEXTS)),
        st.builds(Nic, st.just(-1), st.booleans(), EXTRAS),
        st.builds(NvSwitch, TEXTS, extra=EXTRAS),
    ),
    max_size=6,
).map(tuple)


@given(NODES, EXTRAS, TEXTS)
def test_any_host_arrives(nodes: Any, extra: Any, name: str) -> None:
    topology = Topology((Host(name, HostTemplate(nodes, extra=extra)),))
    assert unpack(Document("a", pack(topology)))[0] == topology


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 20),
            st.binary(max_size=6)
            | st.sampled_from([b"null", b"{}", b"-1", b"[", b'"', b"\n", b"1e9"]),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_a_damaged_report_is_read_or_refused(cuts: list[tuple[float, int, bytes]]) -> None:
    data = pack(WHOLE)
    for where, length, put in cuts:
        at = int(where * len(data))
        data = data[:at] + put + data[at + length :]
    try:
        summary(read_text(data, "a"))
    except TopologyError:
        return


VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, -1, 0, 1 << 70, 1.5, "", "x", [], [[]], {}, [1], ["a", "b"]]
)


@given(st.data())
def test_values_of_any_type(data: st.DataObject) -> None:
    """The JSON stays whole, so that more of the reader is reached."""
    head, template = (json.loads(line) for line in pack(WHOLE).splitlines()[:2])
    places = [head, template, *template["nodes"], *template["links"]]
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places))
        place[data.draw(st.sampled_from(sorted(place)))] = data.draw(VALUES)
    try:
        topology, _ = unpack(Document("a", lines(head, template)))
    except TopologyError:
        return
    assert unpack(Document("a", pack(topology)))[0] == topology


def test_fields_have_decoders() -> None:
    """A new type of a field is named here first."""
    kinds: list[Any] = [*report._NODES.values(), Link, Relation, Distances, GpuId, PortId]
    for kind in kinds:
        assert set(report._decoders(kind)) == {each.name for each in fields(kind)}
