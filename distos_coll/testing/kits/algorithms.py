"""The kit for algorithms: what a spec says, its program on symbols, its cost, and real runs."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from distos_coll._vocabulary import Need
from distos_coll.errors import PlanError, PluginError
from distos_coll.plugins import manifest
from distos_coll.plugins.costs import CostInput, Figures
from distos_coll.plugins.kinds import ALGORITHMS
from distos_coll.plugins.manager import built_in_registry
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.program.contract import REDUCING
from distos_coll.program.encode import encode_program
from distos_coll.program.verify import verify
from distos_coll.testing.kits.check import Check, all_checks, as_test, wrong
from distos_coll.testing.kits.running import GROUPS, Group, run_against_numpy

SIZES = range(1, 10)
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_BYTES = (0, 1, 64, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20)
_SHAPES = ((2, 1, 2), (3, 3, 1), (8, 1, 8), (8, 2, 4), (64, 8, 8))
"""Ranks, domains, ranks of each."""
_DIP = 0.1
"""How far a cost may fall: more bytes may be a little cheaper where a better segment fits."""


def algorithm_kit(subject: object) -> Any:
    """Return a test for pytest of a spec, a list of them, or all algorithms of a plugin."""
    return as_test(algorithm_checks(subject))


def algorithm_checks(subject: object) -> Iterator[Check]:
    """Yield the checks of a spec, a list of them, or all algorithms of a plugin."""
    return all_checks(ALGORITHMS, subject, _checks)


def _checks(spec: AlgorithmSpec) -> Iterator[Check]:
    yield Check("says what it is", lambda: _describes(spec))
    yield Check("builds the program that it declares", lambda: _builds(spec))
    yield Check("cost is a number of microseconds", lambda: _costs(spec))
    yield Check("cost grows with bytes", lambda: _grows(spec))
    for size in SIZES:
        yield Check(f"is right among {size} ranks", lambda size=size: _verifies(spec, size))  # type: ignore[misc]
    if spec.collective in REDUCING:
        yield Check("reduces in the order of ranks or in parts", lambda: _order(spec))
    for group in GROUPS:
        if group.one_domain or Need.ONE_DOMAIN not in spec.needs:
            yield Check(f"runs as numpy says: {group}", lambda group=group: _runs(spec, group))  # type: ignore[misc]


def _describes(spec: AlgorithmSpec) -> None:
    for what in (spec.name, spec.variant or "none"):
        if not _NAME.fullmatch(what):
            raise wrong(
                f"the name {what!r}: DISTOS_COLL_ALGO can name lower-case letters, digits and _"
            )
    if not spec.doc.strip():
        raise wrong("doc is empty: `plugins list` and `plan explain` show it; say it in a line")
    if not spec.segments or min(spec.segments) < 1:
        raise wrong(f"segments are {spec.segments}: give at least one positive number of bytes")
    taken = {(a.spec.collective, a.spec.key) for a in built_in_registry().algorithms}
    if (spec.collective, spec.key) in taken:
        raise wrong(f"{spec.key!r} is a built-in algorithm; take another name, or a variant")


def _builds(spec: AlgorithmSpec) -> None:
    try:
        first, second = manifest.built(spec), manifest.built(spec)
    except PluginError as error:
        raise wrong(str(error)) from error
    if encode_program(first) != encode_program(second):
        raise wrong(
            "building it twice gives two programs: it must depend on nothing (no clock, random "
            "number, environment or rank), for every rank plans for itself"
        )


def _asked() -> Iterator[CostInput]:
    for size, domains, local in _SHAPES:
        for count in _BYTES:
            yield CostInput(count, 1, size, domains, local, local, 1 << 20, 1.0, Figures())


def _cost(spec: AlgorithmSpec, asked: CostInput) -> float:
    try:
        return manifest.cost_of(spec, asked)
    except PluginError as error:
        raise wrong(str(error)) from error


def _at(asked: CostInput) -> str:
    return (
        f"{asked.bytes} bytes in segments of {asked.segment}, {asked.size} ranks in "
        f"{asked.domains} domains"
    )


def _costs(spec: AlgorithmSpec) -> None:
    for segment in spec.segments:
        for asked in _asked():
            if Need.ONE_DOMAIN in spec.needs and asked.domains > 1:
                continue
            at = replace(asked, segment=segment)
            first, second = _cost(spec, at), _cost(spec, at)
            if first != second:
                raise wrong(f"two answers to one question, {first} and {second}, for {_at(at)}")
            if first < 0 or (first == 0 and at.bytes > 0):
                raise wrong(f"it is {first} us for {_at(at)}: moving data takes time")


def _grows(spec: AlgorithmSpec) -> None:
    for segment in spec.segments:
        before = 0.0
        for asked in _asked():
            if Need.ONE_DOMAIN in spec.needs and asked.domains > 1:
                continue
            at = replace(asked, segment=segment)
            cost = _cost(spec, at)
            if asked.bytes == 0:
                before = cost
            if cost < before - _DIP * abs(before):
                raise wrong(f"it falls from {before:.3f} to {cost:.3f} us at {_at(at)}")
            before = max(before, cost)


def layouts(size: int, needs: Need) -> Iterator[tuple[int, ...]]:
    """Domains of each rank: all in one, two halves, every second, uneven ones, each alone."""
    found: list[tuple[int, ...]] = [(0,) * size]
    if Need.ONE_DOMAIN not in needs:
        found += [
            tuple(2 * rank // size for rank in range(size)),
            tuple(rank % 2 for rank in range(size)),
            tuple(min(2, rank) for rank in range(size)),
            tuple(range(size)),
        ]
    yield from dict.fromkeys(found)


def _verifies(spec: AlgorithmSpec, size: int) -> None:
    program = _program(spec)
    for domain_of in layouts(size, spec.needs):
        try:
            verify(program, size, domain_of=domain_of)
        except PlanError as error:
            raise wrong(f"with domains {list(domain_of)}: {error}") from error


def _program(spec: AlgorithmSpec) -> Any:
    try:
        return manifest.built(spec)
    except PluginError as error:
        raise wrong(str(error)) from error


def _order(spec: AlgorithmSpec) -> None:
    """DISTOS_COLL_DETERMINISTIC takes programs that look as if they kept the order of ranks."""
    program = _program(spec)
    if not program.reduces_at_once:
        return
    for size in (2, 3, 5):
        for domain_of in layouts(size, spec.needs):
            try:
                verify(program, size, domain_of=domain_of, in_rank_order=True)
            except PlanError as error:
                raise wrong(
                    f"it reduces all contributions at once, but not in the order of ranks, so "
                    f"DISTOS_COLL_DETERMINISTIC=1 would refuse it: {error}"
                ) from error


def _runs(spec: AlgorithmSpec, group: Group) -> str:
    program, limit = _program(spec), group.domain_limit or group.size
    try:
        verify(program, group.size, domain_of=[rank // limit for rank in range(group.size)])
    except PlanError as error:
        raise wrong(f"it is not run, for it might hang; verification says: {error}") from error
    return run_against_numpy(spec, group)
