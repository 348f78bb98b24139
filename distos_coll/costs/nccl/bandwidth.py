"""How many bytes of an operation pass in a second: gigabytes, of input or output as counted."""

from distos_coll.api import ChannelGraph, Pattern
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.case import Case
from distos_coll.costs.nccl.tables import Algorithm, Protocol

_ON_RINGS = (Algorithm.RING, Algorithm.NVLS, Algorithm.NVLS_TREE)


def gbps(case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph) -> float:
    """Return 0 where a table has none."""
    bus = _bus_gbps(case, algorithm, protocol, graph)
    if case.scattering and algorithm is not Algorithm.RING:
        return bus
    return bus * (case.job.size / case.steps if algorithm in _ON_RINGS else 0.5)


def _bus_gbps(case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph) -> float:
    """All channels together, as what one rank sends."""
    few = case.job.nodes <= 2
    bus = graph.channels * (graph.gbps_intra if few else graph.gbps_inter)
    match algorithm:
        case Algorithm.RING:
            return _ring(case, protocol, graph.channels, bus)
        case Algorithm.TREE:
            return _tree(case, protocol, graph, bus)
        case Algorithm.COLLNET_DIRECT:
            return _collnet_direct(case, graph)
        case Algorithm.COLLNET_CHAIN:
            return graph.channels * graph.gbps_intra
        case Algorithm.PAT:
            return 0.75 * bus
        case _:
            return _nvls(case, algorithm, graph)


def _ring(case: Case, protocol: Protocol, channels: int, bus: float) -> float:
    if protocol is Protocol.LL:
        return min(case.ll_cap(tables.LL_GBPS), bus / 2)
    if protocol is Protocol.LL128:
        return min(0.92 * bus, channels * case.cap(tables.RING_LL128_GBPS))
    return bus


def _tree(case: Case, protocol: Protocol, graph: ChannelGraph, bus: float) -> float:
    bus = min(0.92 * bus, graph.channels * case.cap(tables.TREE_GBPS))
    if protocol is Protocol.LL:
        bus = min(bus / 3.8, case.ll_cap(tables.LL_GBPS))
    elif protocol is Protocol.LL128:
        share = 7 / 9 if case.job.nodes == 1 else 120 / 128
        bus = min(bus * share, graph.channels * case.cap(tables.TREE_LL128_GBPS))
    return 0.85 * bus if graph.pattern is Pattern.TREE else bus


def _collnet_direct(case: Case, graph: ChannelGraph) -> float:
    local = case.ranks_per_node
    if case.scattering:
        return local * min(graph.gbps_intra, 0.9 * graph.gbps_inter)
    # Full speed needs a NIC for each GPU; half of what is missing is lost.
    factor = local / graph.channels
    factor -= (factor - 1) / 2
    bus = graph.channels * graph.gbps_intra / factor
    return 0.85 * bus if case.view.compute_capability >= tables.HOPPER_CAPABILITY else bus


def _nvls(case: Case, algorithm: Algorithm, graph: ChannelGraph) -> float:
    channels, local = graph.channels, case.ranks_per_node
    efficiency = tables.NVLS_EFFICIENCY[case.generation]
    # An all_reduce reduces and multicasts at the same time.
    share = 2 if case.all_reduce else (local - 1) / local
    intra = graph.gbps_intra * efficiency * (channels - 1) / channels * share
    tree = algorithm is Algorithm.NVLS_TREE
    inter = graph.gbps_inter * (2 if tree and case.job.nodes <= 2 else 1)
    bounds = [intra, inter]
    if tree:
        bounds.append(case.cap(tables.NVLS_TREE_GBPS))
    return channels * min(bounds)
