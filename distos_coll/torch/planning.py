"""What the native torch module calls to plan a group."""

from collections.abc import Callable, Sequence

from distos_coll import settings
from distos_coll.group_plan import plan_and_log


def planner(links: Callable[[], str]) -> Callable[[str, int, Sequence[int], Sequence[int]], bytes]:
    """Return what is called once per group: (name, rank, domain_of, domain_bits).

    It reads the environment each time: the algorithm may be set differently for each group.
    `links` describes the process's links, for the log.
    """

    def encoded_plan(
        name: str, rank: int, domain_of: Sequence[int], domain_bits: Sequence[int]
    ) -> bytes:
        return plan_and_log(settings.load(), name, rank, domain_of, domain_bits, links).encode()

    return encoded_plan
