"""What changed: nothing of itself, exactly the mutation of a mutated model, grouped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from models import GPU, Kind, cluster, clusters, documents

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
    HostTemplate,
    Link,
    LinkKind,
    Nic,
    Node,
    Numa,
    Pci,
    Port,
    Rail,
    Recognised,
    Relation,
    Switch,
    Topology,
)
from distos_coll.topology.diff import diff
from distos_coll.topology.merge import Part, merge

WHOLE = cluster(4, Kind(), leaves=2)


def without(template: HostTemplate, *gone: int) -> HostTemplate:
    """Take out nodes with all below them, and their links."""
    out = set(gone)
    for i, node in enumerate(template.nodes):
        if node.parent in out:
            out.add(i)
    kept = [i for i in range(len(template.nodes)) if i not in out]
    place = {old: new for new, old in enumerate(kept)} | {NOWHERE: NOWHERE}
    nodes = tuple(replace(template.nodes[i], parent=place[template.nodes[i].parent]) for i in kept)
    links = tuple(
        replace(link, source=place[link.source], target=place[link.target])
        for link in template.links
        if link.source in place and link.target in place
    )
    return replace(template, nodes=nodes, links=links)


def lose(host: Host, kind: type[Node], number: int) -> Host:
    """A device of a kind with its PCI function."""
    template = host.template
    index = [i for i, node in enumerate(template.nodes) if type(node) is kind][number]
    parent = template.nodes[index].parent
    left = without(template, parent if isinstance(template.nodes[parent], Pci) else index)
    gpus = tuple(
        own
        for i, own in zip(template.gpus, host.gpus, strict=True)
        if not (kind is Gpu and i == index)
    )
    ports = host.ports
    if kind is Nic:
        ports = tuple(
            own
            for i, own in zip(template.ports, host.ports, strict=True)
            if template.nodes[i].parent != index
        )
    return replace(host, template=left, gpus=gpus, ports=ports)


def with_node(host: Host, kind: type[Node], number: int, **changes: Any) -> Host:
    template = host.template
    index = [i for i, node in enumerate(template.nodes) if type(node) is kind][number]
    nodes = list(template.nodes)
    nodes[index] = replace(nodes[index], **changes)
    return replace(host, template=replace(template, nodes=tuple(nodes)))


def with_link(host: Host, number: int, **changes: Any) -> Host:
    links = list(host.template.links)
    links[number] = replace(links[number], **changes)
    return replace(host, template=replace(host.template, links=tuple(links)))


def without_link(host: Host, number: int) -> Host:
    links = host.template.links[:number] + host.template.links[number + 1 :]
    return replace(host, template=replace(host.template, links=links))


def with_gpu_id(host: Host, **changes: Any) -> Host:
    return replace(host, gpus=(replace(host.gpus[0], **changes), *host.gpus[1:]))


def with_port_id(host: Host, **changes: Any) -> Host:
    return replace(host, ports=(replace(host.ports[0], **changes), *host.ports[1:]))


def moved(host: Host) -> Host:
    """The first GPU hangs under the other NUMA node's bridge."""
    bridges = [
        i
        for i, node in enumerate(host.template.nodes)
        if isinstance(node, Pci) and node.pci_class == 0x060400
    ]
    nodes = list(host.template.nodes)
    gpu = next(i for i, n in enumerate(nodes) if isinstance(n, Pci) and n.pci_class == GPU)
    # A parent stands before its children.
    order = [i for i in range(len(nodes)) if i not in {gpu, gpu + 1}]
    at = order.index(bridges[1]) + 1
    order[at:at] = [gpu, gpu + 1]
    place = {old: new for new, old in enumerate(order)} | {NOWHERE: NOWHERE}
    nodes[gpu] = replace(nodes[gpu], parent=bridges[1])
    turned = tuple(replace(nodes[i], parent=place[nodes[i].parent]) for i in order)
    links = tuple(
        replace(link, source=place[link.source], target=place[link.target])
        for link in host.template.links
    )
    gpus = [order.index(i) for i in host.template.gpus]
    ids = tuple(own for _, own in sorted(zip(gpus, host.gpus, strict=True)))
    return replace(host, template=HostTemplate(turned, links), gpus=ids)


@dataclass(frozen=True)
class Mutation:
    """Of a host."""

    change: Callable[[Host], Host]
    kind: str
    what: str
    back: str
    """The kind of the change the other way."""
    values: tuple[str | None, str | None] = (None, None)


MUTATIONS = [
    Mutation(lambda h: lose(h, Gpu, 1), "gpu-lost", "0000:02:00.0", "gpu-new"),
    Mutation(lambda h: lose(h, Nic, 0), "nic-lost", "0000:09:00.0 (mlx5_0)", "nic-new"),
    Mutation(
        lambda h: with_node(h, Port, 0, mbps=200_000),
        "port-slower",
        "mlx5_0",
        "port-faster",
        ("400 Gb/s", "200 Gb/s"),
    ),
    Mutation(
        lambda h: with_node(h, Port, 1, rail=5),
        "rail-moved",
        "mlx5_1",
        "rail-moved",
        ("rail 1", "rail 5"),
    ),
    Mutation(
        lambda h: with_node(h, Port, 0, state="DOWN"),
        "port-changed",
        "mlx5_0 state",
        "port-changed",
        (None, "DOWN"),
    ),
    Mutation(
        lambda h: with_node(h, Pci, 1, width=8),
        "pci-slower",
        "0000:01:00.0",
        "pci-faster",
        ("16 GT/s x16", "16 GT/s x8"),
    ),
    Mutation(
        lambda h: with_node(h, Numa, 1, cpus=0xFF),
        "numa-changed",
        "NUMA node 1 cpus",
        "numa-changed",
        ("65280", "255"),
    ),
    Mutation(
        lambda h: with_link(h, 0, count=8),
        "links-fewer",
        "nvlink of 0000:01:00.0 to 0000:e0:00.0",
        "links-more",
        ("9", "8"),
    ),
    Mutation(
        lambda h: without_link(h, 3),
        "link-lost",
        "nvlink of 0000:02:00.0 to 0000:e1:00.0",
        "link-new",
    ),
    Mutation(
        lambda h: with_gpu_id(h, uuid="GPU-other"),
        "gpu-replaced",
        "0000:01:00.0",
        "gpu-replaced",
        ("GPU-00000001-0000", "GPU-other"),
    ),
    Mutation(
        lambda h: with_gpu_id(h, nvlink_domain="u.2"),
        "domain-moved",
        "0000:01:00.0",
        "domain-moved",
        (None, "u.2"),
    ),
    Mutation(
        lambda h: with_port_id(h, guid="0x1"),
        "adapter-replaced",
        "mlx5_0",
        "adapter-replaced",
        ("0x98039b0300000100", "0x1"),
    ),
    Mutation(
        lambda h: with_port_id(h, lid=99), "lid-changed", "mlx5_0", "lid-changed", ("17", "99")
    ),
    Mutation(
        moved,
        "device-moved",
        "0000:01:00.0",
        "device-moved",
        ("0000:00:01.0", "0000:10:01.0"),
    ),
    Mutation(
        lambda h: replace(h, host_hash="0x5"),
        "host-changed",
        "host_hash",
        "host-changed",
        (None, "0x5"),
    ),
    Mutation(
        lambda h: replace(h, template=replace(h.template, threads=4)),
        "host-changed",
        "threads",
        "host-changed",
        (None, "4"),
    ),
    Mutation(
        lambda h: replace(h, template=replace(h.template, relations=(Relation(3, 8, "SYS"),))),
        "path-changed",
        "0000:01:00.0 to mlx5_0",
        "path-changed",
        (None, "SYS"),
    ),
    Mutation(
        lambda h: replace(h, template=replace(h.template, distances=(Distances("d", (), ()),))),
        "host-changed",
        "distances",
        "host-changed",
        ("", "d"),
    ),
]


@given(clusters())
def test_nothing_changed(whole: Topology) -> None:
    assert diff(whole, whole) == ()


@given(st.data())
def test_the_order_of_a_document_is_no_change(data: st.DataObject) -> None:
    whole = data.draw(clusters())
    part: Part = data.draw(documents(whole))
    turned = merge([part]).topology
    assert diff(part.topology, turned) == ()
    other: Part = data.draw(documents(whole, "b"))
    assert (diff(merge([part]).topology, merge([other]).topology) == ()) == (
        merge([part]).topology == merge([other]).topology
    )


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: f"{m.kind} {m.what}")
def test_a_mutation_is_told_and_nothing_else(mutation: Mutation) -> None:
    hosts = list(WHOLE.hosts)
    hosts[1] = mutation.change(hosts[1])
    after = replace(WHOLE, hosts=tuple(hosts))
    (found,) = diff(WHOLE, after)
    assert (found.kind, found.what, found.hosts) == (mutation.kind, (mutation.what,), ("n1",))
    assert (found.old, found.new) == mutation.values
    (back,) = diff(after, WHOLE)
    assert (back.kind, back.what, back.hosts) == (mutation.back, (mutation.what,), ("n1",))
    assert (back.old, back.new) == mutation.values[::-1]


@given(st.sets(st.integers(0, 3), min_size=1), st.sampled_from(MUTATIONS[:8]))
def test_hosts_that_changed_alike_are_one_change(which: set[int], mutation: Mutation) -> None:
    hosts = [mutation.change(h) if i in which else h for i, h in enumerate(WHOLE.hosts)]
    (found,) = diff(WHOLE, replace(WHOLE, hosts=tuple(hosts)))
    assert found.hosts == tuple(f"n{i}" for i in sorted(which))
    assert found.count == len(which)


def test_devices_that_changed_alike_are_one_change() -> None:
    hosts = tuple(lose(lose(host, Gpu, 3), Gpu, 1) for host in WHOLE.hosts)
    (found,) = diff(WHOLE, replace(WHOLE, hosts=hosts))
    assert (found.kind, found.what, found.count) == (
        "gpu-lost",
        ("0000:02:00.0", "0000:12:00.0"),
        8,
    )


def test_ids_are_each_hosts_own() -> None:
    hosts = tuple(with_port_id(host, guid=f"0x{i:x}") for i, host in enumerate(WHOLE.hosts))
    (found,) = diff(WHOLE, replace(WHOLE, hosts=hosts))
    assert (found.kind, found.old, len(found.each)) == ("adapter-replaced", None, 4)
    assert found.each[3] == ("n3", "0x98039b0300000300", "0x3")
    reversed_ = with_port_id(WHOLE.hosts[1], guid="0x000100000" + "39b0398")
    turned = replace(WHOLE, hosts=(WHOLE.hosts[0], reversed_, *WHOLE.hosts[2:]))
    assert diff(WHOLE, turned) == (), "the same GUID, its bytes in the other order"


def test_hosts() -> None:
    fewer = replace(WHOLE, hosts=WHOLE.hosts[:1] + WHOLE.hosts[3:])
    (found,) = diff(WHOLE, fewer)
    assert (found.kind, found.hosts, found.count) == ("host-lost", ("n1", "n2"), 2)
    (back,) = diff(fewer, WHOLE)
    assert (back.kind, back.hosts) == ("host-new", ("n1", "n2"))
    renamed = replace(WHOLE.hosts[0], name="m0", aliases=("n0",))
    found, _ = diff(WHOLE, replace(WHOLE, hosts=(renamed, *WHOLE.hosts[1:])))
    assert {found.kind, _.kind} == {"host-changed"}
    assert found.hosts == ("m0",)


def test_a_set_of_more_cpus_than_python_writes_in_decimals() -> None:
    old, new = cluster(1), cluster(1)
    host = with_node(new.hosts[0], Numa, 0, cpus=1 << 20_000)
    (change,) = diff(old, replace(new, hosts=(host,)))
    assert (change.old, change.new) == ("255", hex(1 << 20_000))
    merged = merge([Part("a", old), Part("b", replace(new, hosts=(host,)))])
    assert any(hex(1 << 20_000) in str(finding) for finding in merged.findings)


def test_two_hosts_of_one_name() -> None:
    """Which of them changed cannot be told; that there is one less can."""
    twice = replace(WHOLE, hosts=(*WHOLE.hosts, WHOLE.hosts[0]))
    assert diff(twice, twice) == ()
    (found,) = diff(twice, WHOLE)
    assert (found.kind, found.hosts) == ("host-lost", ("n0",))


FABRIC = WHOLE.fabric
CABLE = FABRIC.cables[0]


def with_cable(number: int, **changes: Any) -> Fabric:
    cables = list(FABRIC.cables)
    cables[number] = replace(cables[number], **changes)
    return replace(FABRIC, cables=tuple(cables))


NETWORKS: list[tuple[Fabric, str, str, tuple[str | None, str | None]]] = [
    (
        with_cable(0, mbps=200_000),
        "cable-slower",
        "n0 mlx5_0[1] to leaf-0[1]",
        ("400 Gb/s", "200 Gb/s"),
    ),
    (
        with_cable(0, b=End(EndKind.SWITCH, "leaf1", 50)),
        "cable-moved",
        "n0 mlx5_0[1]",
        ("leaf-0[1]", "leaf-1[50]"),
    ),
    (
        replace(FABRIC, cables=FABRIC.cables[1:]),
        "cable-lost",
        "n0 mlx5_0[1] to leaf-0[1]",
        (None, None),
    ),
    (
        replace(
            FABRIC,
            switches=FABRIC.switches[:3],
            cables=tuple(c for c in FABRIC.cables if c.b.id != "spine1"),
        ),
        "switch-lost",
        "spine-1",
        (None, None),
    ),
    (
        replace(
            FABRIC,
            adapters=FABRIC.adapters[1:],
            cables=FABRIC.cables[1:],
            rails=tuple(
                replace(r, members=tuple(m for m in r.members if m != CABLE.a))
                for r in FABRIC.rails
            ),
        ),
        "adapter-lost",
        "n0 mlx5_0",
        (None, None),
    ),
    (
        replace(FABRIC, switches=(replace(FABRIC.switches[0], level=3), *FABRIC.switches[1:])),
        "switch-changed",
        "leaf-0 level",
        ("1", "3"),
    ),
    (
        replace(
            FABRIC,
            rails=(
                replace(FABRIC.rails[0], members=FABRIC.rails[0].members[1:]),
                replace(FABRIC.rails[1], members=(*FABRIC.rails[1].members, CABLE.a)),
            ),
        ),
        "rail-moved",
        "n0 mlx5_0[1]",
        ("rail 0", "rail 1"),
    ),
    (replace(FABRIC, rails=FABRIC.rails[:1]), "rail-lost", "rail 1", (None, None)),
    (
        replace(FABRIC, adapters=(replace(FABRIC.adapters[0], host="n9"), *FABRIC.adapters[1:])),
        "adapter-changed",
        "n0 mlx5_0 host",
        ("n0", "n9"),
    ),
    (
        replace(FABRIC, recognised=(Recognised("fat-tree", ("x",)),)),
        "fabric-changed",
        "kind",
        ("", "fat-tree"),
    ),
]


@pytest.mark.parametrize(("after", "kind", "what", "values"), NETWORKS, ids=lambda v: str(v)[:12])
def test_the_network(
    after: Fabric, kind: str, what: str, values: tuple[str | None, str | None]
) -> None:
    (found,) = diff(WHOLE, replace(WHOLE, fabric=after))
    assert (found.kind, found.what, found.hosts) == (kind, (what,), ())
    assert (found.old, found.new) == values


def test_crossed_cables() -> None:
    """Two cables of one leaf change places: each of its ports has another host."""
    a, b = FABRIC.cables[0], FABRIC.cables[2]
    crossed = (replace(a, b=b.b), FABRIC.cables[1], replace(b, b=a.b), *FABRIC.cables[3:])
    found = diff(WHOLE, replace(WHOLE, fabric=replace(FABRIC, cables=crossed)))
    assert [(c.kind, c.what, c.old, c.new) for c in found] == [
        ("cable-moved", ("leaf-0[1]",), "n0 mlx5_0[1]", "n1 mlx5_0[1]"),
        ("cable-moved", ("leaf-0[3]",), "n1 mlx5_0[1]", "n0 mlx5_0[1]"),
    ]


def test_cables_without_ports() -> None:
    """Slurm's: two of one switch are no two cables of one port."""
    hosts = [Cable(End(EndKind.HOST, f"n{i}"), End(EndKind.SWITCH, f"s{i % 2}")) for i in range(4)]
    old = Topology(fabric=Fabric(cables=tuple(hosts)))
    put = replace(hosts[0], b=End(EndKind.SWITCH, "s1"))
    new = Topology(fabric=Fabric(cables=(put, *hosts[1:])))
    assert [(c.kind, c.what) for c in diff(old, new)] == [
        ("cable-lost", ("n0 to s0",)),
        ("cable-new", ("n0 to s1",)),
    ]


def parallel(count: int) -> Topology:
    """Cables between two switches, whose ports nobody tells."""
    ends = End(EndKind.SWITCH, "leaf"), End(EndKind.SWITCH, "spine")
    return Topology(fabric=Fabric(cables=(Cable(*ends),) * count))


def test_each_of_parallel_cables_without_ports_is_told() -> None:
    more = [f"leaf to spine ({number})" for number in (2, 3, 4)]
    (found,) = diff(parallel(4), parallel(1))
    assert (found.kind, list(found.what), found.count) == ("cable-lost", more, 3)
    (found,) = diff(parallel(4), parallel(0))
    assert (list(found.what), found.count) == (["leaf to spine", *more], 4)
    (found,) = diff(parallel(0), parallel(2))
    assert (found.kind, found.count) == ("cable-new", 2)


def ethernet(*hosts: str, more: int = 2) -> Topology:
    """Hosts with interfaces at a switch, as LLDP tells of them, and in blocks."""
    cables = tuple(
        Cable(End(EndKind.HOST, host, f"eth{i}"), End(EndKind.SWITCH, "sw1", f"swp{host}{i}"))
        for host in hosts
        for i in range(more)
    )
    rails = tuple(
        Rail(i, switches=("sw1",), members=tuple(End(EndKind.HOST, h, f"eth{i}") for h in hosts))
        for i in range(2)
    )
    adapters = tuple(Adapter(f"guid-{host}", host=host) for host in hosts)
    fabric = Fabric((Switch("sw1"),), adapters, cables, rails)
    return Topology(tuple(map(Host, hosts)), fabric, (Block("b", hosts),))


def test_what_hangs_at_a_lost_host_is_not_told_again() -> None:
    (found,) = diff(ethernet("n1", "n2", "n3"), ethernet("n1", "n3"))
    assert (found.kind, found.hosts) == ("host-lost", ("n2",))
    (found,) = diff(ethernet("n1"), ethernet("n1", "n2"))
    assert (found.kind, found.hosts) == ("host-new", ("n2",))


def test_cables_of_a_host_that_only_the_network_still_knows() -> None:
    old, new = ethernet("n1", "n2"), ethernet("n1", "n2", more=1)
    found = diff(old, replace(new, hosts=new.hosts[:1]))
    assert [change.kind for change in found] == ["cable-lost", "host-lost"]


def test_a_name_that_is_made_up_is_that_of_the_one_host() -> None:
    unnamed = replace(cluster(1).hosts[0], name="host0", made_up=True)
    named = cluster(1)
    assert diff(Topology((unnamed,)), named) == ()
    assert diff(named, Topology((unnamed,))) == ()
    assert {change.kind for change in diff(Topology((unnamed,)), cluster(2))} == {
        "host-lost",
        "host-new",
    }
    other = replace(unnamed, made_up=False)
    assert {change.kind for change in diff(Topology((other,)), named)} == {"host-lost", "host-new"}


def test_blocks() -> None:
    blocks = (Block("b1", ("n0", "n1")), Block("b2", ("n2",)))
    old = replace(WHOLE, blocks=blocks)
    put = replace(old, blocks=(Block("b1", ("n0",)), Block("b2", ("n1", "n2"))))
    (found,) = diff(old, put)
    assert (found.kind, found.hosts, found.old, found.new) == ("block-moved", ("n1",), "b1", "b2")
    (found,) = diff(old, replace(old, blocks=blocks[:1]))
    assert (found.kind, found.what) == ("block-lost", ("block b2",))


def test_ports_of_an_adapter() -> None:
    """One of two is gone: the adapter is there."""
    host = WHOLE.hosts[0]
    more = replace(
        host,
        template=replace(
            host.template,
            nodes=(*host.template.nodes, Port(host.template.nics[0], "mlx5_0", port=2)),
        ),
        ports=(*host.ports, host.ports[0]),
    )
    (found,) = diff(replace(WHOLE, hosts=(more,)), replace(WHOLE, hosts=(host,)))
    assert (found.kind, found.what) == ("port-lost", ("mlx5_0 port 2",))


def test_links_between_gpus() -> None:
    nodes = (Pci(NOWHERE, "0000:01:00.0"), Gpu(0, 0), Pci(NOWHERE, "0000:02:00.0"), Gpu(2, 1))
    links = (Link(LinkKind.NVLINK, 1, 3, 4, 20.0), Link(LinkKind.NVLINK, 3, 1, 4, 20.0))
    ids = (GpuId(), GpuId())
    slow = (replace(links[0], gbps=10.0), replace(links[1], gbps=10.0))
    sides = [Topology((Host("n", HostTemplate(nodes, each), ids),)) for each in (links, slow)]
    (found,) = diff(*sides)
    assert (found.kind, found.old, found.new) == ("link-slower", "20 GB/s", "10 GB/s")
    assert found.what == (
        "nvlink of 0000:01:00.0 to 0000:02:00.0",
        "nvlink of 0000:02:00.0 to 0000:01:00.0",
    )


def test_adapters_of_the_same_name() -> None:
    old = Topology(fabric=Fabric(adapters=(Adapter("1", rail=0), Adapter("2", rail=1))))
    new = Topology(fabric=Fabric(adapters=(Adapter("1", rail=1), Adapter("2", rail=0))))
    assert [(c.kind, c.what, c.old, c.new) for c in diff(old, new)] == [
        ("rail-moved", ("1",), "rail 0", "rail 1"),
        ("rail-moved", ("2",), "rail 1", "rail 0"),
    ]
