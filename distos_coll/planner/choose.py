"""Selection: which candidates there are, and which is best at which size. Pure, and the same on
every rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from distos_coll._vocabulary import Collective, Need
from distos_coll.errors import PlanError
from distos_coll.planner.algo import DETERMINISTIC, VARIABLE, AlgoFilter
from distos_coll.planner.profile import Curve, Kind, Predict
from distos_coll.planner.view import ClusterView
from distos_coll.plugins.costs import CostInput
from distos_coll.plugins.manager import Algorithm, Registry
from distos_coll.program.contract import REDUCING
from distos_coll.program.encode import UNLIMITED
from distos_coll.program.ir import Program

# Sizes above are chosen as this one.
LARGEST = 1 << 40
# Cut-overs are multiples of 1/16 of an octave: the model is not more exact than that.
_STEPS_PER_OCTAVE = 16
# One row only: a barrier has no size, and nobody knows all sizes of an all_to_all_v.
TYPICAL_BYTES = {Collective.BARRIER: 0, Collective.ALL_TO_ALL_V: 1 << 20}
_LARGEST_ELEMENT = 16


@dataclass(frozen=True)
class Candidate:
    algorithm: Algorithm
    segment_bytes: int
    model: Predict = field(compare=False)
    """Microseconds for a size in bytes, as the spec says."""
    measured: Curve | None = field(default=None, compare=False)
    """What it took in a group of the same shape."""
    predict: Predict = field(init=False, compare=False)
    """The model, corrected where it was measured."""

    def __post_init__(self) -> None:
        predict = self.measured.correct(self.model) if self.measured else self.model
        object.__setattr__(self, "predict", predict)

    @property
    def key(self) -> str:
        return self.algorithm.spec.key

    @property
    def name(self) -> str:
        """Unique among the candidates of a collective: direct2/single_copy@262144."""
        return f"{self.key}@{self.segment_bytes}"

    @property
    def registered(self) -> bool:
        """Whether it runs only where all ranks' arrays lie in registered memory."""
        return Need.REGISTERED in self.algorithm.spec.needs


@dataclass(frozen=True)
class Excluded:
    algorithm: Algorithm
    reason: str


@dataclass(frozen=True)
class Row:
    """Up to max_bytes (inclusive) this candidate is used."""

    collective: Collective
    max_bytes: int
    candidate: Candidate


class Costs:
    """CostInputs of one view; they are asked for again and again."""

    def __init__(self, view: ClusterView, *, halves: bool = False) -> None:
        sizes = [len(ranks) for ranks in view.members]
        figures = view.profile.figures
        self._base: dict[str, Any] = {
            "size": view.size,
            "domains": len(sizes),
            "local": max(sizes),
            "min_local": min(sizes),
            "slot": view.slot_bytes,
            "sharing": view.sharing,
            "remote": view.layout.remote,
            "figures": replace(figures, reduce=figures.half_reduce) if halves else figures,
        }
        self._inputs: dict[tuple[int, int], CostInput] = {}

    def at(self, size: int, segment: int) -> CostInput:
        key = (size, segment)
        if key not in self._inputs:
            self._inputs[key] = CostInput(bytes=size, segment=segment, **self._base)
        return self._inputs[key]


def smallest_slot(size: int) -> int:
    """Elements that a slot must hold for programs which use the window: two for each rank."""
    return 2 * size


def candidates(
    view: ClusterView, collective: Collective, registry: Registry, algo: AlgoFilter
) -> tuple[list[Candidate], list[Excluded]]:
    """What may run, best defined order first, and why the others may not."""
    allowed: list[Candidate] = []
    excluded: list[Excluded] = []
    costs = Costs(view)
    algorithms = registry.of(collective)
    names = algo.of(collective, {a.spec.name for a in algorithms})
    for algorithm in algorithms:
        spec = algorithm.spec
        reason = _unmet(view, registry, algorithm)
        if reason is None and algo.in_rank_order and collective in REDUCING:
            reason = _out_of_order(registry.program(algorithm))
        if reason is None and names is not None and not names.allows(spec.name):
            reason = f"left out by {VARIABLE}={names.text}"
        if reason is None and spec.between_domains and len(view.members) == 1:
            named = names is not None and not names.excluded
            reason = None if named else f"needs more than one domain, unless {VARIABLE} names it"
        if reason is not None:
            excluded.append(Excluded(algorithm, reason))
            continue
        allowed += [
            _candidate(algorithm, segment, costs, view) for segment in sorted(spec.segments)
        ]
    if all(candidate.registered for candidate in allowed):
        raise PlanError(_nothing_left(collective, names.text if names else "", excluded))
    return allowed, excluded


def for_halves(
    view: ClusterView, registry: Registry, allowed: Sequence[Candidate]
) -> list[Candidate]:
    """The same candidates with what they cost for float16 and bfloat16 in one domain: those that
    reduce hop by hop run on a float32 copy there (docs/decisions/0003).
    """
    costs = Costs(view, halves=True)

    def for_half(candidate: Candidate) -> Candidate:
        cost, segment = candidate.algorithm.spec.cost, candidate.segment_bytes

        def as_they_are(size: int) -> float:
            return cost(costs.at(size, segment))

        def on_a_copy(size: int) -> float:
            # Widened: read 1, written 2; narrowed: read 2, written 1.
            return candidate.model(2 * size) + 3 * costs.at(size, segment).copy_us(size)

        copied = registry.program(candidate.algorithm).reduces_per_hop
        kind = Kind(candidate.algorithm.spec.collective, halves=True)
        return replace(
            candidate,
            model=on_a_copy if copied else as_they_are,
            measured=view.measured.curve(kind, candidate.name),
        )

    return [for_half(each) for each in allowed]


def _candidate(algorithm: Algorithm, segment: int, costs: Costs, view: ClusterView) -> Candidate:
    spec = algorithm.spec

    def model(size: int) -> float:
        return spec.cost(costs.at(size, segment))

    plain = Candidate(algorithm, segment, model)
    curve = view.measured.curve(Kind(spec.collective), plain.name)
    return replace(plain, measured=curve)


def _unmet(view: ClusterView, registry: Registry, algorithm: Algorithm) -> str | None:
    needs = algorithm.spec.needs
    domains = len(view.members)
    if Need.ONE_DOMAIN in needs and domains > 1:
        return f"needs all ranks in one domain, and this group has {domains}"
    if Need.SINGLE_COPY in needs and not view.all_single_copy:
        return "needs single copy (process_vm_readv) between all ranks of a domain"
    least = smallest_slot(view.largest_domain) * _LARGEST_ELEMENT
    if view.slot_bytes < least and registry.program(algorithm).uses_window:
        return f"needs window slots of at least {least} bytes, and they have {view.slot_bytes}"
    return None


def _out_of_order(program: Program) -> str | None:
    if program.reduces_at_once:
        return None
    return f"reduces in another order than that of ranks, and {DETERMINISTIC}=1 asks for that one"


def _nothing_left(collective: Collective, text: str, excluded: Sequence[Excluded]) -> str:
    name = collective.name.lower()
    if not excluded:
        return f"no plugin defines an algorithm for {name}"
    reasons = "; ".join(f"{e.algorithm.spec.key}: {e.reason}" for e in excluded)
    cause = f"{VARIABLE}={text!r} leaves" if text else "there is"
    return f"{cause} no algorithm for {name} in this group. {reasons}"


def best(allowed: Sequence[Candidate], size: int) -> Candidate:
    """The fastest; of equals the first in the order of `allowed`, which depends on names only."""
    return min(allowed, key=lambda candidate: candidate.predict(size))


def rows_of(collective: Collective, allowed: Sequence[Candidate]) -> list[Row]:
    """The lower envelope of the candidates from 0 bytes to LARGEST."""
    typical = TYPICAL_BYTES.get(collective)
    if typical is not None:
        return [Row(collective, UNLIMITED, best(allowed, typical))]
    if len(allowed) == 1:
        return [Row(collective, UNLIMITED, allowed[0])]
    rows: list[Row] = []
    low, current = 0, best(allowed, 0)
    for high in _looked_at(allowed):
        at_high = best(allowed, high)
        while at_high is not current:
            last, low = _cut(current, allowed, low, high)
            rows.append(Row(collective, last, current))
            current = best(allowed, low)
        low = high
    rows.append(Row(collective, UNLIMITED, current))
    return _merge(rows)


def _looked_at(allowed: Sequence[Candidate]) -> list[int]:
    """Powers of two, and where something was measured: there the choice is exact."""
    sizes = {1 << power for power in range(LARGEST.bit_length())}
    return sorted(sizes.union(*(each.measured.sizes for each in allowed if each.measured)) - {0})


def _cut(current: Candidate, allowed: Sequence[Candidate], low: int, high: int) -> tuple[int, int]:
    """Between low (where current is best) and high (where it is not): its last size, and one where
    it is not.
    """
    step = max(1, high // 2 // _STEPS_PER_OCTAVE)
    while high - low > step:
        middle = low + max(step, (high - low) // 2 // step * step)
        if best(allowed, middle) is current:
            low = middle
        else:
            high = middle
    return low, high


def _merge(rows: Sequence[Row]) -> list[Row]:
    merged: list[Row] = []
    for row in rows:
        if merged and merged[-1].candidate is row.candidate:
            merged.pop()
        merged.append(row)
    return merged
