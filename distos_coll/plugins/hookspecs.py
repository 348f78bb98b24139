"""The hooks that plugins may implement. Authors import the markers from `distos_coll.api`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

from distos_coll.plugins.models import CostModelSpec
from distos_coll.plugins.spec import AlgorithmSpec

if TYPE_CHECKING:
    from distos_coll.topology.source import TopologySource

PROJECT = "distos_coll"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def distos_coll_algorithms() -> Sequence[AlgorithmSpec]:  # type: ignore[empty-body]
    """Algorithms for collectives. Called once per process; the specs must not depend on rank or
    environment, because every rank plans for itself and the plans must be equal.
    """


@hookspec
def distos_coll_topology_sources() -> "Sequence[TopologySource]":  # type: ignore[empty-body]
    """Formats and machines that a topology is read from. Called once per process, by those who read
    one.
    """


@hookspec
def distos_coll_cost_models() -> Sequence[CostModelSpec]:  # type: ignore[empty-body]
    """Models that predict times. Called once per process, by those who ask one."""
