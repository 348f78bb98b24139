"""Jobs of NCCL's that several tests price, and how to read the answers."""

from dataclasses import replace

from distos_coll.api import (
    ChannelGraph,
    Collective,
    Estimate,
    Job,
    NcclView,
    Operation,
    Pattern,
    cheapest,
)
from distos_coll.costs.nccl.model import predict

KIB, MIB = 1 << 10, 1 << 20


def graph(channels: int, intra: float, inter: float = 0.0, **rest: object) -> ChannelGraph:
    return ChannelGraph(channels, intra, inter, **rest)  # type: ignore[arg-type]


def tree_graph(channels: int, intra: float, inter: float = 0.0) -> ChannelGraph:
    return graph(channels, intra, inter, pattern=Pattern.BALANCED_TREE)


# The three of the golden table: Hopper, Intel.
ONE_NODE = Job((8,), NcclView(90, ring=graph(12, 30), tree=tree_graph(12, 30)))
_VIEW = NcclView(90, ring=graph(8, 40, 40), tree=tree_graph(8, 48, 40))
TWO_NODES = Job((8,) * 2, _VIEW)
MANY_NODES = Job((8,) * 32, _VIEW)


def changed(job: Job, **view: object) -> Job:
    """The same job with another view."""
    assert job.nccl is not None
    return replace(job, nccl=replace(job.nccl, **view))  # type: ignore[arg-type]


def ask(
    job: Job,
    size: int = MIB,
    collective: Collective = Collective.ALL_REDUCE,
    **operation: object,
) -> dict[str, Estimate]:
    found = predict(job, Operation(collective, size, **operation))  # type: ignore[arg-type]
    return {each.name: each for each in found}


def winner(
    job: Job, size: int, collective: Collective = Collective.ALL_REDUCE
) -> tuple[str, float]:
    best = cheapest(ask(job, size, collective).values())
    assert best.time_us is not None
    return best.name, best.time_us
