"""nvlink-domain-map.json and ib-rail-assignments.json: what a scheduler asks of a topology.

Both follow from the model, and are written of one; read, they are facts without a topology.
"""

from typing import Any, Literal

import msgspec

from distos_coll.api import (
    Document,
    Found,
    NvlinkDomainMap,
    RailAssignments,
    Topology,
    TopologySource,
    domain_map,
    hookimpl,
    rail_assignments,
)
from distos_coll.sources import json_text
from distos_coll.sources.json_records import Record

DOMAINS, RAILS = "nvlink-domain-map", "ib-rail-assignments"
VERSION = 1

_HEAD = [("schema_version", Literal[1])]
_DOMAINS = Record(NvlinkDomainMap, more=[("format", Literal["nvlink-domain-map"]), *_HEAD])
_RAILS = Record(RailAssignments, more=[("format", Literal["ib-rail-assignments"]), *_HEAD])
DomainMap, Assignments = _DOMAINS.struct, _RAILS.struct
_DECODERS: "dict[str, msgspec.json.Decoder[Any]]" = {
    DOMAINS: msgspec.json.Decoder(DomainMap),
    RAILS: msgspec.json.Decoder(Assignments),
}


def write_domains(content: "NvlinkDomainMap | Topology") -> bytes:
    own = domain_map(content) if isinstance(content, Topology) else content
    return _written(DOMAINS, _DOMAINS, own)


def write_rails(content: "RailAssignments | Topology") -> bytes:
    own = rail_assignments(content) if isinstance(content, Topology) else content
    return _written(RAILS, _RAILS, own)


def _written(name: str, record: Record, content: Any) -> bytes:
    head = {"format": name, "schema_version": VERSION}
    return json_text.render(head | record.to_json(content))


def read_domains(document: Document) -> Found:
    said = json_text.read(document, _DECODERS[DOMAINS], VERSION)
    return Found(_DOMAINS.from_json(said))


def read_rails(document: Document) -> Found:
    said = json_text.read(document, _DECODERS[RAILS], VERSION)
    return Found(_RAILS.from_json(said))


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            DOMAINS,
            "Which GPUs reach each other over NVLink or xGMI, as JSON for schedulers.",
            lambda document: json_text.is_format(document, DOMAINS),
            read_domains,
            write=write_domains,
            writes=(NvlinkDomainMap, Topology),
        ),
        TopologySource(
            RAILS,
            "Which port of which host is on which rail, as JSON for schedulers.",
            lambda document: json_text.is_format(document, RAILS),
            read_rails,
            write=write_rails,
            writes=(RailAssignments, Topology),
        ),
    ]
