"""What authors of plugins test with."""

from distos_coll.testing.kits import (
    Check,
    algorithm_checks,
    algorithm_kit,
    cost_model_checks,
    cost_model_kit,
    topology_source_checks,
    topology_source_kit,
)
from distos_coll.testing.ranks import LocalWorld, Rank

__all__ = [
    "Check",
    "LocalWorld",
    "Rank",
    "algorithm_checks",
    "algorithm_kit",
    "cost_model_checks",
    "cost_model_kit",
    "topology_source_checks",
    "topology_source_kit",
]
