"""Dumps of many ranks, put together: where each rank is, who differs, who is behind."""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from distos_coll.flight.dump import Dump, Message, View

K = TypeVar("K", bound=Hashable)

Ranks = tuple[int, ...]
"""Numbers in the group, ascending."""


@dataclass(frozen=True)
class Place:
    """The first collective that has not ended on a rank; else the last that it called."""

    sequence: int  # 0: it has called nothing
    call: str
    algorithm: str
    state: str  # scheduled, started (also if it failed) or completed
    behind_it: int  # called after it, and waiting for their turn

    @property
    def unfinished(self) -> bool:
        return self.sequence > 0 and self.state != "completed"


@dataclass(frozen=True)
class Difference:
    """The first collective that ranks called differently."""

    sequence: int
    calls: tuple[tuple[str, Ranks], ...]  # most ranks first


@dataclass(frozen=True)
class Unmatched:
    """Sends without receives (`sends`), or receives without sends, between two ranks.

    `peer` -1: receives from any rank. `waits`: somebody does; else they are merely on their way.
    """

    sends: bool
    rank: int
    peer: int
    tag: int
    count: int
    waits: bool


@dataclass(frozen=True)
class Reading:
    """What the dumps say together of one group."""

    id: str
    name: str
    job_ranks: tuple[int, ...]
    missing: Ranks  # no dump of them
    places: tuple[tuple[Place, Ranks], ...]  # the furthest first
    difference: Difference | None
    behind: Ranks  # not yet, or no more, where others wait for them
    errors: tuple[tuple[str, str, Ranks], ...]  # code, text, who was told so
    unmatched: tuple[Unmatched, ...]
    spread_ns: int  # between the first and the last of the dumps

    @property
    def problem(self) -> bool:
        """Whether something is wrong, or cannot be known to be right."""
        waiting = any(each.waits for each in self.unmatched)
        return bool(self.missing or self.difference or self.behind or self.errors or waiting)


def merge(dumps: Iterable[Dump]) -> list[Reading]:
    """Read dumps of any ranks together, a reading for each group, by name.

    Groups are told apart by their ids. Of two dumps of one rank the later one counts.
    """
    views: dict[str, dict[int, tuple[int, View]]] = defaultdict(dict)
    for dump in sorted(dumps, key=lambda dump: dump.time_ns):
        for view in dump.views:
            views[view.id][view.rank] = (dump.time_ns, view)
    readings = [_reading(dict(sorted(group.items()))) for group in views.values()]
    return sorted(readings, key=lambda reading: (reading.name, reading.id))


def _reading(stamped: Mapping[int, tuple[int, View]]) -> Reading:
    views = {rank: view for rank, (_, view) in stamped.items()}
    times = [time for time, _ in stamped.values()]
    one = next(iter(views.values()))
    places = {rank: place_of(view) for rank, view in views.items()}
    by_place = _grouped(places, lambda rank: places[rank])
    told = _grouped(
        [rank for rank, view in views.items() if view.error_code],
        lambda rank: (views[rank].error_code, views[rank].error),
    )
    return Reading(
        id=one.id,
        name=one.name,
        job_ranks=one.job_ranks,
        missing=tuple(rank for rank in range(len(one.job_ranks)) if rank not in views),
        places=tuple(sorted(by_place.items(), key=lambda item: (-item[0].sequence, item[1]))),
        difference=_difference(views),
        behind=_behind(views, places),
        errors=tuple((code, text, ranks) for (code, text), ranks in told.items()),
        unmatched=tuple(_unmatched(views)),
        spread_ns=max(times) - min(times),
    )


def place_of(view: View) -> Place:
    """Say where a rank is; of what is no longer remembered, only the number is known."""
    for i, call in enumerate(view.calls):
        last = i == len(view.calls) - 1
        if call.state != "completed" or last:
            later = 0 if last else view.last - call.sequence
            return Place(call.sequence, call.call, call.algorithm, call.state, later)
    return Place(view.last, "", "", "completed", 0)


def _grouped(ranks: Iterable[int], key: Callable[[int], K]) -> dict[K, Ranks]:
    groups: dict[K, Ranks] = {}
    for rank in ranks:
        groups[key(rank)] = (*groups.get(key(rank), ()), rank)
    return groups


def _difference(views: Mapping[int, View]) -> Difference | None:
    called: dict[int, dict[int, str]] = defaultdict(dict)
    for rank, view in views.items():
        for call in view.calls:
            called[call.sequence][rank] = call.call
    for sequence in sorted(called):
        by_call = _grouped(called[sequence], called[sequence].__getitem__)
        if len(by_call) > 1:
            most_first = sorted(by_call.items(), key=lambda item: (-len(item[1]), item[1]))
            return Difference(sequence, tuple(most_first))
    return None


def _behind(views: Mapping[int, View], places: Mapping[int, Place]) -> Ranks:
    """Return those who have not called, or not reached, the furthest that others wait in."""
    front = max((place.sequence for place in places.values() if place.unfinished), default=0)
    return tuple(
        rank
        for rank, place in places.items()
        if views[rank].last < front or (place.unfinished and place.sequence < front)
    )


# ---- messages

_Pair = tuple[int, int, int]  # from, to, tag


def _unmatched(views: Mapping[int, View]) -> Iterator[Unmatched]:
    sent: dict[_Pair, list[Message]] = defaultdict(list)
    received: dict[_Pair, list[Message]] = defaultdict(list)
    wild: Counter[tuple[int, int]] = Counter()  # receives from any rank: (rank, tag)
    for rank, view in views.items():
        for message in view.messages:
            if message.sends:
                sent[rank, message.peer, message.tag].append(message)
            elif message.peer >= 0:
                received[message.peer, rank, message.tag].append(message)
            elif _pending(message):
                wild[rank, message.tag] += 1
    for pair in sorted({*sent, *received}):
        source, target, tag = pair
        ends = [views.get(source), views.get(target)]
        excess = _excess(sent[pair], received[pair], ends)
        if excess > 0:
            taken = min(excess, wild[target, tag])
            wild[target, tag] -= taken
            excess -= taken
        if excess > 0:
            waits = any(map(_pending, sent[pair]))
            yield Unmatched(True, source, target, tag, excess, waits)
        elif excess < 0:
            yield Unmatched(False, target, source, tag, -excess, waits=True)
    for (rank, tag), count in wild.items():
        if count > 0:
            yield Unmatched(False, rank, -1, tag, count, waits=True)


def _pending(message: Message) -> bool:
    return message.state != "completed"


def _excess(sends: Sequence[Message], receives: Sequence[Message], ends: list[View | None]) -> int:
    """Return how many more sends there are than receives.

    All are counted where both sides remember all; else those that wait, because what is forgotten
    has ended, as a rule.
    """
    if all(view is not None and view.last_message == len(view.messages) for view in ends):
        return len(sends) - len(receives)
    return sum(map(_pending, sends)) - sum(map(_pending, receives))
