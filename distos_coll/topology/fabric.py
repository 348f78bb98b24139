"""The network between hosts: switches, adapters as the network sees them, cables, rails.

A source that sweeps a fabric (ibnetdiscover, LLDP) fills adapters and cables; one that only knows
which host hangs under which switch (Slurm) draws cables between switches and hosts, without ports.
An adapter is joined to a port of a host by its GUID, or by the names of host and device.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

Extra: TypeAlias = tuple[tuple[str, str], ...]
"""Names and texts; a name may have several, one after the other."""


class EndKind(str, Enum):
    SWITCH = "switch"
    ADAPTER = "adapter"
    ROUTER = "router"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a cable. `id` is that of a switch or adapter, or a host's name."""

    kind: EndKind
    id: str
    port: int | str | None = None  # 13; swp1


@dataclass(frozen=True, slots=True)
class Switch:
    id: str
    """What the source tells switches apart by: a GUID, a chassis id, a name."""
    name: str = ""
    technology: str = ""
    """"infiniband", "ethernet", "nvlink", "" where the source does not say."""
    ports: int | None = None
    lid: int | None = None
    level: int | None = None
    """1: hosts hang under it. None: not known."""
    extra: Extra = ()
    made_up: bool = False
    """The source tells no id and no name; this one only tells switches of one document apart."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A channel adapter of a fabric, or the neighbour of an Ethernet switch that is no switch."""

    id: str
    name: str = ""
    host: str | None = None
    """None where the source cannot say: a default description, "localhost"."""
    device: str | None = None  # mlx5_0
    technology: str = ""
    ports: int | None = None
    lids: tuple[int, ...] = ()
    aggregation: bool = False
    """A SHARP aggregation node inside a switch."""
    rail: int | None = None
    plane: int | None = None
    extra: Extra = ()
    shared_name: str | None = None
    """Instead of `host`: a name that many machines have, which joins no two adapters."""


@dataclass(frozen=True, slots=True)
class Cable:
    a: End
    b: End
    width: int | None = None
    """Lanes."""
    rate: str | None = None  # HDR
    mbps: int | None = None
    latency_us: float | None = None
    seen_by_both: bool = True
    """Both ends name each other; else only `a` names `b`."""
    extra: Extra = ()
    """Names that end in -a and -b speak of that end."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """A kind of fabric and what shows it."""

    kind: str
    """"fat-tree", "dragonfly", "rail-optimised", "ring", ..."""
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rail:
    """Ports that reach each other without crossing to another rail's switches."""

    number: int
    plane: int | None = None
    switches: tuple[str, ...] = ()
    members: tuple[End, ...] = ()


@dataclass(frozen=True)
class Fabric:
    switches: tuple[Switch, ...] = ()
    adapters: tuple[Adapter, ...] = ()
    cables: tuple[Cable, ...] = ()
    rails: tuple[Rail, ...] = ()
    recognised: tuple[Recognised, ...] = ()
    extra: Extra = field(default=())
    routers: tuple[Adapter, ...] = ()
    """Between subnets; neither switches nor adapters of hosts."""
    computed: tuple[str, ...] = ()
    """What `recognise_fabric` made of the cables, and no source states: "kinds", "levels", "rails".
    With more cables it may be something else."""


@dataclass(frozen=True, slots=True)
class Block:
    """Hosts that somebody put together: Slurm's block, a rack, an accelerator domain."""

    name: str
    hosts: tuple[str, ...]
    kind: str = "block"
    sizes: tuple[int, ...] = ()
    extra: Extra = ()
