"""The model: hosts that look alike share a template, a host is a template and its own names.

Every value is immutable, compared by what it says, and in the order of its source. `None` means
that the source does not say. What a source says and the model has no field for is in `extra`, word
by word, so that a format that can be written loses nothing.

A template's nodes are a forest in one tuple: each names its parent by index, -1 for none, and a
parent stands before its children. 16,384 GPUs in 2,048 hosts of one kind are one template, 2,048
hosts, and an id for each GPU and port.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import TypeAlias

from distos_coll.topology.fabric import Block, Fabric

Attributes: TypeAlias = tuple[tuple[str, str], ...]
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Numa:
    """A NUMA node with its CPUs."""

    parent: int = NOWHERE
    id: int | None = None
    """The operating system's number."""
    cpus: int | None = None
    """A bit for each logical CPU."""
    arch: str | None = None  # x86_64, arm64, ppc64
    vendor: str | None = None  # as CPUID spells it: GenuineIntel
    family: int | None = None
    model: int | None = None
    package: int | None = None
    memory_bytes: int | None = None
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class Pci:
    """A PCI function: a bridge or switch port, or what carries a GPU or NIC."""

    parent: int
    bus_id: str
    pci_class: int | None = None
    """Three bytes: 0x030200."""
    vendor: int | None = None
    device: int | None = None
    subsystem_vendor: int | None = None
    subsystem_device: int | None = None
    transfers: float | None = None
    """GT/s of the link upwards."""
    width: int | None = None
    """Its lanes; 0 where a virtual machine hides them."""
    gbps: float | None = None
    """What the link whole runs at, of a source that gives no lanes: gigabytes a second, one way.
    Generation and lanes count more, for an idle device's link is slowed down."""
    os_names: tuple[str, ...] = ()
    """What the operating system calls it: eth0, mlx5_0, nvme0n1."""
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU, or a partition of one; its parent is its PCI function where that is known."""

    parent: int
    dev: int | None = None
    """The driver's number on this host."""
    sm: int | None = None
    """NVIDIA: compute capability, 90. AMD: number of compute units."""
    name: str | None = None  # "NVIDIA H100 80GB HBM3"
    memory_bytes: int | None = None
    gcn: str | None = None  # AMD's architecture: gfx942, 910
    gdr: bool | None = None
    """NICs may read and write its memory."""
    partition: int | None = None
    implied: bool = False
    """Only its PCI class says so."""
    extra: Attributes = ()

    @property
    def architecture(self) -> str:
        """gfx942, gfx 910, sm 90; "" where it is not known."""
        if self.gcn:
            return self.gcn if self.gcn.startswith("gfx") else f"gfx {self.gcn}"
        return f"sm {self.sm}" if self.sm else ""


@dataclass(frozen=True, slots=True)
class Nic:
    """A network adapter; its parent is a PCI function, or a NUMA node where that is all one knows.

    Ports that a source hangs under one place without an adapter of their own, such as the virtual
    interfaces of a host, share one Nic too; count adapters with `summary`.
    """

    parent: int
    implied: bool = False
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class Port:
    """A port of an adapter."""

    parent: int
    name: str  # mlx5_0, eth0
    kind: str = "net"
    """"net": what carries data, counted once. "gin", "rma": other ways of NCCL to use a NIC, listed
    beside it; "netdev": the interface beside an RDMA device.
    """
    dev: int | None = None
    """The number by which NCCL's graphs call it."""
    port: int | None = None
    """Its number on the adapter."""
    mbps: int | None = None
    latency_us: float | None = None
    rail: int | None = None
    plane: int | None = None
    gdr: bool | None = None
    coll: bool | None = None
    """The switches it leads to reduce in the network."""
    layer: str | None = None  # InfiniBand, Ethernet
    state: str | None = None  # ACTIVE
    virtual: bool = False
    """A bridge, a tunnel, a container's end: no adapter of its own."""
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class NvSwitch:
    """A switch of NVLinks, as far as this host's GPUs see it."""

    bus_id: str
    parent: int = NOWHERE
    extra: Attributes = ()


Node: TypeAlias = Numa | Pci | Gpu | Nic | Port | NvSwitch


class LinkKind(str, Enum):
    NVLINK = "nvlink"
    XGMI = "xgmi"
    C2C = "c2c"
    """A coherent link of a GPU to its CPU."""
    PCI = "pcilink"
    """Two PCI switches that reach each other without the CPU."""


@dataclass(frozen=True, slots=True)
class Link:
    """What one end says of a bundle of links; the other end says its own, where it does."""

    kind: LinkKind
    source: int
    target: int = NOWHERE
    """Index of a node, or NOWHERE: `named` is not of this host."""
    count: int | None = None
    gbps: float | None = None
    """Gigabytes a second of one link, one way; of the whole bundle where `count` is not known.
    None: its generation's (`paths`)."""
    named: str = ""
    """The target as the source names it, a bus id; "" where there is no choice."""
    named_class: int | None = None
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class Relation:
    """How far apart two nodes are, of a source that knows no more: `nvidia-smi topo -m`."""

    a: int
    b: int
    path: str
    """As NCCL names paths, and NODE: across the bridges of one NUMA node."""


@dataclass(frozen=True, slots=True)
class Distances:
    """A matrix of numbers between objects: hwloc's NUMA latencies, bandwidths."""

    name: str
    nodes: tuple[str, ...]
    values: tuple[float, ...]
    """Row by row."""


@dataclass(frozen=True)
class HostTemplate:
    """The inside of a host, without anything that only one host has."""

    nodes: tuple[Node, ...] = ()
    links: tuple[Link, ...] = ()
    relations: tuple[Relation, ...] = ()
    distances: tuple[Distances, ...] = ()
    packages: int | None = None
    cores: int | None = None
    threads: int | None = None
    extra: Attributes = ()

    def _of(self, kind: type) -> tuple[int, ...]:
        return tuple(i for i, node in enumerate(self.nodes) if type(node) is kind)

    @cached_property
    def numa(self) -> tuple[int, ...]:
        return self._of(Numa)

    @cached_property
    def pci(self) -> tuple[int, ...]:
        return self._of(Pci)

    @cached_property
    def gpus(self) -> tuple[int, ...]:
        """All of them; partitions and second ranks of one device too. Parallel to Host.gpus."""
        return self._of(Gpu)

    @cached_property
    def gpu_number(self) -> dict[int, int]:
        """Of each GPU's node: its place among `gpus`, and so in Host.gpus."""
        return {node: number for number, node in enumerate(self.gpus)}

    @cached_property
    def nics(self) -> tuple[int, ...]:
        return self._of(Nic)

    @cached_property
    def ports(self) -> tuple[int, ...]:
        """Parallel to Host.ports."""
        return self._of(Port)

    @cached_property
    def nvswitches(self) -> tuple[int, ...]:
        return self._of(NvSwitch)

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        found: list[list[int]] = [[] for _ in self.nodes]
        for i, node in enumerate(self.nodes):
            if node.parent != NOWHERE:
                found[node.parent].append(i)
        return tuple(map(tuple, found))

    @cached_property
    def links_of(self) -> tuple[tuple[Link, ...], ...]:
        """What each node says of its links."""
        found: list[list[Link]] = [[] for _ in self.nodes]
        for link in self.links:
            found[link.source].append(link)
        return tuple(map(tuple, found))

    @cached_property
    def devices(self) -> tuple[int, ...]:
        """GPUs one can hold: of those that share a PCI function the first. Indices of nodes."""
        return tuple(dict.fromkeys(self.device_of(i) for i in self.gpus))

    @cached_property
    def _first_at(self) -> dict[int, int]:
        found: dict[int, int] = {}
        for i in self.gpus:
            if self._carrier(i) != NOWHERE:
                found.setdefault(self._carrier(i), i)
        return found

    def _carrier(self, gpu: int) -> int:
        parent = self.nodes[gpu].parent
        return parent if parent != NOWHERE and isinstance(self.nodes[parent], Pci) else NOWHERE

    def device_of(self, gpu: int) -> int:
        """The GPU that stands for the device of this one."""
        return self._first_at.get(self._carrier(gpu), gpu)

    def ancestors(self, node: int) -> Iterator[int]:
        """Parent, its parent, and so on."""
        above = self.nodes[node].parent
        while above != NOWHERE:
            yield above
            above = self.nodes[above].parent

    def numa_of(self, node: int) -> int:
        """The NUMA node that it hangs under, or NOWHERE."""
        return next((i for i in self.ancestors(node) if isinstance(self.nodes[i], Numa)), NOWHERE)

    def bus_id_of(self, node: int) -> str:
        """Of the nearest PCI function, or ""."""
        for i in (node, *self.ancestors(node)):
            found = self.nodes[i]
            if isinstance(found, Pci | NvSwitch):
                return found.bus_id
        return ""


@dataclass(frozen=True, slots=True)
class GpuId:
    """What only one GPU in the world has."""

    uuid: str | None = None
    rank: int | None = None
    nvlink_domain: str | None = None
    """GPUs of all hosts with the same text share NVLink switches: clusterUuid and cliqueId of
    MNNVL. None: it ends at the host."""
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class PortId:
    guid: str | None = None
    """As the source spells it. NCCL prints the bytes of an adapter's GUID in reverse."""
    lid: int | None = None
    addresses: tuple[str, ...] = ()
    extra: Attributes = ()


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    template: HostTemplate = field(default_factory=HostTemplate)
    gpus: tuple[GpuId, ...] = ()
    ports: tuple[PortId, ...] = ()
    host_hash: str | None = None
    """NCCL's, as it is spelt."""
    aliases: tuple[str, ...] = ()
    """What other sources call it: names, hashes."""
    made_up: bool = False
    """The source tells no name; this one only tells hosts of one document apart."""

    def gpu_name(self, gpu: int) -> str:
        """Name a GPU, by the index of its node, so that no other in the cluster is called so."""
        node = self.template.nodes[gpu]
        own = self.template.bus_id_of(gpu)
        if not own:
            dev = node.dev if isinstance(node, Gpu) else None
            own = f"GPU{self.template.gpu_number[gpu] if dev is None else dev}"
        return f"{self.name}/{own}"


@dataclass(frozen=True)
class Topology:
    """Hosts, and the network between them."""

    hosts: tuple[Host, ...] = ()
    fabric: Fabric = field(default_factory=Fabric)
    blocks: tuple[Block, ...] = ()
    extra: Attributes = ()
    """What the source says of itself: its version."""

    @cached_property
    def templates(self) -> tuple[HostTemplate, ...]:
        """Each once, by identity: builders share equal ones."""
        return tuple({id(host.template): host.template for host in self.hosts}.values())

    @cached_property
    def host_named(self) -> dict[str, int]:
        """The first of each name."""
        found: dict[str, int] = {}
        for i, host in enumerate(self.hosts):
            found.setdefault(host.name, i)
        return found
