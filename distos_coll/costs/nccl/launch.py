"""With how many channels and threads NCCL would run a candidate."""

from distos_coll.api import ChannelGraph
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.case import Case
from distos_coll.costs.nccl.tables import Algorithm, Protocol


def launch(
    case: Case, algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph
) -> tuple[int, int]:
    """Return channels and threads of each: fewer where there are too few bytes for all."""
    channels = case.view.channels_of_communicator()
    threads = _most_threads(algorithm, protocol, graph)
    threshold = _threshold(case, algorithm, protocol)
    size = case.operation.bytes
    if algorithm in (Algorithm.NVLS, Algorithm.NVLS_TREE):
        channels = _nvls_channels(case, algorithm, graph)
    elif algorithm is Algorithm.COLLNET_DIRECT:
        channels = _collnet_channels(case, channels, threads, threshold)
    elif algorithm is not Algorithm.PAT:
        while size < channels * threads * threshold and channels > 1:
            channels -= 1
        while size < channels * threads * threshold and threads % 128 == 0:
            threads //= 2
    if protocol is Protocol.SIMPLE and algorithm is Algorithm.RING:
        threads += tables.WARP  # to synchronise
    if algorithm in (Algorithm.TREE, Algorithm.PAT):
        threads = tables.MOST_THREADS
    return channels, max(threads // tables.WARP, tables.FEWEST_WARPS) * tables.WARP


def _most_threads(algorithm: Algorithm, protocol: Protocol, graph: ChannelGraph) -> int:
    if protocol is not Protocol.SIMPLE:
        return tables.LL_THREADS if protocol is Protocol.LL else tables.LL128_THREADS
    if algorithm is Algorithm.TREE:
        return tables.SIMPLE_THREADS
    if algorithm is not Algorithm.RING:
        return tables.MOST_THREADS
    slow = graph.channels * graph.gbps_intra <= tables.SLOW_RING_GBPS
    return tables.SLOW_RING_THREADS if slow else tables.SIMPLE_THREADS


def _threshold(case: Case, algorithm: Algorithm, protocol: Protocol) -> int:
    if protocol is Protocol.LL:
        return tables.LL_THRESHOLD * (case.job.size if algorithm is Algorithm.RING else 1)
    if protocol is Protocol.LL128:
        return tables.LL128_THRESHOLD
    if algorithm in (Algorithm.COLLNET_DIRECT, Algorithm.COLLNET_CHAIN):
        return tables.COLLNET_THRESHOLD
    return tables.SIMPLE_THRESHOLD


def _nvls_channels(case: Case, algorithm: Algorithm, graph: ChannelGraph) -> int:
    channels = case.view.nvls_channels or graph.channels
    if algorithm is Algorithm.NVLS and case.job.nodes > 1:
        return min(channels, case.view.channels_of_communicator())
    return channels


def _collnet_channels(case: Case, channels: int, threads: int, threshold: int) -> int:
    """Fewer down to 16, 8, 4 ..., where bytes suffice for those; the lower, the fewer bytes are
    asked for.
    """
    heads, size = case.view.collnet_heads, case.operation.bytes
    floor, short = 16, True
    while floor >= 1 and short:
        short = size < channels * threads * heads * threshold
        while short and channels > floor:
            if channels == floor + floor // 2:
                threshold //= 2
            channels -= 1
            short = size < channels * threads * heads * threshold
        floor //= 2
    return channels
