"""From what the core found out about a group to the plan that it runs."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from distos_coll import settings
from distos_coll.settings import Settings

if TYPE_CHECKING:
    from distos_coll.planner.plan import Plan

SINGLE_COPY = 2
"""The bit of domain_bits that says every pair of the domain can read each other's memory."""
CORES_SHIFT = 8
"""From this bit of domain_bits on: the cores that the ranks of the domain may use together."""


def planner() -> Callable[[int, int, Sequence[int], Sequence[int]], bytes]:
    """Return what the native module calls once per group: (rank, size, domain_of, domain_bits).

    It reads the environment each time: the algorithm may be set differently for each group.
    """

    def encoded_plan(
        rank: int, size: int, domain_of: Sequence[int], domain_bits: Sequence[int]
    ) -> bytes:
        del rank  # every rank must plan alike
        return plan_for(settings.load(), size, domain_of, domain_bits).encode()

    return encoded_plan


def plan_for(
    values: Settings, size: int, domain_of: Sequence[int], domain_bits: Sequence[int]
) -> "Plan":
    single_copy: dict[int, bool] = {}
    cores: dict[int, int] = {}
    for domain, bits in zip(domain_of, domain_bits, strict=True):
        single_copy.setdefault(domain, bool(bits & SINGLE_COPY))
        cores.setdefault(domain, bits >> CORES_SHIFT)
    return _plan(
        size,
        tuple(domain_of),
        tuple(single_copy.values()),
        tuple(cores.values()),
        values.slot_bytes,
        values.algo,
        values.plan_affecting(),
    )


# Groups of one shape share a plan: a program that makes a thousand of them plans once.
@functools.lru_cache(maxsize=64)
def _plan(
    size: int,
    domain_of: tuple[int, ...],
    single_copy: tuple[bool, ...],
    cores: tuple[int, ...],
    slot_bytes: int,
    algo: str,
    context: str,
) -> "Plan":
    from distos_coll.planner.plan import plan
    from distos_coll.planner.view import ClusterView

    view = ClusterView(size, domain_of, single_copy, cores, slot_bytes=slot_bytes)
    return plan(view, algo, context=context)
