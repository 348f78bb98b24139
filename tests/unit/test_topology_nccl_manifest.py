"""Other people's NCCL and RCCL files: all that their manifest says of them, as numbers."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from error_page import raises
from topologies import Entry, counted, counts, entries, number, read_text, topology_of

from distos_coll.api import NcclGraphs
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import nvlink, pci
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    Host,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    NvSwitch,
    Pci,
    Port,
    Topology,
)
from distos_coll.topology.reading import Reading, read
from distos_coll.topology.summary import summary

ENTRIES = entries("nccl-xml", "rccl-xml")
REFUSED = {"flagcx-topo_demo.xml": "nccl-no-cpu"}
READ = [entry for entry in ENTRIES if entry.name not in REFUSED]


@pytest.fixture(params=READ, ids=str)
def entry(request: pytest.FixtureRequest) -> Entry:
    found: Entry = request.param
    return found


@pytest.fixture
def reading(entry: Entry) -> Reading:
    return read(entry.path, default_sources())


def nodes(topology: Topology, kind: type) -> Iterator[tuple[HostTemplate, int, Any]]:
    for host in topology.hosts:
        for i, node in enumerate(host.template.nodes):
            if isinstance(node, kind):
                yield host.template, i, node


def stated_gpus(topology: Topology) -> list[tuple[HostTemplate, int, Gpu]]:
    return [found for found in nodes(topology, Gpu) if not found[2].implied]


def gpu_links(topology: Topology) -> Iterator[tuple[int, HostTemplate, Link]]:
    for h, host in enumerate(topology.hosts):
        for link in host.template.links:
            if link.kind in {LinkKind.NVLINK, LinkKind.XGMI}:
                yield h, host.template, link


@pytest.mark.parametrize("entry", [e for e in ENTRIES if e.name in REFUSED], ids=str)
def test_refused(entry: Entry) -> None:
    with raises(REFUSED[entry.name], re.escape(str(entry.path))):
        read(entry.path, default_sources())


def test_devices(entry: Entry, reading: Reading) -> None:
    topology, said = topology_of(reading), entry.must_report
    found = summary(reading)
    assert reading.format == entry.kind
    assert found["hosts"] == (number(said, r"on (\d+) hosts") or 1)
    assert found["numa_nodes"] == number(said, r"cpu\(NUMA\) nodes (\d+)")
    assert len(stated_gpus(topology)) == number(said, r"<gpu> (\d+)")
    functions = [function for _, _, function in nodes(topology, Pci)]
    assert sum(pci.is_gpu(f.pci_class) for f in functions) == number(said, r"GPU-class PCI (\d+)")
    assert sum(pci.is_nic(f.pci_class) for f in functions) == number(said, r"NIC-class PCI (\d+)")
    assert sum(pci.is_bridge(f.pci_class) for f in functions) == number(said, r"bridges (\d+)")
    unclassed = sum(f.pci_class is None for f in functions)
    assert unclassed == (number(said, r"PCI nodes without class (\d+)") or 0)
    assert found["gpus"] == number(said, r"GPU-class PCI (\d+)")
    if "GPUs per cpu" in said:
        per_cpu = re.search(r"GPUs per cpu ([\d,]*\d)", said)
        assert per_cpu is not None
        assert [str(n) for n in gpus_per_numa(topology)] == per_cpu[1].split(",")


def gpus_per_numa(topology: Topology) -> list[int]:
    found = []
    for host in topology.hosts:
        at = Counter(host.template.numa_of(gpu) for gpu in host.template.devices)
        found += [at[numa] for numa in host.template.numa]
    return found


def test_ports(entry: Entry, reading: Reading) -> None:
    topology, said = topology_of(reading), entry.must_report
    ports = [port for _, _, port in nodes(topology, Port)]
    assert len(ports) == number(said, r"<net> (\d+)")
    assert len({port.name for port in ports}) == number(said, r"\((\d+) distinct names")
    speeds = re.search(r"speeds ([\dx, ]+\d)", said)
    if speeds:
        expected = dict(pair.split("x") for pair in speeds[1].split(", "))
        assert {str(k): str(v) for k, v in counted(p.mbps for p in ports).items()} == expected
    found = summary(reading)
    on_cards = number(said, r"NIC-class PCI (\d+)")
    assert found["nics"] == ADAPTERS.get(entry.name, on_cards)
    if all(not port.virtual for port in ports):
        assert found["net_ports"] == len(ports)


ADAPTERS = {
    "azure-nc48v4-topo.xml": 1,  # eth0, which a virtual machine shows without a PCI function
    "gvisor-b200vm-a-topo.xml": 10,  # GUIDs, all at host bridges
}
"""Where they are not the PCI functions of a NIC's class."""


def test_links(entry: Entry, reading: Reading) -> None:
    topology, said = topology_of(reading), entry.must_report
    per_gpu: Counter[tuple[int, int]] = Counter()
    targets, one_way = set(), Counter[frozenset[tuple[int, int]]]()
    for h, template, link in gpu_links(topology):
        per_gpu[h, link.source] += link.count or 0
        target = template.nodes[link.target]
        if isinstance(target, NvSwitch):
            targets.add(target.bus_id)
        elif isinstance(target, Gpu):
            one_way[frozenset({(h, link.source), (h, link.target)})] += link.count or 0
    stated = re.search(r"links per GPU \[([\d, ]+)\] on (\d+) of (\d+)", said)
    assert bool(stated) == bool(per_gpu)
    if stated:
        assert sorted(set(per_gpu.values())) == [int(n) for n in stated[1].split(", ")]
        assert (len(per_gpu), len(stated_gpus(topology))) == (int(stated[2]), int(stated[3]))
    switches = re.search(r"switch targets (\d+) \(([^)]*)\)", said)
    assert sorted(targets) == (switches[2].split(", ") if switches else [])
    bundles = counts(said, r"direct pairs \d+ by links\(one way\)") or {}
    assert counted(count // 2 for count in one_way.values()) == bundles
    found = summary(reading)
    direct = number(said, r"direct pairs (\d+)") or 0
    gpus = len(per_gpu)
    assert found["nvlink_pairs"] == (gpus * (gpus - 1) // 2 if targets else direct)
    domains = found["nvlink_domains"]
    assert sum(map(len, domains)) == gpus
    assert all(len(domain) > 1 for domain in domains)
    if targets:
        assert len(domains) == 1


def test_generations(entry: Entry, reading: Reading) -> None:
    topology, said = topology_of(reading), entry.must_report
    gpus = [gpu for _, _, gpu in stated_gpus(topology)]
    for name, values in (
        ("sm", {str(gpu.sm) for gpu in gpus}),
        ("gcn", {gpu.gcn for gpu in gpus if gpu.gcn}),
    ):
        expected = re.search(rf"\b{name} \[([^\]]*)\]", said)
        assert values == (set(re.findall(r"'(\w+)'", expected[1])) if expected else set())
    coherent = [
        link for host in topology.hosts for link in host.template.links if link.kind is LinkKind.C2C
    ]
    assert len(coherent) == (number(said, r"c2c on (\d+) GPUs") or 0)
    assert {link.gbps for link in coherent} <= {44.712}
    assert {link.count for link in coherent} <= {5}


def test_nearness_of_nics(entry: Entry, reading: Reading) -> None:
    """NICs that share the longest path of PCI functions with a GPU, under the same NUMA node."""
    expected = counts(entry.must_report, "NICs sharing the deepest PCI bridge with each GPU")
    found = [n for host in topology_of(reading).hosts for n in near_nics(host)]
    assert counted(found) == (expected or {})


def near_nics(host: Host) -> Iterator[int]:
    """Ports, where the file has any, else adapters."""
    template = host.template
    for gpu in template.devices:
        shared = [
            common(path(template, gpu), path(template, nic))
            for nic in template.ports or template.nics
            if template.numa_of(nic) == template.numa_of(gpu)
        ]
        most = max(shared, default=0)
        yield shared.count(most) if most else 0


def path(template: HostTemplate, node: int) -> list[str]:
    above = [template.nodes[i] for i in template.ancestors(node)]
    return [function.bus_id for function in reversed(above) if isinstance(function, Pci)]


def common(a: list[str], b: list[str]) -> int:
    return next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )


CONTRADICTIONS = {
    "gb300-nvl72-1tray.xml": {"host-hash"},
    "gb300-nvl72-2tray-fused.xml": {"host-hash"},
    "topo_4p4h.xml": {"bus-id-twice"},
    "topo_8p1h_1.xml": {"bus-id-twice"},
    "topo_4p_940.xml": {"port-speed"},
    "topo_8p_rome_n2_1.xml": {"port-number"},
}


def test_contradictions(entry: Entry, reading: Reading) -> None:
    found = {finding.code for finding in reading.warnings}
    assert found == CONTRADICTIONS.get(entry.name, set())


def test_fused_hosts_are_one_domain(entry: Entry, reading: Reading) -> None:
    topology = topology_of(reading)
    if len(topology.hosts) > 1:
        (domain,) = nvlink.domains(topology)
        assert {h for h, _ in domain} == set(range(len(topology.hosts)))


GRAPHS = entries("nccl-graph")


@pytest.mark.parametrize("entry", GRAPHS, ids=str)
def test_graphs(entry: Entry) -> None:
    reading = read(entry.path, default_sources())
    assert reading.format == entry.kind
    assert reading.warnings == ()
    content = reading.found.content
    assert isinstance(content, NcclGraphs)
    stated = re.findall(
        r"id (\d+) pattern (\d+) nchannels=(\d+) \((\d+) listed, gpus per channel \[(\d+)\]\)",
        entry.must_report,
    )
    assert stated
    found = [
        (g.id, g.pattern, g.channel_count, len(g.channels), *{len(c) for c in g.channels})
        for g in content.graphs
    ]
    assert found == [tuple(map(int, row)) for row in stated]
    write = next(s.write for s in default_sources() if s.name == reading.format)
    assert write is not None
    assert canonical(ET.fromstring(write(content))) == canonical(ET.parse(entry.path).getroot())


def canonical(element: ET.Element) -> object:
    return element.tag, element.attrib, [canonical(child) for child in element]


def test_what_is_written_is_what_was_read(entry: Entry, reading: Reading) -> None:
    write = next(s.write for s in default_sources() if s.name == reading.format)
    assert write is not None
    again = write(topology_of(reading))
    assert canonical(ET.fromstring(again)) == canonical(ET.parse(entry.path).getroot())
    assert read_text(again).found.content == reading.found.content


def test_nothing_hangs_in_the_air(reading: Reading) -> None:
    for template in topology_of(reading).templates:
        for i, node in enumerate(template.nodes):
            assert node.parent == NOWHERE or 0 <= node.parent < i
            if isinstance(node, Nic | Port):
                assert node.parent != NOWHERE
