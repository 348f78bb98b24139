"""The kit for cost models: pure, finite, complete, and never negative, over a grid of jobs."""

import math
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from distos_coll._vocabulary import Collective, DType, ReduceOp
from distos_coll.errors import InvalidArgument, PlanError
from distos_coll.plugins.asking import described
from distos_coll.plugins.job import ChannelGraph, HostView, Job, NcclView, Operation
from distos_coll.plugins.kinds import COST_MODELS
from distos_coll.plugins.manager import built_in_registry
from distos_coll.plugins.models import CostModelSpec, Estimate
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.testing.kits.check import Check, all_checks, as_test, wrong
from distos_coll.topology.path_type import PathType

_RANKS = ((1,), (2,), (8,), (8, 8), (3, 5), (1, 1, 1, 1), (8,) * 64)
_BYTES = (0, 8, 4 << 10, 1 << 20, 1 << 30)
_DIP = 0.5
"""Of a time that falls: models switch protocols where their tables say so."""


def cost_model_kit(subject: object) -> Any:
    """Return a test for pytest of a spec, a list of them, or all cost models of a plugin."""
    return as_test(cost_model_checks(subject))


def cost_model_checks(subject: object) -> Iterator[Check]:
    """Yield the checks of a spec, a list of them, or all cost models of a plugin."""
    return all_checks(COST_MODELS, subject, _checks)


def _checks(spec: CostModelSpec) -> Iterator[Check]:
    yield Check("says what it is", lambda: _describes(spec))
    yield Check("answers with estimates", lambda: _answers(spec))
    yield Check("gives one answer to one question", lambda: _pure(spec))
    yield Check("prices every algorithm that it is given, or none", lambda: _complete(spec))
    yield Check("times do not fall with bytes", lambda: _grows(spec))


def _jobs() -> Iterator[Job]:
    ring = ChannelGraph(8, 24.0, 12.0, PathType.NVL, PathType.PXB, 5.0)
    tree = ChannelGraph(8, 20.0, 12.0, PathType.NVL, PathType.PXB, 5.0)
    for ranks in _RANKS:
        yield Job(ranks)
        yield Job(ranks, host=HostView(slot_bytes=1 << 16, sharing=2.0))
        yield Job(ranks, NcclView(90, ring=ring, tree=tree))


def _operations(job: Job) -> Iterator[Operation]:
    for collective in Collective:
        for count in _BYTES:
            yield Operation(collective, count)
    yield Operation(Collective.ALL_REDUCE, 1 << 16, DType.FLOAT16, ReduceOp.AVERAGE, pipe_ops=3)
    yield Operation(Collective.ALL_REDUCE, job.size, DType.INT8, ReduceOp.MAX)


def _given(operation: Operation) -> tuple[AlgorithmSpec, ...]:
    return tuple(a.spec for a in built_in_registry().of(operation.collective))


def _questions() -> Iterator[tuple[Job, Operation]]:
    for job in _jobs():
        for operation in _operations(job):
            yield job, operation


def _at(job: Job, operation: Operation) -> str:
    view = "a job of NCCL's with" if job.nccl else "a job with"
    return (
        f"{operation.collective.name.lower()} of {operation.bytes} bytes in {view} ranks "
        f"{list(job.ranks_of_nodes)[:8]} on its nodes"
    )


def _ask(
    spec: CostModelSpec, job: Job, operation: Operation, given: Sequence[AlgorithmSpec]
) -> tuple[Estimate, ...] | None:
    """None where the model says that it does not know such jobs."""
    before = pickle.dumps((job, operation))
    try:
        found: tuple[Any, ...] = tuple(spec.predict(job, operation, given))
    except (InvalidArgument, PlanError):
        return None
    except Exception as error:
        raise wrong(f"{_at(job, operation)}: it raises {described(error)}") from error
    for each in found:
        if not isinstance(each, Estimate):
            raise wrong(
                f"{_at(job, operation)}: it returns {type(each).__name__}, and not Estimates"
            )
    if pickle.dumps((job, operation)) != before:
        raise wrong(f"{_at(job, operation)}: it changes what it is given; values stay as they are")
    return found


def _describes(spec: CostModelSpec) -> None:
    if not spec.name.isidentifier():
        raise wrong(f"the name {spec.name!r}: use letters, digits and _")
    if not spec.doc.strip():
        raise wrong("doc is empty: `plugins list` shows it; say in a line what it models")


def _answers(spec: CostModelSpec) -> None:
    answered = False
    for job, operation in _questions():
        found = _ask(spec, job, operation, _given(operation))
        at = _at(job, operation)
        for each in found or ():
            _check_one(each, at)
        names = [(e.algorithm, e.variant, e.segment_bytes) for e in found or ()]
        if len(set(names)) < len(names):
            raise wrong(f"{at}: it has two estimates for one candidate in {names}")
        answered |= any(each.may_run for each in found or ())
    if not answered:
        raise wrong("it has no time for any operation in any job that the kit asks for")


def _check_one(each: Estimate, at: str) -> None:
    if each.time_us is None:
        if not each.reason:
            raise wrong(f"{at}: {each.name} has neither a time nor a reason why it may not run")
        return
    for what in ("time_us", "fixed_us", "latency_us", "gbps"):
        value = getattr(each, what)
        if value is not None and not (math.isfinite(value) and value >= 0):
            raise wrong(f"{at}: {what} of {each.name} is {value}")
    if each.fixed_us is not None and each.fixed_us > each.time_us * (1 + 1e-9):
        raise wrong(
            f"{at}: fixed_us of {each.name} is {each.fixed_us}, more than the whole, {each.time_us}"
        )


def _pure(spec: CostModelSpec) -> None:
    """The second time in the opposite order, so that what it remembers shows."""
    questions = list(_questions())
    first = [_ask(spec, *question, _given(question[1])) for question in questions]
    again = [_ask(spec, *question, _given(question[1])) for question in reversed(questions)]
    for question, one, other in zip(questions, first, reversed(again), strict=True):
        if one != other:
            raise wrong(f"{_at(*question)}: first {one}, then {other}")


def _complete(spec: CostModelSpec) -> None:
    """A model that prices what it is given has a line for each; others do not look at it."""
    for job, operation in _questions():
        given = _given(operation)
        found, alone = _ask(spec, job, operation, given), _ask(spec, job, operation, ())
        if found is None or found == alone:
            continue
        priced = {(each.algorithm, each.variant) for each in found}
        missing = [s.key for s in given if (s.name, s.variant) not in priced]
        if missing:
            raise wrong(
                f"{_at(job, operation)}: it prices some of the algorithms that it is given, but "
                f"not {', '.join(missing)}; say in `reason` why one may not run"
            )


def _grows(spec: CostModelSpec) -> None:
    for job in _jobs():
        for collective in Collective:
            before: dict[str, float] = {}
            for count in _BYTES:
                operation = Operation(collective, count)
                for each in _ask(spec, job, operation, _given(operation)) or ():
                    if each.time_us is None:
                        continue
                    last = before.get(each.name, 0.0)
                    if each.time_us < _DIP * last:
                        raise wrong(
                            f"{_at(job, operation)}: {each.name} falls from {last} to "
                            f"{each.time_us} us"
                        )
                    before[each.name] = max(last, each.time_us)
