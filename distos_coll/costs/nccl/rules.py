"""Why NCCL would not use a candidate: what it lacks, here or at all."""

from collections.abc import Iterator

from distos_coll.api import ChannelGraph, Collective, PathType, ReduceOp
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.case import Case
from distos_coll.costs.nccl.lists import parse
from distos_coll.costs.nccl.tables import Algorithm, Generation, Protocol

_REDUCING = (Collective.ALL_REDUCE, Collective.REDUCE, Collective.REDUCE_SCATTER)
_COLLNET = (Algorithm.COLLNET_DIRECT, Algorithm.COLLNET_CHAIN)
_NVLS = (Algorithm.NVLS, Algorithm.NVLS_TREE)
_WITH_PROTOCOLS = (Algorithm.TREE, Algorithm.RING)


class Rules:
    """Of one case; the lists are read once for all candidates."""

    def __init__(self, case: Case) -> None:
        self._case = case
        collective, view = case.operation.collective, case.view
        algorithms = parse("NCCL_ALGO", view.algo, [a.text for a in Algorithm])
        protocols = parse("NCCL_PROTO", view.proto, [p.text for p in Protocol])
        self._algorithms = algorithms.get(collective)
        self._protocols = protocols.get(collective)

    def reason(self, algorithm: Algorithm, protocol: Protocol) -> str:
        """Return why a candidate may not run; empty: it may."""
        return next(self._reasons(algorithm, protocol), "")

    def _reasons(self, algorithm: Algorithm, protocol: Protocol) -> Iterator[str]:
        case = self._case
        yield from _foreign(case)
        if algorithm not in tables.ALGORITHMS[case.operation.collective]:
            yield f"NCCL has no {case.operation.collective.name.lower()} of the kind"
        if protocol is not Protocol.SIMPLE and algorithm not in _WITH_PROTOCOLS:
            yield "it has the Simple protocol only"
        if case.job.size == 1:
            if (algorithm, protocol) != (Algorithm.RING, Protocol.SIMPLE):
                yield "a single rank has nobody to talk to"
            return
        graph = case.graph(algorithm)
        if algorithm in _COLLNET:
            yield from _collnet(case, algorithm)
        if algorithm in _NVLS:
            yield from _nvls(case, algorithm, graph)
        if algorithm is Algorithm.PAT:
            yield from _pat(case)
        if graph is None:
            yield "no channels of its kind were found in the topology"
            return
        for allowed, name in (
            (self._algorithms, algorithm.text),
            (self._protocols, protocol.text),
        ):
            if allowed is not None and name not in allowed.names:
                yield f"left out by {allowed.text}"
        # Who names LL128 gets it.
        if protocol is Protocol.LL128 and self._protocols is None:
            yield from _ll128(case, graph)


def _foreign(case: Case) -> Iterator[str]:
    collective, dtype, op = case.operation.collective, case.operation.dtype, case.operation.op
    if collective not in tables.ALGORITHMS:
        yield f"NCCL makes {collective.name.lower()} of sends and receives, if at all, unpriced"
    if dtype not in tables.ELEMENT_BYTES:
        yield f"NCCL has no {dtype.name.lower()}"
    if collective in _REDUCING and op not in tables.OPERATIONS:
        yield f"NCCL does not reduce by {op.name.lower()}"


def _collnet(case: Case, algorithm: Algorithm) -> Iterator[str]:
    if not case.view.collnet_heads:
        yield "no NIC reduces in the network (NCCL_COLLNET_ENABLE)"
    if case.job.nodes < tables.COLLNET_NODES:
        yield "there is no network to reduce in: one node"
    if case.job.local > tables.COLLNET_LOCAL:
        yield f"it takes at most {tables.COLLNET_LOCAL} ranks of a node, not {case.job.local}"
    if algorithm is Algorithm.COLLNET_DIRECT and not case.view.nvswitch:
        yield "needs NVSwitch"
    yield from _headless(case)


def _headless(case: Case) -> Iterator[str]:
    """What scatters through the network needs a NIC for each rank."""
    heads = case.view.collnet_heads
    if case.scattering and case.job.nodes > 1 and case.job.local > heads:
        yield f"needs a reducing NIC for each of {case.job.local} ranks of a node, and has {heads}"


def _nvls(case: Case, algorithm: Algorithm, graph: ChannelGraph | None) -> Iterator[str]:
    tree = algorithm is Algorithm.NVLS_TREE
    if not case.view.nvswitch:
        yield "needs NVSwitch"
    if case.generation < Generation.HOPPER:
        yield "needs GPUs of Hopper's generation or later"
    if tree and case.job.nodes == 1:
        yield "there is no tree of one node"
    if not tree and case.job.nodes > 1 and not case.view.collnet_heads:
        yield "between nodes it needs NICs that reduce in the network (NCCL_COLLNET_ENABLE)"
    if not case.all_reduce and case.job.local > tables.NVLS_LOCAL:
        yield f"it takes at most {tables.NVLS_LOCAL} ranks of a node, not {case.job.local}"
    if not tree:
        yield from _headless(case)
    dtype, op = case.operation.dtype, case.operation.op
    if case.operation.collective in _REDUCING and op not in tables.NVLS_OPERATIONS.get(dtype, ()):
        yield f"NVSwitches do not reduce {dtype.name.lower()} by {op.name.lower()}"
    if graph is not None and graph.channels < tables.NVLS_CHANNELS:
        yield f"needs at least {tables.NVLS_CHANNELS} channels"


def _pat(case: Case) -> Iterator[str]:
    if case.job.local > 1:
        yield "needs one rank per node"
    if case.view.compute_capability < tables.PAT_CAPABILITY:
        yield f"needs compute capability {tables.PAT_CAPABILITY}"
    scattered = case.operation.collective is Collective.REDUCE_SCATTER
    if scattered and case.operation.op is ReduceOp.AVERAGE:
        yield "does not average"


def _ll128(case: Case, graph: ChannelGraph) -> Iterator[str]:
    """It needs stores of 128 bytes to arrive whole."""
    lowest, highest = case.view.compute_capability, case.view.max_compute_capability
    new = lowest >= tables.HOPPER_CAPABILITY
    furthest = PathType.PXN if new and case.view.ll128_c2c else PathType.PXB
    if graph.type_inter > furthest:
        yield f"LL128 needs NICs no further away than {furthest.name}, not {graph.type_inter.name}"
    if graph.type_intra > PathType.NVB:
        yield f"LL128 needs NVLink between GPUs, not {graph.type_intra.name}"
    if lowest < tables.LL128_CAPABILITY:
        yield f"LL128 needs compute capability {tables.LL128_CAPABILITY}"
    if lowest != highest and not new:
        yield f"LL128 needs GPUs that are alike, not {lowest} beside {highest}"
