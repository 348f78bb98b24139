"""Kits that check a plugin against what it declares (docs/plugins)."""

from distos_coll.testing.kits.algorithms import algorithm_checks, algorithm_kit
from distos_coll.testing.kits.check import Check
from distos_coll.testing.kits.cost_models import cost_model_checks, cost_model_kit
from distos_coll.testing.kits.sources import topology_source_checks, topology_source_kit

__all__ = [
    "Check",
    "algorithm_checks",
    "algorithm_kit",
    "cost_model_checks",
    "cost_model_kit",
    "topology_source_checks",
    "topology_source_kit",
]
