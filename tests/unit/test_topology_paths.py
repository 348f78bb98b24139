"""Path types and bandwidths, by the figures of NCCL's own constants."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN, read_own, read_text, topology_of

from distos_coll.topology import nvlink
from distos_coll.topology import paths as paths_module
from distos_coll.topology.builder import HostBuilder, topology
from distos_coll.topology.graph import Graph
from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    GpuId,
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Numa,
    Pci,
    Port,
    Relation,
)
from distos_coll.topology.path_type import PathType
from distos_coll.topology.paths import NONE, HostPaths, Path, Paths

P = PathType


def template_of(name: str) -> HostTemplate:
    return topology_of(read_own(name)).hosts[0].template


def kinds(paths: HostPaths, a: int) -> list[str]:
    """To every GPU, or port, from a GPU."""
    return [paths.between(a, b).type.name for b in paths.template.devices]


def value(path: Path) -> tuple[str, float]:
    return path.type.name, round(path.gbps, 3)


def test_the_order_of_types_is_nccls() -> None:
    assert " ".join(kind.name for kind in P) == "LOC NVL NVB C2C PIX PXB P2C PXN PHB SYS NET DIS"
    assert [kind.value for kind in P] == list(range(12))


def test_switched_nvlink() -> None:
    paths = HostPaths(template_of("nccl-eight-switched.xml"))
    gpus, ports = paths.template.devices, paths.ports
    assert kinds(paths, gpus[0]) == ["LOC"] + ["NVL"] * 7
    assert value(paths.between(gpus[0], gpus[7])) == ("NVL", 18 * 20.6)
    assert paths.between(gpus[0], gpus[7]).nodes[0] == gpus[0]
    assert len(paths.between(gpus[0], gpus[7]).nodes) == 3
    # A NIC beside the GPU, one of the same socket, one of the other.
    assert value(paths.between(gpus[0], ports[0])) == ("PIX", 48.0)
    assert value(paths.between(gpus[0], ports[1])) == ("PHB", 48.0)
    assert value(paths.between(gpus[0], ports[4])) == ("SYS", 22.0)
    assert value(paths.between(ports[0], gpus[0])) == ("PIX", 48.0)


def test_relays() -> None:
    paths = HostPaths(template_of("nccl-eight-switched.xml"))
    gpus, ports = paths.template.devices, paths.ports
    assert [paths.port_of(gpu) for gpu in gpus] == list(ports)
    assert [paths.gpu_of(port) for port in ports] == list(gpus)
    assert value(paths.to_port(gpus[0], ports[0])) == ("PIX", 48.0)
    relayed = paths.to_port(gpus[0], ports[5])
    assert value(relayed) == ("PXN", 48.0)
    assert gpus[5] in relayed.nodes


def test_no_relay_without_direct_access_to_memory() -> None:
    """Of a GPU that NICs cannot read."""
    text = read_text(
        """<system version="1"><cpu numaid="0" arch="x86_64" vendor="GenuineIntel" familyid="6"
        modelid="85"><pci busid="0000:01:00.0" class="0x060400" link_width="16" link_speed="">
        <pci busid="0000:02:00.0" class="0x030200"><gpu dev="0" sm="80" gdr="0">
        <nvlink target="0000:04:00.0" count="4" tclass="0x030200"/></gpu></pci>
        <pci busid="0000:03:00.0" class="0x020000"><nic><net name="a" dev="0" speed="100000"
        gdr="1"/></nic></pci></pci><pci busid="0000:04:00.0" class="0x030200"><gpu dev="1" sm="80"
        gdr="1"><nvlink target="0000:02:00.0" count="4" tclass="0x030200"/></gpu></pci></cpu>
        </system>"""
    )
    paths = HostPaths(topology_of(text).hosts[0].template)
    near, far = paths.template.devices
    (port,) = paths.ports
    assert value(paths.between(near, port)) == ("PIX", 12.0)
    assert value(paths.to_port(far, port)) == ("PHB", 12.0)


def test_thousands_of_ports_beside_coherent_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One search over the host for a GPU and its CPU, none for a port."""
    text = (OWN / "nccl-two-trays.xml").read_text("utf-8")
    start, end = text.index("<nic>"), text.index("</nic>") + len("</nic>")
    many = text[:start] + text[start:end] * 300 + text[end:]
    searches: list[int] = []

    def search(graph: Graph, start: int) -> object:
        searches.append(start)
        return found(graph, start)

    found = paths_module._search
    monkeypatch.setattr(paths_module, "_search", search)
    paths = HostPaths(topology_of(read_text(many)).hosts[0].template)
    assert len(paths.ports) == 300
    gpu, other = paths.template.devices
    paths.between(gpu, other)
    assert paths.between(gpu, paths.ports[0]).type is PathType.P2C
    assert len(searches) < 8


def test_a_thousand_numa_nodes() -> None:
    """They reach each other without an object for each of a million pairs."""
    host = HostBuilder("n")
    for number in range(1000):
        host.add(Numa(id=number))
    gpus = [host.add_gpu(Gpu(host.add(Pci(n, f"0000:{n}0:00.0", 0x030200)))) for n in (3, 7)]
    paths = HostPaths(host.build().template)
    assert len({id(edge) for edges in paths.graph.edges for edge in edges}) < 1100
    assert paths.between(*gpus).type is PathType.SYS
    assert paths.between(*gpus).nodes == (gpus[0], 3, 7, gpus[1])
    assert all(paths.between(gpus[0], numa).type <= PathType.SYS for numa in paths.template.numa)


def test_a_mesh_with_one_gpu_between() -> None:
    paths = HostPaths(template_of("nccl-four-mesh.xml"))
    gpus = paths.template.devices
    assert kinds(paths, gpus[0]) == ["LOC", "NVL", "NVL", "NVB"]
    assert value(paths.between(gpus[0], gpus[1])) == ("NVL", 20.0)
    assert value(paths.between(gpus[0], gpus[2])) == ("NVL", 40.0)
    # Both ways round have a part of one link.
    assert value(paths.between(gpus[0], gpus[3])) == ("NVB", 20.0)
    assert [port.name for port in map(paths.template.nodes.__getitem__, paths.ports)] == [  # type: ignore[union-attr]
        "mlx5_0",
        "mlx5_1",
    ]


def test_coherent_memory() -> None:
    paths = HostPaths(template_of("nccl-two-trays.xml"))
    gpu, other = paths.template.devices
    (cpu,), (port,) = paths.template.numa, paths.ports
    assert value(paths.between(gpu, cpu)) == ("C2C", 5 * 44.712)
    assert value(paths.between(gpu, port)) == ("P2C", 48.0)
    assert value(paths.between(port, gpu)) == ("P2C", 48.0)
    assert value(paths.between(gpu, other)) == ("NVL", 721.8)


def test_between_hosts() -> None:
    one_domain = topology_of(read_own("nccl-two-trays.xml"))
    paths = Paths(one_domain)
    a, b = one_domain.hosts[0].template.devices
    assert value(paths.between((0, a), (1, b))) == ("NVL", 721.8)
    assert value(paths.between((0, a), (0, b))) == ("NVL", 721.8)
    apart = topology([_with_nic("n0"), _with_nic("n1"), HostBuilder("n2")])
    gpu = apart.hosts[0].template.devices[0]
    assert value(Paths(apart).between((0, gpu), (1, gpu))) == ("NET", 12.5)


def _with_nic(name: str) -> HostBuilder:
    host = HostBuilder(name)
    host.add(Numa(id=0, arch="x86_64", vendor="AuthenticAMD"))
    function = host.add(Pci(0, "0000:01:00.0", 0x030200, transfers=16.0, width=16))
    host.add_gpu(Gpu(function, dev=0))
    function = host.add(Pci(0, "0000:02:00.0", 0x020000, transfers=16.0, width=16))
    host.add_port(Port(host.add(Nic(function)), "eth0", mbps=100_000))
    return host


@pytest.mark.parametrize("fewer", [0, 1])
def test_the_gpu_with_fewer_links_limits_what_passes_between_hosts(fewer: int) -> None:
    hosts = []
    for h in range(2):
        host = HostBuilder(f"n{h}")
        function = host.add(Pci(host.add(Numa(id=0)), "0000:01:00.0", 0x030200))
        gpu = host.add_gpu(Gpu(function, 0, 90), GpuId(nvlink_domain="rack.1"))
        count = 9 if h == fewer else 18
        host.link(Link(LinkKind.NVLINK, gpu, count=count, named="s", named_class=0x068000))
        hosts.append(host)
    whole = topology(hosts)
    ends = ((h, whole.hosts[h].template.devices[0]) for h in range(2))
    assert value(Paths(whole).between(*ends)) == ("NVL", 9 * 20.6)


@pytest.mark.parametrize(
    ("numa", "gbps"),
    [
        (Numa(arch="arm64"), 6.0),
        (Numa(arch="ppc64"), 32.0),
        (Numa(arch="x86_64", vendor="AuthenticAMD"), 16.0),
        (Numa(arch="x86_64", vendor="GenuineIntel", family=6, model=0x55), 10.0),
        (Numa(arch="x86_64", vendor="CentaurHauls"), 6.0),
        (Numa(arch="x86_64", vendor="  Shanghai  ", family=7, model=0x5B), 9.0),
        (Numa(), 5000.0),
    ],
)
def test_between_sockets(numa: Numa, gbps: float) -> None:
    host = HostBuilder("n")
    nodes = [host.add(replace(numa, id=i)) for i in range(2)]
    paths = HostPaths(host.build().template)
    assert value(paths.between(*nodes)) == ("SYS", gbps)


def test_a_link_that_counts_none_joins_nothing() -> None:
    host = HostBuilder("n")
    gpus = [host.add_gpu(Gpu(NOWHERE, dev=dev)) for dev in range(2)]
    for source, target in (gpus, gpus[::-1]):
        host.link(Link(LinkKind.NVLINK, source, target, count=0))
    whole = topology([host])
    assert HostPaths(whole.hosts[0].template).between(*gpus) is NONE
    assert (nvlink.pairs(whole), nvlink.domains(whole)) == (0, ())


def test_a_gpu_without_a_network() -> None:
    host = HostBuilder("n")
    host.add_gpu(Gpu(NOWHERE), GpuId())
    found = topology([host, host])
    assert Paths(found).between((0, 0), (1, 0)) is NONE


def bridged(*ids: tuple[int, int, int, int]) -> HostPaths:
    """A GPU and a NIC below the second of two switches each; the first is common."""
    host = HostBuilder("n")
    host.add(Numa(id=0))
    top = host.add(Pci(0, "0000:01:00.0", 0x060400, *ids[0], transfers=32.0, width=16))
    for number, device_class in ((2, 0x030200), (4, 0x020000)):
        below = host.add(Pci(top, f"0000:0{number}:00.0", 0x060400, *ids[1], 32.0, 16))
        leaf = host.add(
            Pci(below, f"0000:0{number + 1}:00.0", device_class, transfers=32.0, width=16)
        )
        if device_class == 0x030200:
            host.add_gpu(Gpu(leaf, dev=0))
        else:
            host.add_port(Port(host.add(Nic(leaf)), "mlx5_0", mbps=400_000))
    return HostPaths(host.build().template)


BROADCOM_5 = ((0x1000, 0xC030, 0x1000, 0x0072), (0x1000, 0xC030, 0x1000, 0x1003))
BROADCOM_4 = ((0x1000, 0xC010, 0x1000, 0xA096), (0x1000, 0xC010, 0x1000, 0xA096))
OTHERS = ((0x15B3, 0x1979, 0, 0), (0x15B3, 0x1979, 0, 0))
MIXED = (BROADCOM_5[0], OTHERS[1])


@pytest.mark.parametrize(
    ("ids", "expected"),
    [(BROADCOM_5, P.PIX), (BROADCOM_4, P.PIX), (OTHERS, P.PXB), (MIXED, P.PXB)],
)
def test_switches_that_show_a_level_that_is_not_there(
    ids: tuple[tuple[int, int, int, int], ...], expected: PathType
) -> None:
    paths = bridged(*ids)
    path = paths.between(paths.template.devices[0], paths.ports[0])
    assert (path.type, path.gbps) == (expected, 48.0)


def test_the_narrowest_link_counts() -> None:
    host = HostBuilder("n")
    host.add(Numa(id=0, arch="x86_64", vendor="GenuineIntel", family=6, model=85))
    host.add(Numa(id=1, arch="x86_64", vendor="GenuineIntel", family=6, model=85))
    for numa, width in ((0, 8), (1, 16)):
        function = host.add(Pci(numa, f"0000:0{numa}:00.0", 0x030000, transfers=8.0, width=width))
        host.add_gpu(Gpu(function, dev=numa))
    paths = HostPaths(host.build().template)
    a, b = paths.template.devices
    assert value(paths.between(a, b)) == ("SYS", 6.0)
    assert value(paths.between(a, 0)) == ("PHB", 6.0)
    assert value(paths.between(b, 0)) == ("SYS", 10.0)


def test_nvlink_to_a_cpu() -> None:
    host = HostBuilder("n")
    host.add(Numa(id=0, arch="ppc64"))
    function = host.add(Pci(0, "0000:01:00.0", 0x030200))
    gpu = host.add_gpu(Gpu(function, dev=0, sm=70))
    host.link(Link(LinkKind.NVLINK, gpu, count=3, named="0001:00:00.0", named_class=0x068001))
    paths = HostPaths(host.build().template)
    assert value(paths.between(gpu, 0)) == ("NVL", 60.0)


def test_switches_that_reach_each_other() -> None:
    host = HostBuilder("n")
    host.add(Numa(id=0))
    gpus = []
    for number in (1, 2):
        switch = host.add(Pci(0, f"0000:0{number}:00.0", 0x060400, transfers=16.0, width=16))
        named = f"0000:0{3 - number}:00.0"
        host.link(Link(LinkKind.PCI, switch, named=named))
        leaf = host.add(Pci(switch, f"0000:1{number}:00.0", 0x030200, transfers=16.0, width=16))
        gpus.append(host.add_gpu(Gpu(leaf, dev=number)))
    paths = HostPaths(host.build().template)
    assert value(paths.between(*gpus)) == ("PXB", 24.0)


def test_relations_without_a_tree() -> None:
    host = HostBuilder("n")
    gpus = [host.add_gpu(Gpu(NOWHERE, dev=dev)) for dev in range(4)]
    for other, said in zip(gpus[1:], ("PIX", "NODE", "SYS"), strict=True):
        host.relations.append(Relation(gpus[0], other, said))
    paths = HostPaths(host.build().template)
    assert kinds(paths, gpus[0]) == ["LOC", "PIX", "PHB", "SYS"]
    assert paths.between(gpus[3], gpus[0]).type is P.SYS
    assert paths.between(gpus[1], gpus[2]) is NONE


def test_relations_of_devices_that_only_their_numa_node_joins() -> None:
    host = HostBuilder("n")
    host.add(Numa(id=0))
    gpus = [host.add_gpu(Gpu(0, dev=dev)) for dev in range(3)]
    host.relations.append(Relation(gpus[0], gpus[1], "PIX"))
    paths = HostPaths(host.build().template)
    assert kinds(paths, gpus[0]) == ["LOC", "PIX", "PHB"]


def test_many_ports_for_few_gpus() -> None:
    """Four ports behind one switch with two GPUs: two each, as NCCL shares them out."""
    host = HostBuilder("n")
    host.add(Numa(id=0))
    switch = host.add(Pci(0, "0000:01:00.0", 0x060400))
    gpus = [
        host.add_gpu(Gpu(host.add(Pci(switch, f"0000:1{dev}:00.0", 0x030200)), dev=dev))
        for dev in range(2)
    ]
    for number in range(4):
        function = host.add(Pci(switch, f"0000:2{number}:00.0", 0x020000))
        host.add_port(Port(host.add(Nic(function)), f"mlx5_{number}", mbps=100_000))
    paths = HostPaths(host.build().template)
    names = {i: node.name for i, node in enumerate(paths.template.nodes) if isinstance(node, Port)}
    used = [[names[paths.port_of(gpu, channel)] for channel in range(4)] for gpu in gpus]
    assert used == [["mlx5_0", "mlx5_1"] * 2, ["mlx5_2", "mlx5_3"] * 2]


def test_a_link_to_itself_leads_nowhere() -> None:
    paths = HostPaths(template_of("nccl-contradictions.xml"))
    gpu = paths.template.devices[0]
    assert paths.between(gpu, gpu).type is P.LOC


@st.composite
def trees(draw: st.DrawFn) -> tuple[HostTemplate, list[list[int]]]:
    """NUMA nodes, switches at any depth, and GPUs; of each GPU all nodes above it."""
    host = HostBuilder("n")
    above: list[list[int]] = []
    for number in range(draw(st.integers(1, 3))):
        host.add(Numa(id=number))
        above.append([])
    leaves = []
    for number in range(draw(st.integers(2, 12))):
        parent = draw(st.sampled_from([i for i in range(len(above)) if i not in leaves]))
        is_gpu = draw(st.booleans())
        node = host.add(Pci(parent, f"0000:{number:02x}:00.0", 0x030200 if is_gpu else 0x060400))
        above.append([parent, *above[parent]])
        if is_gpu:
            leaves.append(node)
            host.add_gpu(Gpu(node, dev=number))
            above.append(above[node])
            leaves.append(node + 1)
    template = host.build().template
    return template, [above[gpu] for gpu in template.devices]


@given(trees())
def test_trees_against_the_first_common_node(tree: tuple[HostTemplate, list[list[int]]]) -> None:
    template, above = tree
    paths = HostPaths(template)
    for a, over_a in zip(template.devices, above, strict=True):
        for b, over_b in zip(template.devices, above, strict=True):
            if a == b:
                continue
            shared = [node for node in over_a if node in over_b]
            if not shared:
                expected = P.SYS
            elif isinstance(template.nodes[shared[0]], Numa):
                expected = P.PHB
            else:
                switches = over_a.index(shared[0]) + over_b.index(shared[0]) + 1
                expected = P.PIX if switches == 1 else P.PXB
            assert paths.between(a, b).type is expected
            assert paths.between(a, b).gbps == paths.between(b, a).gbps == 12.0
