"""What the native torch module calls to plan a group."""

from collections.abc import Callable, Sequence

from distos_coll import profiles, settings
from distos_coll.group_plan import Found, Member, plan_and_log


def shared_profile(size: int) -> bytes:
    """Return what rank 0 of a group of so many ranks tells the others before it meets them."""
    return profiles.shared(settings.load(), size)


def planner(
    links: Callable[[], str],
) -> Callable[[str, int, Sequence[int], Sequence[int], bytes], bytes]:
    """Return what is called once per group: (name, rank, domain_of, domain_bits, profile).

    It reads the environment each time: the algorithm may be set differently for each group.
    `links` describes the process's links, for the log.
    """

    def encoded_plan(
        name: str, rank: int, domain_of: Sequence[int], domain_bits: Sequence[int], profile: bytes
    ) -> bytes:
        found = Found(domain_of, domain_bits, profile)
        return plan_and_log(settings.load(), Member(name, rank, links), found).encode()

    return encoded_plan
