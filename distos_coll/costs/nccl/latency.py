"""How long an operation of no bytes takes, in microseconds."""

from distos_coll.api import ChannelGraph, Cpu, PathType, log2_floor
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.case import Case
from distos_coll.costs.nccl.tables import Algorithm, Hardware, Protocol


def latency_us(case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph) -> float:
    nodes, local = case.job.nodes, case.job.size // case.job.nodes
    base = tables.BASE_US[algorithm][protocol]
    intra = hardware_us(case, inside(graph), algorithm, protocol)
    inter = _inter_us(case, algorithm, protocol, graph)
    match algorithm:
        case Algorithm.RING:
            return base + _ring_us(case, protocol, graph, inter)
        case Algorithm.TREE:
            return base + 2 * ((local - 1) * intra + log2_floor(nodes) * inter)
        case Algorithm.COLLNET_DIRECT:
            # 0.4: the GPUs of a node are served one after the other.
            return base + 2 * (min(1, local - 1) * intra + (local - 1) * 0.4) + inter
        case Algorithm.COLLNET_CHAIN:
            return base + 2 * (local - 1) * intra + inter
        case Algorithm.NVLS:
            return intra + (inter if nodes > 1 else 0.0)
        case Algorithm.NVLS_TREE:
            return base + intra + 2 * log2_floor(nodes) * inter
        case _:
            return base + log2_floor(nodes) * inter / 3.5 + case.job.size * 2.8


def inside(graph: ChannelGraph) -> Hardware:
    """Return what channels run over in a node."""
    return Hardware.NVLINK if graph.type_intra is PathType.NVL else Hardware.PCI


def hardware_us(case: Case, hardware: Hardware, algorithm: Algorithm, protocol: Protocol) -> float:
    """Return what a step takes."""
    slow_pci = hardware is Hardware.PCI and case.view.cpu is Cpu.POWER
    if slow_pci and (algorithm, protocol) == (Algorithm.TREE, Protocol.SIMPLE):
        algorithm = Algorithm.RING
    return tables.HARDWARE_US[hardware][algorithm][protocol]


def _inter_us(case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph) -> float:
    # With one rank in each node nothing hides the network's latency.
    row = Algorithm.TREE if case.ranks_per_node == 1 else algorithm
    # Simple also flushes.
    times = 2 if protocol is Protocol.SIMPLE else 1
    return tables.HARDWARE_US[Hardware.NET][row][protocol] + times * graph.latency_inter_us


def _ring_us(case: Case, protocol: Protocol, graph: ChannelGraph, inter: float) -> float:
    nodes = case.job.nodes
    if not (case.all_reduce or case.scattering):
        # Where channels differ, chunks wait for each other, which NCCL prices as on a tree.
        hardware = inside(graph) if nodes == 1 else Hardware.NET
        if graph.same_channels:
            return hardware_us(case, hardware, Algorithm.RING, protocol)
        row = Algorithm.TREE if protocol is Protocol.SIMPLE else Algorithm.RING
        return case.steps * hardware_us(case, hardware, row, protocol)
    intra = hardware_us(case, inside(graph), Algorithm.RING, protocol)
    if nodes == 1:
        return case.steps * intra
    # Every step is posted to the network, wherever it goes.
    overhead = _net_overhead_us(case) * (3 if protocol is Protocol.SIMPLE else 1)
    inter_steps = (2 if case.all_reduce else 1) * (nodes - 1)
    return (case.steps - inter_steps) * max(intra, overhead) + inter_steps * inter


def _net_overhead_us(case: Case) -> float:
    if case.view.net_overhead_us is not None:
        return case.view.net_overhead_us
    return 2.0 if case.view.cpu is Cpu.AMD else 1.0
