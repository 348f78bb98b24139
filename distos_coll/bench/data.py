"""Values whose reduction has one exact result, whatever the order: every element is compared.

Integers wrap, so any bits do for them. Floats are integers (sums, averages) or powers of two
(products), small enough that no partial sum or product of any subset of ranks is rounded, even in
the narrow type itself. nccl-tests does the same with other values.

A rank's pattern repeats after PERIOD elements. That is prime, so a chunk in the wrong place shows.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from distos_coll.bench.collectives import REDUCED, Piece
from distos_coll.bench.elements import Array, Element, Kind

PERIOD = 65521
OPS = ("sum", "prod", "max", "min", "avg", "band", "bor", "bxor")
NO_OP = "none"

_UFUNCS: Mapping[str, Any] = MappingProxyType(
    {
        "sum": np.add,
        "avg": np.add,
        "prod": np.multiply,
        "max": np.maximum,
        "min": np.minimum,
        "band": np.bitwise_and,
        "bor": np.bitwise_or,
        "bxor": np.bitwise_xor,
    }
)
_AS_LOGIC: Mapping[str, str] = MappingProxyType(
    {"sum": "bor", "max": "bor", "prod": "band", "min": "band"}
)


def defined(element: Element, op: str) -> bool:
    """Whether the reduction means anything for the type."""
    if element.kind is Kind.INTEGER:
        return True
    if element.kind is Kind.BOOL:
        return op != "avg"
    if element.kind is Kind.COMPLEX:
        return op in {"sum", "prod", "avg"}
    return op not in {"band", "bor", "bxor"}


@dataclass(frozen=True)
class Pattern:
    """What ranks hold, and what it reduces to. Equal seeds give equal bits on every host."""

    element: Element
    op: str
    ranks: int
    seed: int

    def of(self, source: int, length: int) -> Array:
        """Return the first elements of a rank's pattern, or of the reduction of all ranks'."""
        if source == REDUCED:
            return self._reduced(length)
        if self.op == NO_OP:
            return self._bits(source, length)
        return self.element.encode(self._values(source, length))

    def _reduced(self, length: int) -> Array:
        op = _AS_LOGIC.get(self.op, self.op) if self.element.kind is Kind.BOOL else self.op
        parts = (self._values(rank, length) for rank in range(self.ranks))
        with np.errstate(over="ignore"):
            total = reduce(_UFUNCS[op], parts)
        if op == "avg":
            if self.element.kind is Kind.INTEGER:
                total = total.astype(np.int64)
                total = np.sign(total) * (np.abs(total) // self.ranks)
            else:
                # Part by part: numpy's complex division rounds more than once.
                total = (total.view(np.float64) / self.ranks).view(total.dtype)
        return self.element.encode(total)

    def _values(self, rank: int, length: int) -> Array:
        """Return exact numbers: integers of the type's own width, else doubles."""
        kind = self.element.kind
        if kind is Kind.INTEGER:
            if self.op == "avg":
                return self._for_integer_average(rank, length)
            bits = self._bits(rank, length)
            # Even factors would soon make every product 0.
            return bits | bits.dtype.type(1) if self.op == "prod" else bits
        if kind is Kind.BOOL:
            return self._truths(rank, length)
        if kind is Kind.FLOAT:
            return self._floats(rank, length, 0)
        if self.op == "prod":
            turns = np.array([1, 1j, -1, -1j])[self._raw(rank, length, 1) & np.uint64(3)]
            turned: Array = np.abs(self._floats(rank, length, 0)) * turns
            return turned
        both: Array = self._floats(rank, length, 0) + 1j * self._floats(rank, length, 1)
        return both

    def _raw(self, rank: int, length: int, stream: int = 0) -> npt.NDArray[np.uint64]:
        # The bits of a generator are promised to stay; the distributions on top are not.
        raw = np.random.PCG64([self.seed, rank, stream]).random_raw(length)
        return np.asarray(raw, dtype=np.uint64)

    def _bits(self, rank: int, length: int) -> Array:
        element = self.element
        if element.kind is Kind.BOOL:
            odd: Array = (self._raw(rank, length) & np.uint64(1)).astype(np.uint8)
            return odd
        words = length * (element.nbytes // element.word.itemsize)
        bits: Array = self._raw(rank, words).astype(element.word).view(element.storage)
        return bits

    def _truths(self, rank: int, length: int) -> Array:
        rare = self._raw(rank, length) % np.uint64(max(self.ranks, 2)) == 0
        # Else nearly every "or" would be true and every "and" false.
        usual = self.op in {"prod", "min", "band"}
        truths: Array = (rare != usual).astype(np.uint8)
        return truths

    def _for_integer_average(self, rank: int, length: int) -> Array:
        info = np.iinfo(self.element.storage)
        shares = self._shares(rank, length, min(int(info.max), 1 << 53))
        if info.min == 0:
            shares = np.abs(shares)
        typed: Array = shares.astype(self.element.storage)
        return typed

    def _floats(self, rank: int, length: int, stream: int) -> Array:
        exact = 1 << self.element.precision
        if self.op == "prod":
            powers = self._shares(rank, length, self.element.powers, stream)
            signs = 1.0 - 2.0 * (self._raw(rank, length, stream) >> np.uint64(63))
            values: Array = signs * np.exp2(powers.astype(np.float64))
            return values
        if self.op in {"min", "max"}:
            whole = self._below(rank, length, exact, stream)
        elif self.op == "avg":
            whole = self._for_average(rank, length, exact, stream)
        else:
            whole = self._shares(rank, length, exact, stream)
        return whole.astype(np.float64)

    def _below(self, rank: int, length: int, limit: int, stream: int = 0) -> Array:
        raw = self._raw(rank, length, stream) % np.uint64(2 * limit + 1)
        around_zero: Array = raw.astype(np.int64) - limit
        return around_zero

    def _shares(self, rank: int, length: int, limit: int, stream: int = 0) -> Array:
        """Return integers whose magnitudes add up to at most `limit` over all ranks."""
        each = limit // self.ranks
        if each > 0:
            return self._below(rank, length, each, stream)
        every = -(-self.ranks // limit)  # so many ranks share one unit
        mine = (np.arange(length) + rank) % every == 0
        signs = 1 - 2 * (self._raw(rank, length, stream) & np.uint64(1)).astype(np.int64)
        units: Array = mine * signs
        return units

    def _for_average(self, rank: int, length: int, limit: int, stream: int) -> Array:
        """Return such integers whose sum is a multiple of the number of ranks."""
        each = limit // (3 * self.ranks)
        index, after = np.arange(length) + self.seed, (rank + 1) % self.ranks
        if each == 0:
            plus, minus = index % self.ranks == rank, (index + 1) % self.ranks == rank
            pair: Array = plus.astype(np.int64) - minus
            return pair
        common = self._below(self.ranks, length, each, stream)
        mine = self._below(rank, length, each, stream)
        values: Array = common + mine - self._below(after, length, each, stream)
        return values


def neutral(element: Element, op: str) -> Any:
    """Return the value that repeated calls in place leave as it is, for timing."""
    return element.encode(np.ones(1) if op == "prod" else np.zeros(1))[0]


def write(target: Array, pattern: Pattern, source: int) -> None:
    """Fill `target` with the beginning of a pattern."""
    for place, block in _blocks(pattern, (Piece(source, 0, len(target)),)):
        target[place] = block


def count_wrong(actual: Array, pattern: Pattern, pieces: Iterable[Piece]) -> int:
    """Compare every element, bit by bit; only the sign of a complex number's zeros is free."""
    return sum(
        _differences(actual[place], block, pattern.element)
        for place, block in _blocks(pattern, pieces)
    )


def _differences(actual: Array, expected: Array, element: Element) -> int:
    if element.kind is not Kind.COMPLEX:
        return int(np.count_nonzero(actual.view(element.word) != expected.view(element.word)))
    # Products of powers of i have zero parts whose signs depend on the order.
    differ = actual.view(element.word) != expected.view(element.word)
    parts = np.dtype(f"f{element.nbytes // 2}")
    both_zero = (actual.view(parts) == 0) & (expected.view(parts) == 0)
    return int(np.count_nonzero((differ & ~both_zero).reshape(-1, 2).any(axis=1)))


def _blocks(pattern: Pattern, pieces: Iterable[Piece]) -> Iterator[tuple[slice, Array]]:
    """Yield where in a buffer which elements belong, a period's at most at a time."""
    at = 0
    known: tuple[int, Array] | None = None
    for piece in pieces:
        need = min(PERIOD, piece.start + piece.count)
        if known is None or known[0] != piece.source or len(known[1]) < need:
            known = (piece.source, pattern.of(piece.source, need))
        block, done = known[1], 0
        while done < piece.count:
            first = (piece.start + done) % PERIOD
            length = min(piece.count - done, PERIOD - first)
            yield slice(at + done, at + done + length), block[first : first + length]
            done += length
        at += piece.count
