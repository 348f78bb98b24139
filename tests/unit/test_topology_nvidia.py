"""nvidia-smi: the matrix of topo -m, the query -q -x, the status of NVLinks."""

import re

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import read_text, topology_of

from distos_coll.errors import TopologyError
from distos_coll.sources import nvidia_nvlink, nvidia_topo
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    GpuId,
    Host,
    LinkKind,
    Numa,
    Pci,
    Port,
    Relation,
    Topology,
)
from distos_coll.topology.path_type import PathType
from distos_coll.topology.paths import HostPaths
from distos_coll.topology.reading import Reading
from distos_coll.topology.source import Document, Found
from distos_coll.topology.summary import summary

MESH = """\
\tGPU0\tGPU1\tGPU2\tGPU3\tNIC0\tNIC1\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID
GPU0\t X \tNV4\tNV4\tNV4\tPXB\tSYS\t0-7,16-23\t0\t\tN/A
GPU1\tNV4\t X \tNV4\tNV4\tNODE\tSYS\t0-7,16-23\t0\t\tN/A
GPU2\tNV4\tNV4\t X \tNV4\tSYS\tPIX\t8-15,24-31\t1\t\tN/A
GPU3\tNV4\tNV4\tNV4\t X \tSYS\tPHB\t8-15,24-31\t1\t\tN/A
NIC0\tPXB\tNODE\tSYS\tSYS\t X \tSYS\t\t\t\t
NIC1\tSYS\tSYS\tPIX\tPHB\tSYS\t X \t\t\t\t

Legend:

  X    = Self
  SYS  = Connection traversing PCIe as well as the SMP interconnect between NUMA nodes
  NV#  = Connection traversing a bonded set of # NVLinks

NIC Legend:

  NIC0: mlx5_0
  NIC1: mlx5_bond_0
"""


def host_of(text: str) -> Host:
    return topology_of(read_text(text, "topo.txt")).hosts[0]


def codes(text: str) -> list[str]:
    return [finding.code for finding in read_text(text, "topo.txt").warnings]


def square(cell: str, count: int, header: str = "") -> str:
    names = [f"GPU{i}" for i in range(count)]
    rows = [
        " ".join([name, *("X" if name == other else cell for other in names)]) for name in names
    ]
    return "\n".join([" ".join(names) + header, *rows])


def test_a_mesh() -> None:
    reading = read_text(MESH, "topo.txt")
    assert reading.warnings == ()
    facts = summary(reading)
    assert (facts["gpus"], facts["nics"], facts["numa_nodes"]) == (4, 2, 2)
    assert (facts["nvlink_pairs"], facts["nvlink_shown"]) == (6, True)
    host = topology_of(reading).hosts[0]
    template = host.template
    assert template.nodes[0] == Numa(id=0, cpus=0x00FF00FF)
    assert template.nodes[1] == Gpu(0, dev=0)
    assert len(template.links) == 12
    assert {(link.kind, link.count) for link in template.links} == {(LinkKind.NVLINK, 4)}
    (first, second) = template.ports
    assert [template.nodes[i] for i in (first, second)] == [
        Port(first - 1, "mlx5_0", extra=(("nvidia-smi:column", "NIC0"),)),
        Port(second - 1, "mlx5_bond_0", extra=(("nvidia-smi:column", "NIC1"),)),
    ]
    assert Relation(template.gpus[0], first, "PXB") in template.relations
    assert len(template.relations) == 9


def test_paths_are_what_the_matrix_says() -> None:
    """Though NUMA nodes alone would join all of a node."""
    template = host_of(MESH).template
    paths = HostPaths(template)
    a, b = template.ports
    kinds = [paths.between(gpu, a).type.name for gpu in template.gpus]
    assert kinds == ["PXB", "PHB", "SYS", "SYS"]
    assert [paths.nearest(gpu, template.ports) for gpu in template.gpus] == [(a,), (a,), (b,), (b,)]
    assert paths.between(*template.gpus[:2]).type is PathType.NVL
    # Two hops to the switch are as many as two by the CPU, and wider.
    switched = square("NV18", 8, " CPU Affinity").replace("\nGPU", " 0-3\nGPU") + " 0-3"
    eight = host_of(switched.replace(" 0-3", "", 1)).template
    assert len(eight.numa) == 1
    assert HostPaths(eight).between(*eight.gpus[:2]).type is PathType.NVL
    plain = host_of(square("PIX", 2, " CPU Affinity").replace("X PIX", "X PIX 0-3"))
    first, second = plain.template.gpus
    assert HostPaths(plain.template).between(first, second).type is PathType.PIX


@pytest.mark.parametrize(
    ("gpus", "links", "switched"),
    [(8, 12, True), (2, 18, False), (4, 6, False), (4, 8, True), (3, 9, False), (16, 6, True)],
)
def test_links_of_the_gpu_or_of_the_pair(gpus: int, links: int, switched: bool) -> None:
    """More than 18 in a row are none of a pair: each cell counts the links to switches."""
    host = host_of(square(f"NV{links}", gpus))
    assert len(host.template.nvswitches) == switched
    assert {link.count for link in host.template.links} == {links}
    assert len(host.template.links) == (gpus if switched else gpus * (gpus - 1))
    found = summary(read_text(square(f"NV{links}", gpus), "topo.txt"))
    assert found["nvlink_pairs"] == gpus * (gpus - 1) // 2


def test_a_gpu_that_lost_a_link_to_the_switches() -> None:
    names = range(8)
    rows = [
        [f"GPU{i}", *("X" if i == j else "NV17" if 3 in {i, j} else "NV18" for j in names)]
        for i in names
    ]
    text = "\n".join([" ".join(f"GPU{i}" for i in names), *(" ".join(row) for row in rows)])
    host = host_of(text)
    assert [link.count for link in host.template.links] == [18, 18, 18, 17, 18, 18, 18, 18]
    assert summary(read_text(text, "topo.txt"))["nvlink_pairs"] == 28


def test_a_gpu_of_switches_without_a_way_to_another() -> None:
    text = square("NV12", 8).replace("GPU0 X NV12", "GPU0 X SYS")
    assert codes(text) == ["nvlink-switch", "not-symmetric"]


def test_what_the_two_halves_say_differently() -> None:
    text = MESH.replace("NIC1\tSYS", "NIC1\tPHB", 1)
    (warning,) = read_text(text, "topo.txt").warnings
    assert str(warning) == "topo.txt:2: GPU0 to NIC1 is SYS, and NIC1 to GPU0 is PHB"
    assert codes(MESH.replace("GPU0\t X ", "GPU0\tPIX")) == ["self"]
    # Two of NVLink's: the model's own checks count them too.
    text = square("NV2", 2).replace("GPU1 NV2", "GPU1 NV1")
    assert codes(text) == ["not-symmetric", "link-counts"]
    assert "host0/GPU0 and host0/GPU1" in str(read_text(text, "topo.txt").warnings[1])


def test_old_words_and_the_matrix_without_nvlink() -> None:
    text = square("SOC", 2) + "\n\nLegend:\n\n  X   = Self\n  SOC = Path traverses a socket link\n"
    facts = summary(read_text(text, "topo.txt"))
    assert (facts["nvlink_shown"], facts["nvlink_pairs"]) == (False, 0)
    assert [relation.path for relation in host_of(text).template.relations] == ["SYS"]
    assert summary(read_text(square("SYS", 2), "topo.txt"))["nvlink_shown"] is True


def test_captures() -> None:
    """Prompts, colours, carriage returns, blank lines, a byte order mark."""
    expected = host_of(square("NV2", 4))
    plain = square("NV2", 4)
    first, _, rest = plain.partition("\n")
    for text in (
        f"$ nvidia-smi topo -m\n{plain}",
        f"\x1b[4m{first}\x1b[0m\n{rest}",
        plain.replace("\n", "\r\n"),
        plain.replace("\n", "\n\n  \n"),
        plain.replace(" ", "   "),
        "\t" + plain.replace(" ", "\t"),
        "\ufeff" + plain,
    ):
        assert host_of(text) == expected, text


@pytest.mark.parametrize(
    ("cell", "cpus", "code"),
    [
        ("0-3,8", 0b100001111, None),
        ("0,2,4,6,8,10", None, "cpu-list"),
        ("0,2,4", 0b10101, None),
        ("0-15,32-", None, "cpu-list"),
        ("112-1", None, "cpu-list"),
        ("N/A", None, None),
    ],
)
def test_lists_of_cpus_that_were_cut_to_their_column(
    cell: str, cpus: int | None, code: str | None
) -> None:
    text = f"GPU0 CPU Affinity NUMA Affinity\nGPU0 X {cell} 3\n"
    (numa,) = (host_of(text).template.nodes[i] for i in host_of(text).template.numa)
    assert isinstance(numa, Numa)
    assert (numa.id, numa.cpus) == (3, cpus)
    assert codes(text) == ([code] if code else [])
    assert dict(numa.extra).get("nvidia-smi:cpu_affinity") == (None if cpus else cell)


def test_affinities_of_all_sorts() -> None:
    text = "\tGPU0\tGPU1\tCPU Affinity\tNUMA Affinity\nGPU0\t X \tPIX\t\t1\nGPU1\tPIX\t X \t\t0-1\n"
    nodes = [host_of(text).template.nodes[i] for i in host_of(text).template.numa]
    assert nodes == [Numa(id=1), Numa(extra=(("nvidia-smi:numa_affinity", "0-1"),))]
    none = host_of("GPU0\tGPU1\nGPU0\tX\tPIX\nGPU1\tPIX\tX\n")
    assert none.template.numa == ()
    assert {none.template.nodes[gpu].parent for gpu in none.template.gpus} == {NOWHERE}


def test_rows_of_adapters_may_be_absent() -> None:
    text = "\n".join(line for line in MESH.splitlines() if not line.startswith("NIC"))
    assert codes(text) == ["row-missing"] * 2
    assert summary(read_text(text, "topo.txt"))["nics"] == 2
    doubled = MESH.replace("GPU1\tNV4", "GPU0\t X \tSYS\tSYS\tSYS\tSYS\tSYS\nGPU1\tNV4")
    assert codes(doubled) == ["row-twice"]


@pytest.mark.parametrize(
    ("row", "text", "match"),
    [
        ("smi-no-row", MESH.replace("GPU3\tNV4", "# \tNV4"), "topo.txt:1: cut off.*GPU3"),
        ("smi-short-row", "GPU0 GPU1\nGPU0 X PIX\nGPU1 PIX", "topo.txt:3: .*GPU1 has 1 of 2"),
        ("smi-cell", "GPU0 GPU1\nGPU0 X PIX\nGPU1 PIXX X", "topo.txt:3: 'PIXX' in the row of GPU1"),
        ("smi-twice", "GPU0 GPU0\nGPU0 X X", "topo.txt:1"),
        ("smi-devices", square("SYS", 1) + "\n", ""),
    ],
)
def test_refused(row: str, text: str, match: str) -> None:
    if row == "smi-devices":
        text = " ".join(f"GPU{i}" for i in range(1025)) + "\nGPU0 X"
    with raises(row, match):
        read_text(text, "topo.txt")


def test_what_is_no_matrix() -> None:
    with raises("topology-unknown"):
        read_text("GPU0 is hot\n", "topo.txt")
    with raises("smi-no-matrix"):
        nvidia_topo.parse(Document("topo.txt", b"GPU0 is hot\n"))


QUERY = """<?xml version="1.0" ?>
<!DOCTYPE nvidia_smi_log SYSTEM "nvsmi_device_v12.dtd">
<nvidia_smi_log>
  <driver_version>580.1</driver_version><cuda_version>13.0</cuda_version>
  <attached_gpus>2</attached_gpus>
  <gpu id="00000000:29:00.0">
    <product_name>NVIDIA GB200</product_name>
    <product_architecture>Blackwell</product_architecture>
    <mig_devices><mig_device><index>0</index><uuid>MIG-1</uuid></mig_device></mig_devices>
    <serial>1</serial><uuid>GPU-1</uuid><minor_number>0</minor_number>
    <platformInfo><module_id>2</module_id><tray_index>7</tray_index></platformInfo>
    <pci>
      <pci_base_class>3</pci_base_class><pci_sub_class>2</pci_sub_class>
      <pci_device_id>294110DE</pci_device_id><pci_bus_id>00000000:29:00.0</pci_bus_id>
      <pci_sub_system_id>204610DE</pci_sub_system_id>
      <pci_gpu_link_info>
        <pcie_gen><max_link_gen>5</max_link_gen><current_link_gen>1</current_link_gen></pcie_gen>
        <link_widths><max_link_width>16x</max_link_width></link_widths>
      </pci_gpu_link_info>
    </pci>
    <fb_memory_usage><total>189471 MiB</total></fb_memory_usage>
    <fabric><state>Completed</state><cliqueId>2</cliqueId><clusterUuid>0a-1</clusterUuid></fabric>
  </gpu>
  <gpu id="00010008:3F:00.0">
    <product_name>NVIDIA GB200</product_name><uuid>GPU-2</uuid>
    <fabric><state>Completed</state><cliqueId>2</cliqueId><clusterUuid>0a-1</clusterUuid></fabric>
  </gpu>
</nvidia_smi_log>
"""


def test_a_query() -> None:
    reading = read_text(QUERY)
    assert reading.warnings == ()
    facts = summary(reading)
    assert (facts["gpus"], facts["nvlink_pairs"], facts["driver_version"]) == (2, 1, "580.1")
    assert facts["nvlink_domains"] == [["host0/0000:29:00.0", "host0/10008:3f:00.0"]]
    host = topology_of(reading).hosts[0]
    function, gpu, part, bare, _ = host.template.nodes
    assert function == Pci(
        NOWHERE, "0000:29:00.0", 0x030200, 0x10DE, 0x2941, 0x10DE, 0x2046, transfers=32.0, width=16
    )
    assert isinstance(gpu, Gpu)
    assert (gpu.dev, gpu.name, gpu.memory_bytes) == (0, "NVIDIA GB200", 189471 << 20)
    assert dict(gpu.extra) == {
        "nvidia-smi:tray_index": "7",
        "nvidia-smi:product_architecture": "Blackwell",
    }
    assert part == Gpu(0, partition=0)
    assert bare == Pci(NOWHERE, "10008:3f:00.0")
    assert host.gpus[0] == GpuId(
        "GPU-1",
        nvlink_domain="0a-1.2",
        extra=tuple((f"nvidia-smi:{name}", told) for name, told in
                    (("serial", "1"), ("minor_number", "0"), ("module_id", "2"))),
    )  # fmt: skip


def test_hosts_of_a_rack_are_one_domain() -> None:
    """What MNNVL is for: equal clusterUuid and cliqueId on two hosts."""
    host = topology_of(read_text(QUERY)).hosts[0]
    rack = Topology((host, Host("host1", host.template, host.gpus)))
    facts = summary(Reading("test", "test", Found(rack), ()))
    assert (facts["nvlink_pairs"], len(facts["nvlink_domains"])) == (6, 1)


@pytest.mark.parametrize(
    ("old", "new", "domain", "codes"),
    [
        ("0a-1", "0000-0000", None, []),
        ("0a-1", "N/A", None, []),
        ("<cliqueId>2", "<cliqueId>N/A", None, []),
        ("Completed", "In Progress", None, ["nvlink-state"] * 2),
        ("<attached_gpus>2", "<attached_gpus>8", "0a-1.2", ["gpus-left-out"]),
        ("<max_link_gen>5", "<max_link_gen>[Unknown Error]", "0a-1.2", ["gpu-error"]),
        ("16x", "sixteen", "0a-1.2", ["bad-value"]),
        ("189471 MiB", "[N/A]", "0a-1.2", []),
        ("189471 MiB", "Insufficient Permissions", "0a-1.2", []),
    ],
)
def test_what_a_query_may_say(old: str, new: str, domain: str | None, codes: list[str]) -> None:
    reading = read_text(QUERY.replace(old, new))
    assert [finding.code for finding in reading.warnings] == codes
    host = topology_of(reading).hosts[0]
    assert host.gpus[0].nvlink_domain == domain
    gpu = host.template.nodes[host.template.gpus[0]]
    assert isinstance(gpu, Gpu)
    assert gpu.dev == (None if "8" in new and "attached" in new else 0)


@pytest.mark.parametrize(
    ("row", "text", "match"),
    [
        ("smi-no-gpu", "<nvidia_smi_log/>", "a.xml:1"),
        ("smi-gpus", f"<nvidia_smi_log>{'<gpu/>' * 1025}</nvidia_smi_log>", "1,025"),
        (
            "smi-address",
            "<nvidia_smi_log>\n<gpu id='x'/></nvidia_smi_log>",
            'a.xml:2: <gpu id="x">',
        ),
        ("xml-broken", QUERY[:-20], "a.xml"),
    ],
)
def test_queries_refused(row: str, text: str, match: str) -> None:
    with raises(row, match):
        read_text(text)


STATUS = """\
GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)
\t Link 0: 26.562 GB/s
\t Link 1: 26.562 GB/s
\t Link 2: <inactive>
GPU 1: Tesla P100
\t Link 0: 20 GB/s
\t Link 1: lost
"""


def test_status_of_links() -> None:
    reading = read_text(STATUS, "nvlink.txt")
    facts = summary(reading)
    assert (facts["gpus"], facts["nvlinks_active"], facts["nvlink_pairs"]) == (2, 3, 0)
    assert [str(warning) for warning in reading.warnings] == [
        "nvlink.txt:1: GPU 0: NVLinks [2] are inactive",
        "nvlink.txt:5: GPU 1: link 1 says 'lost'; left out",
    ]
    host = topology_of(reading).hosts[0]
    assert [(link.count, link.gbps, link.target) for link in host.template.links] == [
        (2, 25.0, NOWHERE),
        (1, 20.0, NOWHERE),
    ]
    assert [own.uuid for own in host.gpus] == ["GPU-1", None]


def test_status_of_a_gpu_without_links() -> None:
    text = "GPU 0: NVIDIA A10 (UUID: GPU-1)\nNVML: Unable to retrieve NVLink information\n"
    facts = summary(read_text(text, "nvlink.txt"))
    assert (facts["format"], facts["gpus"], facts["nvlinks_active"]) == ("nvidia-smi-nvlink", 1, 0)


def test_status_refused() -> None:
    with raises("nvlink-gpus"):
        read_text("".join(f"GPU {i}: x\n\t Link 0: 25 GB/s\n" for i in range(1025)), "nvlink.txt")
    with raises("nvlink-no-gpu"):
        nvidia_nvlink.parse(Document("nvlink.txt", b"\t Link 0: 25 GB/s\n"))


CORPUS = [MESH, square("NV12", 8), QUERY, STATUS]
PIECES = st.binary(max_size=8) | st.sampled_from(
    [b"\t", b"GPU0", b"NV99", b"X", b"\n", b"<", b"</gpu>", b"CPU Affinity", b"0-99999999", b"N/A"]
)


@given(
    st.sampled_from(CORPUS),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 30), PIECES), min_size=1, max_size=8),
)
def test_a_damaged_capture_is_read_or_refused(
    text: str, cuts: list[tuple[float, int, bytes]]
) -> None:
    data = text.encode()
    for where, length, put in cuts:
        at = int(where * len(data))
        data = data[:at] + put + data[at + length :]
    try:
        summary(read_text(data, "a"))
    except TopologyError:
        return


@pytest.mark.parametrize(
    "line",
    ["GPU 0: a" + " " * 300_000 + "x", "GPU0" + " NV1" * 100_000, "GPU 0: a" + "\n " * 20_000],
)
def test_long_lines_take_no_longer_than_short_ones(line: str) -> None:
    """A regular expression that goes back and forth over them would never end."""
    text = f"{line}\n" * 3 + STATUS + MESH
    try:
        summary(read_text(text, "a"))
    except TopologyError as error:
        assert re.search("^a:", str(error))  # noqa: PT017
