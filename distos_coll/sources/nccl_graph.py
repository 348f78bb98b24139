"""NCCL's graph XML: what NCCL_GRAPH_DUMP_FILE writes and NCCL_GRAPH_FILE reads.

graphs > graph > channel > net, gpu, ... Devices are numbered in hexadecimal.
"""

from typing import Any

from distos_coll.api import (
    Document,
    Element,
    Finding,
    Found,
    NcclGraph,
    NcclGraphs,
    PathType,
    Stop,
    TopologySource,
    hookimpl,
    parse_xml,
    render_xml,
    xml_root,
)
from distos_coll.sources import nccl_attributes as known
from distos_coll.sources.nccl_attributes import FLAG, INTEGER, NUMBER, REAL, TEXT, Attribute

GRAPH = (
    Attribute("id", "id", INTEGER),
    Attribute("pattern", "pattern", INTEGER),
    Attribute("crossnic", "cross_nic", INTEGER),
    Attribute("nchannels", "channel_count", INTEGER),
    Attribute("speedintra", "gbps_intra", REAL),
    Attribute("speedinter", "gbps_inter", REAL),
    Attribute("latencyinter", "latency_inter_us", REAL),
    Attribute("typeintra", "type_intra", TEXT),
    Attribute("typeinter", "type_inter", TEXT),
    Attribute("samechannels", "same_channels", FLAG),
)
STOP = (Attribute("dev", "dev", NUMBER), Attribute("rank", "rank", INTEGER))


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.findings: list[Finding] = []

    def read(self) -> Found:
        root = parse_xml(self.document)
        graphs = tuple(
            self.graph(element) for element in root.children if self.is_known(element, "graph")
        )
        if not graphs:
            raise self.document.error("no <graph> in it", root.line, root.name)
        content = NcclGraphs(graphs, known.verbatim(root.attributes))
        return Found(content, tuple(self.findings))

    def is_known(self, element: Element, *tags: str) -> bool:
        if element.tag in tags:
            return True
        self.find("unknown-element", f"<{element.tag}> is unknown here; it was left out", element)
        return False

    def find(self, code: str, message: str, element: Element) -> None:
        where = f"{self.document.name}:{element.line}: {element.name}"
        self.findings.append(Finding(code, message, where))

    def fields(
        self, table: tuple[Attribute, ...], element: Element
    ) -> tuple[dict[str, Any], dict[str, str]]:
        try:
            return known.fields(table, element.attributes)
        except ValueError as error:
            raise self.document.error(str(error), element.line, element.name) from None

    def graph(self, element: Element) -> NcclGraph:
        values, rest = self.fields(GRAPH, element)
        if "id" not in values:
            raise self.document.error(f"it has no {GRAPH[0].name}", element.line, element.name)
        channels = tuple(
            self.channel(child) for child in element.children if self.is_known(child, "channel")
        )
        graph = NcclGraph(**values, channels=channels, extra=known.verbatim(rest))
        self.check(graph, element)
        return graph

    def channel(self, element: Element) -> tuple[Stop, ...]:
        stops = []
        for child in element.children:
            values, rest = self.fields(STOP, child)
            for stranger in child.children:
                self.is_known(stranger)
            stops.append(Stop(child.tag, **values, extra=known.verbatim(rest)))
        return tuple(stops)

    def check(self, graph: NcclGraph, element: Element) -> None:
        listed = len(graph.channels)
        if graph.channel_count not in {None, listed}:
            message = f"nchannels says {graph.channel_count}, and {listed} are listed"
            self.find("channel-count", message, element)
        for name in (graph.type_intra, graph.type_inter):
            if name is not None and name not in PathType.__members__:
                self.find("path-type", f"{name[:20]!r} is no type of path", element)
        lengths = {sum(stop.kind == "gpu" for stop in channel) for channel in graph.channels}
        if len(lengths) > 1:
            message = f"channels with different numbers of GPUs: {sorted(lengths)}"
            self.find("channel-gpus", message, element)
        for channel in graph.channels:
            gpus = [stop.dev for stop in channel if stop.kind == "gpu"]
            if len(gpus) != len(set(gpus)):
                self.find("channel-gpus", "a channel passes a GPU twice", element)


def read(document: Document) -> Found:
    return _Reader(document).read()


def write(graphs: NcclGraphs) -> bytes:
    root = Element("graphs", {"version": "1", **known.written(((), graphs))})
    for graph in graphs.graphs:
        element = Element("graph", known.written((GRAPH, graph)))
        for channel in graph.channels:
            stops = [Element(stop.kind, known.written((STOP, stop))) for stop in channel]
            element.children.append(Element("channel", {}, children=stops))
        root.children.append(element)
    return render_xml(root).encode()


def recognise(document: Document) -> bool:
    return xml_root(document.head)[0] == "graphs"


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "nccl-graph",
            "NCCL's graph XML.",
            recognise,
            read,
            write=write,
            writes=(NcclGraphs,),
        )
    ]
