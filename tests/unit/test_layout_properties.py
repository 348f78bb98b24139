"""What every layout must be, over hosts that hypothesis makes up."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layouts import check, fallback_gbps
from models import clusters

from distos_coll.api import (
    Gpu,
    GpuId,
    HostBuilder,
    Link,
    LinkKind,
    Nic,
    Numa,
    Pci,
    Port,
    Topology,
    build_topology,
)
from distos_coll.layout import mesh
from distos_coll.layout.lay import lay_out
from distos_coll.layout.placement import Placement, Seat, place
from distos_coll.layout.policy import CrossNic, Policy
from distos_coll.layout.search import Budget

CALM = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
GPU, NIC = 0x030200, 0x020700


@st.composite
def odd_hosts(draw: st.DrawFn, name: str, domain: str | None) -> HostBuilder:
    """GPUs and NICs under any NUMA node, any links between GPUs, PCI of any width."""
    host = HostBuilder(name)
    vendor = draw(st.sampled_from(("GenuineIntel", "AuthenticAMD", None)))
    numa = [
        host.add(Numa(id=n, arch="x86_64", vendor=vendor)) for n in range(draw(st.integers(1, 3)))
    ]
    gpus = []
    for g in range(draw(st.integers(1, 7))):
        transfers = draw(st.sampled_from((8.0, 16.0, 32.0, None)))
        above = draw(st.sampled_from(numa))
        at = host.add(Pci(above, f"0000:1{g}:00.0", GPU, transfers=transfers, width=16))
        its = GpuId(nvlink_domain=domain)
        gpus.append(host.add_gpu(Gpu(at, g, 80, gdr=draw(st.booleans())), its))
    for n in range(draw(st.integers(0, 3))):
        at = host.add(
            Pci(draw(st.sampled_from(numa)), f"0000:2{n}:00.0", NIC, transfers=16.0, width=16)
        )
        mbps = draw(st.sampled_from((100_000, 200_000, 25_000)))
        host.add_port(Port(host.add(Nic(at)), f"mlx5_{n}", dev=n, mbps=mbps, gdr=True))
    for a in gpus:
        for b in gpus:
            count = draw(st.sampled_from((0, 0, 1, 2)))
            if a < b and count:
                back = draw(st.sampled_from((count, count, count + 1)))
                host.link(Link(LinkKind.NVLINK, a, b, count))
                host.link(Link(LinkKind.NVLINK, b, a, back))
    return host


@st.composite
def odd_clusters(draw: st.DrawFn) -> Topology:
    kinds = draw(st.integers(1, 2))
    domain = draw(st.sampled_from((None, None, "rack.1")))
    hosts = [draw(odd_hosts(f"n{i}", domain)) for i in range(kinds)]
    return build_topology([hosts[i % kinds] for i in range(draw(st.integers(1, 4)))])


policies = st.builds(
    Policy,
    cross_nic=st.sampled_from(CrossNic),
    relays=st.booleans(),
    most_channels=st.sampled_from((1, 2, 7, 64)),
)


@CALM
@given(
    st.one_of(clusters(), odd_clusters()),
    policies,
    st.sampled_from((0, 3, 200, 4000, 30_000)),
)
def test_every_layout(topology: Topology, policy: Policy, budget: int) -> None:
    layout = lay_out(topology, place(topology), policy, budget)
    check(layout, budget)
    assert layout.channels <= policy.most_channels
    assert layout.rings.gbps >= fallback_gbps(layout) * 0.999
    if policy.cross_nic is CrossNic.NEVER:
        assert all(s.entry == s.exit for kind in layout.stretches for s in kind)
    assert layout == lay_out(topology, place(topology), policy, budget)


@CALM
@given(odd_clusters(), st.data())
def test_every_placement(topology: Topology, data: st.DataObject) -> None:
    """Some GPUs of some hosts, several ranks on one, ranks on CPUs, in any order."""
    every = [
        Seat(h, device)
        for h, host in enumerate(topology.hosts)
        for device in (-1, *host.template.devices)
    ]
    seats = data.draw(st.lists(st.sampled_from(every), min_size=1, max_size=12))
    check(lay_out(topology, Placement(tuple(seats)), budget=5000))


@CALM
@given(
    st.integers(2, 9).flatmap(
        lambda n: st.lists(
            st.lists(st.integers(0, 3), min_size=n, max_size=n), min_size=n, max_size=n
        )
    ),
    st.integers(1, 12),
)
def test_rings_of_a_mesh(capacity: list[list[int]], most: int) -> None:
    for i, row in enumerate(capacity):
        row[i] = 0
    found = mesh.rings(capacity, most, Budget(20_000))
    assert len(found) <= most
    left = [list(row) for row in capacity]
    for ring in found:
        assert sorted(ring) == list(range(len(capacity)))
        for a, b in zip(ring, (*ring[1:], ring[0]), strict=True):
            left[a][b] -= 1
    assert min(min(row) for row in left) >= 0


def test_complete_meshes_are_used_up() -> None:
    """But for four and six devices, of which no such rings exist (Tillson, 1980)."""
    for n in (2, 3, 5, 7, 8, 9, 12, 16):
        capacity = [[int(i != j) for j in range(n)] for i in range(n)]
        assert len(mesh.rings(capacity, 64, Budget(1 << 17))) == n - 1
    for n in (4, 6):
        single = [[int(i != j) for j in range(n)] for i in range(n)]
        double = [[2 * link for link in row] for row in single]
        assert len(mesh.rings(single, 64, Budget(1 << 17))) < n - 1
        assert len(mesh.rings(double, 64, Budget(1 << 17))) == 2 * (n - 1)
