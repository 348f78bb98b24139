"""Hosts as they are sold, made by formula: what layouts are tried on where no files are at hand."""

from collections.abc import Callable
from dataclasses import dataclass

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

GPU, NIC, BRIDGE, NVSWITCH = 0x030200, 0x020700, 0x060400, 0x068000


@dataclass
class Machine:
    """PCI switches, each with some GPUs and NICs, dealt out to NUMA nodes."""

    numa: int = 2
    switches: int = 4
    gpus: int = 2
    """Of each switch, as `nics`."""
    nics: int = 1
    transfers: float = 16.0
    mbps: int = 200_000
    sm: int = 80
    gcn: str | None = None
    vendor: str = "GenuineIntel"
    gdr: bool = True

    def builder(self, name: str, domain: str | None = None) -> "tuple[HostBuilder, list[int]]":
        host = HostBuilder(name)
        cpus = [
            host.add(Numa(id=n, arch="x86_64", vendor=self.vendor, family=6, model=0x8F))
            for n in range(self.numa)
        ]
        gpus: list[int] = []
        dev = 0
        for s in range(self.switches):
            above = cpus[s * self.numa // self.switches]
            bridge = host.add(
                Pci(above, f"0000:{s + 1:x}0:00.0", BRIDGE, transfers=self.transfers, width=16)
            )
            for g in range(self.gpus):
                at = host.add(
                    Pci(
                        bridge,
                        f"0000:{s + 1:x}{g + 1:x}:00.0",
                        GPU,
                        transfers=self.transfers,
                        width=16,
                    )
                )
                gpu = Gpu(at, len(gpus), self.sm, gcn=self.gcn, gdr=self.gdr)
                gpus.append(host.add_gpu(gpu, GpuId(nvlink_domain=domain)))
            for n in range(self.nics):
                at = host.add(
                    Pci(
                        bridge,
                        f"0000:{s + 1:x}{n + 9:x}:00.0",
                        NIC,
                        transfers=self.transfers,
                        width=16,
                    )
                )
                port = Port(
                    host.add(Nic(at)), f"mlx5_{dev}", dev=dev, port=1, mbps=self.mbps, gdr=self.gdr
                )
                host.add_port(port)
                dev += 1
        return host, gpus


def join(host: HostBuilder, a: int, b: int, count: int, kind: LinkKind = LinkKind.NVLINK) -> None:
    """Links between two GPUs; each says its own."""
    for source, target in ((a, b), (b, a)):
        host.link(Link(kind, source, target, count))


def switched(
    machine: Machine, links: int, name: str = "a", domain: str | None = None
) -> HostBuilder:
    host, gpus = machine.builder(name, domain)
    for gpu in gpus:
        host.link(
            Link(LinkKind.NVLINK, gpu, count=links, named="0000:f0:00.0", named_class=NVSWITCH)
        )
    return host


CUBE = (
    (0, 1, 1),
    (0, 2, 1),
    (0, 3, 2),
    (0, 4, 2),
    (1, 2, 2),
    (1, 3, 1),
    (1, 5, 2),
    (2, 3, 2),
    (2, 6, 1),
    (3, 7, 1),
    (4, 5, 1),
    (4, 6, 1),
    (4, 7, 2),
    (5, 6, 2),
    (5, 7, 1),
    (6, 7, 2),
)
"""The hybrid cube mesh of eight V100: six links of each."""


def one(host: HostBuilder) -> Topology:
    return build_topology([host])


def cube_mesh() -> Topology:
    machine = Machine(gpus=2, nics=1, transfers=8.0, mbps=100_000, sm=70)
    host, gpus = machine.builder("cube")
    for a, b, count in CUBE:
        join(host, gpus[a], gpus[b], count)
    return one(host)


def nvswitch_400g() -> Topology:
    machine = Machine(switches=8, gpus=1, nics=1, transfers=32.0, mbps=400_000, sm=90)
    return one(switched(machine, 18, "switched"))


def nvswitch_200g() -> Topology:
    """Two GPUs and two NICs below each PCI switch."""
    machine = Machine(numa=4, gpus=2, nics=2, vendor="AuthenticAMD")
    return one(switched(machine, 12, "switched"))


def full_mesh() -> Topology:
    machine = Machine(
        switches=8, gpus=1, nics=1, transfers=32.0, mbps=400_000, sm=304, gcn="gfx942"
    )
    host, gpus = machine.builder("mesh")
    for i, a in enumerate(gpus):
        for b in gpus[i + 1 :]:
            join(host, a, b, 1, LinkKind.XGMI)
    return one(host)


def two_nics() -> Topology:
    """GPUs without links of their own, a NIC for each half of them."""
    host, _ = Machine(switches=2, gpus=2, nics=1, transfers=16.0, mbps=100_000, sm=86).builder(
        "pcie"
    )
    return one(host)


def bridged_pairs() -> Topology:
    """Four A100 on PCI, one for each NUMA node, in pairs with a bridge; no NIC of RDMA."""
    machine = Machine(numa=4, switches=4, gpus=1, nics=0, vendor="AuthenticAMD")
    host, gpus = machine.builder("pairs")
    join(host, gpus[0], gpus[1], 12)
    join(host, gpus[2], gpus[3], 12)
    return one(host)


def trays(count: int, domain: str | None = "rack.1", name: str = "tray") -> Topology:
    """Compute trays of a rack: four GPUs, four NICs; NVLink switches outside."""
    machine = Machine(switches=4, gpus=1, nics=1, transfers=32.0, mbps=400_000, sm=100)
    return build_topology([switched(machine, 18, f"{name}{i}", domain) for i in range(count)])


MACHINES: dict[str, Callable[[], Topology]] = {
    "cube mesh": cube_mesh,
    "NVSwitch, 8 NICs": nvswitch_400g,
    "NVSwitch, NICs shared": nvswitch_200g,
    "xGMI mesh": full_mesh,
    "PCI, 2 NICs": two_nics,
    "bridged pairs": bridged_pairs,
    "rack": lambda: trays(4),
}
