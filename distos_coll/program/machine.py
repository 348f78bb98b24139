"""Runs programs of all ranks in one process, in an order that the caller picks.

It serves the interpreter (numbers) and the verifier (symbols); nothing here knows which of them it
is.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distos_coll._vocabulary import Array, Buffer, Collective, Param
from distos_coll.errors import PlanError
from distos_coll.program.channel import Channel
from distos_coll.program.evaluate import Layout, Values, layout_of
from distos_coll.program.execution import Lane
from distos_coll.program.ir import Program
from distos_coll.program.layout import Orders, arrays_of, members_of, renumbered
from distos_coll.program.memory import Algebra, Backing, View, check_returned
from distos_coll.program.operation import Operation, RankCall
from distos_coll.program.window import Member, Window

_MOST_SCRATCH = 1 << 26
"""Elements of a rank."""


@dataclass(frozen=True)
class Schedule:
    """In which order lanes run, and how much a link takes before its receiver asks."""

    credit: int = 0
    """Elements a stream holds; 0: a send waits for its receiver, so nothing may rely on
    buffering.
    """
    order: str = "ascending"
    """"ascending", "descending" or "random"."""
    seed: int = 0


class Machine:
    """Ranks, links and windows. Given several operations, ranks go from one to the next without
    waiting.
    """

    def __init__(
        self,
        domain_of: Sequence[int],
        algebra: Algebra,
        schedule: Schedule,
        orders: Orders | None = None,
    ) -> None:
        self.algebra = algebra
        self.progress = 0
        self.size = len(domain_of)
        self._domain_of = renumbered(domain_of)
        self._members = members_of(self._domain_of)
        self._arrays = arrays_of(self._domain_of, orders)
        self._windows = [Window(algebra, ranks) for ranks in self._members]
        self._channels: dict[tuple[int, int, int], Channel] = {}
        self._schedule = schedule
        self._random = random.Random(schedule.seed)

    def channel(self, source: int, to: int, lane: int) -> Channel:
        key = (source, to, lane)
        if key not in self._channels:
            self._channels[key] = Channel(self.algebra, self._schedule.credit)
        return self._channels[key]

    def window_of(self, rank: int) -> Window:
        return self._windows[self._domain_of[rank]]

    def member_of(self, rank: int) -> Member:
        return self.window_of(rank).members[self._arrays[Array.LOCAL_INDEX][rank]]

    def run(self, operations: Sequence[tuple[Program, Sequence[RankCall]]]) -> None:
        """PlanError for anything that a rank does wrong, for a deadlock, and for what is left
        over.
        """
        prepared = [(program, layout_of(program), calls) for program, calls in operations]
        ranks = [self._rank(prepared, rank) for rank in range(self.size)]
        running = [next(rank, None) for rank in ranks]
        while any(lanes is not None for lanes in running):
            before = self.progress
            live = [lane for lanes in running if lanes for lane in lanes if not lane.finished]
            for lane in self._arranged(live):
                lane.resume()
            for index, lanes in enumerate(running):
                if lanes is not None and all(lane.finished for lane in lanes):
                    running[index] = next(ranks[index], None)
                    self.progress += 1
            if self.progress == before:
                raise PlanError(_deadlock(live))
        self._check_left_over()

    def _arranged(self, lanes: list[Lane]) -> list[Lane]:
        match self._schedule.order:
            case "descending":
                return lanes[::-1]
            case "random":
                return self._random.sample(lanes, len(lanes))
            case _:
                return lanes

    def _rank(
        self, operations: Sequence[tuple[Program, Layout, Sequence[RankCall]]], rank: int
    ) -> Iterator[list[Lane]]:
        for program, layout, calls in operations:
            operation = self._start(program, layout, rank, calls[rank])
            yield [Lane(self, operation, number) for number in range(len(program.lanes))]
            self._finish(operation)

    def _start(self, program: Program, layout: Layout, rank: int, call: RankCall) -> Operation:
        domain = self._domain_of[rank]
        params = {
            **call.params,
            Param.RANK: rank,
            Param.SIZE: self.size,
            Param.DOMAINS: len(self._members),
            Param.DOMAIN: domain,
            Param.LOCAL_RANK: self._arrays[Array.LOCAL_INDEX][rank],
            Param.LOCAL_SIZE: len(self._members[domain]),
            Param.MIN_LOCAL_SIZE: min(len(ranks) for ranks in self._members),
        }
        call = RankCall(params, {**self._arrays, **call.arrays}, call.buffers)
        elements = 0
        if program.scratch >= 0:
            elements = max(Values(layout, params, call.arrays).constant(program.scratch), 0)
            if elements > _MOST_SCRATCH:
                raise PlanError(
                    f"scratch has {elements} elements; verification holds {_MOST_SCRATCH}"
                )
        # A barrier sends bytes that mean nothing; the core hands out zeros.
        make = (
            self.algebra.zeros
            if program.collective is Collective.BARRIER
            else self.algebra.unwritten
        )
        scratch = View(Backing(rank, make(elements)), 0, elements)
        return Operation(
            program=program,
            layout=layout,
            rank=rank,
            call=call,
            views={**call.buffers, Buffer.SCRATCH: scratch},
            events=[0] * program.n_events,
            knowledge=1 << rank,
        )

    def _finish(self, operation: Operation) -> None:
        member = self.member_of(operation.rank)
        where = f"program {operation.program.name!r}, rank {operation.rank}"
        if member.open:
            raise PlanError(f"{where} ends with an open round; commit it")
        if operation.program.collective is Collective.BARRIER:
            missing = [r for r in range(self.size) if not operation.knowledge >> r & 1]
            if missing:
                raise PlanError(f"{where} leaves the barrier without having heard of {missing}")
        for view in operation.views.values():
            try:
                check_returned(view, member)
            except PlanError as error:
                raise PlanError(f"{where} {error}") from error

    def _check_left_over(self) -> None:
        for (source, to, lane), channel in self._channels.items():
            if len(channel.sent) != len(channel.received):
                sent = len(channel.sent) > len(channel.received)
                where = (channel.sent if sent else channel.received)[-1][1]
                raise PlanError(
                    f"{where}: nothing matches it on the stream from {source} to {to}, lane {lane}"
                )
        for window in self._windows:
            rounds = {member.rank: member.arrived for member in window.members}
            if len(set(rounds.values())) > 1:
                raise PlanError(f"members of a domain ran different numbers of rounds: {rounds}")


def _deadlock(live: Sequence[Lane]) -> str:
    stuck = "; ".join(lane.where() for lane in live[:4])
    more = f"; and {len(live) - 4} more lanes" if len(live) > 4 else ""
    return f"deadlock, nobody can go on. Waiting: {stuck}{more}"
