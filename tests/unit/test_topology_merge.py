"""Merging: the order of documents does not matter, nothing is lost, contradictions are told."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import BRIDGE, GPU, NIC, Kind, cluster, clusters, documents, guid_of
from topologies import read_own, topology_of

from distos_coll.api import (
    NOWHERE,
    Adapter,
    Block,
    Cable,
    Distances,
    End,
    EndKind,
    Fabric,
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
    build_topology,
    local_nvlink_domain,
)
from distos_coll.topology import checks, nvlink
from distos_coll.topology.joins import Joins
from distos_coll.topology.merge import Merged, Part, merge
from distos_coll.topology.path_type import PathType
from distos_coll.topology.paths import HostPaths


@st.composite
def three(draw: st.DrawFn) -> tuple[Part, Part, Part]:
    whole = draw(clusters())
    a, b, c = (draw(documents(whole, name)) for name in ("a.xml", "b.json", "c.txt"))
    return a, b, c


@given(three(), st.permutations(range(3)))
def test_the_order_does_not_matter(parts: tuple[Part, ...], order: list[int]) -> None:
    assert merge(parts) == merge(parts[i] for i in order)


@given(three())
def test_in_two_steps_it_is_the_same(parts: tuple[Part, Part, Part]) -> None:
    a, b, c = parts
    whole = merge(parts).topology
    first = Part("ab", merge([a, b]).topology)
    second = Part("bc", merge([b, c]).topology)
    assert merge([first, c]).topology == whole
    assert merge([a, second]).topology == whole
    assert merge([first, second]).topology == whole


@given(three())
def test_merging_again_adds_nothing(parts: tuple[Part, Part, Part]) -> None:
    whole = merge(parts)
    again = merge([Part("whole", whole.topology)])
    assert again == Merged(whole.topology)
    assert merge([*parts, Part("whole", whole.topology)]).topology == whole.topology


@given(clusters())
def test_what_is_merged_with_itself(whole: Topology) -> None:
    both = merge([Part("a", whole), Part("b", whole)])
    assert both == merge([Part("a", whole)])
    assert both.topology.hosts == whole.hosts


def test_every_list_of_the_model_is_merged() -> None:
    """Who adds one to the model decides here how it is merged, and how it is compared."""
    names = [{field.name for field in fields(kind)} for kind in (Topology, Fabric, HostTemplate)]
    assert names == [
        {"hosts", "fabric", "blocks", "extra"},
        {"switches", "adapters", "routers", "cables", "rails", "recognised", "extra", "computed"},
        {
            *("nodes", "links", "relations", "distances"),
            *("packages", "cores", "threads", "extra"),
        },
    ]


def test_nothing() -> None:
    assert merge([]) == Merged(Topology())
    assert merge([Part("a", Topology())]) == Merged(Topology())


def test_many_hosts_of_one_kind_are_one_template() -> None:
    """Each document has a template of its own, and all are equal."""
    parts = [Part(f"{i}.json", build_topology([Kind().builder(f"n{i}", i)])) for i in range(20)]
    found = merge(reversed(parts)).topology
    assert len(found.templates) == 1
    assert [host.name for host in found.hosts] == [f"n{i}" for i in range(20)]


# Two sources of one host.


def host(*nodes: Any, links: Sequence[Link] = (), name: str = "n", **more: Any) -> Topology:
    gpus = tuple(GpuId() for node in nodes if isinstance(node, Gpu))
    ports = tuple(PortId() for node in nodes if isinstance(node, Port))
    template = HostTemplate(nodes, tuple(links), **more)
    return Topology((Host(name, template, gpus, ports),))


def both(*hosts: Topology) -> tuple[HostTemplate, list[str]]:
    """The one template, in either order of documents, and what is told."""
    parts = [Part(name, each) for name, each in zip(("a.xml", "b.txt", "c"), hosts, strict=False)]
    found = merge(parts)
    assert merge(reversed(parts)) == found
    (template,) = found.topology.templates
    return template, [str(finding) for finding in found.findings]


TREE = (
    Numa(id=0, cpus=0xFF),
    Pci(0, "0000:10:01.0", BRIDGE),
    Pci(1, "0000:11:00.0", BRIDGE),
    Pci(2, "0000:12:00.0", GPU),
    Gpu(3, 0, 90),
    Pci(2, "0000:13:00.0", NIC),
    Nic(5),
    Port(6, "mlx5_0", port=1),
)


def test_the_deeper_place_counts() -> None:
    """One source leaves out bridges; that is no contradiction."""
    flat = host(Numa(id=0), Pci(0, "0000:12:00.0", GPU, 0x10DE), Gpu(1, name="H100"))
    template, told = both(host(*TREE), flat)
    assert told == []
    assert template.nodes[:3] == TREE[:3]
    assert template.nodes[3] == replace(TREE[3], vendor=0x10DE)
    assert template.nodes[4] == Gpu(3, 0, 90, "H100")


def test_values_that_differ_are_told_with_their_sources() -> None:
    fast, slow = (
        host(Pci(NOWHERE, "0000:01:00.0", GPU, transfers=t, width=16), Gpu(0)) for t in (32.0, 16.0)
    )
    template, told = both(fast, slow)
    assert template.nodes[0] == slow.hosts[0].template.nodes[0]
    assert told == ["n, 0000:01:00.0: transfers is 16.0 by b.txt, 32.0 by a.xml; 16.0 stays"]


def test_what_many_hosts_have_alike_is_told_once() -> None:
    sides = [
        build_topology(Kind(mbps=mbps).builder(f"n{i:02}", i) for i in range(30))
        for mbps in (400_000, 200_000)
    ]
    found = merge([Part("a", sides[0]), Part("b", sides[1])])
    assert [str(finding) for finding in found.findings] == [
        "n00 and 29 hosts like it, mlx5_0: mbps is 200000 by b, 400000 by a; 200000 stays",
        "n00 and 29 hosts like it, mlx5_1: mbps is 200000 by b, 400000 by a; 200000 stays",
    ]
    assert len(found.topology.templates) == 1


def test_places_that_contradict_each_other() -> None:
    first = host(Numa(id=0), Pci(0, "0000:10:00.0", BRIDGE), Pci(1, "0000:12:00.0", GPU), Gpu(2))
    second = host(Numa(id=1), Pci(0, "0000:11:00.0", BRIDGE), Pci(1, "0000:12:00.0", GPU), Gpu(2))
    template, told = both(first, second)
    assert template.bus_id_of(template.nodes[template.gpus[0]].parent) == "0000:12:00.0"
    kept = "NUMA node is NUMA node 0 by a.xml, NUMA node 1 by b.txt; NUMA node 1 stays"
    place = "place is 0000:10:00.0 by a.xml, 0000:11:00.0 by b.txt; 0000:11:00.0 stays"
    assert told == [f"n, 0000:12:00.0: {kept}", f"n, 0000:12:00.0: {place}"]


def test_each_above_the_other() -> None:
    first = host(Pci(NOWHERE, "0000:01:00.0"), Pci(0, "0000:02:00.0"))
    second = host(Pci(NOWHERE, "0000:02:00.0"), Pci(0, "0000:01:00.0"))
    template, told = both(first, second)
    assert [node.parent for node in template.nodes] == [NOWHERE, 0]
    assert any("place is 0000:02:00.0 by b.txt; none stays" in each for each in told)


def test_made_up_bridges_and_real_ones() -> None:
    """Providers write bridges ffff:ff:01.0 into files for NCCL; a real one is better."""
    made_up = host(Numa(id=0), Pci(0, "ffff:ff:01.0", BRIDGE), Pci(1, "0001:00:00.0", GPU), Gpu(2))
    flat = host(Numa(id=0), Pci(0, "0001:00:00.0", GPU), Gpu(1))
    real = host(Numa(id=0), Pci(0, "0000:01:01.0", BRIDGE), Pci(1, "0001:00:00.0", GPU), Gpu(2))
    template, _ = both(made_up, flat)
    assert template.bus_id_of(template.nodes[2].parent) == "ffff:ff:01.0"
    template, _ = both(made_up, flat, real)
    gpu = template.nodes[template.gpus[0]].parent
    assert template.bus_id_of(template.nodes[gpu].parent) == "0000:01:01.0"


def test_a_source_that_only_numbers_gpus() -> None:
    """As nvidia-smi's matrix does: its GPU0 is the driver's first."""
    smi = host(
        Numa(id=0),
        Gpu(0, 0),
        Nic(NOWHERE),
        Port(2, "mlx5_0"),
        links=[Link(LinkKind.NVLINK, 1, count=18, named="fffffff:ff:ff.0", named_class=0x068000)],
        relations=(Relation(1, 3, "SYS"),),
    )
    links = [Link(LinkKind.NVLINK, 4, 8 + s, 9, named=f"0000:e{s}:00.0") for s in (0, 1)]
    full = host(
        *TREE, NvSwitch("0000:e0:00.0"), NvSwitch("0000:e1:00.0"),
        links=links, relations=(Relation(4, 7, "PIX"),),
    )  # fmt: skip
    template, told = both(smi, full)
    assert template.nodes == full.hosts[0].template.nodes
    assert template.links == full.hosts[0].template.links, "18 to switches unknown are 9 and 9"
    assert template.relations == (Relation(4, 7, "SYS"),)
    assert told == ["n, 0000:12:00.0 to mlx5_0: path is PIX by b.txt, SYS by a.xml; SYS stays"]
    template, _ = both(smi, host(*TREE))
    assert [link.named for link in template.links] == ["fffffff:ff:ff.0"]
    assert template.links[0].source == 4


def test_placeholders_go_when_others_know_better() -> None:
    """A NUMA node without a number, an adapter without a function; what has children stays."""
    vague = host(
        Numa(id=-1), Pci(0, "0000:12:00.0", GPU), Gpu(1), Nic(0), Port(3, "mlx5_0"), Port(3, "eth9")
    )
    template, told = both(vague, host(*TREE))
    assert told == []
    assert [type(node) for node in template.nodes].count(Numa) == 2, "eth9 is at one of them"
    port = next(i for i in template.ports if template.nodes[i] == replace(TREE[7], parent=6))
    assert template.numa_of(port) == 0
    without = replace(
        vague.hosts[0],
        template=replace(vague.hosts[0].template, nodes=vague.hosts[0].template.nodes[:-1]),
        ports=vague.hosts[0].ports[:-1],
    )
    template, _ = both(Topology((without,)), host(*TREE))
    assert template.nodes == TREE


def test_numa_nodes_known_by_their_cpus() -> None:
    vague = host(Numa(cpus=0xFF), Gpu(0, 0))
    template, _ = both(vague, host(*TREE))
    assert template.nodes == TREE


def test_links_that_one_source_cannot_follow() -> None:
    """Its GPU is linked to a function that only the other source knows."""
    link = Link(LinkKind.NVLINK, 1, count=4, named="0000:13:00.0")
    first = host(Pci(NOWHERE, "0000:12:00.0", GPU), Gpu(0), links=[link])
    second = host(Pci(NOWHERE, "0000:13:00.0", GPU), Gpu(0))
    template, told = both(first, second)
    assert told == []
    (found,) = template.links
    assert (found.source, found.target, found.count) == (1, 3, 4)
    assert HostPaths(template).between(1, 3).type is PathType.NVL


def test_links_to_a_cpu() -> None:
    """Wherever the other source sees the GPU hang."""
    c2c = [Link(LinkKind.C2C, 2, 0, 5, 44.7)]
    first = host(Numa(id=-1), Pci(0, "0000:01:00.0", GPU), Gpu(1), links=c2c)
    second = host(Numa(id=3), Pci(0, "0000:01:00.0", GPU), Gpu(1))
    template, _ = both(first, second)
    assert template.nodes[0] == Numa(id=3)
    assert [(link.source, link.target) for link in template.links] == [(2, 0)]


def test_distances_and_counts() -> None:
    first = host(*TREE, distances=(Distances("d", ("a",), (10.0,)),), cores=8)
    second = host(*TREE, distances=(Distances("d", ("a",), (12.0,)),), threads=16)
    template, told = both(first, second)
    assert (template.cores, template.threads) == (8, 16)
    assert template.distances[0].values == (10.0,)
    assert told == ["n, distances d: values is 10.0 by a.xml, 12.0 by b.txt; 10.0 stays"]


def test_a_host_that_is_only_a_name() -> None:
    template, told = both(host(), host(*TREE))
    assert template.nodes == TREE
    assert told == []


def test_more_than_a_host_can_have() -> None:
    from error_page import raises

    sides = [host(*(Numa(id=i) for i in range(start, start + 600))) for start in (0, 600)]
    with raises("topology-many", "n has 1,200 Numa"):
        merge([Part("a", sides[0]), Part("b", sides[1])])


# Names and ids.


def hosts(*named: Host) -> Topology:
    return Topology(named)


def test_hosts_with_a_hash_in_common() -> None:
    named = hosts(Host("n1", host_hash="0xaa"))
    hashed = hosts(Host("0xaa", host_hash="0xaa"), Host("0xbb", host_hash="0xbb"))
    found = merge([Part("a", named), Part("b", hashed)])
    assert [(each.name, each.host_hash) for each in found.topology.hosts] == [
        ("0xbb", "0xbb"),
        ("n1", "0xaa"),
    ]
    assert found.findings == ()


def test_two_names_of_one_host() -> None:
    found = merge(
        [
            Part("a", hosts(Host("n1", host_hash="0xaa"))),
            Part("b", hosts(Host("m1", host_hash="0xaa"))),
        ]
    )
    (host,) = found.topology.hosts
    assert (host.name, host.aliases) == ("m1", ("n1",))
    assert [str(f) for f in found.findings] == ["m1: name is m1 by b, n1 by a; m1 stays"]
    again = merge(
        [Part("ab", found.topology), Part("c", hosts(Host("n1", HostTemplate(TREE[:1]))))]
    )
    assert len(again.topology.hosts) == 1, "it is still known by its other name"


def test_two_hashes_of_one_host() -> None:
    """NCCL's hash changes with every boot."""
    parts = [Part(str(i), hosts(Host("n1", host_hash=f"0xa{i}"))) for i in range(2)]
    found = merge(parts)
    (host,) = found.topology.hosts
    assert (host.name, host.host_hash, host.aliases) == ("n1", "0xa0", ("0xa1",))
    assert "host_hash is 0xa0 by 0, 0xa1 by 1" in str(found.findings[0])


def test_names_with_and_without_a_domain() -> None:
    found = merge([Part("a", hosts(Host("n1.example"), Host("n1"), Host("n2.example")))])
    assert len(found.topology.hosts) == 3
    assert [str(f) for f in found.findings] == [
        "may be one host each, and are kept apart: n1 and n1.example"
    ]


def test_ids_come_together() -> None:
    template = HostTemplate(TREE)
    first = Host("n", template, (GpuId("GPU-1"),), (PortId("0x1", addresses=("10.0.0.1",)),))
    second = Host("n", template, (GpuId(rank=3),), (PortId(lid=7, addresses=("10.0.0.2",)),))
    (found,) = merge([Part("a", hosts(first)), Part("b", hosts(second))]).topology.hosts
    assert found.gpus == (GpuId("GPU-1", 3),)
    assert found.ports == (PortId("0x1", 7, ("10.0.0.1", "10.0.0.2")),)
    other = replace(second, gpus=(GpuId("GPU-2"),))
    (finding,) = merge([Part("a", hosts(first)), Part("b", hosts(other))]).findings
    assert str(finding) == "n, 0000:12:00.0: uuid is GPU-1 by a, GPU-2 by b; GPU-1 stays"


def test_a_guid_in_either_order_is_one() -> None:
    template = HostTemplate(TREE)
    guid = "98039b030067261c"
    sides = [
        Host("n", template, (GpuId(),), (PortId(text),))
        for text in (f"0x{bytes.fromhex(guid)[::-1].hex()}", "9803:9b03:0067:261c")
    ]
    found = merge([Part("a", hosts(sides[0])), Part("b", hosts(sides[1]))])
    assert found.findings == ()
    fabric = Fabric(adapters=(Adapter(guid, "MT4123", technology="infiniband"),))
    for side in (*sides, *found.topology.hosts):
        joins = Joins(Topology((side,), fabric))
        assert {port: join.by for port, join in joins.of_port.items()} == {(0, 7): "guid"}


# NVLink domains.


def gpus_of(topology: Topology) -> dict[str, list[str | None]]:
    return {host.name: [own.nvlink_domain for own in host.gpus] for host in topology.hosts}


def test_domains_of_hosts_are_compared() -> None:
    parts = [
        Part(f"{i}", build_topology([Kind().builder(f"n{i}", i, f"uuid.{i // 2}")]))
        for i in range(4)
    ]
    found = merge(parts).topology
    assert [len(domain) for domain in nvlink.domains(found)] == [8, 8]


def test_a_name_of_one_document_gives_way() -> None:
    """NCCL's file of two trays joins them without a name; a report has the cluster's."""
    trays = topology_of(read_own("nccl-two-trays.xml"))
    first = trays.hosts[0]
    report = replace(first, gpus=tuple(replace(own, nvlink_domain="u.7") for own in first.gpus))
    found = merge([Part("a", trays), Part("b", hosts(report))])
    assert set(map(tuple, gpus_of(found.topology).values())) == {("u.7", "u.7")}
    assert found.findings == ()
    assert len(nvlink.domains(found.topology)) == 1


def test_two_domains_of_one_gpu() -> None:
    template = HostTemplate((Gpu(NOWHERE, 0), Gpu(NOWHERE, 1)))
    local = local_nvlink_domain("n")
    said = (("u.1", local), ("u.2", "u.1"))
    parts = [
        Part(name, hosts(Host("n", template, tuple(GpuId(nvlink_domain=each) for each in own))))
        for name, own in zip("ab", said, strict=True)
    ]
    found = merge(parts)
    assert gpus_of(found.topology) == {"n": ["u.1", "u.1"]}
    assert [str(f) for f in found.findings] == [
        "n, GPU 0: nvlink_domain is u.1 by a, u.2 by b; u.1 stays"
    ]
    assert merge(reversed(parts)) == found


# The network.


def network(*cables: Cable, **more: Any) -> Topology:
    return Topology(fabric=Fabric(cables=cables, **more))


LEAF, NODE = End(EndKind.SWITCH, "leaf", 1), End(EndKind.HOST, "n1", "eth0")


def test_both_ends_of_a_cable() -> None:
    """Each source hears one end's word; together they have both."""
    found = merge(
        [
            Part("a", network(Cable(LEAF, NODE, mbps=100, seen_by_both=False))),
            Part("b", network(Cable(NODE, LEAF, rate="HDR", seen_by_both=False))),
        ]
    ).topology.fabric
    assert found.cables == (Cable(NODE, LEAF, None, "HDR", 100),)
    one = Cable(LEAF, NODE, seen_by_both=False)
    assert merge([Part("a", network(one))]).topology.fabric.cables == (one,)


def test_what_is_said_of_an_end_stays_with_it() -> None:
    cable = Cable(LEAF, NODE, extra=(("ib:more-a", "x"), ("ib:rate-b", "y")))
    (found,) = merge([Part("a", network(cable))]).topology.fabric.cables
    assert (found.a, found.extra) == (NODE, (("ib:more-b", "x"), ("ib:rate-a", "y")))


def test_the_network_comes_together() -> None:
    first = network(
        Cable(LEAF, NODE),
        switches=(Switch("leaf", "leaf1", lid=3),),
        rails=(Rail(0, switches=("leaf",), members=(NODE,)),),
        recognised=(Recognised("tree", ("a",)),),
    )
    second = network(
        Cable(End(EndKind.SWITCH, "leaf", 2), End(EndKind.HOST, "n2", "eth0")),
        switches=(Switch("leaf", "leaf1", lid=4, level=1), Switch("spine")),
        rails=(Rail(0, switches=("other",)),),
        recognised=(Recognised("fat-tree", ("b",)),),
    )
    found = merge([Part("a", first), Part("b", second)])
    fabric = found.topology.fabric
    assert fabric.switches == (Switch("leaf", "leaf1", lid=3, level=1), Switch("spine"))
    assert fabric.rails == (Rail(0, None, ("leaf", "other"), (NODE,)),)
    assert [kind.kind for kind in fabric.recognised] == ["fat-tree", "tree"]
    assert len(fabric.cables) == 2
    assert [str(f) for f in found.findings] == ["switch leaf1: lid is 3 by a, 4 by b; 3 stays"]


def test_blocks_come_together() -> None:
    sides = [
        Topology(blocks=(Block("b", (name,)),), extra=(("v", name),)) for name in ("n10", "n9")
    ]
    found = merge([Part("a", sides[0]), Part("b", sides[1])])
    assert found.topology.blocks == (Block("b", ("n9", "n10")),)
    assert found.topology.extra == (("v", "n9"),)
    assert found.findings == ()


# Adapters of the network and ports of hosts.


def joined(topology: Topology) -> dict[tuple[int, int], tuple[str, str]]:
    return {port: (j.adapter.id, j.by) for port, j in Joins(topology).of_port.items()}


def test_adapters_are_joined_by_guid_and_by_name() -> None:
    whole = cluster(2, leaves=2)
    by_guid = joined(whole)
    assert len(by_guid) == 4
    assert set(by_guid.values()) == {(guid_of(i, p), "guid") for i in (0, 1) for p in (0, 1)}
    unknown = tuple(
        replace(host, ports=tuple(PortId() for _ in host.ports)) for host in whole.hosts
    )
    by_name = joined(replace(whole, hosts=unknown))
    assert {port: adapter for port, (adapter, _) in by_name.items()} == {
        port: adapter for port, (adapter, _) in by_guid.items()
    }
    hca = tuple(
        replace(a, device=f"HCA-{int((a.device or '')[-1]) + 1}") for a in whole.fabric.adapters
    )
    called = replace(whole, hosts=unknown, fabric=replace(whole.fabric, adapters=hca))
    assert joined(called) == by_name, "mlx5_0 and HCA-1 are one"


def test_the_guid_of_a_card() -> None:
    """NCCL tells a card's GUID for both of its functions; the device's name tells which."""
    whole = cluster(1, leaves=2)
    (host,) = whole.hosts
    same = replace(host, ports=tuple(replace(own, guid="0xcafe") for own in host.ports))
    adapters = tuple(
        replace(a, extra=(("ib:sysimgguid", "0xcafe"),), host=None) for a in whole.fabric.adapters
    )
    found = joined(Topology((same,), replace(whole.fabric, adapters=adapters)))
    assert sorted(found.values()) == [(guid_of(0, 0), "guid"), (guid_of(0, 1), "guid")]


def test_masked_guids_join_nothing() -> None:
    whole = cluster(2, leaves=2)
    masked = tuple(
        replace(host, name=f"m{i}", ports=tuple(PortId("0x98039b0300000000") for _ in host.ports))
        for i, host in enumerate(whole.hosts)
    )
    topology = replace(whole, hosts=masked)
    assert joined(topology) == {}
    told = [f.code for f in checks.contradictions(topology)]
    assert "guid-shared" in told


def test_the_network_gives_a_port_to_another_host() -> None:
    whole = cluster(2, leaves=2)
    adapters = (replace(whole.fabric.adapters[0], host="n1"), *whole.fabric.adapters[1:])
    topology = replace(whole, fabric=replace(whole.fabric, adapters=adapters))
    (finding,) = [f for f in checks.contradictions(topology) if f.code == "adapter-host"]
    assert "n0 mlx5_0" in str(finding)


@pytest.mark.parametrize("name", ["nccl-eight-switched.xml", "nccl-four-mesh.xml"])
def test_a_file_for_nccl_is_merged_as_it_is(name: str) -> None:
    whole = topology_of(read_own(name))
    assert merge([Part("a", whole)]).topology.hosts == whole.hosts


def test_a_builders_host_has_a_name() -> None:
    assert not HostBuilder("n").build().made_up
    assert HostBuilder("host0", made_up=True).build().made_up


def test_several_texts_of_one_name() -> None:
    """LLDP tells all addresses of a switch: they are one value, and no contradiction."""
    two, one = (("address", "b"), ("address", "a")), (("address", "c"), ("x", "1"))
    sides = [network(switches=(Switch("s", extra=extra),)) for extra in (two, two, one)]
    same = merge([Part("a", sides[0]), Part("b", sides[1])])
    assert (same.topology.fabric.switches[0].extra, same.findings) == (two, ())
    found = merge([Part("a", sides[0]), Part("c", sides[2])])
    assert found.topology.fabric.switches[0].extra == (*two, ("x", "1"))
    assert [str(f) for f in found.findings] == ["switch s: address is b a by a, c by c; b a stays"]
