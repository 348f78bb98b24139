"""From what the core found out about a group to the plan that it runs; every door plans here."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distos_coll import profiles
from distos_coll.group_log import log_group
from distos_coll.settings import Settings

if TYPE_CHECKING:
    from distos_coll.planner.plan import Plan
    from distos_coll.plugins.manager import Registry

SINGLE_COPY = 2
"""The bit of domain_bits that says every pair of the domain can read each other's memory."""
CORES_SHIFT = 8
"""From this bit of domain_bits on: the cores that the ranks of the domain may use together."""


@dataclass(frozen=True)
class Found:
    """What set-up found out, alike on every rank."""

    domain_of: Sequence[int]
    domain_bits: Sequence[int]
    """For each rank (c_api.h, dc_comm_topology)."""
    profile: bytes = profiles.NONE
    """What rank 0 shared (distos_coll/profiles.py)."""
    hosts: Sequence[str] = ()
    """For each rank what its host is called (dc_comm_host)."""


@dataclass(frozen=True)
class Member:
    """Which rank of which group plans, for the log."""

    name: str
    rank: int
    links: Callable[[], str]
    """Describes the links of its process."""


def plan_for(values: Settings, found: Found, plugins: Sequence[object] = ()) -> "Plan":
    """Plan with the plugins that are installed, those of the settings, and these
    (docs/decisions/0013).
    """
    from distos_coll.plugins.loading import Wanted
    from distos_coll.plugins.manager import plugins_of

    registry = plugins_of(Wanted.of(values, plugins)).registry
    single_copy: dict[int, bool] = {}
    cores: dict[int, int] = {}
    hosts: dict[int, str] = {}
    for domain, host in zip(found.domain_of, found.hosts, strict=False):
        hosts.setdefault(domain, host)
    for domain, bits in zip(found.domain_of, found.domain_bits, strict=True):
        single_copy.setdefault(domain, bool(bits & SINGLE_COPY))
        cores.setdefault(domain, bits >> CORES_SHIFT)
    return _plan(
        tuple(found.domain_of),
        tuple(single_copy.values()),
        tuple(cores.values()),
        values.slot_bytes,
        values.algo,
        values.deterministic,
        values.plan_affecting() + registry.context,
        found.profile,
        tuple(hosts.values()),
        registry,
    )


def plan_and_log(
    values: Settings, member: Member, found: Found, plugins: Sequence[object] = ()
) -> "Plan":
    """Plan a new group and say so at INFO."""
    plan = plan_for(values, found, plugins)
    who = f"{member.name!r}, rank {member.rank} of {len(found.domain_of)}"
    log_group(values, who, plan if member.rank == 0 else None, member.links)
    return plan


# Groups of one shape share a plan: a program that makes a thousand of them plans once.
@functools.lru_cache(maxsize=64)
def _plan(
    domain_of: tuple[int, ...],
    single_copy: tuple[bool, ...],
    cores: tuple[int, ...],
    slot_bytes: int,
    algo: str,
    deterministic: bool,
    context: str,
    profile: bytes,
    hosts: tuple[str, ...],
    registry: "Registry",
) -> "Plan":
    from distos_coll.planner.plan import plan
    from distos_coll.planner.view import ClusterView

    known = profiles.received(profile)
    view = ClusterView(len(domain_of), domain_of, single_copy, cores, slot_bytes, known, hosts)
    return plan(view, algo, deterministic=deterministic, registry=registry, context=context)
