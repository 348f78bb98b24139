"""Verification: run all ranks on symbols, and accept nothing but the right result by right means.

Found are: sends and receives that do not match, deadlock, reads of unwritten memory, writes under
unfinished transfers, contributions missing or counted twice, accesses out of bounds, uneven rounds,
exposed memory that changes under its readers.

The core does it (native.py), each rank of 1,024 in seconds; where it is not built, reference.py
does, which takes a second for 64 ranks and 256 times that for 1,024.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from distos_coll._vocabulary import Collective, ExprOp, Need, Opcode
from distos_coll.errors import PlanError
from distos_coll.program.contract import IN_PLACE, ROOTED, Call
from distos_coll.program.ir import Kind, Program, check
from distos_coll.program.layout import Orders, renumbered
from distos_coll.program.machine import Schedule
from distos_coll.program.reference import Reference

# Sends that wait for their receivers find deadlocks and writes under transfers; links that take
# everything at once let ranks run ahead of each other. What holds at both ends holds between, as a
# lane's steps depend on nothing else.
SCHEDULES = (Schedule(0, "ascending"), Schedule(1 << 30, "descending"))


class Runner(Protocol):
    """Runs one program in one group."""

    @property
    def steps(self) -> int:
        """Instructions of all ranks so far."""

    def run(self, call: Call, schedule: Schedule) -> None:
        """PlanError for the first thing that is wrong."""


Engine: TypeAlias = Callable[[Program, Sequence[int], bool, Orders | None], Runner]


@dataclass(frozen=True)
class Verified:
    """What was done to find nothing wrong."""

    calls: int
    runs: int
    """Each call is run once in each schedule."""
    steps: int
    """Instructions of all ranks in all runs."""


def default_engine() -> Engine:
    # Who only reads what plugins import needs neither the core nor the time to load it.
    from distos_coll.program import native

    return native.Native if native.AVAILABLE else Reference


def verify(
    program: Program,
    size: int,
    *,
    domain_of: Sequence[int] | None = None,
    calls: Iterable[Call] | None = None,
    in_rank_order: bool = False,
    orders: Orders | None = None,
    engine: Engine | None = None,
) -> Verified:
    """PlanError, naming rank, lane, instruction and operand values, if the program is wrong for
    this group.

    Without `calls` it is tried with no, few and several segments' elements, from the first and the
    last root, and in place where the collective allows that. A program whose needs the group does
    not meet is refused. `in_rank_order` asks for what DISTOS_COLL_DETERMINISTIC promises: every
    reduction takes one contribution of each rank, in the order of ranks, and finalizes. `orders`:
    those of the group's plan, where they are not that of ranks. `engine`: who runs it, the core or
    the reference; they say the same.
    """
    check(program)
    _check_lanes(program)
    if in_rank_order and not program.reduces_at_once:
        raise PlanError(
            f"program {program.name!r} reduces in parts, which is not the order of ranks"
        )
    domains = renumbered(domain_of if domain_of is not None else (0,) * size)
    if len(domains) != size:
        raise PlanError(f"domain_of has {len(domains)} entries for {size} ranks")
    if Need.ONE_DOMAIN in program.needs and max(domains) > 0:
        raise PlanError(f"program {program.name!r} needs all ranks in one domain")
    runner = (engine or default_engine())(program, domains, in_rank_order, orders)
    chosen = tuple(calls) if calls is not None else typical_calls(program.collective, size)
    for call in chosen:
        for schedule in SCHEDULES:
            try:
                runner.run(call, schedule)
            except PlanError as error:
                raise PlanError(f"{error} [{_describe(call)}, {schedule}]") from error
    return Verified(len(chosen), len(chosen) * len(SCHEDULES), runner.steps)


def _check_lanes(program: Program) -> None:
    """What a loop's variable is in another lane depends on how far the loop got."""
    owner = {
        i.args[0]: number
        for number, lane in enumerate(program.lanes)
        for i in lane
        if i.op is Opcode.LOOP
    }
    lanes_of: list[set[int]] = []
    for expr in program.exprs:
        own = {owner[expr.a]} if expr.op is ExprOp.VAR and expr.a in owner else set()
        lanes_of.append(own.union(*(lanes_of[i] for i in expr.operands())))
    for number, lane in enumerate(program.lanes):
        for at, instruction in enumerate(lane):
            used = (lanes_of[v] for _, kind, v in instruction.operands() if kind is Kind.EXPR)
            for other in sorted(set().union(*used) - {number}):
                raise PlanError(
                    f"program {program.name!r}: lane {number}, instruction {at} uses a variable of "
                    f"lane {other}'s loops; lanes have only events in common"
                )


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
