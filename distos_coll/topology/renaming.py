"""Other names for hosts and switches, wherever a topology speaks of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from distos_coll.topology.fabric import Adapter, Block, Cable, End, EndKind, Rail, Switch
from distos_coll.topology.model import Topology


def renamed(
    topology: Topology, host: Callable[[str], str], switches: Mapping[str, str] | None = None
) -> Topology:
    """Call hosts so as a function says, and switches of these ids so."""
    renamer = _Renamer(host, switches or {})
    fabric = topology.fabric
    return replace(
        topology,
        hosts=tuple(
            replace(each, name=host(each.name), aliases=tuple(map(host, each.aliases)))
            for each in topology.hosts
        ),
        fabric=replace(
            fabric,
            switches=tuple(map(renamer.switch, fabric.switches)),
            adapters=tuple(map(renamer.adapter, fabric.adapters)),
            cables=tuple(map(renamer.cable, fabric.cables)),
            rails=tuple(map(renamer.rail, fabric.rails)),
        ),
        blocks=tuple(map(renamer.block, topology.blocks)),
    )


class _Renamer:
    def __init__(self, host: Callable[[str], str], switches: Mapping[str, str]) -> None:
        self.host = host
        self.switches = switches

    def end(self, end: End) -> End:
        if end.kind is EndKind.HOST:
            return replace(end, id=self.host(end.id))
        if end.kind is EndKind.SWITCH and end.id in self.switches:
            return replace(end, id=self.switches[end.id])
        return end

    def switch(self, switch: Switch) -> Switch:
        name = self.switches.get(switch.id)
        if name is None:
            return switch
        return replace(switch, id=name, name=name, made_up=False)

    def adapter(self, adapter: Adapter) -> Adapter:
        return adapter if adapter.host is None else replace(adapter, host=self.host(adapter.host))

    def cable(self, cable: Cable) -> Cable:
        return replace(cable, a=self.end(cable.a), b=self.end(cable.b))

    def rail(self, rail: Rail) -> Rail:
        switches = tuple(self.switches.get(each, each) for each in rail.switches)
        return replace(rail, switches=switches, members=tuple(map(self.end, rail.members)))

    def block(self, block: Block) -> Block:
        return replace(block, hosts=tuple(map(self.host, block.hosts)))
