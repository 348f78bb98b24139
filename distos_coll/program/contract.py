"""What each collective takes and gives, per rank: sizes of buffers, aliasing in place, and the
result as contributions.

The one place in Python that writes down the meaning of docs/decisions/0001; interpreter and
verifier both start here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from distos_coll._vocabulary import Array, Collective, Param
from distos_coll.errors import InvalidArgument

_C = Collective
REDUCING = frozenset({_C.ALL_REDUCE, _C.REDUCE, _C.REDUCE_SCATTER, _C.REDUCE_SCATTER_V})
ROOTED = frozenset({_C.REDUCE, _C.BROADCAST, _C.GATHER, _C.SCATTER})
# Where an input may be (part of) the output's memory.
IN_PLACE = frozenset({_C.ALL_REDUCE, _C.REDUCE, _C.ALL_GATHER, _C.REDUCE_SCATTER})


@dataclass(frozen=True)
class Contribution:
    """Element `index` of the input of one rank, or of all ranks, reduced."""

    index: int
    rank: int | None


@dataclass(frozen=True, slots=True)
class Run:
    """`count` elements from `at` on in an output are those from `index` on in the input of `rank`,
    or of all ranks, reduced.
    """

    at: int
    count: int
    index: int
    rank: int | None


@dataclass(frozen=True)
class Call:
    """A collective call as all ranks make it together."""

    collective: Collective
    size: int
    count: int = 0
    root: int = 0
    segment: int = 1 << 20
    slot: int = 1 << 20
    element_bytes: int = 1
    in_place: bool = False
    counts: tuple[int, ...] = ()
    """The size vector of all_gather_v and reduce_scatter_v."""
    matrix: tuple[tuple[int, ...], ...] = ()
    """Of all_to_all_v: what each rank (row) sends to each (column)."""
    gap: int = 0
    """Unused elements between the blocks of a v collective."""

    def __post_init__(self) -> None:
        if self.collective in (_C.ALL_GATHER_V, _C.REDUCE_SCATTER_V):
            if len(self.counts) != self.size:
                raise InvalidArgument(f"{self.size} counts are needed, not {len(self.counts)}")
            object.__setattr__(self, "count", max(self.counts))
        if self.in_place and self.collective not in IN_PLACE:
            raise InvalidArgument(f"{self.collective.name.lower()} has no form in place")

    def offsets(self, counts: Sequence[int]) -> tuple[int, ...]:
        return tuple(accumulate((c + self.gap for c in counts[:-1]), initial=0))

    def _extent(self, counts: Sequence[int]) -> int:
        return self.offsets(counts)[-1] + counts[-1]

    @cached_property
    def columns(self) -> tuple[tuple[int, ...], ...]:
        return tuple(zip(*self.matrix, strict=True))

    @cached_property
    def row_offsets(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self.offsets(row) for row in self.matrix)

    @cached_property
    def column_offsets(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self.offsets(column) for column in self.columns)

    def input_length(self, rank: int) -> int:
        match self.collective:
            case _C.ALL_REDUCE | _C.REDUCE | _C.ALL_GATHER | _C.GATHER:
                return self.count
            case _C.REDUCE_SCATTER | _C.ALL_TO_ALL:
                return self.size * self.count
            case _C.SCATTER:
                return self.size * self.count if rank == self.root else 0
            case _C.BROADCAST:
                return self.count if rank == self.root else 0
            case _C.ALL_GATHER_V:
                return self.counts[rank]
            case _C.REDUCE_SCATTER_V:
                return self._extent(self.counts)
            case _C.ALL_TO_ALL_V:
                return self._extent(self.matrix[rank])
            case _:
                return 0

    def output_length(self, rank: int) -> int:
        match self.collective:
            case _C.ALL_REDUCE | _C.BROADCAST | _C.REDUCE_SCATTER | _C.SCATTER:
                return self.count
            case _C.REDUCE:
                return self.count if rank == self.root else 0
            case _C.ALL_GATHER | _C.ALL_TO_ALL:
                return self.size * self.count
            case _C.GATHER:
                return self.size * self.count if rank == self.root else 0
            case _C.ALL_GATHER_V:
                return self._extent(self.counts)
            case _C.REDUCE_SCATTER_V:
                return self.counts[rank]
            case _C.ALL_TO_ALL_V:
                return self._extent(self.columns[rank])
            case _:
                return 0

    def shared(self, rank: int) -> tuple[int, int] | None:
        """Where input and output begin in the memory that they share, or None if they are apart."""
        if self.collective is _C.BROADCAST:
            return (0, 0) if rank == self.root else None
        if not self.in_place or (self.collective is _C.REDUCE and rank != self.root):
            return None
        if self.collective is _C.ALL_GATHER:
            return rank * self.count, 0
        if self.collective is _C.REDUCE_SCATTER:
            return 0, rank * self.count
        return 0, 0

    def expected_runs(self, rank: int) -> list[Run]:
        """What must be written in the output, as runs of elements."""
        n, size = self.count, self.size
        match self.collective:
            case _C.ALL_REDUCE:
                runs = [Run(0, n, 0, None)]
            case _C.REDUCE:
                runs = [Run(0, n, 0, None)] if rank == self.root else []
            case _C.BROADCAST:
                runs = [Run(0, n, 0, self.root)]
            case _C.REDUCE_SCATTER:
                runs = [Run(0, n, rank * n, None)]
            case _C.SCATTER:
                runs = [Run(0, n, rank * n, self.root)]
            case _C.ALL_GATHER:
                runs = [Run(r * n, n, 0, r) for r in range(size)]
            case _C.GATHER:
                runs = [Run(r * n, n, 0, r) for r in range(size)] if rank == self.root else []
            case _C.ALL_TO_ALL:
                runs = [Run(r * n, n, rank * n, r) for r in range(size)]
            case _:
                runs = self._expected_v(rank)
        return [run for run in runs if run.count > 0]

    def _expected_v(self, rank: int) -> list[Run]:
        match self.collective:
            case _C.ALL_GATHER_V:
                blocks = zip(self.offsets(self.counts), self.counts, strict=True)
                return [Run(off, n, 0, r) for r, (off, n) in enumerate(blocks)]
            case _C.REDUCE_SCATTER_V:
                return [Run(0, self.counts[rank], self.offsets(self.counts)[rank], None)]
            case _C.ALL_TO_ALL_V:
                column = self.columns[rank]
                blocks = zip(self.column_offsets[rank], column, strict=True)
                return [
                    Run(off, n, self.row_offsets[r][rank], r) for r, (off, n) in enumerate(blocks)
                ]
            case _:
                return []

    def expected(self, rank: int) -> dict[int, Contribution]:
        """For each element of the output that must be written, what it is."""
        return {
            run.at + i: Contribution(run.index + i, run.rank)
            for run in self.expected_runs(rank)
            for i in range(run.count)
        }

    def params(self) -> dict[Param, int]:
        return {
            Param.COUNT: self.count,
            Param.ROOT: self.root,
            Param.SEGMENT: max(self.segment, 1),
            Param.SLOT: self.slot,
            Param.ELEMENT_BYTES: self.element_bytes,
        }

    def arrays(self, rank: int) -> dict[Array, tuple[int, ...]]:
        match self.collective:
            case _C.ALL_GATHER_V:
                return {
                    Array.RECV_COUNTS: self.counts,
                    Array.RECV_OFFSETS: self.offsets(self.counts),
                }
            case _C.REDUCE_SCATTER_V:
                return {
                    Array.SEND_COUNTS: self.counts,
                    Array.SEND_OFFSETS: self.offsets(self.counts),
                }
            case _C.ALL_TO_ALL_V:
                return {
                    Array.SEND_COUNTS: self.matrix[rank],
                    Array.SEND_OFFSETS: self.row_offsets[rank],
                    Array.RECV_COUNTS: self.columns[rank],
                    Array.RECV_OFFSETS: self.column_offsets[rank],
                }
            case _:
                return {}
