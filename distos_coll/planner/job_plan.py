"""What an operation costs a job on a topology by one cost model: every candidate, its time taken
apart, why the others lost, and at which sizes another one wins. Pure.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from distos_coll.api import (
    AlgorithmSpec,
    Collective,
    DType,
    Estimate,
    Figures,
    Job,
    LinkCost,
    Operation,
    cheapest,
)
from distos_coll.layout.nccl_view import Machine, nccl_view
from distos_coll.layout.result import Layout
from distos_coll.planner.algo import AlgoFilter
from distos_coll.planner.choose import candidates
from distos_coll.planner.profile import BUILT_IN
from distos_coll.planner.view import ClusterView
from distos_coll.plugins.job import HostView
from distos_coll.plugins.manager import Registry
from distos_coll.plugins.models import CostModels

OWN_MODEL = "calibrated"
"""Prices this library's algorithms; the others price NCCL's."""
SMALLEST, LARGEST = 1, 1 << 36
"""Bytes between which candidates are compared."""
_STEPS_PER_OCTAVE = 4
_NO_TIME = LinkCost(0.0, inf)
_PLAIN = Machine()


@dataclass(frozen=True)
class Priced:
    """A candidate with its time in three parts; without one it may not run."""

    estimate: Estimate
    latency_us: float | None = None
    """What does not grow with the size."""
    bandwidth_us: float | None = None
    reduction_us: float | None = None
    """None: the model does not tell it apart from bandwidth."""
    chosen: bool = False
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        found = {name: value for name, value in vars(self.estimate).items() if value is not None}
        return found | {
            "name": self.estimate.name,
            "latency_us": self.latency_us,
            "bandwidth_us": self.bandwidth_us,
            "reduction_us": self.reduction_us,
            "chosen": self.chosen,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Crossing:
    """From this size on another candidate is the cheapest."""

    bytes: int
    before: str
    after: str


@dataclass(frozen=True)
class JobPlan:
    """One collective of a job's, priced by one model at any size."""

    job: Job
    collective: Collective
    dtype: DType
    model: str
    models: CostModels
    algorithms: tuple[AlgorithmSpec, ...] = ()
    """Of this library, those that may run."""
    excluded: tuple[Estimate, ...] = ()
    """And those that may not, with the reason."""

    def estimates(self, size: int) -> tuple[Estimate, ...]:
        return self._asked(self.job, size)

    def best(self, size: int) -> Estimate:
        """Return the cheapest; PlanError if none may run."""
        return cheapest(self.estimates(size))

    def candidates(self, size: int) -> tuple[Priced, ...]:
        """The winner, the losers by time, then those that may not run."""
        found = self.estimates(size)
        winner = cheapest(found)
        free = self._without_reduction(size)
        able = sorted(
            (each for each in found if each.may_run), key=lambda e: (e is not winner, e.time_us)
        )
        priced = [self._priced(each, winner, free.get(each.name)) for each in able]
        unable = [each for each in (*found, *self.excluded) if not each.may_run]
        return (*priced, *(Priced(each, reason=each.reason) for each in unable))

    def crossings(self, low: int = SMALLEST, high: int = LARGEST) -> tuple[Crossing, ...]:
        """Where another candidate becomes the cheapest; of one that wins between two of the sizes
        that are tried, four in an octave, nothing is seen. Segments are not told apart.
        """
        found: list[Crossing] = []
        at, name = low, self._winner(low)
        for size in sizes(low, high):
            after = self._winner(size)
            while after != name:
                cut = self._first_without(name, at, size)
                after = self._winner(cut)
                found.append(Crossing(cut, name, after))
                at, name = cut, after
                after = self._winner(size)
            at = size
        return tuple(found)

    def curves(self, at: Sequence[int]) -> dict[str, list[float | None]]:
        """Each candidate's time at these sizes; of several segments the best."""
        found: dict[str, list[float | None]] = {}
        for i, size in enumerate(at):
            for each in self.estimates(size):
                if each.time_us is None:
                    continue
                times = found.setdefault(_label(each), [None] * len(at))
                before = times[i]
                times[i] = each.time_us if before is None else min(before, each.time_us)
        return found

    def _winner(self, size: int) -> str:
        return _label(self.best(size))

    def _first_without(self, name: str, low: int, high: int) -> int:
        """The first size at which another one wins: not yet at low, but at high."""
        while high - low > 1:
            middle = (low + high) // 2
            if self._winner(middle) != name:
                high = middle
            else:
                low = middle
        return high

    def _asked(self, job: Job, size: int) -> tuple[Estimate, ...]:
        operation = Operation(self.collective, size, self.dtype)
        return self.models.estimate(self.model, job, operation, self.algorithms)

    def _without_reduction(self, size: int) -> dict[str, float]:
        """What this library's candidates would take if arithmetic took no time."""
        if self.model != OWN_MODEL:
            return {}
        figures = replace(self.job.host.figures, reduce=_NO_TIME, half_reduce=_NO_TIME)
        job = replace(self.job, host=replace(self.job.host, figures=figures))
        return {e.name: e.time_us for e in self._asked(job, size) if e.time_us is not None}

    @staticmethod
    def _priced(each: Estimate, winner: Estimate, free: float | None) -> Priced:
        time, fixed = each.time_us or 0.0, min(each.fixed_us or 0.0, each.time_us or 0.0)
        reduction = None if free is None else max(0.0, time - max(free, fixed))
        best = winner.time_us or 0.0
        if each is winner:
            reason = each.reason or "predicted fastest"
        elif time == best or not best:
            reason = "predicted as fast; the order of names decides"
        else:
            mark = f" ({each.reason})" if each.reason else ""
            reason = f"predicted {time / best:.2f} times the winner's time{mark}"
        rest = time - fixed - (reduction or 0.0)
        return Priced(each, fixed, rest, reduction, each is winner, reason)


def job_plan(
    layout: Layout,
    collective: Collective,
    model: str,
    models: CostModels,
    registry: Registry,
    *,
    dtype: DType = DType.FLOAT32,
    machine: Machine = _PLAIN,
    figures: Figures = BUILT_IN.figures,
) -> JobPlan:
    """Price a collective for the job that is laid out. `figures` are of hosts; the network's
    bandwidth is the layout's.
    """
    ranks = tuple(len(node.ranks) for node in layout.nodes)
    if model != OWN_MODEL:
        job = Job(ranks, nccl_view(layout, machine))
        return JobPlan(job, collective, dtype, model, models)
    job = Job(ranks, host=HostView(with_network(figures, layout)))
    domain_of = tuple(node for node, count in enumerate(ranks) for _ in range(count))
    view = ClusterView(sum(ranks), domain_of)
    able, unable = candidates(view, collective, registry, AlgoFilter())
    specs = dict.fromkeys(each.algorithm.spec.key for each in able if not each.registered)
    chosen = tuple(a.spec for a in registry.of(collective) if a.spec.key in specs)
    excluded = tuple(
        Estimate(each.algorithm.spec.name, each.algorithm.spec.variant, reason=each.reason)
        for each in unable
    )
    return JobPlan(job, collective, dtype, model, models, chosen, excluded)


def with_network(figures: Figures, layout: Layout) -> Figures:
    """A message between nodes goes at the speed of all channels together."""
    gbps = layout.rings.channels * layout.rings.gbps_inter
    if not gbps:
        return figures
    return replace(figures, tcp=replace(figures.tcp, gbps=gbps, far_gbps=0.0))


def sizes(low: int, high: int) -> list[int]:
    """Sizes from one (at least 1) to the other, some in each octave."""
    steps = range(_STEPS_PER_OCTAVE * high.bit_length() + 1)
    tried = (round(low * 2 ** (step / _STEPS_PER_OCTAVE)) for step in steps)
    return sorted({low, high, *(size for size in tried if low <= size <= high)})


def _label(estimate: Estimate) -> str:
    return replace(estimate, segment_bytes=None).name


def extents(crossings: Iterable[Crossing], first: str) -> list[tuple[int, str]]:
    """From which size on which candidate wins."""
    return [(SMALLEST, first), *((each.bytes, each.after) for each in crossings)]
