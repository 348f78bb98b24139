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
    """Algorithms for collectives.

    The specs must not depend on rank or environment: every rank plans for itself, and the plans
    must be equal. Programs are built once when the plugin is loaded, and verified before a group of
    up to 64 ranks runs one.

    Ranks must have them alike: the same programs, costs and versions, or they refuse to start.
    """


@hookspec
def distos_coll_topology_sources() -> "Sequence[TopologySource]":  # type: ignore[empty-body]
    """Formats and machines that a topology is read from.

    Of sources that recognise a document the one of the highest rank reads it. All that can be wrong
    with a document is a TopologyError.

    Ranks need not have them alike.
    """


@hookspec
def distos_coll_cost_models() -> Sequence[CostModelSpec]:  # type: ignore[empty-body]
    """Models that predict what an operation would take.

    They answer whoever asks one by name; the planner's choice rests on the cost functions of
    algorithms and on what was measured.

    Ranks need not have them alike.
    """
