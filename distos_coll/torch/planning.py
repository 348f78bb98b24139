"""From what the core found out about a group to the plan that it runs."""

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from distos_coll import settings
from distos_coll.settings import Settings
from distos_coll.torch.log import log_group

if TYPE_CHECKING:
    from distos_coll.planner.plan import Plan

SINGLE_COPY = 2
"""The bit of domain_bits that says every pair of the domain can read each other's memory."""
CORES_SHIFT = 8
"""From this bit of domain_bits on: the cores that the ranks of the domain may use together."""


def planner(links: Callable[[], str]) -> Callable[[str, int, Sequence[int], Sequence[int]], bytes]:
    """Return what the native module calls once per group: (name, rank, domain_of, domain_bits).

    It reads the environment each time: the algorithm may be set differently for each group.
    `links` describes the process's links, for the log.
    """

    def encoded_plan(
        name: str, rank: int, domain_of: Sequence[int], domain_bits: Sequence[int]
    ) -> bytes:
        values = settings.load()
        size = len(domain_of)
        plan = plan_for(values, size, domain_of, domain_bits)  # alike on every rank
        log_group(values, f"{name!r}, rank {rank} of {size}", plan if rank == 0 else None, links)
        return plan.encode()

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
