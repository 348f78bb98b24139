"""How a range of elements is cut up; used by several algorithms."""

from distos_coll.api import IntLike, ProgramBuilder, Value, ceil_div, maximum, minimum, select

Span = tuple[Value, Value]
"""Offset and length. A length of zero or less makes a transfer do nothing."""


def piece(total: Value, step: Value, k: Value) -> Span:
    """Piece number k of at most `step` elements; empty for negative k and past the end.

    Empty is exactly zero, because callers compute with it.
    """
    return k * step, select(k < 0, 0, maximum(minimum(total - k * step, step), 0))


def share(total: Value, chunk: Value, i: IntLike) -> Span:
    """Share number i of `chunk` elements each, the last ones shorter or empty."""
    start = minimum(i * chunk, total)
    return start, minimum(total - start, chunk)


def fair_chunk(p: ProgramBuilder, total: Value, n: Value, limit: Value) -> Value:
    """Elements of one of n shares of `total`, a whole number of cache lines where `limit` is.

    Neighbouring shares have different writers, so they should not meet in a line. `limit` is the
    largest chunk that a caller can take; it must be `lined(p, limit)`'s result, then the chunk does
    not exceed it.
    """
    line = minimum(_line(p), limit)
    return ceil_div(ceil_div(total, n), line) * line


def lined(p: ProgramBuilder, chunk: Value) -> Value:
    """The largest whole number of cache lines in `chunk` elements (at least one); less than a line
    stays.
    """
    line = minimum(_line(p), chunk)
    return chunk // line * line


def _line(p: ProgramBuilder) -> Value:
    return maximum(64 // p.element_bytes, 1)
