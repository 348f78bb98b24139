"""Where the ranks of a group are: each on a device of a host. Nothing later asks for host names."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from distos_coll.errors import TopologyError
from distos_coll.topology.model import NOWHERE, Gpu, GpuId, Host, PortId, Topology


@dataclass(frozen=True, slots=True)
class Seat:
    host: int
    """Index into the topology's hosts."""
    device: int = NOWHERE
    """Index of the GPU's node in the host's template; NOWHERE: the rank computes on the CPU."""


@dataclass(frozen=True)
class Placement:
    seats: tuple[Seat, ...]
    """Of each rank."""

    @property
    def size(self) -> int:
        return len(self.seats)


@dataclass(frozen=True)
class JobShape:
    """A job without names; what is None is all that there is."""

    hosts: int | None = None
    """The first so many."""
    ranks_per_host: int | None = None
    """On the first so many GPUs of `devices`; on CPUs where the hosts have no GPUs."""
    devices: tuple[int, ...] | None = None
    """GPUs of each host by the driver's numbers, or by their place where the source has none."""


def place(topology: Topology, shape: JobShape = JobShape()) -> Placement:
    """Number ranks through hosts, and through the GPUs of each."""
    count = len(topology.hosts) if shape.hosts is None else shape.hosts
    if not 1 <= count <= len(topology.hosts):
        raise TopologyError(
            f"a job on {count} hosts of a topology that has {len(topology.hosts)}; name fewer, or "
            "repeat a host"
        )
    chosen: dict[int, tuple[int, ...]] = {}
    seats: list[Seat] = []
    for h, host in enumerate(topology.hosts[:count]):
        # Hosts that look alike take the same devices.
        devices = chosen.get(id(host.template))
        if devices is None:
            devices = chosen[id(host.template)] = _devices(host, shape)
        seats += [Seat(h, device) for device in devices]
    return Placement(tuple(seats))


def _devices(host: Host, shape: JobShape) -> tuple[int, ...]:
    own = host.template.devices
    if shape.devices is not None:
        own = _numbered(host, shape.devices)
    wanted = shape.ranks_per_host
    if wanted is None:
        return own or (NOWHERE,)
    if wanted < 1 or (own and wanted > len(own)):
        raise TopologyError(
            f"{wanted} ranks on each host: {host.name} offers {len(own)} GPUs; name 1 to {len(own)}"
        )
    return own[:wanted] if own else (NOWHERE,) * wanted


def _numbered(host: Host, numbers: Sequence[int]) -> tuple[int, ...]:
    by_number: dict[int, int] = {}
    for place_, device in enumerate(host.template.devices):
        node = host.template.nodes[device]
        dev = node.dev if isinstance(node, Gpu) and node.dev is not None else place_
        by_number.setdefault(dev, device)
    missing = [n for n in numbers if n not in by_number]
    if missing or len(set(numbers)) != len(numbers):
        raise TopologyError(
            f"GPUs {list(numbers)} of {host.name}: it has {sorted(by_number)}; name each once"
        )
    return tuple(by_number[n] for n in numbers)


def repeated(topology: Topology, copies: int, *, in_one_domain: bool = False) -> Topology:
    """The hosts of a file that many times, with names of their own and without what only one host
    in the world has. NVLink does not reach from copy to copy, unless it is said so: a rack of one
    tray's file.
    """
    if copies < 1 or not topology.hosts:
        raise TopologyError(
            f"{copies} copies of {len(topology.hosts)} hosts; name at least one of each"
        )
    hosts = tuple(
        _copy(host, copy, in_one_domain) for copy in range(copies) for host in topology.hosts
    )
    return Topology(hosts)


def _copy(host: Host, copy: int, in_one_domain: bool) -> Host:
    mark = "" if in_one_domain else f"#{copy}"
    gpus = tuple(
        GpuId(nvlink_domain=None if its.nvlink_domain is None else its.nvlink_domain + mark)
        for its in host.gpus
    )
    ports = (PortId(),) * len(host.ports)
    return replace(
        host, name=f"{host.name}-{copy}", gpus=gpus, ports=ports, host_hash=None, aliases=()
    )
