"""hwloc's XML of all versions, and the text of lspci."""

from typing import Any

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.sources import lspci
from distos_coll.topology import xml_tree
from distos_coll.topology.model import (
    NOWHERE,
    Distances,
    Gpu,
    GpuId,
    Host,
    Link,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    PortId,
)
from distos_coll.topology.source import Document
from distos_coll.topology.summary import summary
from distos_coll.topology.xml_text import render


def element(kind: str, inside: str = "", **attributes: object) -> str:
    texts = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<object type="{kind}"{texts}>{inside}</object>'


def info(**values: object) -> str:
    return "".join(f'<info name="{name}" value="{value}"/>' for name, value in values.items())


def function(bus_id: str, kind: str, inside: str = "", **more: object) -> str:
    return element("PCIDev", inside, pci_busid=bus_id, pci_type=kind, **more)


def bridge(bus_id: str, inside: str, speed: str = "15.75") -> str:
    kind = "0604 [10b5:8796] [10b5:8796] ab"
    return element("Bridge", inside, pci_busid=bus_id, pci_type=kind, pci_link_speed=speed)


def cores(first: int) -> str:
    return "".join(
        element("Core", element("PU", os_index=i) + element("PU", os_index=i + 4), os_index=i)
        for i in (first, first + 1)
    )


GPU = "0302 [10de:20b0] [10de:134f] a1"
HCA = "0207 [15b3:101b] [15b3:0007] 00"
_OSDEV = {"net": (2, 16), "rdma": (3, 32), "gpu": (1, 4), "coproc": (5, 8), "block": (0, 1)}


def osdev(name: str, kind: str, version: int, inside: str = "", **more: object) -> str:
    return element("OSDev", inside, name=name, osdev_type=_OSDEV[kind][version >= 3], **more)


def devices(version: int) -> str:
    more = info(GPUModel="A100", NVIDIAUUID="GPU-1", NVIDIASerial="7")
    memory = info(GPUModel="A100", CUDAGlobalMemorySize="4096" + "KiB" * (version >= 3))
    gpu = (
        osdev("renderD128", "gpu", version)
        + osdev("cuda1", "coproc", version, memory)
        + osdev("nvml0", "coproc", version, more, gp_index=30)
    )
    ports = info(
        NodeGUID="ec0d:1", Port1State=4, Port1LID="0x1f", Port1GID0="fe80::1", Port2State=1
    )
    hca = osdev("ib0", "net", version, info(Address="80:01", Port=1)) + osdev(
        "mlx5_0", "rdma", version, ports
    )
    below = function("0000:02:00.0", GPU, gpu, gp_index=20, pci_link_speed="31.5") + function(
        "0000:03:00.0", HCA, hca
    )
    root = element("Bridge", bridge("0000:01:00.0", below), bridge_type="0-1")
    disk = function(
        "0000:04:00.0",
        "0108 [0001:0002] [0003:0004] 01",
        osdev("nvme0n1", "block", version),
    )
    return root + disk


def package(number: int, inside: str = "", nodeset: int | None = None, **more: object) -> str:
    cpus = 0x33 << 2 * number
    facts = info(CPUVendor="GenuineIntel", CPUFamilyNumber=6, CPUModelNumber=85)
    bits = {"cpuset": f"0x{cpus:08x}", "nodeset": f"0x{nodeset or 1 << number:08x}"}
    content = facts + inside + cores(2 * number)
    return element("Package", content, os_index=number, **bits, **more)


def numa(number: int, inside: str = "", **more: object) -> str:
    cpus = f"0x{0x33 << 2 * number:08x}"
    bits = {"cpuset": cpus, "nodeset": f"0x{1 << number:08x}"}
    return element("NUMANode", inside, os_index=number, **{**bits, "local_memory": 1 << 30, **more})


def document(version: int) -> str:
    facts = info(HostName="node7", Architecture="x86_64")
    matrix = ""
    if version == 1:
        latencies = "".join(f'<latency value="{value}"/>' for value in ("1.0", "2.1", "2.1", "1.0"))
        inside = (
            f'<distances nbobjs="2" relative_depth="1" latency_base="10.0">{latencies}</distances>'
        )
        inside += numa(0, package(0) + devices(1)) + numa(1, package(1))
    else:
        inside = package(0, numa(0) + devices(version)) + package(1, numa(1))
        matrix = (
            '<distances2 type="NUMANode" nbobjs="2" kind="5" name="NUMALatency" indexing="os">'
            '<indexes length="4">0 1 </indexes><u64values length="12">10 21 21 10 </u64values>'
            "</distances2>"
        )
    machine = element("Machine", (facts if version < 3 else "") + inside, nodeset="0x3")
    attribute = f' version="{version}.0"' if version > 1 else ""
    after = facts if version >= 3 else ""
    start = f"<!DOCTYPE topology SYSTEM 'hwloc.dtd'>\n<topology{attribute}>"
    return f"{start}{machine}{matrix}{after}</topology>"


def host_of(text: str) -> Host:
    return topology_of(read_text(text)).hosts[0]


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_machine_in_every_version(version: int) -> None:
    reading = read_text(document(version))
    assert reading.warnings == ()
    assert (
        summary(reading).items()
        >= {
            "format": "hwloc-xml",
            "numa_nodes": 2,
            "gpus": 1,
            "nics": 1,
            "net_ports": 2,
            "packages": 2,
            "cores": 4,
            "threads": 8,
            "pci_functions": 3,
        }.items()
    )
    host = topology_of(reading).hosts[0]
    assert host.name == "node7"
    nodes = host.template.nodes
    common: dict[str, Any] = {
        "arch": "x86_64", "vendor": "GenuineIntel", "family": 6, "model": 85,
        "memory_bytes": 1 << 30,
    }  # fmt: skip
    assert nodes == (
        Numa(NOWHERE, 0, 0x33, package=0, **common),
        Numa(NOWHERE, 1, 0xCC, package=1, **common),
        Pci(0, "0000:01:00.0", 0x060400, 0x10B5, 0x8796, 0x10B5, 0x8796, gbps=15.75),
        Pci(2, "0000:02:00.0", 0x030200, 0x10DE, 0x20B0, 0x10DE, 0x134F, gbps=31.5,
            os_names=("renderD128", "cuda1", "nvml0")),
        Gpu(3, dev=0, name="A100", memory_bytes=4096 << 10),
        Pci(2, "0000:03:00.0", 0x020700, 0x15B3, 0x101B, 0x15B3, 7, os_names=("ib0", "mlx5_0")),
        Nic(5),
        Port(6, "ib0", "netdev", port=1),
        Port(6, "mlx5_0", port=1, state="ACTIVE"),
        Port(6, "mlx5_0", port=2, state="DOWN"),
        Pci(0, "0000:04:00.0", 0x010800, 1, 2, 3, 4, os_names=("nvme0n1",)),
    )  # fmt: skip
    assert host.gpus == (GpuId("GPU-1", extra=(("hwloc:serial", "7"),)),)
    assert host.ports == (
        PortId(addresses=("80:01",)),
        PortId("ec0d:1", 31, ("fe80::1",)),
        PortId("ec0d:1"),
    )
    assert host.template.distances == (
        Distances("NUMALatency", ("0", "1"), (10.0, 21.0, 21.0, 10.0)),
    )


def bandwidths(name: str, indexes: str, values: str) -> str:
    count = len(indexes.split())
    return (
        f'<distances2hetero nbobjs="{count}" kind="25" name="{name}"><indexes length="1">{indexes}'
        f'</indexes><u64values length="1">{values}</u64values></distances2hetero>'
    )


def gpus_and_a_switch(matrix: str) -> str:
    nvml = [osdev(f"nvml{i}", "coproc", 2, gp_index=10 + i) for i in range(2)]
    inside = numa(0) + "".join(
        function(f"0000:0{i}:00.0", GPU, nvml[i], gp_index=20 + i) for i in range(2)
    )
    lost = "0000 [0000:0000] [0000:0000] 00"
    inside += function("0000:08:00.0", lost, gp_index=30, subtype="NVSwitch")
    inside += function("0000:09:00.0", "0680 [10de:1af1] [10de:0000] a1")
    machine = element("Machine", package(0, inside), nodeset="0x1")
    return f'<topology version="2.0">{machine}{matrix}</topology>'


def test_bandwidths_are_links() -> None:
    matrix = bandwidths(
        "NVLinkBandwidth",
        "OSDev:10 OSDev:11 PCIDev:30",
        "1000000 50000 25000  50000 1000000 25000  25000 25000 0",
    )
    reading = read_text(gpus_and_a_switch(matrix))
    assert reading.warnings == ()
    template = topology_of(reading).hosts[0].template
    a, b = template.gpus
    switch, other = template.nvswitches
    assert template.nodes[switch] == NvSwitch("0000:08:00.0", switch - 1)
    assert template.nodes[other] == NvSwitch("0000:09:00.0", other - 1)
    assert template.links == (
        Link(LinkKind.NVLINK, a, b, gbps=50.0, named="nvml1"),
        Link(LinkKind.NVLINK, a, switch, gbps=25.0, named="0000:08:00.0"),
        Link(LinkKind.NVLINK, b, a, gbps=50.0, named="nvml0"),
        Link(LinkKind.NVLINK, b, switch, gbps=25.0, named="0000:08:00.0"),
    )
    assert template.distances[0].nodes == ("nvml0", "nvml1", "0000:08:00.0")
    assert summary(reading)["nvlink_pairs"] == 1
    xgmi = host_of(gpus_and_a_switch(bandwidths("XGMIBandwidth", "OSDev:10 OSDev:11", "0 1 1 0")))
    assert {link.kind for link in xgmi.template.links} == {LinkKind.XGMI}
    none = host_of(gpus_and_a_switch(bandwidths("Mine", "OSDev:10 Core:99", "0 1 1 0")))
    assert (none.template.links, none.template.distances[0].nodes) == ((), ("nvml0", "Core:99"))


def test_memory_of_a_gpu_has_no_cpus() -> None:
    """Since version 2 its set is that of the CPUs near it, which are another node's."""
    inside = numa(0) + numa(8, cpuset="0x33")
    machine = element("Machine", package(0, inside + devices(2), nodeset=0x101), nodeset="0x101")
    reading = read_text(f'<topology version="2.1">{machine}</topology>')
    assert reading.warnings == ()
    host = topology_of(reading).hosts[0]
    nodes = [host.template.nodes[i] for i in host.template.numa]
    assert [(node.id, node.cpus) for node in nodes if isinstance(node, Numa)] == [(0, 0x33), (8, 0)]
    assert host.template.numa_of(host.template.gpus[0]) == 0


def test_what_is_near_several_nodes_is_near_none() -> None:
    machine = element("Machine", numa(0) + numa(1) + devices(2), nodeset="0x3")
    host = host_of(f'<topology version="2.0">{machine}</topology>')
    assert host.template.numa_of(host.template.gpus[0]) == NOWHERE


def test_one_node_of_version_1_and_sets_without_end() -> None:
    machine = element("Machine", devices(1), cpuset="0xf...f,0xffffffff")
    host = host_of(f"<topology>{machine}</topology>")
    assert host.template.nodes[0] == Numa()
    assert host.template.numa_of(host.template.gpus[0]) == 0


def test_several_machines() -> None:
    """Version 1 could put them together."""
    machine = element("Machine", numa(0, package(0)))
    host = element("System", machine + machine)
    reading = read_text(f"<topology>{host}</topology>")
    assert [host.name for host in topology_of(reading).hosts] == ["host0", "host1"]
    assert summary(reading)["packages"] == 2


def test_devices_that_nothing_names() -> None:
    inside = numa(0) + "".join(
        function(f"0000:0{i}:00.0", f"{kind} [{vendor}:0001] [0000:0000] 00")
        for i, (kind, vendor) in enumerate(
            [
                ("0300", "1a03"),
                ("0200", "8086"),
                ("0280", "8086"),
                ("0280", "15b3"),
                ("0c06", "1077"),
            ]
        )
    )
    facts = summary(read_text(f'<topology version="2.0">{element("Machine", inside)}</topology>'))
    assert (facts["gpus"], facts["nics"]) == (1, 3)
    alone = element("Machine", numa(0) + osdev("eth0", "net", 2) + osdev("veth1", "net", 2))
    facts = summary(read_text(f'<topology version="2.0">{alone}</topology>'))
    assert (facts["nics"], facts["net_ports"]) == (1, 1)


def version_2(inside: str, beside: str = "") -> str:
    return f'<topology version="2.0">\n{element("Machine", inside)}\n{beside}</topology>'


@pytest.mark.parametrize(
    ("row", "text", "match"),
    [
        ("hwloc-version", '<topology version="9.0"><object type="Machine"/></topology>', "'9.0'"),
        ("hwloc-version", '<topology version="x"><object type="Machine"/></topology>', "a.xml:1"),
        ("hwloc-no-machine", '<topology version="2.0"><object type="Core"/></topology>', "a.xml:1"),
        ("hwloc-integer", version_2(element("NUMANode", os_index="one")), "a.xml:2: <object"),
        ("hwloc-integer", version_2(element("OSDev", osdev_type="1e3")), "osdev_type"),
        ("hwloc-set", version_2(numa(0, cpuset="0xgg")), "cpuset='0xgg'"),
        ("hwloc-address", version_2(function("here", GPU)), "pci_busid='here'"),
        ("hwloc-type", version_2(function("0000:01:00.0", "GPU")), "pci_type='GPU'"),
        ("hwloc-speed", version_2(function("0000:01:00.0", GPU, pci_link_speed="nan")), "'nan'"),
        ("hwloc-matrix-size", version_2("", '<distances2 nbobjs="0"/>'), "a.xml:3: <distances2"),
        ("hwloc-matrix-size", version_2("", '<distances2 nbobjs="99999999"/>'), "1,024"),
        ("hwloc-matrix", version_2("", bandwidths("a", "OSDev:1 OSDev:2", "1 2 3")), "2 indexes"),
        ("hwloc-matrix", version_2("", bandwidths("a", "OSDev:1", "-1")), "1 indexes"),
        ("hwloc-matrix", version_2("", bandwidths("a", "1", "1 " * 10_000)), "1 numbers"),
        (
            "hwloc-latencies",
            version_2('<distances nbobjs="2"><latency value="1"/></distances>'),
            "4",
        ),
        ("xml-broken", document(2)[:-30], "a.xml:2: is not XML"),
    ],
)
def test_refused(row: str, text: str, match: str) -> None:
    with raises(row, match):
        read_text(text)


def test_other_files_with_that_element() -> None:
    with raises("topology-unknown"):
        read_text("<topology><graph/></topology>")


LSPCI = """\
$ lspci -vvnn
00:01.0 PCI bridge [0604]: Intel Corporation Device [8086:352a] (rev 04) (prog-if 00 [Normal])
\tNUMA node: 1
\tBus: primary=00, secondary=01, subordinate=03, sec-latency=0
\t\tLnkCap:\tPort #0, Speed 32GT/s, Width x16, ASPM not supported
01:00.0 PCI bridge [0604]: Broadcom / LSI PEX890xx [1000:c030] (prog-if 00 [Normal decode])
\tBus: primary=01, secondary=02, subordinate=03, sec-latency=0
02:00.0 3D controller [0302]: NVIDIA Corporation GH100 [H100 SXM5 80GB] [10de:2330] (rev a1)
\tSubsystem: NVIDIA Corporation Device [10de:16c1]
\tNUMA node: 1
\t\tLnkCap:\tPort #0, Speed 32GT/s, Width x16
\t\tLnkSta:\tSpeed 2.5GT/s (downgraded), Width x16 (ok)
02:01.0 Infiniband controller [0207]: Mellanox Technologies MT2910 Family [ConnectX-7] [15b3:1021]
10008:00:00.0 Bridge [0680]: NVIDIA Corporation GH100 [H100 NVSwitch] [10de:22a3] (rev a1)
00:1f.0 ISA bridge [0601]: Intel Corporation Device [8086:1b81] (rev 11)
00:1f.0 ISA bridge [0601]: Intel Corporation Device [8086:1b81] (rev 11)
"""


def test_lspci() -> None:
    reading = read_text(LSPCI, "lspci.txt")
    (warning,) = reading.warnings
    assert str(warning) == "lspci.txt:16: 0000:00:1f.0 is listed twice; the first counts"
    facts = summary(reading)
    assert (facts["format"], facts["pci_functions"], facts["pci_bridges"]) == ("lspci", 6, 2)
    assert topology_of(reading).hosts[0].template.nodes == (
        Numa(id=1),
        Pci(0, "0000:00:01.0", 0x060400, 0x8086, 0x352A, transfers=32.0),
        Pci(1, "0000:01:00.0", 0x060400, 0x1000, 0xC030),
        Pci(2, "0000:02:00.0", 0x030200, 0x10DE, 0x2330, 0x10DE, 0x16C1, 32.0, 16),
        Gpu(3, implied=True),
        Pci(2, "0000:02:01.0", 0x020700, 0x15B3, 0x1021),
        Nic(5, implied=True),
        Pci(NOWHERE, "10008:00:00.0", 0x068000, 0x10DE, 0x22A3),
        NvSwitch("10008:00:00.0", 7),
    )


@pytest.mark.parametrize(
    "line",
    [
        "02:00.0 3D controller [0302]: NVIDIA Corporation GH100 [10de:2330] (rev a1)",
        "02:00.0 0302: 10de:2330 (rev a1)",
        "0000:02:00.0 0302: 10de:2330 (rev a1) (prog-if 00)",
        "02:00.0 3D controller: NVIDIA Corporation GH100 [H100 SXM5 80GB] (rev a1)",
        "02:00.0 3D controller [0302]: NVIDIA Corporation Device [10de:2330]",
    ],
)
def test_lines_of_lspci(line: str) -> None:
    function, _ = host_of(line).template.nodes
    assert isinstance(function, Pci)
    assert (function.bus_id, function.pci_class, function.vendor) == (
        "0000:02:00.0",
        0x030200,
        0x10DE,
    )
    assert function.device in {0x2330, None}


def test_lanes_that_a_virtual_machine_hides() -> None:
    hidden = LSPCI.replace("Width x16 (ok)", "Width x0")
    functions = [node for node in host_of(hidden).template.nodes if isinstance(node, Pci)]
    assert {function.width for function in functions} == {None}


def test_bridges_in_a_circle() -> None:
    """Buses that are behind one another: the text is wrong, and reading it ends."""
    text = LSPCI.replace("primary=01, secondary=02", "primary=01, secondary=00")
    assert summary(read_text(text, "lspci.txt"))["gpus"] == 1
    text = LSPCI.replace("secondary=01", "secondary=00")
    assert summary(read_text(text, "lspci.txt"))["nics"] == 1


def test_lspci_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with raises("lspci-none"):
        lspci.parse(Document("lspci.txt", b"\n"))
    monkeypatch.setattr(lspci, "_MOST", 3)
    with raises("lspci-many", "lspci.txt:13"):
        read_text(LSPCI, "lspci.txt")


CORPUS = [document(1), document(2), document(3), LSPCI]
PIECES = st.binary(max_size=8) | st.sampled_from(
    [b"-1", b"9" * 20, b'"', b"<object>", b"0x", b"1,", b"</object>", b"nan", b"secondary=00,"]
)


@given(
    st.sampled_from(CORPUS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), PIECES), min_size=1, max_size=6),
)
def test_a_damaged_file_is_read_or_refused(text: str, cuts: list[tuple[float, int, bytes]]) -> None:
    data = text.encode()
    for where, length, put in cuts:
        at = int(where * len(data))
        data = data[:at] + put + data[at + length :]
    try:
        summary(read_text(data, "a"))
    except TopologyError:
        return


ATTRIBUTES = st.sampled_from(
    ["os_index", "cpuset", "nodeset", "pci_busid", "pci_type", "pci_link_speed", "osdev_type",
     "gp_index", "nbobjs", "name", "type", "local_memory", "value", "latency_base", "indexing"]
)  # fmt: skip
VALUES = st.sampled_from(
    ["", "-1", "0", "0x0", "0xffffffff,0x1", "9" * 18, "9" * 40, "PCIDev", "NUMANode", "0xf...f",
     "0000:01:00.0", "0302 [10de:20b0] [10de:134f] a1", "nan", "1e9", "os", "Machine"]
)  # fmt: skip


@given(st.sampled_from([1, 2, 3]), st.data())
def test_attributes_of_any_value(version: int, data: st.DataObject) -> None:
    """The XML stays whole, so that more of the reader is reached."""
    tree = xml_tree.parse(Document("a", document(version).encode()), keep_text=True)
    for each in data.draw(st.lists(st.sampled_from(list(tree.walk())), min_size=1, max_size=4)):
        each.attributes[data.draw(ATTRIBUTES)] = data.draw(VALUES)
    try:
        summary(read_text(render(tree)))
    except TopologyError:
        return
