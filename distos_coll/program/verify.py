"""Verification: run all ranks on symbols, and accept nothing but the right result by right means.

An element is (index, contributors, finalized): which input element it came from, a bit for each
rank whose contribution is in it, and whether its reduction was declared complete. Found are: sends
and receives that do not match, deadlock, reads of unwritten memory, writes under unfinished
transfers, contributions missing or counted twice, accesses out of bounds, uneven rounds, exposed
memory that changes under its readers.
"""

from collections.abc import Iterable, Sequence

from distos_coll._vocabulary import Buffer, Collective, Need
from distos_coll.errors import PlanError
from distos_coll.program.contract import IN_PLACE, REDUCING, ROOTED, Call
from distos_coll.program.ir import Program, check
from distos_coll.program.layout import Orders, renumbered
from distos_coll.program.machine import Machine, Schedule
from distos_coll.program.memory import Backing, View
from distos_coll.program.operation import RankCall

Symbol = tuple[int, int, bool]
Memory = list[Symbol | None]

# Sends that wait for their receivers find deadlocks and writes under transfers; links that take
# everything at once let ranks run ahead of each other. What holds at both ends holds between, as a
# lane's steps depend on nothing else.
SCHEDULES = (Schedule(0, "ascending"), Schedule(1 << 30, "descending"))


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


def verify(
    program: Program,
    size: int,
    *,
    domain_of: Sequence[int] | None = None,
    calls: Iterable[Call] | None = None,
    in_rank_order: bool = False,
    orders: Orders | None = None,
) -> None:
    """PlanError, naming rank, lane, instruction and operand values, if the program is wrong for
    this group.

    Without `calls` it is tried with no, few and several segments' elements, from the first and the
    last root, and in place where the collective allows that. A program whose needs the group does
    not meet is refused. `in_rank_order` asks for what DISTOS_COLL_DETERMINISTIC promises: every
    reduction takes one contribution of each rank, in the order of ranks, and finalizes. `orders`:
    those of the group's plan, where they are not that of ranks.
    """
    check(program)
    if in_rank_order and not program.reduces_at_once:
        raise PlanError(
            f"program {program.name!r} reduces in parts, which is not the order of ranks"
        )
    domains = renumbered(domain_of if domain_of is not None else (0,) * size)
    if len(domains) != size:
        raise PlanError(f"domain_of has {len(domains)} entries for {size} ranks")
    if Need.ONE_DOMAIN in program.needs and max(domains) > 0:
        raise PlanError(f"program {program.name!r} needs all ranks in one domain")
    for call in calls if calls is not None else typical_calls(program.collective, size):
        for schedule in SCHEDULES:
            try:
                machine = Machine(domains, Symbols(size, in_rank_order), schedule, orders)
                _run(program, call, machine)
            except PlanError as error:
                raise PlanError(f"{error} [{_describe(call)}, {schedule}]") from error


def typical_calls(collective: Collective, size: int) -> list[Call]:
    """Small calls that reach every path: empty, fewer elements than ranks, several uneven
    segments.
    """
    slot = 2 * size
    roots = sorted({0, size - 1}) if collective in ROOTED else [0]
    if collective is Collective.BARRIER:
        return [Call(collective, size, slot=slot)]
    if collective in (Collective.ALL_GATHER_V, Collective.REDUCE_SCATTER_V):
        vectors = ((0,) * size, tuple((3 * r) % 5 for r in range(size)), (1,) * size)
        return [
            Call(collective, size, segment=2, slot=slot, counts=v, gap=g)
            for v in vectors
            for g in (0, 1)
        ]
    if collective is Collective.ALL_TO_ALL_V:
        matrix = tuple(tuple((2 * a + 3 * b) % 4 for b in range(size)) for a in range(size))
        return [Call(collective, size, segment=2, slot=slot, matrix=matrix, gap=1)]
    whole = collective in (Collective.ALL_REDUCE, Collective.REDUCE, Collective.BROADCAST)
    counts = (0, 1, 2 * size + 3) if whole else (0, 1, 5)
    return [
        Call(collective, size, count, root, segment=2, slot=slot, in_place=in_place)
        for count in counts
        for root in roots
        for in_place in ((False, True) if collective in IN_PLACE else (False,))
    ]


def _describe(call: Call) -> str:
    return (
        f"{call.size} ranks, count {call.count}, root {call.root}, segment {call.segment}, "
        f"slot {call.slot}{', in place' if call.in_place else ''}"
    )


def _run(program: Program, call: Call, machine: Machine) -> None:
    bound = [_bind(call, rank) for rank in range(call.size)]
    machine.run([(program, bound)])
    full = (1 << call.size) - 1
    reducing = call.collective in REDUCING
    for rank in range(call.size):
        output = bound[rank].buffers[Buffer.OUTPUT]
        for at, wanted in call.expected(rank).items():
            mask = full if wanted.rank is None else 1 << wanted.rank
            found = output.backing.data[output.base + at]
            if found != (wanted.index, mask, reducing):
                raise PlanError(
                    f"program {program.name!r} leaves {_text(found)} in element {at} of rank "
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
