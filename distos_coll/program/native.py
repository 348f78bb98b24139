"""Verification by the core (cpp/verify): every rank is run, as reference.py does, in C++.

Only data crosses: the program's bytes, and for each rank what it passes and what its output must
be. What is wrong comes back as text and places, which are written here.
"""

from collections.abc import Sequence

from distos_coll._vocabulary import Array, Param
from distos_coll.errors import PlanError
from distos_coll.program.contract import Call
from distos_coll.program.encode import encode_program
from distos_coll.program.ir import Program
from distos_coll.program.layout import Orders, arrays_of
from distos_coll.program.machine import Schedule
from distos_coll.program.place import place_text

try:
    from distos_coll._native import Verifier

    AVAILABLE = True
except ImportError:
    # While the package is built; or a core that was built before there was one.
    AVAILABLE = False

_OF_CALLS = (Array.SEND_COUNTS, Array.SEND_OFFSETS, Array.RECV_COUNTS, Array.RECV_OFFSETS)


class Native:
    """Runs one program in one group. Sets of ranks are kept from run to run."""

    def __init__(
        self,
        program: Program,
        domains: Sequence[int],
        in_rank_order: bool,
        orders: Orders | None = None,
    ) -> None:
        self._program = program
        arrays = arrays_of(domains, orders)
        self._verifier = Verifier(
            encode_program(program),
            repr(program.name),
            domains,
            [arrays[array] for array in Array if array not in _OF_CALLS],
            in_rank_order,
        )

    @property
    def steps(self) -> int:
        return self._verifier.steps

    @property
    def sets(self) -> int:
        """Different sets of ranks that occurred: what memory depends on."""
        return self._verifier.sets

    def run(self, call: Call, schedule: Schedule) -> None:
        """PlanError for the first thing that is wrong."""
        given = call.params()
        found = self._verifier.run(
            [given.get(param, 0) for param in Param],
            [_rank_call(call, rank) for rank in range(call.size)],
            schedule.credit,
            schedule.order == "descending",
        )
        if found is not None:
            raise PlanError("".join(map(self._part, found)))

    def _part(self, part: str | tuple[int, int, int, list[int] | None]) -> str:
        return part if isinstance(part, str) else place_text(self._program, *part)


def _rank_call(
    call: Call, rank: int
) -> tuple[int, int, int, int, Sequence[Sequence[int]], Sequence[tuple[int, int, int, int]]]:
    own = call.arrays(rank)
    in_base, out_base = call.shared(rank) or (-1, -1)
    return (
        call.input_length(rank),
        call.output_length(rank),
        in_base,
        out_base,
        [own.get(array, ()) for array in _OF_CALLS],
        [
            (run.at, run.count, run.index, -1 if run.rank is None else run.rank)
            for run in call.expected_runs(rank)
        ],
    )
