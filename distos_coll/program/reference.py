"""Verification on the machine of machine.py: slow, and the measure of native.py.

An element is (index, contributors, finalized): which input element it came from, a bit for each
rank whose contribution is in it, and whether its reduction was declared complete.
"""

from collections.abc import Sequence

from distos_coll._vocabulary import Buffer
from distos_coll.errors import PlanError
from distos_coll.program.contract import REDUCING, Call
from distos_coll.program.ir import Program
from distos_coll.program.layout import Orders
from distos_coll.program.machine import Machine, Schedule
from distos_coll.program.memory import Backing, View
from distos_coll.program.operation import RankCall

Symbol = tuple[int, int, bool]
Memory = list[Symbol | None]


class Symbols:
    """The algebra of contributions."""

    def __init__(self, size: int, in_rank_order: bool) -> None:
        self._all = (1 << size) - 1
        self._in_rank_order = in_rank_order

    def unwritten(self, n: int) -> Memory:
        return [None] * n

    def zeros(self, n: int) -> Memory:
        return [(0, 0, False)] * n

    def take(self, data: Memory, start: int, stop: int) -> Memory:
        taken = data[start:stop]
        if None in taken:
            raise PlanError(f"reads element {start + taken.index(None)}, which was never written")
        return taken

    def reduce(self, inputs: Sequence[Sequence[Symbol]]) -> list[Symbol]:
        if self._in_rank_order:
            _require_rank_order(inputs, self._all)
        result = list(inputs[0])
        for other in inputs[1:]:
            result = [_add(a, b) for a, b in zip(result, other, strict=True)]
        return result

    def finalize(self, elements: Sequence[Symbol]) -> list[Symbol]:
        for index, mask, done in elements:
            if done:
                raise PlanError(f"element {index} is finalized twice")
            if mask != self._all:
                raise PlanError(
                    f"element {index} is finalized without rank(s) {_ranks(self._all & ~mask)}"
                )
        return [(index, mask, True) for index, mask, _ in elements]


def _add(a: Symbol, b: Symbol) -> Symbol:
    if a[0] != b[0]:
        raise PlanError(f"reduces element {a[0]} with element {b[0]}")
    if a[1] & b[1]:
        raise PlanError(f"element {a[0]}: rank(s) {_ranks(a[1] & b[1])} would count twice")
    if a[2] or b[2]:
        raise PlanError(f"element {a[0]} is reduced after it was finalized")
    return a[0], a[1] | b[1], False


def _require_rank_order(inputs: Sequence[Sequence[Symbol]], every: int) -> None:
    for elements in zip(*inputs, strict=True):
        if [mask for _, mask, _ in elements] != [1 << rank for rank in range(every.bit_length())]:
            parts = ", ".join(str(_ranks(mask)) for _, mask, _ in elements)
            raise PlanError(
                f"reduces element {elements[0][0]} of ranks {parts}, which is not one contribution "
                "of each rank in the order of ranks"
            )


def _ranks(mask: int) -> list[int]:
    return [rank for rank in range(mask.bit_length()) if mask >> rank & 1]


class Reference:
    """Runs one program in one group."""

    def __init__(
        self,
        program: Program,
        domains: Sequence[int],
        in_rank_order: bool,
        orders: Orders | None = None,
    ) -> None:
        self._program = program
        self._orders = orders
        self._domains = domains
        self._in_rank_order = in_rank_order
        self.steps = 0

    def run(self, call: Call, schedule: Schedule) -> None:
        """PlanError for the first thing that is wrong."""
        algebra = Symbols(call.size, self._in_rank_order)
        machine = Machine(self._domains, algebra, schedule, self._orders)
        bound = [_bind(call, rank) for rank in range(call.size)]
        machine.run([(self._program, bound)])
        self.steps += machine.progress
        for rank in range(call.size):
            self._check_output(call, rank, bound[rank].buffers[Buffer.OUTPUT])

    def _check_output(self, call: Call, rank: int, output: View) -> None:
        full = (1 << call.size) - 1
        reducing = call.collective in REDUCING
        for at, wanted in call.expected(rank).items():
            mask = full if wanted.rank is None else 1 << wanted.rank
            found = output.backing.data[output.base + at]
            if found != (wanted.index, mask, reducing):
                raise PlanError(
                    f"program {self._program.name!r} leaves {_text(found)} in element {at} of rank "
                    f"{rank}'s output, instead of {_text((wanted.index, mask, reducing))}"
                )


def _text(symbol: Symbol | None) -> str:
    if symbol is None:
        return "nothing"
    index, mask, done = symbol
    return f"element {index} of rank(s) {_ranks(mask)}{', finalized' if done else ''}"


def _bind(call: Call, rank: int) -> RankCall:
    """Input filled with its own symbols, output unwritten; one backing where they share memory."""
    n_in, n_out = call.input_length(rank), call.output_length(rank)
    symbols: Memory = [(i, 1 << rank, False) for i in range(n_in)]
    shared = call.shared(rank)
    if shared is None:
        source = View(Backing(rank, symbols), 0, n_in)
        target = View(Backing(rank, [None] * n_out), 0, n_out)
    else:
        in_base, out_base = shared
        data: Memory = [None] * max(in_base + n_in, out_base + n_out)
        data[in_base : in_base + n_in] = symbols
        backing = Backing(rank, data)
        source, target = View(backing, in_base, n_in), View(backing, out_base, n_out)
    buffers = {Buffer.INPUT: source, Buffer.OUTPUT: target}
    return RankCall(call.params(), call.arrays(rank), buffers)
