"""The door for sources: plugins, recognition, bounds; and how hosts are put together."""

import bz2
import gzip
import lzma
import resource
import subprocess
import sys
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from error_page import raises
from topologies import OWN, topology_of

from distos_coll import api
from distos_coll.api import (
    NOWHERE,
    PCI_NVSWITCH,
    Adapter,
    Cable,
    Document,
    End,
    EndKind,
    Fabric,
    Finding,
    Found,
    Gpu,
    GpuId,
    HostBuilder,
    Link,
    LinkKind,
    Nic,
    Numa,
    NvSwitch,
    Pci,
    Port,
    Rail,
    Recognised,
    Switch,
    Topology,
    TopologySource,
    build_topology,
    hookimpl,
    interface_is_virtual,
    pci_bus_id,
)
from distos_coll.plugins.manager import default_registry, default_sources, load_sources
from distos_coll.topology import artifacts, checks, exports, nvlink, pci, reading
from distos_coll.topology.findings import summed_up
from distos_coll.topology.summary import summary


class Tables:
    """What a file says that is no topology."""

    def facts(self) -> Mapping[str, Any]:
        return {"routes": 3}


def parse(document: Document) -> Found:
    return Found(Tables(), (Finding("odd", "odd", document.name),), {"lines": 1})


ROUTES = TopologySource("routes", "", lambda d: d.head.startswith(b"routes"), parse, max_bytes=20)


class Plugin:
    def __init__(self, *sources: object) -> None:
        self.sources = sources

    @hookimpl
    def distos_coll_topology_sources(self) -> list[Any]:
        return list(self.sources)


def test_built_in_sources_come_through_the_hook() -> None:
    names = [source.name for source in default_sources()]
    assert names == sorted(names)
    assert {"nccl-xml", "rccl-xml"} <= set(names)
    assert all(source.doc for source in default_sources())


def test_a_plugin_adds_a_format(tmp_path: Path) -> None:
    sources = load_sources([("mine", Plugin(ROUTES))])
    path = tmp_path / "a.txt"
    path.write_bytes(b"routes\n")
    found = summary(reading.read(path, sources))
    assert (found["format"], found["routes"], found["lines"]) == ("routes", 3, 1)
    assert found["gpus"] is None
    assert found["warnings"] == [f"{path}: odd"]
    path.write_bytes(b"routes" * 20)
    with raises("topology-large-format", "routes is read up to 20"):
        reading.read(path, sources)


def test_plugins_with_algorithms_alone_and_sources_alone() -> None:
    assert default_registry().algorithms
    assert load_sources([("mine", Plugin())]) == default_sources()


def test_two_of_a_name() -> None:
    with raises("plugin-twice", "'mine' and 'yours' both define.*'routes'"):
        load_sources([("mine", Plugin(ROUTES)), ("yours", Plugin(ROUTES))])
    with raises("plugin-twice"):
        load_sources([("mine", Plugin(ROUTES, ROUTES))])
    with raises("plugin-list", r"distos_coll_topology_sources\(\) must return a list of Topology"):
        load_sources([("mine", Plugin("routes"))])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_compressed_files_are_unpacked(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(pack((OWN / "nccl-skeleton.xml").read_bytes()))
    assert summary(reading.read(path, default_sources()))["gpus"] == 1


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_damaged_archives(pack: Any, tmp_path: Path) -> None:
    path = tmp_path / "a"
    packed = pack((OWN / "nccl-eight-switched.xml").read_bytes())
    for data in (packed[:-9], packed[:40] + b"\xff" * 40, packed[:7]):
        path.write_bytes(data)
        with raises("topology-unreadable"):
            reading.open_document(path)


def test_an_archive_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(1 << 20)))
    with raises("topology-large", "65,536 bytes"):
        reading.open_document(path, 1 << 16)


def test_streams_of_xz_after_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.xz"
    first, second = lzma.compress(b"<system>" + b" " * (3 << 20)), lzma.compress(b"</system>")
    path.write_bytes(first + bytes(8) + second + bytes(4))
    assert reading.open_document(path).data == b"<system>" + b" " * (3 << 20) + b"</system>"


def test_memory_is_not_taken_before_it_is_needed(tmp_path: Path) -> None:
    """Neither as much as the largest file may have, nor what a damaged one asks for."""
    path = tmp_path / "a"
    huge = bytearray(lzma.compress(b"<system/>"))
    huge[16] = 38  # the size of the dictionary, 2 GiB, in a header of 12 bytes with a sum
    huge[20:24] = zlib.crc32(huge[12:20]).to_bytes(4, "little")
    # Beforehand: to pack takes more than to unpack.
    packed = [pack(b"<system/>") for pack in (bytes, gzip.compress, bz2.compress, lzma.compress)]
    before = resource.getrlimit(resource.RLIMIT_AS)
    mapped = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + (64 << 20), before[1]))
    try:
        for data in packed:
            path.write_bytes(data)
            assert reading.open_document(path).data == b"<system/>"
        path.write_bytes(huge)
        with raises("topology-unreadable", "[Mm]emory"):
            reading.open_document(path)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def test_errors_are_safe_to_print() -> None:
    """Whoever raises one, with whatever name in it."""
    end = End(EndKind.SWITCH, "\u202e\n\x1b[2J")
    fabric = Fabric((Switch("a", "a", "infiniband"),), cables=(Cable(end, end),))
    ibsim = next(source for source in default_sources() if source.name == "ibsim-net")
    with raises("fabric-ends") as caught:
        artifacts.export(Found(Topology(fabric=fabric)), ibsim)
    assert str(caught.value).isprintable()


def test_what_is_not_there_and_what_is_not_known(tmp_path: Path) -> None:
    with raises("topology-unreadable", "No such file"):
        reading.read(tmp_path / "none", default_sources())
    path = tmp_path / "a"
    path.write_bytes(b"\x7fELF")
    with raises("topology-unknown", "nccl-xml, .*rccl-xml"):
        reading.read(path, default_sources())
    with raises("topology-unknown"):
        reading.read(tmp_path, default_sources())


def test_many_findings_are_cut_short() -> None:
    many = [Finding("a", str(i % 300)) for i in range(1000)]
    found = summed_up(many)
    assert len(found) == 201
    assert str(found[-1]) == "and 100 more contradictions"
    assert summed_up(many[:3] * 5) == tuple(many[:3])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0000:1A:00.0", "0000:1a:00.0"),
        ("00000000:1A:00.0", "0000:1a:00.0"),
        ("00010000:1A:00.0", "10000:1a:00.0"),
        ("1a:00.0", "0000:1a:00.0"),
        ("fffffff:ff:ff.0", "fffffff:ff:ff.0"),
        ("GPU0", None),
        ("", None),
    ],
)
def test_bus_ids(text: str, expected: str | None) -> None:
    assert pci_bus_id(text) == expected


def test_names_of_interfaces() -> None:
    for name in ("lo", "docker0", "br-0123456789ab", "br0", "veth12", "cali1c7", "tunl0", "eth0.5"):
        assert interface_is_virtual(name), name
    for name in ("eth0", "ib0", "enp3s0f0", "eno1np0", "mlx5_bond_0", "hsi0", "bond0", "broadcom0"):
        assert not interface_is_virtual(name), name


@pytest.mark.parametrize(
    ("transfers", "width", "expected"),
    [(8.0, 16, 12.0), (16.0, 16, 24.0), (32.0, 8, 24.0), (64.0, 0, 96.0), (None, None, 12.0)],
)
def test_speeds_of_pci_links(transfers: float | None, width: int | None, expected: float) -> None:
    assert pci.link_gbps(transfers, width) == expected


def test_classes_of_pci_functions() -> None:
    assert [pci.is_nic(c) for c in (0x020000, 0x020700, 0x028000, 0x0C0600, 0x0C0330, None)] == (
        [True, True, True, True, False, False]
    )
    assert [pci.is_bridge(c) for c in (0x060400, 0x060401, 0x060000, None)] == (
        [True, True, False, False]
    )


def test_ports_without_guids_are_told_apart_by_their_devices() -> None:
    host = HostBuilder("n")
    for name in ("mlx4_0", "mlx5_0"):
        nic = host.add(Nic(NOWHERE))
        for port in (1, 2):
            host.add_port(Port(nic, name, port=port))
    found = summary_of(build_topology([host]))
    assert (found["nics"], found["net_ports"]) == (2, 4)


def test_links_of_which_the_source_does_not_say_where_they_lead() -> None:
    host = HostBuilder("n")
    gpu = host.add_gpu(Gpu(NOWHERE, dev=0))
    host.link(Link(LinkKind.NVLINK, gpu, count=12, gbps=25.0))
    found = build_topology([host])
    assert checks.contradictions(found) == []
    assert (summary_of(found)["gpus"], summary_of(found)["nvlink_pairs"]) == (1, 0)


def eight_gpus(name: str, domain: str | None = None) -> HostBuilder:
    """A GPU a function, all on one switch."""
    host = HostBuilder(name)
    host.add(Numa(id=0))
    for number in range(8):
        function = host.add(Pci(0, f"0000:{number:02x}:00.0", 0x030200))
        gpu = host.add_gpu(Gpu(function, dev=number), GpuId(f"{name}-{number}", None, domain))
        switch = Link(LinkKind.NVLINK, gpu, count=18, named="fffffff:ff:ff.0", named_class=0x068000)
        host.link(switch)
    return host


def test_hosts_that_look_alike_share_a_template() -> None:
    odd = eight_gpus("n3")
    odd.nodes.pop()
    odd.gpu_ids.popitem()
    found = build_topology([eight_gpus("n1"), eight_gpus("n2")])
    assert found.hosts[0].template is found.hosts[1].template
    assert found == build_topology([eight_gpus("n1"), eight_gpus("n2")])
    assert found != build_topology([eight_gpus("n1"), eight_gpus("n3")])
    (switch,) = found.hosts[0].template.nvswitches
    assert found.hosts[0].template.nodes[switch] == NvSwitch("fffffff:ff:ff.0")
    assert summary_of(found)["nvlink_pairs"] == 2 * 28


def summary_of(topology: Topology) -> dict[str, Any]:
    return summary(reading.Reading("test", "test", Found(topology), ()))


def test_a_domain_over_hosts() -> None:
    """Nine hosts of a rack are one, the host beside them is its own."""
    hosts = [eight_gpus(f"n{i}", "rack.1" if i < 9 else None) for i in range(10)]
    found = summary_of(build_topology(hosts))
    assert found["nvlink_pairs"] == 72 * 71 // 2 + 28
    assert sorted(map(len, found["nvlink_domains"])) == [8, 72]
    assert found["nvlink_domains"][1][0] == "n9/0000:00:00.0"


def test_a_domain_that_only_uuids_tell_of() -> None:
    host = HostBuilder("n")
    for dev in range(4):
        host.add_gpu(Gpu(NOWHERE, dev=dev), GpuId(nvlink_domain="rack.1"))
    found = summary_of(build_topology([host]))
    assert (found["nvlink_pairs"], found["nvlink_domains"]) == (
        (6, [["n/GPU0", "n/GPU1", "n/GPU2", "n/GPU3"]])
    )


def test_the_switches_of_a_host_are_one() -> None:
    """Sixteen GPUs on two boards: each board has switches of its own, with cables between them."""
    host = HostBuilder("n")
    for number in range(16):
        gpu = host.add_gpu(Gpu(NOWHERE, dev=number))
        for switch in range(6):
            named = f"0000:{number // 8}{switch}:00.0"
            link = Link(LinkKind.NVLINK, gpu, count=1, named=named, named_class=0x068000)
            host.link(link)
    found = build_topology([host])
    assert len(found.hosts[0].template.nvswitches) == 12
    assert nvlink.pairs(found) == 16 * 15 // 2


def test_sixteen_thousand_gpus() -> None:
    """One template, and no object for a link of a host."""
    found = build_topology(eight_gpus(f"n{i:04}", f"rack.{i // 9}") for i in range(2048))
    assert len(found.templates) == 1
    facts = summary_of(found)
    assert facts["gpus"] == 16384
    assert len(facts["nvlink_domains"]) == 228
    assert facts["nvlink_pairs"] == 227 * (72 * 71 // 2) + 40 * 39 // 2


def test_a_host_with_too_many() -> None:
    host = HostBuilder("n")
    for number in range(1025):
        host.add(Numa(id=number))
    with raises("topology-many", "n has 1,025 Numa nodes"):
        host.build()


def test_a_host_with_too_many_switches_at_the_ends_of_its_links() -> None:
    host = HostBuilder("n")
    gpu = host.add_gpu(Gpu(NOWHERE))
    for number in range(1025):
        link = Link(LinkKind.NVLINK, gpu, count=1, named=f"{number:04x}:01:00.0")
        host.link(replace(link, named_class=PCI_NVSWITCH))
    with raises("topology-many", "n has 1,025 NvSwitch nodes"):
        host.build()


def test_what_a_fabric_says_of_itself() -> None:
    leaf, spine = (Switch(name, name, "infiniband", ports=40) for name in ("leaf", "spine"))
    cards = [
        Adapter("1", "node1 mlx5_0", "node1", "mlx5_0"),
        Adapter("2", "node1 mlx5_1", "node1", "mlx5_1"),
        Adapter("3", aggregation=True),
    ]
    cables = [
        Cable(End(EndKind.ADAPTER, card.id, 1), End(EndKind.SWITCH, "leaf", i), 4, "HDR", 200000)
        for i, card in enumerate(cards)
    ]
    fabric = Fabric(
        (leaf, spine),
        tuple(cards),
        tuple(cables),
        (Rail(0, switches=("leaf",)),),
        (Recognised("fat-tree", ("2 levels",)), Recognised("rail-optimised", ("1 leaf",))),
    )
    found = summary_of(Topology(fabric=fabric))
    assert {key: found[key] for key in ("hosts", "hcas", "switches", "rails", "gpus")} == {
        "hosts": 1,
        "hcas": 2,
        "switches": 2,
        "rails": 1,
        "gpus": None,
    }
    assert found["fabric"] == {
        "kind": "fat-tree",
        "evidence": ["2 levels"],
        "also": [{"kind": "rail-optimised", "evidence": ["1 leaf"]}],
    }


def test_hosts_alone() -> None:
    """Of a source that knows names only."""
    found = summary_of(build_topology(HostBuilder(f"n{i}") for i in range(5)))
    assert (found["hosts"], found["gpus"], found["nvlink_domains"]) == (5, None, None)
    assert len(topology_of(reading.read(OWN / "nccl-skeleton.xml", default_sources())).hosts) == 1


def test_authors_of_sources_find_what_they_need() -> None:
    """And those who only plan do not load it."""
    assert all(hasattr(api, name) for name in exports.__all__)
    assert not hasattr(api, "_nothing")
    assert not hasattr(api, "nothing")
    code = (
        "import sys, distos_coll.plugins.manager as m; m.built_in_registry(); print(*sys.modules)"
    )
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "distos_coll.api" in loaded
    assert "distos_coll.topology.model" not in loaded
