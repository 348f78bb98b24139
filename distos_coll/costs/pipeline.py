"""The cost model `pipeline`: rings and trees as a pipeline of slices, paced by its slowest stage.

The first slice passes all stages, the others follow it at the pace of the slowest; what a channel
then carries is bounded, softly, by what its links carry. No factors are fitted, so it also serves
where nothing was. NCCL 2.32.6 has this model (src/tuning/pipeline_model); the constants are those
of 2.30 (docs/decisions/0011).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log1p

from distos_coll.api import (
    AlgorithmSpec,
    ChannelGraph,
    CostModelSpec,
    Estimate,
    Job,
    Operation,
    hookimpl,
    log2_floor,
)
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.case import Case, view_of
from distos_coll.costs.nccl.latency import hardware_us, inside
from distos_coll.costs.nccl.launch import launch
from distos_coll.costs.nccl.rules import Rules
from distos_coll.costs.nccl.tables import Algorithm, Hardware, Protocol
from distos_coll.costs.nccl.times import PENALTY, latencies, penalty

_SOFTNESS = 0.1
"""Of the bound: so near to it, it is felt."""


@dataclass(frozen=True)
class Stage:
    """Steps of one kind that a slice passes one after the other."""

    steps: int
    round_trip_us: float
    gbps: float


@dataclass(frozen=True)
class Cut:
    """How a channel's bytes pass through it."""

    channel_bytes: int
    slice_bytes: int
    slices: int
    """Those that pass a link, each time that they do."""


def pipeline_us(cut: Cut, stages: Sequence[Stage]) -> float:
    """Return the time of a channel: the first slice, then the others."""
    used = [stage for stage in stages if stage.steps]
    slice_us = [cut.slice_bytes / (1000 * stage.gbps) for stage in used]
    first = sum(
        stage.steps * (stage.round_trip_us / 2 + us)
        for stage, us in zip(used, slice_us, strict=True)
    )
    return first + (cut.slices - 1) * max(slice_us)


def softmin(value: float, ceiling: float, softness: float) -> float:
    """Return a smooth version of min(value, ceiling)."""
    return ceiling - softness * log1p((exp(ceiling / softness) - 1) * exp(-value / softness))


def predict(
    job: Job, operation: Operation, _algorithms: Sequence[AlgorithmSpec] = ()
) -> list[Estimate]:
    """Price all algorithms and protocols of NCCL's, in its order."""
    case = Case(job, view_of(job, "pipeline"), operation)
    rules = Rules(case)
    return [
        _estimate(case, algorithm, protocol, rules.reason(algorithm, protocol))
        for algorithm in Algorithm
        for protocol in Protocol
    ]


def _estimate(case: Case, algorithm: Algorithm, protocol: Protocol, reason: str) -> Estimate:
    if not reason and algorithm not in (Algorithm.RING, Algorithm.TREE):
        reason = "this model has rings and trees only"
    if reason:
        return Estimate(algorithm.text, protocol.text, reason=reason)
    graph = case.graph(algorithm)
    if case.job.size == 1 or graph is None:
        return Estimate(algorithm.text, protocol.text, time_us=0.0, fixed_us=0.0, latency_us=0.0)
    latency = tables.BASE_US[algorithm][protocol]
    factor = penalty(case, algorithm)
    fixed = latency * latencies(case, algorithm)
    launched, threads = launch(case, algorithm, protocol, graph)
    # Channels that are laid out twice share the bandwidth that the graph states.
    channels = min(launched, graph.channels)
    size = case.operation.bytes
    bandwidth = _gbps(case, algorithm, protocol, graph, channels) if size else None
    return Estimate(
        algorithm.text,
        protocol.text,
        time_us=factor * (fixed + (size / (1000 * bandwidth) if bandwidth else 0.0)),
        fixed_us=factor * fixed,
        latency_us=latency,
        gbps=bandwidth,
        channels=channels,
        threads=threads,
        reason=PENALTY if factor != 1 else "",
    )


def _gbps(
    case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph, channels: int
) -> float:
    """At this size, of input or output as counted."""
    cut = cut_of(case, algorithm, protocol, channels)
    took = pipeline_us(cut, stages_of(case, algorithm, protocol, graph))
    most = _bus_gbps(case, algorithm, protocol, graph) * case.job.size / case.steps
    return softmin(cut.channel_bytes / (1000 * took) * channels, most, _SOFTNESS * most)


def stages_of(
    case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph
) -> tuple[Stage, Stage]:
    """Return what a slice passes inside nodes, and between them."""
    nodes = case.job.nodes
    if algorithm is Algorithm.TREE:
        intra, inter = 2 * (case.job.local - 1), 2 * log2_floor(nodes)
    else:
        inter = 0 if nodes == 1 else (2 if case.all_reduce else 1) * nodes
        inter = case.steps if nodes == case.job.size else inter
        intra = case.steps - inter
    share = tables.PROTOCOL_SHARE[protocol]
    hardware = inside(graph)
    outside = hardware if nodes == 1 else Hardware.NET
    return (
        Stage(intra, hardware_us(case, hardware, algorithm, protocol), share * graph.gbps_intra),
        Stage(inter, hardware_us(case, outside, algorithm, protocol), share * graph.gbps_inter),
    )


def cut_of(case: Case, algorithm: Algorithm, protocol: Protocol, channels: int) -> Cut:
    """Cut a channel's bytes into chunks, as buffers allow, and those into slices."""
    size, ranks = -(-case.operation.bytes // channels), case.job.size
    element = tables.ELEMENT_BYTES[case.operation.dtype]
    ring = algorithm is Algorithm.RING
    parts = case.all_reduce or case.scattering
    several = ring and parts and protocol is Protocol.SIMPLE
    chunk_steps, slice_steps = (4, 2) if several else (1, 1)
    step = tables.BUFFER_BYTES[protocol] // tables.BUFFER_STEPS
    most = tables.payload(protocol, step * chunk_steps)
    chunk = min(most, size)
    if ring and parts:
        # A rank's part, in whole lines of 16 bytes.
        chunk = min(chunk, -(-size // (ranks * 16)) * 16)
    piece = min(chunk, most // chunk_steps * slice_steps)
    if protocol is Protocol.SIMPLE:
        # Slices of a chunk are alike, but not tiny.
        lines = -(-chunk // (element * 16 * (chunk_steps // slice_steps)))
        smallest = most // chunk_steps * slice_steps // element // 32
        piece = min(chunk, max(16 * lines, smallest) * element)
    return Cut(size, piece, _slices(case, algorithm, -(-size // piece)))


def _slices(case: Case, algorithm: Algorithm, slices: int) -> int:
    """What passes a link: on a ring all but a rank's part in turn, on a tree all up and down. The
    last is there with the one before it.
    """
    if algorithm is Algorithm.TREE:
        return 2 * slices - 1
    passed = -(-slices * case.steps // case.job.size)
    return passed - 1 if case.all_reduce and case.job.size > 2 else passed


def _bus_gbps(case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph) -> float:
    link = graph.gbps_inter if case.job.nodes > 1 else graph.gbps_intra
    if algorithm is Algorithm.TREE:
        link *= (case.job.size - 1) / case.job.size
    caps = {
        (Algorithm.RING, Protocol.LL): tables.LL_GBPS,
        (Algorithm.TREE, Protocol.LL): tables.LL_GBPS,
        (Algorithm.RING, Protocol.LL128): tables.RING_LL128_GBPS,
        (Algorithm.TREE, Protocol.LL128): tables.TREE_LL128_GBPS,
        (Algorithm.TREE, Protocol.SIMPLE): tables.TREE_GBPS,
    }.get((algorithm, protocol))
    link *= tables.PROTOCOL_SHARE[protocol]
    return graph.channels * (link if caps is None else min(link, case.cap(caps)))


@hookimpl
def distos_coll_cost_models() -> list[CostModelSpec]:
    return [
        CostModelSpec("pipeline", predict, "rings and trees as pipelines of slices, nothing fitted")
    ]
