"""Every candidate of NCCL's for an operation, priced as NCCL 2.30 would, or why it is left out."""

from collections.abc import Sequence

from distos_coll.api import AlgorithmSpec, Estimate, Job, Operation
from distos_coll.costs.nccl.bandwidth import gbps
from distos_coll.costs.nccl.case import Case, view_of
from distos_coll.costs.nccl.latency import latency_us
from distos_coll.costs.nccl.launch import launch
from distos_coll.costs.nccl.rules import Rules
from distos_coll.costs.nccl.tables import Algorithm, Protocol
from distos_coll.costs.nccl.times import PENALTY, bytes_us, fixed_us, penalty


def predict(
    job: Job, operation: Operation, _algorithms: Sequence[AlgorithmSpec] = ()
) -> list[Estimate]:
    """Price all algorithms and protocols, in the order in which NCCL breaks ties."""
    case = Case(job, view_of(job, "nccl"), operation)
    rules = Rules(case)
    return [
        _estimate(case, algorithm, protocol, rules.reason(algorithm, protocol))
        for algorithm in Algorithm
        for protocol in Protocol
    ]


def _estimate(case: Case, algorithm: Algorithm, protocol: Protocol, reason: str) -> Estimate:
    if reason:
        return Estimate(algorithm.text, protocol.text, reason=reason)
    graph = case.graph(algorithm)
    if case.job.size == 1 or graph is None:
        return Estimate(algorithm.text, protocol.text, time_us=0.0, fixed_us=0.0, latency_us=0.0)
    bandwidth = gbps(case, algorithm, protocol, graph)
    if not bandwidth:
        return Estimate(
            algorithm.text, protocol.text, reason="NCCL's tables have no bandwidth for it here"
        )
    latency = latency_us(case, algorithm, protocol, graph)
    factor = penalty(case, algorithm)
    fixed = fixed_us(case, algorithm, protocol, latency)
    channels, threads = launch(case, algorithm, protocol, graph)
    return Estimate(
        algorithm.text,
        protocol.text,
        time_us=factor * (fixed + bytes_us(case, algorithm, protocol, bandwidth)),
        fixed_us=factor * fixed,
        latency_us=latency,
        gbps=bandwidth,
        channels=channels,
        threads=threads,
        reason=PENALTY if factor != 1 else "",
    )
