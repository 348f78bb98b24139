"""What one rank passes to a collective, and its run of the program."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distos_coll._vocabulary import Array, Buffer, Param
from distos_coll.program.evaluate import Layout
from distos_coll.program.ir import Program
from distos_coll.program.memory import View


@dataclass(frozen=True)
class RankCall:
    """What one rank passes to a collective."""

    params: Mapping[Param, int]
    arrays: Mapping[Array, Sequence[int]]
    buffers: Mapping[Buffer, View]


@dataclass(eq=False)
class Operation:
    """One rank's run of one program."""

    program: Program
    layout: Layout
    rank: int
    call: RankCall
    views: dict[Buffer, View]
    events: list[int]
    knowledge: int
    """Bits of the ranks that this one knows to have started."""
