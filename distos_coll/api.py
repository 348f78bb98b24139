"""Everything that the author of a plugin imports. Built-in algorithms import nothing else."""

from typing import TYPE_CHECKING, Any

from distos_coll._vocabulary import Array, Buffer, Collective, DType, Need, Opcode, ReduceOp
from distos_coll.errors import (
    DistosError,
    InvalidArgument,
    PlanError,
    PluginError,
    TopologyError,
)
from distos_coll.plugins.costs import (
    TREE_HALVES,
    CostInput,
    Figures,
    LinkCost,
    Over,
    log2_ceil,
    log2_floor,
    pieces,
)
from distos_coll.plugins.hookspecs import hookimpl, hookspec
from distos_coll.plugins.job import (
    ChannelGraph,
    Cpu,
    HostView,
    Job,
    NcclView,
    Operation,
    Pattern,
)
from distos_coll.plugins.models import CostModelSpec, Estimate, Predict, cheapest
from distos_coll.plugins.spec import AlgorithmSpec, Build, Cost
from distos_coll.program.builder import ProgramBuilder
from distos_coll.program.contract import Call
from distos_coll.program.ir import Program
from distos_coll.program.symbols import (
    IntLike,
    Value,
    ceil_div,
    floor_log2,
    maximum,
    minimum,
    select,
)
from distos_coll.program.verify import verify
from distos_coll.topology.path_type import PathType

if TYPE_CHECKING:
    from distos_coll.topology.exports import *  # noqa: F403

__all__ = [
    # algorithms
    "AlgorithmSpec",
    "Build",
    "Cost",
    "Collective",
    "Need",
    "hookimpl",
    "hookspec",
    # programs
    "Program",
    "ProgramBuilder",
    "Value",
    "IntLike",
    "ceil_div",
    "floor_log2",
    "maximum",
    "minimum",
    "select",
    "Call",
    "verify",
    # costs
    "CostInput",
    "Figures",
    "LinkCost",
    "Over",
    "TREE_HALVES",
    "log2_ceil",
    "log2_floor",
    "pieces",
    # cost models
    "CostModelSpec",
    "Estimate",
    "Predict",
    "cheapest",
    "Job",
    "Operation",
    "HostView",
    "NcclView",
    "ChannelGraph",
    "Cpu",
    "PathType",
    "Pattern",
    # vocabulary
    "Array",
    "Buffer",
    "DType",
    "Opcode",
    "ReduceOp",
    # errors
    "DistosError",
    "InvalidArgument",
    "PlanError",
    "PluginError",
    "TopologyError",
]


def __getattr__(name: str) -> Any:
    """What describes machines and networks is loaded by those who ask for it."""
    if name.startswith("_"):
        raise AttributeError(f"module 'distos_coll' has no attribute {name!r}")
    from distos_coll.topology import exports

    return getattr(exports, name)
