"""Cost models: what a plugin hands over, what it answers, and all of them by name."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from math import isfinite
from typing import TypeAlias

from distos_coll.errors import DistosError, InvalidArgument, PlanError, PluginError
from distos_coll.plugins.job import Job, Operation
from distos_coll.plugins.spec import AlgorithmSpec


@dataclass(frozen=True)
class Estimate:
    """What a model says of one candidate. Without a time it may not run, and `reason` says why."""

    algorithm: str
    variant: str = ""
    """A variant of the algorithm's, or a protocol."""
    segment_bytes: int | None = None
    time_us: float | None = None
    fixed_us: float | None = None
    """Of the time: what does not grow with bytes."""
    latency_us: float | None = None
    """As the model states it for all sizes, before what it corrects for this one."""
    gbps: float | None = None
    """Gigabytes a second of input or output, likewise; None: the model states none."""
    channels: int | None = None
    """Where the model says with how many it would run."""
    threads: int | None = None
    """Of each channel."""
    reason: str = ""
    """Why it may not run; or what the time contains that is not plain."""

    @property
    def name(self) -> str:
        variant = f"/{self.variant}" if self.variant else ""
        segment = "" if self.segment_bytes is None else f"@{self.segment_bytes}"
        return f"{self.algorithm}{variant}{segment}"

    @property
    def may_run(self) -> bool:
        return self.time_us is not None


Predict: TypeAlias = Callable[[Job, Operation, Sequence[AlgorithmSpec]], Sequence[Estimate]]
"""Every candidate, in an order that breaks ties. Pure. The specs are what this library may run for
the operation; a model of others' algorithms has no use for them.
"""


@dataclass(frozen=True)
class CostModelSpec:
    name: str
    """What those who ask for it say."""
    predict: Predict = field(compare=False)
    """Price every candidate of an operation in a job."""
    doc: str = ""
    """A line for people."""


def cheapest(estimates: Iterable[Estimate]) -> Estimate:
    """Return the candidate with the least time; of equals the first. PlanError if none may run."""
    every = tuple(estimates)
    times = [(e.time_us, i) for i, e in enumerate(every) if e.time_us is not None]
    if not times:
        reasons = "; ".join(f"{e.name}: {e.reason}" for e in every)
        raise PlanError(f"the cost model leaves no candidate. {reasons or 'it has none'}")
    return every[min(times)[1]]


class CostModels:
    """By name. A model that fails, or answers nonsense, is an error that names its plugin."""

    def __init__(self, owned: Iterable[tuple[str, CostModelSpec]]) -> None:
        self._owned = {spec.name: (plugin, spec) for plugin, spec in owned}

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(self._owned))

    def owner(self, name: str) -> tuple[str, CostModelSpec]:
        """Return the name of the plugin, and the spec. InvalidArgument for an unknown name."""
        if name not in self._owned:
            raise InvalidArgument(f"unknown cost model {name!r}; known: {', '.join(self.names)}")
        return self._owned[name]

    def estimate(
        self,
        name: str,
        job: Job,
        operation: Operation,
        algorithms: Sequence[AlgorithmSpec] = (),
    ) -> tuple[Estimate, ...]:
        """Ask a model for every candidate; `cheapest` chooses among them."""
        plugin, spec = self.owner(name)
        where = f"plugin {plugin!r}: the cost model {name!r}"
        try:
            found = tuple(spec.predict(job, operation, algorithms))
        except DistosError:
            raise
        except Exception as error:
            raise PluginError(f"{where} failed: {type(error).__name__}: {error}") from error
        for each in found:
            if not isinstance(each, Estimate):
                raise PluginError(f"{where} returns {type(each).__name__}, and not Estimates")
            time = each.time_us
            if time is not None and not (isfinite(time) and time >= 0):
                raise PluginError(f"{where} predicts {time} us for {each.name}; that is no time")
        return found
