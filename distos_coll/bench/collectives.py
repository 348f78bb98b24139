"""What each collective moves: who sends and receives which elements, and what nccl-tests counts.

Counts are elements. A rank's send buffer holds the first `send` elements of its own pattern
(data.py); what it must receive is told as pieces of patterns.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise
from types import MappingProxyType

REDUCED = -1
"""As the source of a piece: the reduction of all ranks' patterns."""


@dataclass(frozen=True)
class Piece:
    source: int
    start: int
    count: int


@dataclass(frozen=True)
class Place:
    """The rank for which a shape is asked, among how many, and the root."""

    rank: int
    ranks: int
    root: int = 0

    @property
    def is_root(self) -> bool:
        return self.rank == self.root


@dataclass(frozen=True)
class Shape:
    """One call as one rank sees it."""

    elements: int
    """nccl-tests' size, in elements; the same on all ranks."""
    parameter: int
    """The count that NCCL's call would take."""
    send: int
    recv: int
    expected: tuple[Piece, ...] = ()
    """What the receive buffer holds afterwards, from its start."""
    send_at: int = 0
    """Where the send buffer lies in the one buffer of the form in place."""
    recv_at: int = 0
    send_counts: tuple[int, ...] = ()
    """For the uneven ones: elements for each rank, or each rank's."""
    recv_counts: tuple[int, ...] = ()


@dataclass(frozen=True)
class Collective:
    name: str
    shape: Callable[[Place, int], Shape]
    factor: Callable[[int], float]
    """Bus bandwidth over algorithm bandwidth, for a number of ranks."""
    reduces: bool = False
    rooted: bool = False

    def bandwidths(self, nbytes: int, seconds: float, ranks: int) -> tuple[float, float]:
        """Return algorithm and bus bandwidth in GB/s of 1e9 bytes."""
        algorithm = nbytes / seconds / 1e9 if seconds > 0 else 0.0
        return algorithm, algorithm * self.factor(ranks)


def uneven(total: int, ranks: int, turn: int = 0) -> tuple[int, ...]:
    """Divide `total` in the ratio 1 : 2 : ... : ranks, the ratios rotated by `turn`."""
    weights = [(rank + turn) % ranks + 1 for rank in range(ranks)]
    edges = [total * part // sum(weights) for part in accumulate(weights, initial=0)]
    return tuple(high - low for low, high in pairwise(edges))


def _all_reduce(_place: Place, count: int) -> Shape:
    return Shape(count, count, count, count, (Piece(REDUCED, 0, count),))


def _reduce(place: Place, count: int) -> Shape:
    expected = (Piece(REDUCED, 0, count),) if place.is_root else ()
    return Shape(count, count, count, count if place.is_root else 0, expected)


def _broadcast(place: Place, count: int) -> Shape:
    send = count if place.is_root else 0
    return Shape(count, count, send, count, (Piece(place.root, 0, count),))


def _all_gather(place: Place, count: int) -> Shape:
    part = count // place.ranks
    total = part * place.ranks
    expected = tuple(Piece(rank, 0, part) for rank in range(place.ranks))
    return Shape(total, part, part, total, expected, send_at=place.rank * part)


def _reduce_scatter(place: Place, count: int) -> Shape:
    part = count // place.ranks
    total = part * place.ranks
    at = place.rank * part
    return Shape(total, part, total, part, (Piece(REDUCED, at, part),), recv_at=at)


def _all_to_all(place: Place, count: int) -> Shape:
    part = count // place.ranks
    total = part * place.ranks
    expected = tuple(Piece(rank, place.rank * part, part) for rank in range(place.ranks))
    return Shape(total, part, total, total, expected)


def _gather(place: Place, count: int) -> Shape:
    part = count // place.ranks
    total = part * place.ranks
    if not place.is_root:
        return Shape(total, part, part, 0)
    expected = tuple(Piece(rank, 0, part) for rank in range(place.ranks))
    return Shape(total, part, part, total, expected, send_at=place.rank * part)


def _scatter(place: Place, count: int) -> Shape:
    part = count // place.ranks
    total = part * place.ranks
    expected = (Piece(place.root, place.rank * part, part),)
    if not place.is_root:
        return Shape(total, part, 0, part, expected)
    return Shape(total, part, total, part, expected, recv_at=place.rank * part)


def _send_recv(place: Place, count: int) -> Shape:
    before = (place.rank - 1) % place.ranks
    return Shape(count, count, count, count, (Piece(before, 0, count),))


def _all_gather_v(place: Place, count: int) -> Shape:
    parts = uneven(count, place.ranks)
    expected = tuple(Piece(rank, 0, part) for rank, part in enumerate(parts))
    return Shape(
        count,
        max(parts),
        parts[place.rank],
        count,
        expected,
        send_at=sum(parts[: place.rank]),
        recv_counts=parts,
    )


def _reduce_scatter_v(place: Place, count: int) -> Shape:
    parts = uneven(count, place.ranks)
    at = sum(parts[: place.rank])
    expected = (Piece(REDUCED, at, parts[place.rank]),)
    return Shape(
        count, max(parts), count, parts[place.rank], expected, recv_at=at, send_counts=parts
    )


def _all_to_all_v(place: Place, count: int) -> Shape:
    rows = [uneven(count, place.ranks, turn=rank) for rank in range(place.ranks)]
    received = [sum(row[rank] for row in rows) for rank in range(place.ranks)]
    expected = tuple(
        Piece(rank, sum(row[: place.rank]), row[place.rank]) for rank, row in enumerate(rows)
    )
    return Shape(
        max(count, *received),
        max(map(max, rows)),
        count,
        received[place.rank],
        expected,
        send_counts=rows[place.rank],
        recv_counts=tuple(row[place.rank] for row in rows),
    )


def _barrier(_place: Place, _count: int) -> Shape:
    return Shape(0, 0, 0, 0)


def _one(_ranks: int) -> float:
    return 1.0


def _all_but_own(ranks: int) -> float:
    return (ranks - 1) / ranks


def _there_and_back(ranks: int) -> float:
    return 2 * (ranks - 1) / ranks


COLLECTIVES: Mapping[str, Collective] = MappingProxyType(
    {
        collective.name: collective
        for collective in (
            Collective("all_reduce", _all_reduce, _there_and_back, reduces=True),
            Collective("reduce", _reduce, _one, reduces=True, rooted=True),
            Collective("broadcast", _broadcast, _one, rooted=True),
            Collective("all_gather", _all_gather, _all_but_own),
            Collective("reduce_scatter", _reduce_scatter, _all_but_own, reduces=True),
            Collective("all_to_all", _all_to_all, _all_but_own),
            Collective("gather", _gather, _all_but_own, rooted=True),
            Collective("scatter", _scatter, _all_but_own, rooted=True),
            Collective("sendrecv", _send_recv, _one),
            Collective("all_gather_v", _all_gather_v, _all_but_own),
            Collective("reduce_scatter_v", _reduce_scatter_v, _all_but_own, reduces=True),
            Collective("all_to_all_v", _all_to_all_v, _all_but_own),
            Collective("barrier", _barrier, _one),
        )
    }
)


def collective_named(text: str) -> Collective:
    """Find a collective, also as nccl-tests spells it (alltoall); ValueError lists them."""
    wanted = text.replace("_", "").lower()
    for name, collective in COLLECTIVES.items():
        if name.replace("_", "") == wanted:
            return collective
    raise ValueError(
        f"there is no collective {text!r}; use one of {', '.join(COLLECTIVES)}, or all"
    )
