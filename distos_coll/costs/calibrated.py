"""What this library's own algorithms cost: their specs' cost functions, over a machine's figures.

Latency, bandwidth and reduction (alpha, beta, gamma) of each kind of link and kernel are `Figures`,
measured or built in (docs/decisions/0007). The planner asks the same functions, and then corrects
them by what it has measured in groups of the same shape.
"""

from collections.abc import Sequence

from distos_coll.api import (
    AlgorithmSpec,
    CostInput,
    CostModelSpec,
    Estimate,
    Job,
    Operation,
    hookimpl,
)


def predict(job: Job, operation: Operation, algorithms: Sequence[AlgorithmSpec]) -> list[Estimate]:
    """Price the specs for the operation's collective, which whoever asks has found able to run.

    Of any type of elements what the planner says of float32: that programs which reduce hop by hop
    widen halves first is the planner's business.
    """
    mine = [spec for spec in algorithms if spec.collective is operation.collective]
    return [
        _estimate(spec, segment, job, operation)
        for spec in sorted(mine, key=lambda spec: spec.key)
        for segment in sorted(spec.segments)
    ]


def _estimate(spec: AlgorithmSpec, segment: int, job: Job, operation: Operation) -> Estimate:
    # Of a single rank, which sends nothing, some functions fall a little below zero.
    time = max(0.0, spec.cost(_input(job, operation.bytes, segment)))
    fixed = min(time, max(0.0, spec.cost(_input(job, 0, segment))))
    return Estimate(
        spec.name,
        spec.variant,
        segment,
        # Operations that are launched together run one after the other.
        time_us=time + (operation.pipe_ops - 1) * fixed,
        fixed_us=operation.pipe_ops * fixed,
        latency_us=fixed,
    )


def _input(job: Job, size: int, segment: int) -> CostInput:
    return CostInput(
        bytes=size,
        segment=segment,
        size=job.size,
        domains=job.nodes,
        local=job.local,
        min_local=job.min_local,
        slot=job.host.slot_bytes,
        sharing=job.host.sharing,
        figures=job.host.figures,
    )


@hookimpl
def distos_coll_cost_models() -> list[CostModelSpec]:
    return [
        CostModelSpec(
            "calibrated",
            predict,
            "this library's algorithms, by latency and bandwidth per kind of link and kernel",
        )
    ]
