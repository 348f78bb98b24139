"""NCCL's and RCCL's topology XML: what is read, what is refused, what is written again."""

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN, read_own, read_text, topology_of

from distos_coll import api
from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import checks, xml_tree
from distos_coll.topology.builder import HostBuilder, topology
from distos_coll.topology.model import Gpu, LinkKind, Numa, Pci, Port, Topology
from distos_coll.topology.nvlink import pairs
from distos_coll.topology.source import TopologySource
from distos_coll.topology.summary import KEYS, summary

FILES = sorted(path.name for path in OWN.glob("?ccl-*.xml"))


def source(name: str) -> TopologySource:
    return next(each for each in default_sources() if each.name == name)


def written(content: Topology, name: str) -> bytes:
    write = source(name).write
    assert write is not None
    return write(content)


def system(inside: str, version: str = "1") -> str:
    return f'<system version="{version}">{inside}</system>'


def cpu(inside: str, more: str = "") -> str:
    return system(f'<cpu numaid="0" affinity="ff" {more}>{inside}</cpu>')


def pci(inside: str, number: int = 1, pci_class: str = "0x030200") -> str:
    return f'<pci busid="0000:{number:02x}:00.0" class="{pci_class}">{inside}</pci>'


EXPECTED = {
    "nccl-eight-switched.xml": {"numa_nodes": 2, "gpus": 8, "nics": 8, "rails": 8, "pairs": 28},
    "nccl-four-mesh.xml": {"numa_nodes": 2, "gpus": 4, "nics": 2, "rails": None, "pairs": 4},
    "nccl-skeleton.xml": {"numa_nodes": 1, "gpus": 1, "nics": 1, "rails": None, "pairs": 0},
    "nccl-two-trays.xml": {"numa_nodes": 2, "gpus": 4, "nics": 2, "rails": None, "pairs": 6},
    "nccl-contradictions.xml": {"numa_nodes": 2, "gpus": 3, "nics": 1, "rails": None, "pairs": 2},
    "rccl-four-mesh.xml": {"numa_nodes": 1, "gpus": 4, "nics": 1, "rails": None, "pairs": 6},
}


@pytest.mark.parametrize("name", FILES)
def test_figures(name: str) -> None:
    reading = read_own(name)
    found = summary(reading)
    assert set(KEYS) <= found.keys()
    assert found["format"] == name.partition("-")[0] + "-xml"
    assert found["hosts"] == (2 if "trays" in name else 1)
    figures = {key: found[key] for key in ("numa_nodes", "gpus", "nics", "rails")}
    assert figures | {"pairs": found["nvlink_pairs"]} == EXPECTED[name]
    assert (found["switches"], found["hcas"], found["fabric"]) == (None, None, None)
    assert bool(found["warnings"]) == ("contradictions" in name)


def test_virtual_interfaces_are_no_adapters() -> None:
    reading = read_own("nccl-four-mesh.xml")
    ports = [
        node for node in topology_of(reading).hosts[0].template.nodes if isinstance(node, Port)
    ]
    virtual = {port.name: port.virtual for port in ports}
    assert virtual == {"mlx5_0": False, "docker0": True, "veth0a1b2c3": True, "mlx5_1": False}
    assert summary(reading)["net_ports"] == 2


def test_a_virtual_name_on_hardware_is_hardware() -> None:
    nic = '<nic><net name="veth0" dev="0"/></nic>'
    assert summary(read_text(cpu(pci(nic, 1, "0x020000"))))["net_ports"] == 1


def test_ports_of_a_sandbox_are_told_apart_by_guid() -> None:
    """All at a host bridge: two ports of one adapter, and another adapter."""
    net = '<net name="mlx5_{0}" dev="{0}" port="{0}" guid="0x{1}"/>'
    nets = net.format(1, "a") + net.format(2, "a") + net.format(3, "b")
    found = summary(read_text(cpu(pci(f"<nic>{nets}</nic>", 1, "0x060000"))))
    assert (found["nics"], found["net_ports"], found["warnings"]) == (2, 3, [])


def test_one_nvlink_domain_over_two_hosts() -> None:
    """The same bus ids occur under both host hashes."""
    found = topology_of(read_own("nccl-two-trays.xml"))
    assert [host.name for host in found.hosts] == ["0x1111222233334444", "0x5555666677778888"]
    assert found.hosts[0].template is found.hosts[1].template
    (domain,) = summary(read_own("nccl-two-trays.xml"))["nvlink_domains"]
    assert domain[0] == "0x1111222233334444/0008:01:00.0"
    assert len(set(domain)) == 4
    assert [its.rank for host in found.hosts for its in host.gpus] == [0, 1, 2, 3]


def test_masked_hashes_stay_apart() -> None:
    hosts = "".join(
        f'<cpu numaid="0" host_hash="0x{name}">{pci("<gpu/>")}</cpu>'
        for name in ("MASK_A", "MASK_B")
    )
    reading = read_text(system(hosts))
    assert summary(reading)["hosts"] == 2
    assert [finding.code for finding in reading.warnings] == ["host-hash"] * 2


def test_every_attribute_has_its_place() -> None:
    host = topology_of(read_own("nccl-two-trays.xml")).hosts[0]
    nodes = host.template.nodes
    assert nodes[0] == Numa(id=0, cpus=(1 << 64) - 1, arch="arm64")
    assert nodes[1] == Pci(
        0, "0008:01:00.0", 0x030200, 0x10DE, 0x20B2, 0x10DE, 0x147F, transfers=64.0, width=16
    )
    assert nodes[2] == Gpu(1, dev=0, sm=103, gdr=True)
    assert host.ports[0].guid == "0xc0ffee"
    port = next(node for node in nodes if isinstance(node, Port))
    assert (port.name, port.dev, port.port, port.mbps, port.latency_us, port.gdr) == (
        ("mlx5_0", 0, 1, 400000, 0.0, True)
    )
    assert dict(port.extra) == {"nccl:maxconn": "131072", "nccl:net": "1", "nccl:gin": "1"}
    switched, coherent = host.template.links_of[2]
    assert (switched.kind, switched.count, switched.named) == (
        (LinkKind.NVLINK, 18, "fffffff:ff:ff.0")
    )
    assert (coherent.kind, coherent.target, coherent.gbps) == (LinkKind.C2C, 0, 44.712)


def canonical(element: ET.Element) -> object:
    return element.tag, element.attrib, [canonical(child) for child in element]


@pytest.mark.parametrize("name", FILES)
def test_what_is_written_is_what_was_read(name: str) -> None:
    reading = read_own(name)
    again = written(topology_of(reading), reading.format)
    assert read_text(again).found.content == reading.found.content
    before, after = ET.parse(OWN / name).getroot(), ET.fromstring(again)
    for stranger in before.findall(".//sensor/.."):
        stranger.remove(stranger[-1])
    assert canonical(after) == canonical(before)


ODD = """<system version="1" name="x">
 <cpu numaid="0" affinity="3,f0003fff" arch="x86_64" vendor="  Shanghai  " affinity_offset="4">
  <pci busid="00000000:0A:00.0" class="0X30200" vendor="" link_speed="32 GT/s PCIe/s"
   link_width="0">
   <gpu dev="0" sm="90" rank="-1" gdr="2" mlopart="1" keep="1"/><gpu dev="0" rank="4" mlopart="2"/>
  </pci>
  <nic><gin name="a&#10;&quot;b&lt;" dev="0" latency="1.500" speed="-1" guid="0xMASK"/></nic>
  <pci busid="0000:0b:00.0" class="0x060400"><pcilink target="0000:0c:00.0"/></pci>
  <pci busid="0000:0c:00.0" class="0x060400"/>
 </cpu>
</system>"""


def test_odd_spellings_are_kept() -> None:
    reading = read_text(ODD)
    assert reading.warnings == ()
    again = written(topology_of(reading), "nccl-xml")
    assert canonical(ET.fromstring(again)) == canonical(ET.fromstring(ODD))
    found = topology_of(reading).hosts[0].template
    assert found.nodes[1] == Pci(
        0,
        "0000:0a:00.0",
        0x030200,
        transfers=32.0,
        width=0,
        extra=(
            ("nccl:busid", "00000000:0A:00.0"),
            ("nccl:class", "0X30200"),
            ("nccl:link_speed", "32 GT/s PCIe/s"),
            ("nccl:vendor", ""),
        ),
    )
    assert len(found.gpus) == 2
    assert len(found.devices) == 1


def test_a_topology_of_another_source_can_be_written() -> None:
    host = HostBuilder("node1")
    host.add(Numa(id=0, cpus=0b1111, arch="x86_64", extra=(("hwloc:gp_index", "7"),)))
    bridge = host.add(Pci(0, "0000:01:00.0", 0x060400))
    for number in (2, 3):
        function = host.add(Pci(bridge, f"0000:0{number}:00.0", 0x030200))
        host.add_gpu(Gpu(function, dev=number - 2))
    other = HostBuilder("node2")
    other.add(Pci(-1, "0000:01:00.0", 0x020000))
    again = read_text(written(topology([host, other]), "nccl-xml"))
    found = summary(again)
    assert (found["hosts"], found["gpus"], found["nics"], found["warnings"]) == (2, 2, 1, [])
    assert topology_of(again).hosts[0].template.nodes[0] == Numa(id=0, cpus=15, arch="x86_64")


def test_rccl_and_nccl_name_links_differently() -> None:
    found = topology_of(read_own("rccl-four-mesh.xml"))
    as_nccl = written(found, "nccl-xml")
    assert b"<nvlink " in as_nccl
    assert b'version="1"' in as_nccl
    assert b"xgmi" not in as_nccl


def codes(text: str) -> set[str]:
    return {finding.code for finding in read_text(text).warnings}


def test_all_contradictions_are_told() -> None:
    assert {finding.code for finding in read_own("nccl-contradictions.xml").warnings} == {
        "unknown-element",
        "bus-id-twice",
        "numa-twice",
        "gpu-twice",
        "cpus-shared",
        "gpu-class",
        "port-speed",
        "port-number",
        "link-to-itself",
        "link-target",
        "link-class",
        "link-counts",
        "too-many-links",
        "guid-twice",
        "rank-twice",
    }


@pytest.mark.parametrize("nodes", [3, 1024])
def test_cpus_that_all_nodes_share_are_told_once_a_node(nodes: int) -> None:
    text = "".join(f'<cpu numaid="{i}" affinity="ff"/>' for i in range(nodes))
    content = topology_of(read_text(system(text)))
    found = [f for f in checks.contradictions(content) if f.code == "cpus-shared"]
    assert len(found) == nodes - 1
    assert found[-1].message == f"NUMA nodes 0 and {nodes - 1} share CPUs"


def gpu_links(number: int, *links: str) -> str:
    return pci(f'<gpu dev="{number}" sm="90" gcn="">{"".join(links)}</gpu>', number)


def nvlink(target: int, count: int, target_class: str = "0x030200") -> str:
    return f'<nvlink target="0000:{target:02x}:00.0" count="{count}" tclass="{target_class}"/>'


def test_a_gpu_linked_to_itself_is_not_counted() -> None:
    text = cpu(gpu_links(1, nvlink(1, 4), nvlink(2, 2)) + gpu_links(2, nvlink(1, 2)))
    found = summary(read_text(text))
    assert found["nvlink_pairs"] == 1
    (warning,) = found["warnings"]
    assert "linked to itself" in warning
    alone = summary(read_text(cpu(gpu_links(1, nvlink(1, 4)))))
    assert (alone["nvlink_pairs"], alone["nvlink_domains"]) == (0, [])


def test_links_to_every_peer_that_no_gpu_has() -> None:
    """The number of a GPU's links, written once for each of its peers."""
    gpus = (gpu_links(i, *(nvlink(j, 18) for j in range(1, 9) if j != i)) for i in range(1, 9))
    reading = read_text(cpu("".join(gpus)))
    assert {finding.code for finding in reading.warnings} == {"too-many-links"}
    assert len(reading.warnings) == 8
    assert "126 links of a GPU that can have 18" in str(reading.warnings[0])


def test_one_side_counts_other_links_than_the_other() -> None:
    assert codes(cpu(gpu_links(1, nvlink(2, 4)) + gpu_links(2, nvlink(1, 3)))) == {"link-counts"}
    assert codes(cpu(gpu_links(1, nvlink(2, 4)) + gpu_links(2))) == {"link-counts"}
    assert codes(cpu(gpu_links(1, nvlink(2, 4)) + gpu_links(2, nvlink(1, 4)))) == set()


def test_a_lost_link_to_a_switch_is_another_template() -> None:
    text = (OWN / "nccl-two-trays.xml").read_text(encoding="utf-8")
    found = topology_of(read_text(text.replace('count="18"', 'count="17"', 1)))
    assert found.hosts[0].template != found.hosts[1].template
    assert len(found.templates) == 2


def test_functions_of_an_adapter_share_its_guid() -> None:
    """Virtual functions have one GUID, and each is port 1."""
    net = '<nic><net name="mlx5_{0}" dev="{0}" port="1" guid="0xa"/></nic>'
    functions = (pci(net.format(i), i + 1, "0x020000") for i in range(3))
    assert codes(cpu("".join(functions))) == set()
    twice = net.format(0).replace("</nic>", '<net name="b" dev="9" port="1" guid="0xa"/></nic>')
    assert codes(cpu(pci(twice, 1, "0x020000"))) == {"guid-twice"}


REFUSED = [
    ("nccl-no-cpu", '<system version="1"><gpu dev="0" net="mlx5_0"/></system>', "a.xml:1: <system"),
    ("nccl-version", system("", "7"), "version '7'"),
    ("nccl-missing", system("\n<cpu/>"), "a.xml:2: <cpu>: it has no numaid"),
    ("nccl-missing", cpu("<pci/>"), "<pci>: it has no busid"),
    ("nccl-missing", cpu(pci("<gpu><nvlink/></gpu>")), "<nvlink>: it has no target"),
    ("nccl-missing", cpu(pci("<gpu><c2c bw='1'/></gpu>")), '<c2c bw="1">: it has no count'),
    ("nccl-value", system('<cpu numaid="zero"/>'), "numaid='zero': expected a whole number"),
    ("nccl-value", system('<cpu numaid="0" affinity="xyz"/>'), "expected hexadecimal words"),
    ("nccl-value", system(f'<cpu numaid="0" affinity="{"f" * 16385}"/>'), "hexadecimal words"),
    ("nccl-value", cpu(pci("", pci_class="GPU")), "class='GPU': expected a PCI class"),
    ("nccl-value", cpu(pci("<gpu dev='99999999999999999999'/>")), "expected a whole number"),
    ("nccl-value", cpu("<nic><net latency='inf'/></nic>"), "latency='inf': expected a number"),
    ("nccl-negative", cpu(gpu_links(1, nvlink(2, -1))), "a negative count"),
    ("nccl-address", cpu('<pci busid="here"/>'), "busid='here'"),
    ("xml-broken", '<system version="1">\n<cpu numaid="0">', "a.xml:2: is not XML"),
    ("xml-broken", "\n\n<system version='1'>\n<cpu numaid=0/>", "a.xml:4: is not XML"),
    ("xml-encoding", '<?xml version="1.0" encoding="utf-7"?><system/>', "encoding"),
    (
        "xml-entities",
        '<!DOCTYPE system SYSTEM "s.dtd"><system version="1">&x;</system>',
        "declares or uses entities",
    ),
    ("xml-depth", "<system>\n" + "<pci>" * 200, "a.xml:2: elements are nested deeper"),
    ("xml-attributes", "<system " + " ".join(f'a{i}=""' for i in range(65)) + "/>", "65|64"),
    ("xml-value", f'<system version="{"1" * 70000}"/>', "characters"),
    ("xml-name", f'<system {"a" * 257}=""/>', "a.xml:1"),
    ("xml-name", f"<system><{'a' * 257}/></system>", "256"),
    ("xml-elements", "<system>" + "<pci/>" * xml_tree.MAX_ELEMENTS + "</system>", "200,000"),
]


@pytest.mark.parametrize(
    ("row", "text", "match"), REFUSED, ids=[str(i) for i in range(len(REFUSED))]
)
def test_refused(row: str, text: str, match: str) -> None:
    with raises(row, match) as caught:
        read_text(text)
    assert str(caught.value).count("a.xml") == 1  # said once, not wrapped into another


BOMB = """<!DOCTYPE system [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>
<system version="1"><cpu numaid="&b;"/></system>"""


@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        '<!DOCTYPE system [<!ATTLIST cpu numaid CDATA "0">]><system version="1"><cpu/></system>',
        '<!DOCTYPE system [<!ENTITY f SYSTEM "file:///etc/passwd">]><system>&f;</system>',
    ],
)
def test_nothing_is_declared_in_a_file(text: str) -> None:
    """Recognition stops at the declarations; a parser that is handed the file refuses them."""
    with raises("topology-unknown"):
        read_text(text)
    with raises("xml-entities"):
        source("nccl-xml").parse(api.Document("a.xml", text.encode()))


def test_a_gpu_without_an_address_cannot_be_written() -> None:
    host = HostBuilder("node1")
    host.add_gpu(Gpu(parent=-1, dev=0))
    with raises("nccl-unwritable", "node1/GPU0"):
        written(topology([host]), "nccl-xml")


def test_control_characters_cannot_be_written() -> None:
    host = HostBuilder("node1")
    host.add(Numa(id=0, arch="\x07"))
    with raises("xml-characters"):
        written(topology([host]), "nccl-xml")


@pytest.mark.parametrize(
    ("head", "tag"),
    [
        (b"", ""),
        (
            b"\xef\xbb\xbf \n<?xml version='1.0'?><!-- <a> --><!DOCTYPE t SYSTEM 't'>\n<t a='1'>",
            "t",
        ),
        (b"<system", "system"),
        (b"text <system>", ""),
        (b"<!-- never closed", ""),
    ],
)
def test_the_outermost_element(head: bytes, tag: str) -> None:
    assert xml_tree.root_tag(head)[0] == tag


CORPUS = [(OWN / name).read_bytes() for name in FILES]


@given(
    st.sampled_from(CORPUS),
    st.lists(
        st.tuples(
            st.floats(0, 1),
            st.integers(0, 40),
            st.binary(max_size=12)
            | st.sampled_from(
                [
                    b'"',
                    b"<",
                    b"/>",
                    b"&",
                    b"-1",
                    b"99999999999999999999",
                    b"",
                    b"<gpu>",
                    b"\x00",
                    b"nan",
                ]
            ),
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_a_damaged_file_is_read_or_refused(
    data: bytes, cuts: list[tuple[float, int, bytes]]
) -> None:
    for where, length, put in cuts:
        at = int(where * len(data))
        data = data[:at] + put + data[at + length :]
    try:
        reading = read_text(data)
    except TopologyError:
        return
    summary(reading)
    if isinstance(reading.found.content, Topology):
        again = written(reading.found.content, reading.format)
        assert read_text(again).found.content == reading.found.content


def switched_hosts(*domains: str | None) -> Topology:
    """Hosts of two GPUs at NVLink switches, each in the domain given."""
    hosts = []
    for h, domain in enumerate(domains):
        host = HostBuilder(f"n{h}")
        host.add(Numa(id=0))
        for i in range(2):
            function = host.add(Pci(0, f"0000:0{i}:00.0", 0x030200))
            gpu = host.add_gpu(Gpu(function, i, 90), api.GpuId(nvlink_domain=domain))
            host.link(
                api.Link(LinkKind.NVLINK, gpu, count=18, named="0000:0a:00.0", named_class=0x068000)
            )
        hosts.append(host)
    return topology(hosts)


@pytest.mark.parametrize("domains", [(None, None), ("a", None), ("a", "b")])
def test_hosts_that_no_switch_joins_are_not_written_as_joined(domains: tuple[str | None]) -> None:
    with raises("nccl-apart", match="n0 and n1"):
        written(switched_hosts(*domains), "nccl-xml")


@pytest.mark.parametrize("domains", [(None,), ("a", "a")])
def test_what_is_written_joins_what_was_joined(domains: tuple[str | None]) -> None:
    content = switched_hosts(*domains)
    again = topology_of(read_text(written(content, "nccl-xml")))
    assert pairs(again) == pairs(content)


def test_hosts_without_switches_are_written_together() -> None:
    plain = topology_of(read_text(cpu('<pci busid="0000:01:00.0" class="0x030200"/>')))
    host = plain.hosts[0]
    content = Topology((host, replace(host, name="other")))
    assert len(topology_of(read_text(written(content, "nccl-xml"))).hosts) == 2


@pytest.mark.parametrize(("vendor", "nics"), [("0x8086", 0), ("0x15b3", 1)])
def test_a_wireless_card_is_no_adapter(vendor: str, nics: int) -> None:
    text = cpu(f'<pci busid="0000:01:00.0" class="0x028000" vendor="{vendor}"/>')
    assert len(topology_of(read_text(text)).hosts[0].template.nics) == nics
