"""What a subnet manager dumps beside the topology: routes, distances, addresses.

None of it is a topology; it belongs to one by the GUIDs and LIDs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ForwardingTable:
    """Where a switch sends what is for a LID."""

    switch: str
    """Its GUID."""
    ports: Mapping[int, int] = field(default_factory=dict)
    """By LID; port 0 is the switch itself."""
    hops: Mapping[int, int] = field(default_factory=dict)
    """By LID, where they are told."""
    unreachable: tuple[int, ...] = ()
    """LIDs that are named and lead nowhere."""
    lid: int | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class ForwardingTables:
    tables: tuple[ForwardingTable, ...] = ()

    def facts(self) -> Mapping[str, Any]:
        routed = [lid for table in self.tables for lid in table.ports]
        return {
            "switches": len(self.tables),
            "routed_entries": len(routed),
            "unreachable_entries": sum(len(table.unreachable) for table in self.tables),
            "max_lid": max(routed, default=None),
        }


@dataclass(frozen=True, slots=True)
class Distance:
    """How many hops a switch's LID is from another switch, by the port that one leaves through."""

    lid: int
    hops: tuple[int | None, ...]
    """By port, from 0; None: no way."""
    port_guid: str = ""


@dataclass(frozen=True, slots=True)
class LidMatrix:
    """OpenSM's: distances between switches."""

    switches: tuple[tuple[str, tuple[Distance, ...]], ...] = ()
    """GUIDs with rows."""

    def facts(self) -> Mapping[str, Any]:
        rows = sum(len(rows) for _, rows in self.switches)
        return {"switches": len(self.switches), "rows": rows}


@dataclass(frozen=True, slots=True)
class LidAssignments:
    """Which LIDs a port has: GUID, first, last."""

    entries: tuple[tuple[str, int, int], ...] = ()

    def facts(self) -> Mapping[str, Any]:
        last = max((last for _, _, last in self.entries), default=None)
        return {"entries": len(self.entries), "max_lid": last}


@dataclass(frozen=True, slots=True)
class PortPairs:
    """Ports that are cabled, by GUID and number, without a word on what they are ports of."""

    pairs: tuple[tuple[str, int, str, int], ...] = ()
    """As they are told: a cable once from each end."""

    def facts(self) -> Mapping[str, Any]:
        told = set(self.pairs)
        both = sum((d, e, a, b) in told for a, b, d, e in told)
        return {"entries": len(self.pairs), "cables": both // 2, "one_sided": len(told) - both}
