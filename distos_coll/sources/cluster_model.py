"""cluster-topology-model.json: the model itself, whatever sources it came from.

    templates: hosts that look alike, inside      hosts: names and ids, with a template's id
    fabric: switches, adapters, cables, rails     blocks: hosts that somebody put together

The id of a template is a hash of what it says, so that the lines of a host change only if the host
does. `findings` is what was contradictory in the documents that the model was made of.
"""

import hashlib
from collections.abc import Iterator
from typing import Any, Literal, cast

import msgspec

from distos_coll.api import (
    NOWHERE,
    Block,
    Document,
    Fabric,
    Finding,
    Found,
    GpuId,
    Host,
    HostTemplate,
    PortId,
    Topology,
    TopologyError,
    TopologySource,
    check_host_size,
    hookimpl,
)
from distos_coll.sources import json_text
from distos_coll.sources.json_records import Record, attributes_wire, list_of

FORMAT = "cluster-topology-model"
VERSION = 1
MOST_IDS = 1 << 22

_TEMPLATE = Record(HostTemplate, more=[("id", str)])
_HOST = Record(Host, skip=["template"], more=[("template", str)])
_FABRIC, _BLOCK, _FINDING = Record(Fabric), Record(Block), Record(Finding)
_EXTRA = attributes_wire()

Model = msgspec.defstruct(
    "ClusterTopologyModel",
    [
        ("format", Literal["cluster-topology-model"]),
        ("schema_version", Literal[1]),
        ("extra", _EXTRA.type, msgspec.field(default_factory=dict)),
        list_of("findings", _FINDING),
        list_of("templates", _TEMPLATE),
        list_of("hosts", _HOST),
        ("fabric", _FABRIC.struct | None, None),
        list_of("blocks", _BLOCK),
    ],
    kw_only=True,
    forbid_unknown_fields=True,
)
_DECODER: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(Model)


def write_model(content: Topology | Found) -> bytes:
    """Write a topology; of what was found with the contradictions on the way to it."""
    topology = content if isinstance(content, Topology) else cast(Topology, content.content)
    findings = content.warnings if isinstance(content, Found) else ()
    ids: dict[HostTemplate, str] = {}
    bodies: dict[str, dict[str, Any]] = {}
    by_identity: dict[int, str] = {}
    for template in topology.templates:
        if template not in ids:
            body = _TEMPLATE.to_json(template)
            own = hashlib.sha256(json_text.encoded(body)).hexdigest()[:12]
            ids[template] = own
            bodies[own] = {"id": own, **body}
        by_identity[id(template)] = ids[template]
    document: dict[str, Any] = {"format": FORMAT, "schema_version": VERSION}
    parts = {
        "extra": _EXTRA.to_json(topology.extra),
        "findings": [_FINDING.to_json(finding) for finding in findings],
        "templates": [bodies[own] for own in sorted(bodies)],
        "hosts": [_host(host, by_identity[id(host.template)]) for host in topology.hosts],
        "fabric": _FABRIC.to_json(topology.fabric),
        "blocks": [_BLOCK.to_json(block) for block in topology.blocks],
    }
    return json_text.render(document | {name: part for name, part in parts.items() if part})


def _host(host: Host, template: str) -> dict[str, Any]:
    found = _HOST.to_json(host)
    # Ids come last, one a line; where there are none at all the template has counted them.
    ids = {name: found.pop(name, []) for name in ("gpus", "ports")}
    said = {name: own for name, own in ids.items() if any(own)}
    return {"name": found.pop("name"), "template": template, **found, **said}


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.said = json_text.read(document, _DECODER, VERSION)
        self.ids = 0

    def read(self) -> Found:
        templates = {}
        for i, said in enumerate(self.said.templates):
            path = f"$.templates[{i}]"
            if said.id in templates:
                raise self.error(f"the id {said.id!r} occurs twice", f"{path}.id")
            templates[said.id] = self.template(said, path)
        hosts = tuple(
            self.host(said, templates, f"$.hosts[{i}]") for i, said in enumerate(self.said.hosts)
        )
        fabric = _FABRIC.from_json(self.said.fabric) if self.said.fabric else Fabric()
        blocks = tuple(map(_BLOCK.from_json, self.said.blocks))
        extra = _EXTRA.from_json(self.said.extra)
        findings = tuple(map(_FINDING.from_json, self.said.findings))
        return Found(Topology(hosts, fabric, blocks, extra), findings)

    def error(self, what: str, path: str) -> TopologyError:
        return self.document.error(what, element=path)

    def template(self, said: Any, path: str) -> HostTemplate:
        try:
            template: HostTemplate = _TEMPLATE.from_json(said)
        except ValueError as error:
            raise self.error(str(error), f"{path}.nodes") from None
        for i, node in enumerate(template.nodes):
            if not NOWHERE <= node.parent < i:
                raise self.error(
                    f"parent {node.parent}: expected a node before it, or -1 for none",
                    f"{path}.nodes[{i}].parent",
                )
        count = len(template.nodes)
        for where, number, least in self.references(template):
            if not least <= number < count:
                raise self.error(f"node {number}: there are {count:,}", f"{path}.{where}")
        for i, each in enumerate(template.distances):
            if len(each.values) != len(each.nodes) ** 2:
                what = f"{len(each.values):,} values of {len(each.nodes):,} objects, not a square"
                raise self.error(what, f"{path}.distances[{i}]")
        check_host_size(f"{self.document.name}: {path}", template.nodes)
        return template

    @staticmethod
    def references(template: HostTemplate) -> Iterator[tuple[str, int, int]]:
        """Numbers of nodes: where, which, and the least that it may be."""
        for i, link in enumerate(template.links):
            yield f"links[{i}].source", link.source, 0
            yield f"links[{i}].target", link.target, NOWHERE
        for i, relation in enumerate(template.relations):
            yield f"relations[{i}].a", relation.a, 0
            yield f"relations[{i}].b", relation.b, 0

    def host(self, said: Any, templates: dict[str, HostTemplate], path: str) -> Host:
        template = templates.get(said.template)
        if template is None:
            raise self.error(f"no template has the id {said.template!r}", f"{path}.template")
        values = _HOST.values(said)
        for name, nodes, nothing in (
            ("gpus", template.gpus, GpuId()),
            ("ports", template.ports, PortId()),
        ):
            self.ids += len(nodes)
            if self.ids > MOST_IDS:
                raise self.error(f"more than {MOST_IDS:,} GPUs and ports in all", path)
            values[name] = values[name] or (nothing,) * len(nodes)
            if len(values[name]) != len(nodes):
                what = f"{len(values[name])} {name}, and the template has {len(nodes)}"
                raise self.error(what, f"{path}.{name}")
        return Host(template=template, **values)


def read_model(document: Document) -> Found:
    return _Reader(document).read()


def recognise(document: Document) -> bool:
    return json_text.is_format(document, FORMAT)


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            FORMAT,
            "Our own model as JSON: what topo import and merge write.",
            recognise,
            read_model,
            write=write_model,
            writes=(Topology, Found),
            max_bytes=1 << 28,
        )
    ]
