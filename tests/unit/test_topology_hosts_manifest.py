"""Other people's files that describe one machine: hwloc, sysfs, lspci, nvidia-smi. All that their
manifest says of them, as numbers; and one machine told by two of them.
"""

import ast
import re
from collections import Counter
from typing import Any

import pytest
from topologies import OTHERS, Entry, counted, entries, number, topology_of

from distos_coll.plugins.manager import default_sources
from distos_coll.sources import archives, cpu_lists
from distos_coll.topology import pci
from distos_coll.topology.model import Gpu, Host, Nic, Numa, NvSwitch, Pci, Port
from distos_coll.topology.reading import Reading, open_document, parse, read
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary

HWLOC = entries("hwloc-xml")
SYSFS = [entry for entry in entries("sysfs") if "lspci" not in entry.name]
LSPCI = [entry for entry in entries("sysfs") if "lspci" in entry.name]
MATRICES = entries("nvidia-smi-topo")
QUERIES = [entry for entry in entries("nvidia-smi-xml") if entry.name.endswith(".xml")]
STATUS = [entry for entry in entries("nvidia-smi-xml") if entry.name.endswith(".txt")]
ALL = [*HWLOC, *SYSFS, *LSPCI, *MATRICES, *QUERIES, *STATUS]

NVIDIA, AMD, MELLANOX = 0x10DE, 0x1002, 0x15B3
ADAPTERS = {0x0200, 0x0207, 0x0C06}
"""What the manifest counts as a NIC's class."""


def reading_of(entry: Entry) -> Reading:
    return read(entry.path, default_sources())


def host_of(reading: Reading) -> Host:
    (host,) = topology_of(reading).hosts
    return host


def nodes(host: Host, kind: type) -> list[Any]:
    return [node for node in host.template.nodes if isinstance(node, kind)]


def listed(text: str, pattern: str) -> Any:
    """The list or dict that stands after a word of a manifest's line."""
    match = re.search(pattern + r" (\[[^\]]*\]|\{[^}]*\})", text)
    return ast.literal_eval(match[1]) if match else None


def of_class(functions: list[Pci], *classes: int) -> list[Pci]:
    return [each for each in functions if (each.pci_class or 0) >> 8 in classes]


@pytest.mark.parametrize("entry", ALL, ids=str)
def test_nothing_is_wrong_and_it_can_be_sent(entry: Entry) -> None:
    reading = reading_of(entry)
    assert reading.format == FORMATS[entry.kind, entry.name.rpartition(".")[2]]
    codes = {finding.code for finding in reading.warnings}
    assert codes == ({"bus-id-twice"} if "wholeio" in entry.name else set())
    write = next(each.write for each in default_sources() if each.name == "host-report")
    assert write is not None
    sent = parse(Document("a", write(topology_of(reading))), default_sources())
    assert sent.found.content == reading.found.content


FORMATS = {
    ("hwloc-xml", "xml"): "hwloc-xml",
    ("sysfs", "gz"): "sysfs",
    ("sysfs", "bz2"): "sysfs",
    ("sysfs", "ttar"): "sysfs",
    ("sysfs", "txt"): "lspci",
    ("nvidia-smi-topo", "txt"): "nvidia-smi-topo",
    ("nvidia-smi-xml", "xml"): "nvidia-smi-xml",
    ("nvidia-smi-xml", "txt"): "nvidia-smi-nvlink",
}


@pytest.mark.parametrize("entry", HWLOC, ids=str)
def test_hwloc(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host, found = host_of(reading), summary(reading)
    version = dict(topology_of(reading).extra)["hwloc:version"]
    assert f"hwloc XML version {version[0]}." in said
    template = host.template
    assert (template.packages, template.cores, template.threads) == tuple(
        number(said, rf"{name} (\d+)") for name in ("packages", "cores", "PUs")
    )
    assert found["numa_nodes"] == number(said, r"NUMA (\d+)")
    functions = nodes(host, Pci)
    assert found["pci_functions"] == number(said, r"PCI devices (\d+)")
    bridges = sum(pci.is_bridge(each.pci_class) for each in functions)
    assert len(functions) - bridges == found["pci_functions"]
    gpus = [each for each in functions if pci.is_gpu(each.pci_class)]
    assert len(gpus) == number(said, r"GPU-class PCI (\d+)") == found["gpus"]
    vendors = Counter(each.vendor for each in gpus)
    assert vendors[NVIDIA] == number(said, r"\(NVIDIA (\d+)")
    assert vendors[AMD] == number(said, r"AMD (\d+)\)")
    assert len(of_class(functions, *ADAPTERS)) == number(said, r"NIC-class PCI (\d+)")
    switches = of_class(functions, 0x0680)
    assert len(switches) == number(said, r"NVSwitch PCI (\d+)")
    assert len(nodes(host, NvSwitch)) == (number(said, r"(\d+) NVSwitches \(") or len(switches))


@pytest.mark.parametrize("entry", HWLOC, ids=str)
def test_devices_that_hwloc_names(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host = host_of(reading)
    rdma, net = listed(said, "OpenFabrics"), listed(said, "net")
    ports = nodes(host, Port)
    assert sorted({port.name for port in ports}) == sorted({*rdma, *net})
    assert {port.name for port in ports if port.kind == "netdev"} <= set(net)
    assert set(rdma) <= {port.name for port in ports if port.kind == "net"}
    assert not any(port.virtual for port in ports)
    names = [name for function in nodes(host, Pci) for name in function.os_names]
    for start, count in listed(said, "accelerator").items():
        assert sum(name.startswith(start) for name in names) == count
    matrices = re.search(r"distance matrices (\[.*?\)\])", said)
    expected = ast.literal_eval(matrices[1]) if matrices else []
    found = host.template.distances
    if matrices:
        assert [(each.name, str(len(each.nodes))) for each in found] == [
            (kind if name.isdecimal() else name, size) for name, size, kind in expected
        ]


def test_every_gpu_of_a_dgx2_has_six_links_to_its_board() -> None:
    for entry in HWLOC:
        if "DGX2" not in entry.name:
            continue
        host = host_of(reading_of(entry))
        template = host.template
        for gpu in template.gpus:
            links = template.links_of[gpu]
            assert [link.gbps for link in links] == [25.0] * 6
            assert all(isinstance(template.nodes[link.target], NvSwitch) for link in links)
        boards = {frozenset(link.target for link in template.links_of[g]) for g in template.gpus}
        assert sorted(map(len, boards)) == [6, 6]
        assert summary(reading_of(entry))["nvlink_pairs"] == 120


LEFT_OUT = {
    "hwloc-32em64t-2n8c+dax+nvme+mic+dimms.tar.bz2": {"br0", "eth0.1015", "lo", "mic0", "scif0"},
    "hwloc-40intel64-2g2n4c+pcilocality.tar.bz2": {"lo"},
}
"""Bridges, VLANs, software: no adapters."""


@pytest.mark.parametrize("entry", SYSFS, ids=str)
def test_sysfs(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host, found = host_of(reading), summary(reading)
    document = open_document(entry.path)
    if entry.name.endswith("ttar"):
        assert archives.read_ttar(document).added == number(said, r"entries (\d+)")
        assert found["pci_functions"] == number(said, r"sys/bus/pci/devices (\d+)")
    else:
        assert archives.read_tar(document).added == number(said, r"archive members (\d+)")
        assert found["numa_nodes"] == number(said, r"NUMA nodes (\d+)")
        assert found["pci_functions"] == number(said, r"bus/pci/devices entries (\d+)")
        assert found["pci_functions"] == number(said, r"readable class file (\d+)")
        assert found["pci_bridges"] == number(said, r"bridges (\d+)")
        functions = nodes(host, Pci)
        assert found["gpus"] == number(said, r"GPU-class (\d+)")
        assert len(of_class(functions, *ADAPTERS)) == number(said, r"NIC-class (\d+)")
    rdma, net = listed(said, "infiniband"), listed(said, "net")
    names = {port.name for port in nodes(host, Port)}
    assert names == {*rdma, *net} - LEFT_OUT.get(entry.name, set())


def test_rates_and_states_of_infiniband() -> None:
    by_name = {entry.name: host_of(reading_of(entry)) for entry in SYSFS}
    ports = nodes(by_name["gpud-sys-class-infiniband-h100.tar.gz"], Port)
    assert counted((port.layer, port.mbps, port.state) for port in ports) == {
        ("InfiniBand", 400_000, "ACTIVE"): 8,
        ("Ethernet", 200_000, "ACTIVE"): 1,
    }
    fixtures = by_name["procfs-fixtures.ttar"]
    rates = {(port.name, port.port): port.mbps for port in nodes(fixtures, Port)}
    assert rates["hfi1_0", 1] == 100_000
    assert rates["mlx4_0", 1] == rates["mlx4_0", 2] == 40_000
    (second,) = (port for port in nodes(fixtures, Port) if port.port == 2)
    assert second.layer == "InfiniBand"


SAME = [
    (entry, OTHERS / "hwloc-xml" / f"hwloc-v3-{entry.name[6:].partition('.tar')[0]}.xml")
    for entry in SYSFS
    if (OTHERS / "hwloc-xml" / f"hwloc-v3-{entry.name[6:].partition('.tar')[0]}.xml").exists()
]


@pytest.mark.parametrize(("entry", "twin"), SAME, ids=lambda value: str(value).rpartition("/")[2])
def test_a_machine_is_the_same_in_sysfs_and_in_hwlocs_words(entry: Entry, twin: Any) -> None:
    ours, theirs = host_of(reading_of(entry)), host_of(read(twin, default_sources()))
    for name in ("packages", "cores", "threads"):
        assert getattr(ours.template, name) == getattr(theirs.template, name)
    a, b = ({node.id: node for node in nodes(host, Numa)} for host in (ours, theirs))
    assert {i: node.cpus for i, node in a.items()} == {i: node.cpus for i, node in b.items()}
    assert {i: node.package for i, node in a.items()} == {i: node.package for i, node in b.items()}
    hung, theirs_hung = near(ours), near(theirs)
    for bus_id, (pci_class, vendor, numa) in hung.items():
        assert theirs_hung[bus_id][:2] == (pci_class, vendor)
        # hwloc was told to put a whole bus near two nodes.
        assert theirs_hung[bus_id][2] in {numa, None}
    assert {(p.name, p.kind) for p in nodes(ours, Port)} == {
        (p.name, p.kind) for p in nodes(theirs, Port)
    }
    latencies = [next(iter(host.template.distances), None) for host in (ours, theirs)]
    assert latencies[0] is None or len(latencies[0].values) == 1 or latencies[0] == latencies[1]


def near(host: Host) -> dict[str, tuple[int | None, int | None, int | None]]:
    """Class and vendor of each function, and the NUMA node that it hangs under."""
    found: dict[str, tuple[int | None, int | None, int | None]] = {}
    for i in host.template.pci:
        numa = host.template.numa_of(i)
        node = host.template.nodes[numa] if numa >= 0 else None
        function = host.template.nodes[i]
        assert isinstance(function, Pci)
        pci_class = (function.pci_class or 0) >> 8
        found[function.bus_id] = (
            pci_class,
            function.vendor,
            node.id if isinstance(node, Numa) else None,
        )
    return found


@pytest.mark.parametrize("entry", LSPCI, ids=str)
def test_lspci(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host = host_of(reading)
    assert summary(reading)["pci_functions"] == number(said, r"lines (\d+)")
    functions = nodes(host, Pci)
    gpus = [each for each in functions if pci.is_gpu(each.pci_class)]
    assert sum(each.vendor == NVIDIA for each in gpus) == number(said, r"3D/VGA functions (\d+)")
    assert len(nodes(host, NvSwitch)) == number(said, r"\(NVSwitch\) (\d+)")
    adapters = [each for each in functions if each.vendor == MELLANOX]
    assert len(adapters) == number(said, r"InfiniBand functions (\d+)") == len(nodes(host, Nic))


@pytest.mark.parametrize("entry", MATRICES, ids=str)
def test_matrices(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host, found = host_of(reading), summary(reading)
    assert found["gpus"] == number(said, r"GPUs (\d+)")
    assert found["nics"] == found["net_ports"] == number(said, r"NICs (\d+)")
    pairs = listed(said, "GPU pairs")
    assert counted(between(host).values()) == pairs
    assert found["nvlink_pairs"] == sum(n for path, n in pairs.items() if path.startswith("NV"))
    summed = listed(said, "NVLinks summed per GPU")
    totals = {
        sum(link.count or 0 for link in host.template.links_of[gpu]) for gpu in host.template.gpus
    }
    if summed is not None:
        assert sorted(totals) == summed
    elif "links of the GPU" in said or "all-to-all" in said:
        assert totals == {number(said, r"all-to-all NV(\d+)")}
        assert len(host.template.nvswitches) == 1
    affinities = {affinity(text) for text in listed(said, "affinity")}
    assert {(node.cpus, node.id) for node in nodes(host, Numa)} == affinities - {(None, None)}
    expected = re.findall(r"GPU(\d+):([\w+]+)\((\w+)\)", said)
    assert [(str(i), *nearest(host, i)) for i in range(len(expected))] == expected


def affinity(text: str) -> tuple[int | None, int | None]:
    cpus, numa = (*text.split(), "", "")[:2]
    return cpu_lists.from_list(cpus) if cpus else None, int(numa) if numa.isdecimal() else None


def between(host: Host) -> dict[tuple[int, int], str]:
    """What the matrix has for each pair of GPUs, put together again from the model."""
    template = host.template
    found = {}
    paths = {(relation.a, relation.b): relation.path for relation in template.relations}
    for i, a in enumerate(template.gpus):
        for b in template.gpus[i + 1 :]:
            counts = [
                link.count
                for link in template.links_of[a]
                if link.target == b or isinstance(template.nodes[link.target], NvSwitch)
            ]
            found[a, b] = f"NV{counts[0]}" if counts else paths[a, b]
    return found


def nearest(host: Host, gpu: int) -> tuple[str, str]:
    template = host.template
    words = ["PIX", "PXB", "PHB", "NODE", "SYS"]
    ways = [
        (words.index(relation.path), relation.b)
        for relation in template.relations
        if relation.a == template.gpus[gpu] and relation.b in template.ports
    ]
    best = min(rank for rank, _ in ways)
    names = []
    for rank, port in ways:
        node = template.nodes[port]
        if rank == best and isinstance(node, Port):
            names.append(dict(node.extra).get("nvidia-smi:column", node.name))
    return "+".join(names), words[best]


@pytest.mark.parametrize("entry", QUERIES, ids=str)
def test_queries(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host, found = host_of(reading), summary(reading)
    assert f"driver {found['driver_version']};" in said
    gpus, functions = nodes(host, Gpu), nodes(host, Pci)
    assert len(gpus) == number(said, r"GPUs (\d+)")
    assert sorted({gpu.name for gpu in gpus}) == listed(said, r"GPUs \d+")
    spelt = [f"0000{function.bus_id.upper()}" for function in functions]
    assert spelt == listed(said, "bus ids")
    generations = {"3": 8.0, "4": 16.0, "5": 32.0}
    expected = {generations[each] for each in listed(said, "max PCIe gen")}
    assert {function.transfers for function in functions} == expected
    assert {f"{function.width}x" for function in functions} == set(listed(said, "width"))
    cluster, clique = listed(said, "clusterUuid")[0], listed(said, "cliqueId")[0]
    domains = {own.nvlink_domain for own in host.gpus}
    whole = cluster != "N/A" and cluster.strip("0-")
    assert domains == ({f"{cluster}.{clique}"} if whole else {None})
    assert found["nvlink_pairs"] == (6 if whole else 0)


@pytest.mark.parametrize("entry", STATUS, ids=str)
def test_status_of_links(entry: Entry) -> None:
    reading, said = reading_of(entry), entry.must_report
    host = host_of(reading)
    assert len(nodes(host, Gpu)) == number(said, r"GPUs (\d+)")
    assert summary(reading)["nvlinks_active"] == number(said, r"active links (\d+)")
    links = host.template.links
    assert {link.count for link in links} == {number(said, r"links per GPU (\d+)")}
    assert {f"{link.gbps:g} GB/s" for link in links} == set(listed(said, "at"))
    assert all(own.uuid and own.uuid.startswith("GPU-") for own in host.gpus)
