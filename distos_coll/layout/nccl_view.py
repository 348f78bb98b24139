"""A layout, or the graphs that NCCL wrote, as what cost models know of a job (`NcclView`); and a
layout as NCCL's graphs, which NCCL_GRAPH_FILE reads.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from distos_coll.errors import TopologyError
from distos_coll.layout.kinds import Kind
from distos_coll.layout.result import Graph, Layout
from distos_coll.layout.stretch import Stretch
from distos_coll.plugins.job import ChannelGraph, Cpu, Job, NcclView, Pattern
from distos_coll.topology.model import NOWHERE, Gpu, Numa
from distos_coll.topology.nccl_graph import NcclGraph, NcclGraphs, Stop
from distos_coll.topology.path_type import PathType

_NVLS_SINCE = 90
_NVLS_SEATS = 16
"""More heads than these NCCL does not use."""
_HOST_BITS = 56
_WRITTEN = {PathType.C2C: "P2C", PathType.NET: "SYS", PathType.DIS: "SYS"}
"""Types that NCCL's files have no word for, and the nearest that they have."""


@dataclass(frozen=True)
class Machine:
    """What a topology may not say, or a caller knows better."""

    compute_capability: int | None = None
    """90 is 9.0; None: as the topology says."""
    cpu: Cpu | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    """Further fields of NcclView: algo, proto, collnet_heads ..."""


def nccl_view(layout: Layout, machine: Machine = Machine()) -> NcclView:
    """What NCCL would know of the job, had it laid these channels."""
    low, high = _capabilities(layout, machine)
    latency = _latency(layout)
    graphs: dict[str, Any] = {
        "ring": _graph(layout, layout.rings, Pattern.RING, latency),
        "tree": _graph(layout, layout.trees, _tree_pattern(layout), latency),
    }
    switched = [kind.switched_gbps for kind in layout.kinds]
    widths = [gbps for gbps in switched if gbps is not None]
    nvswitch = len(widths) == len(switched)
    if nvswitch and low >= _NVLS_SINCE:
        graphs["nvls"] = _nvls(layout, min(widths))
    return NcclView(
        low,
        high,
        cpu=machine.cpu or _cpu(layout),
        nvswitch=nvswitch,
        **graphs,
        **machine.settings,
    )


def job_of(layout: Layout, machine: Machine = Machine()) -> Job:
    """The job that the layout is for, as cost models take it."""
    return Job(tuple(len(node.ranks) for node in layout.nodes), nccl_view(layout, machine))


def view_of_graphs(graphs: NcclGraphs, machine: Machine) -> NcclView:
    """What NCCL stated in a graph file. It names no GPU, so that must be told."""
    if machine.compute_capability is None:
        raise TopologyError(
            "NCCL's graphs do not say which GPUs they are for; name the compute "
            "capability, 90 for 9.0"
        )
    names = {0: "ring", 1: "tree", 2: "collnet_chain", 3: "nvls", 4: "collnet_direct"}
    found: dict[str, Any] = {}
    for graph in graphs.graphs:
        channels = len(graph.channels) or graph.channel_count or 0
        if graph.id in names and channels and graph.gbps_intra:
            found[names[graph.id]] = ChannelGraph(
                channels,
                graph.gbps_intra,
                graph.gbps_inter or 0.0,
                _type_named(graph.type_intra, PathType.NVL),
                _type_named(graph.type_inter, PathType.PIX),
                graph.latency_inter_us or 0.0,
                Pattern(graph.pattern) if graph.pattern in set(Pattern) else None,
                bool(graph.same_channels),
            )
    cpu = machine.cpu or Cpu.INTEL
    return NcclView(machine.compute_capability, cpu=cpu, **found, **machine.settings)


def nccl_graphs(layout: Layout, place: int = 0) -> NcclGraphs:
    """Rings and trees as the node at this place passes them, for `NCCL_GRAPH_FILE`."""
    kind = layout.kinds[layout.nodes[place].kind]
    made = []
    for number, graph, pattern in (
        (0, layout.rings, Pattern.RING),
        (1, layout.trees, _tree_pattern(layout)),
    ):
        stretches = [layout.stretch(channel, place) for channel in range(graph.channels)]
        if number:
            stretches = list(layout.stretches[layout.nodes[place].kind])
        channels = tuple(
            tuple(_stops(layout, place, kind, stretch, is_tree=bool(number)))
            for stretch in stretches
        )
        made.append(
            NcclGraph(
                number,
                pattern.value,
                cross_nic=int(any(s.entry != s.exit for s in stretches) and not number),
                channel_count=graph.channels,
                gbps_intra=round(graph.gbps_intra, 6),
                gbps_inter=round(graph.gbps_inter or graph.gbps_intra, 6),
                latency_inter_us=_latency(layout),
                type_intra=_written(graph.type_intra),
                type_inter=_written(graph.type_inter),
                same_channels=layout.same_order,
                channels=channels,
            )
        )
    return NcclGraphs(tuple(made))


def _stops(
    layout: Layout, place: int, kind: Kind, stretch: Stretch, *, is_tree: bool
) -> Iterator[Stop]:
    node = layout.nodes[place]
    last = stretch.entry if is_tree else stretch.exit
    yield from _net(kind, stretch.entry)
    for seat in stretch.order:
        m, device = kind.slots[seat]
        template = kind.members[m].paths.template
        gpu = kind.gpu(seat)
        dev = gpu.dev if gpu is not None else None
        if dev is None:
            dev = template.devices.index(device) if device != NOWHERE else seat
        yield Stop("gpu", dev | m << _HOST_BITS, node.ranks[seat])
    yield from _net(kind, last)


def _net(kind: Kind, port: int | None) -> Iterator[Stop]:
    """Nothing where there is no network, or nothing is known of the port."""
    at = kind.ports[port] if port is not None else None
    if at is not None and at.port.node != NOWHERE:
        yield Stop("net", at.port.dev | at.member << _HOST_BITS)


def _written(kind: PathType) -> str:
    return _WRITTEN.get(kind, kind.name)


def _type_named(name: str | None, default: PathType) -> PathType:
    return default if name is None else PathType.__members__.get(name, PathType.SYS)


def _graph(layout: Layout, graph: Graph, pattern: Pattern, latency: float) -> ChannelGraph:
    return ChannelGraph(
        graph.channels,
        graph.gbps_intra,
        graph.gbps_inter,
        graph.type_intra,
        graph.type_inter,
        latency,
        pattern,
        layout.same_order,
    )


def _tree_pattern(layout: Layout) -> Pattern:
    """The second of a chain takes one child, as NCCL's balanced trees have it, if it is as near to
    the port as a relay makes it.
    """
    for kind, stretches in zip(layout.kinds, layout.stretches, strict=True):
        for stretch in stretches:
            if stretch.entry is None or len(stretch.order) < 2:
                continue
            hop = kind.outward(stretch.order[1], stretch.entry)
            if hop is None or hop.type > PathType.PXN:
                return Pattern.TREE
    return Pattern.BALANCED_TREE


def _gpus(layout: Layout) -> list[Gpu]:
    found = [kind.gpu(slot) for kind in layout.kinds for slot in range(kind.size)]
    return [gpu for gpu in found if gpu is not None]


def _capabilities(layout: Layout, machine: Machine) -> tuple[int, int]:
    if machine.compute_capability is not None:
        return machine.compute_capability, machine.compute_capability
    gpus = _gpus(layout)
    # Of AMD's GPUs `sm` counts compute units.
    known = [gpu.sm for gpu in gpus if gpu.sm is not None and gpu.gcn is None]
    if not gpus or len(known) < len(gpus):
        raise TopologyError(
            "the topology does not say the compute capability of every GPU, and NCCL's model needs "
            "it; name it, 90 for 9.0"
        )
    return min(known), max(known)


def _latency(layout: Layout) -> float:
    used = [
        kind.ports[port].port.latency_us
        for kind, stretches in zip(layout.kinds, layout.stretches, strict=True)
        for stretch in stretches
        for port in (stretch.entry, stretch.exit)
        if port is not None
    ]
    return max(used, default=0.0)


def _cpu(layout: Layout) -> Cpu:
    makers: set[Cpu] = set()
    for kind in layout.kinds:
        for member in kind.members:
            template = member.paths.template
            makers |= {_maker(template.nodes[i]) for i in template.numa}
    if len(makers) == 1:
        return makers.pop()
    return Cpu.MIXED if makers else Cpu.INTEL


def _maker(node: object) -> Cpu:
    if not isinstance(node, Numa):
        return Cpu.OTHER_X86
    by_arch = {"arm64": Cpu.ARM, "ppc64": Cpu.POWER}
    by_vendor = {"GenuineIntel": Cpu.INTEL, "AuthenticAMD": Cpu.AMD}
    return by_arch.get(node.arch or "") or by_vendor.get(node.vendor or "", Cpu.OTHER_X86)


def _nvls(layout: Layout, gbps: float) -> ChannelGraph | None:
    """A head for each GPU of a node: the switches reduce its part, which it sends on."""
    heads = min(min(kind.size for kind in layout.kinds), _NVLS_SEATS)
    if heads < 2:
        return None
    intra = gbps / heads
    inter = layout.rings.gbps_inter * layout.rings.channels / heads
    types = (PathType.NVL, layout.rings.type_inter)
    return ChannelGraph(
        heads, intra, min(intra, inter) if inter else 0.0, *types, pattern=Pattern.NVLS
    )
