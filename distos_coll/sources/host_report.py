"""What nodes say of themselves, as bytes: `distos-coll topo discover` of one, or of many joined."""

from distos_coll.api import (
    HOST_REPORT_MARK,
    Document,
    Found,
    Topology,
    TopologyError,
    TopologySource,
    hookimpl,
    pack_hosts,
    unpack_hosts,
)


def recognise(document: Document) -> bool:
    return document.head.startswith(b'{"%s":' % HOST_REPORT_MARK.encode())


def parse(document: Document) -> Found:
    topology, findings = unpack_hosts(document)
    return Found(topology, findings)


def write(topology: Topology) -> bytes:
    fabric = topology.fabric
    if topology.blocks or fabric.switches or fabric.adapters or fabric.cables:
        raise TopologyError(
            "a host report is of hosts alone, and this topology has a network; export its model"
        )
    if not topology.hosts:
        raise TopologyError("a host report needs a host, and this topology has none")
    return pack_hosts(topology)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "host-report", "What nodes say of themselves.", recognise, parse, write=write
        )
    ]
