"""Profiles that nobody measured, for tests."""

from collections.abc import Callable, Mapping
from typing import Any

from distos_coll import profiles
from distos_coll._vocabulary import Collective
from distos_coll.planner import ClusterView, Figures, plan
from distos_coll.planner.profile import Curve, Kind, Profile, Table
from distos_coll.plugins.manager import built_in_registry
from distos_coll.profiles import Stored

REGISTRY = built_in_registry()
SIZES = (64, 4096, 1 << 20)

Times = Callable[[str, int], float]
"""Microseconds of a candidate, by its name, at a size."""


def favouring(start: str) -> Times:
    """Candidates whose names start so take a tenth of the others' times."""
    return lambda name, size: (1 if name.startswith(start) else 10) * (1 + size // 1000)


def table_of(view: ClusterView, times: Mapping[Kind, Times]) -> Table:
    kinds = {}
    for kind, us in times.items():
        allowed = plan(view, registry=REGISTRY, collectives=[kind.collective]).allowed
        kinds[kind] = {
            candidate.name: Curve(SIZES, tuple(us(candidate.name, size) for size in SIZES))
            for candidate in allowed[kind.collective]
        }
    return Table(view.measured.shape, kinds)


def profile_of(view: ClusterView, times: Mapping[Kind, Times], **figures: Any) -> Profile:
    return Profile(Figures(**figures), (table_of(view, times),))


def stored(profile: Profile) -> Stored:
    return Stored(profiles.own_key(), "2026-01-01T00:00:00Z", profile)


ALL_REDUCE = Kind(Collective.ALL_REDUCE)
