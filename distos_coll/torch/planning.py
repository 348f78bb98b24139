"""What the native torch module calls to plan a group."""

from collections.abc import Callable
from typing import Any

from distos_coll import profiles, settings
from distos_coll.group_plan import Found, Member, plan_and_log


def shared_profile(size: int) -> bytes:
    """Return what rank 0 of a group of so many ranks tells the others before it meets them."""
    return profiles.shared(settings.load(), size)


def planner(
    links: Callable[[], str],
) -> Callable[..., bytes]:
    """Return what is called once per group: (name, rank, domain_of, domain_bits, profile, hosts).

    It reads the environment each time: the algorithm may be set differently for each group.
    `links` describes the process's links, for the log.
    """

    def encoded_plan(name: str, rank: int, *found: Any) -> bytes:
        member = Member(name, rank, links)
        return plan_and_log(settings.load(), member, Found(*found)).encode()

    return encoded_plan
