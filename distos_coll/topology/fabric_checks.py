"""What cannot be true in a fabric, whatever source it came from."""

from collections.abc import Iterator

from distos_coll.topology.fabric import Adapter, End, EndKind, Fabric, Switch
from distos_coll.topology.fabric_graph import SwitchGraph
from distos_coll.topology.fabric_rails import crossed
from distos_coll.topology.findings import Finding


def contradictions(fabric: Fabric) -> Iterator[Finding]:
    yield from _twice("switch-twice", "two switches have the id", fabric.switches)
    yield from _twice("adapter-twice", "two adapters have the id", fabric.adapters)
    yield from _devices(fabric)
    yield from _ends(fabric)
    yield from crossed(SwitchGraph(fabric))


def _twice(
    code: str, what: str, items: tuple[Switch, ...] | tuple[Adapter, ...]
) -> Iterator[Finding]:
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            yield Finding(code, f"{what} {item.id}", item.name)
        seen.add(item.id)


def _devices(fabric: Fabric) -> Iterator[Finding]:
    """A host has one device of a name."""
    seen: dict[tuple[str, str], str] = {}
    for adapter in fabric.adapters:
        if adapter.host and adapter.device:
            other = seen.setdefault((adapter.host, adapter.device), adapter.id)
            if other != adapter.id:
                both = f"{other} and {adapter.id} are both {adapter.device}"
                yield Finding(
                    "device-twice", f"{both}: several hosts may have its name", adapter.host
                )


def _ends(fabric: Fabric) -> Iterator[Finding]:
    """Every cable has a port of its own at each end, of something that is there."""
    known = {EndKind.SWITCH: {switch.id for switch in fabric.switches}}
    known[EndKind.ADAPTER] = {adapter.id for adapter in fabric.adapters}
    known[EndKind.ROUTER] = {router.id for router in fabric.routers}
    used: set[End] = set()
    for cable in fabric.cables:
        for end in (cable.a, cable.b):
            if end.kind in known and end.id not in known[end.kind]:
                message = f"a cable to {end.kind.value} {end.id}, which is not there"
                yield Finding("end-unknown", message)
            if end.port is None:
                continue
            if end in used and cable.seen_by_both:
                message = f"port {end.port} has two cables"
                yield Finding("port-two-cables", message, f"{end.kind.value} {end.id}")
            used.add(end)
