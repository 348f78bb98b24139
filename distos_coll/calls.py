"""The array door's calls, checked and in the core's terms: addresses, counts, vectors.

One function a collective; each is pure but for making the result's array where `out` is None.
Rows are those of dimension 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from math import prod
from operator import index
from typing import Any

from distos_coll._vocabulary import Collective, DType, ReduceOp
from distos_coll.buffers import Buffer, apart, like, readable, reduction_type, writable
from distos_coll.errors import InvalidArgument

_OPS: Mapping[str, ReduceOp] = {
    "sum": ReduceOp.SUM,
    "product": ReduceOp.PRODUCT,
    "prod": ReduceOp.PRODUCT,
    "min": ReduceOp.MIN,
    "max": ReduceOp.MAX,
    "average": ReduceOp.AVERAGE,
    "avg": ReduceOp.AVERAGE,
    "band": ReduceOp.BAND,
    "bor": ReduceOp.BOR,
    "bxor": ReduceOp.BXOR,
}


@dataclass(frozen=True)
class ArrayCall:
    """What the core needs of a call, and what the caller gets from it."""

    collective: Collective
    source: Buffer | None
    target: Buffer | None
    count: int
    """As docs/decisions/0001 counts: elements of reductions, bytes of all else."""
    result: Any = None
    dtype: DType = DType.UINT8
    op: ReduceOp = ReduceOp.SUM
    root: int = 0
    vectors: Mapping[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Place:
    """The rank and the size of the group that a call is made on."""

    rank: int
    size: int


def all_reduce(x: Any, op: str, out: Any) -> ArrayCall:
    source, target, result = _in_place(x, out, "all_reduce")
    return _reducing(Collective.ALL_REDUCE, source, target, source.count, op, result=result)


def reduce(place: Place, x: Any, op: str, root: int, out: Any) -> ArrayCall:
    _check_root(place, "reduce", root)
    if place.rank != root:
        source = readable(x, "reduce")
        return _reducing(Collective.REDUCE, source, None, source.count, op, root=root)
    source, target, result = _in_place(x, out, "reduce")
    return _reducing(Collective.REDUCE, source, target, source.count, op, result=result, root=root)


def reduce_scatter(place: Place, x: Any, op: str, out: Any) -> ArrayCall:
    source = readable(x, "reduce_scatter")
    rows = _even_rows(place, "reduce_scatter", source)
    # x[i] is what rank i gets where there is one row for each.
    shape = source.shape[1:] if rows == 1 else (rows, *source.shape[1:])
    result = like(x, shape) if out is None else out
    target = writable(result, "reduce_scatter")
    count = source.count // place.size
    _check_pair("reduce_scatter", source, target, count)
    # The result may lie in the part of x that it is the sum of; the core reads that first.
    if target.address != source.address + place.rank * target.nbytes:
        source = apart(source, target)
    return _reducing(Collective.REDUCE_SCATTER, source, target, count, op, result=result)


def reduce_scatter_v(place: Place, x: Any, counts: Sequence[int], op: str, out: Any) -> ArrayCall:
    source = readable(x, "reduce_scatter_v")
    rows = _rows(place, "reduce_scatter_v", counts)
    _check_rows("reduce_scatter_v", rows, source)
    result = like(x, (rows[place.rank], *source.shape[1:])) if out is None else out
    target = writable(result, "reduce_scatter_v")
    width = prod(source.shape[1:])
    source = _apart("reduce_scatter_v", source, target, rows[place.rank] * width)
    return _reducing(
        Collective.REDUCE_SCATTER_V,
        source,
        target,
        max(rows) * width,
        op,
        result=result,
        vectors=_vectors("send", rows, width),
    )


def broadcast(place: Place, x: Any, root: int) -> ArrayCall:
    _check_root(place, "broadcast", root)
    target = writable(x, "broadcast")
    return ArrayCall(Collective.BROADCAST, target, target, target.nbytes, x, root=root)


def all_gather(place: Place, x: Any, out: Any) -> ArrayCall:
    source = readable(x, "all_gather")
    result = like(x, (place.size, *source.shape)) if out is None else out
    target = writable(result, "all_gather")
    _check_pair("all_gather", source, target, place.size * source.count)
    # A rank's own part of the result may be what it brings; the core then leaves it where it is.
    if source.address != target.address + place.rank * source.nbytes:
        source = apart(source, target)
    return ArrayCall(Collective.ALL_GATHER, source, target, source.nbytes, result)


def all_gather_v(place: Place, x: Any, counts: Sequence[int], out: Any) -> ArrayCall:
    source = readable(x, "all_gather_v")
    rows = _rows(place, "all_gather_v", counts)
    _check_rows("all_gather_v", rows[place.rank : place.rank + 1], source)
    result = like(x, (sum(rows), *source.shape[1:])) if out is None else out
    target = writable(result, "all_gather_v")
    width = prod(source.shape[1:])
    source = _apart("all_gather_v", source, target, sum(rows) * width)
    vectors = _vectors("recv", rows, width * source.item_bytes)
    return ArrayCall(
        Collective.ALL_GATHER_V,
        source,
        target,
        max(vectors["recv_counts"]),
        result,
        vectors=vectors,
    )


def all_to_all(place: Place, x: Any, out: Any) -> ArrayCall:
    source = readable(x, "all_to_all")
    _even_rows(place, "all_to_all", source)
    result = like(x, source.shape) if out is None else out
    target = writable(result, "all_to_all")
    source = _apart("all_to_all", source, target, source.count)
    return ArrayCall(Collective.ALL_TO_ALL, source, target, source.nbytes // place.size, result)


def all_to_all_v(
    place: Place, x: Any, send_counts: Sequence[int], recv_counts: Sequence[int], out: Any
) -> ArrayCall:
    source = readable(x, "all_to_all_v")
    send = _rows(place, "all_to_all_v", send_counts)
    receive = _rows(place, "all_to_all_v", recv_counts)
    _check_rows("all_to_all_v", send, source)
    result = like(x, (sum(receive), *source.shape[1:])) if out is None else out
    target = writable(result, "all_to_all_v")
    width = prod(source.shape[1:])
    source = _apart("all_to_all_v", source, target, sum(receive) * width)
    row_bytes = width * source.item_bytes
    vectors = _vectors("send", send, row_bytes) | _vectors("recv", receive, row_bytes)
    return ArrayCall(Collective.ALL_TO_ALL_V, source, target, 0, result, vectors=vectors)


def gather(place: Place, x: Any, root: int, out: Any) -> ArrayCall:
    _check_root(place, "gather", root)
    source = readable(x, "gather")
    if place.rank != root:
        return ArrayCall(Collective.GATHER, source, None, source.nbytes, root=root)
    result = like(x, (place.size, *source.shape)) if out is None else out
    target = writable(result, "gather")
    source = _apart("gather", source, target, place.size * source.count)
    return ArrayCall(Collective.GATHER, source, target, source.nbytes, result, root=root)


def scatter(place: Place, x: Any, out: Any, root: int) -> ArrayCall:
    _check_root(place, "scatter", root)
    target = writable(out, "scatter")
    if place.rank != root:
        return ArrayCall(Collective.SCATTER, None, target, target.nbytes, out, root=root)
    source = readable(x, "scatter")
    if source.count != place.size * target.count:
        raise InvalidArgument(
            f"scatter: x has {source.count} elements at the root; {place.size} ranks with outs of "
            f"{target.count} need {place.size * target.count}"
        )
    _check_types("scatter", source, target)
    source = apart(source, target)
    return ArrayCall(Collective.SCATTER, source, target, target.nbytes, out, root=root)


def barrier() -> ArrayCall:
    return ArrayCall(Collective.BARRIER, None, None, 0)


# ---- shared


def _reducing(
    collective: Collective,
    source: Buffer,
    target: Buffer | None,
    count: int,
    op: str,
    **more: Any,
) -> ArrayCall:
    reduction = _OPS.get(op)
    if reduction is None:
        raise InvalidArgument(f"there is no reduction {op!r}; use one of {', '.join(_OPS)}")
    dtype = reduction_type(source, reduction.name.lower())
    return ArrayCall(collective, source, target, count, dtype=dtype, op=reduction, **more)


def _in_place(x: Any, out: Any, what: str) -> tuple[Buffer, Buffer, Any]:
    if out is None or out is x:
        target = writable(x, what)
        return target, target, x
    source, target = readable(x, what), writable(out, what)
    _check_pair(what, source, target, source.count)
    if source.address != target.address:
        source = apart(source, target)
    return source, target, out


def _check_root(place: Place, what: str, root: int) -> None:
    if not 0 <= root < place.size:
        raise InvalidArgument(f"{what}: root {root} is not one of the {place.size} ranks")


def _check_types(what: str, source: Buffer, target: Buffer) -> None:
    if source.type_name != target.type_name:
        raise InvalidArgument(
            f"{what}: x is {source.type_name}, out is {target.type_name}; both must have one type"
        )


def _check_pair(what: str, source: Buffer, target: Buffer, count: int) -> None:
    _check_types(what, source, target)
    if target.count != count:
        raise InvalidArgument(f"{what}: out has {target.count} elements, the result {count}")


def _apart(what: str, source: Buffer, target: Buffer, count: int) -> Buffer:
    _check_pair(what, source, target, count)
    return apart(source, target)


def _even_rows(place: Place, what: str, source: Buffer) -> int:
    if not source.shape:
        raise InvalidArgument(f"{what}: x has no dimension 0 to divide among the ranks")
    rows = source.shape[0]
    if rows % place.size:
        raise InvalidArgument(
            f"{what}: dimension 0 of x ({rows}) is not a multiple of the {place.size} ranks; "
            f"use {what}_v"
        )
    return rows // place.size


def _rows(place: Place, what: str, counts: Sequence[int]) -> list[int]:
    try:
        rows = [index(n) for n in counts]
    except TypeError:
        rows = []
    if len(rows) != place.size or min(rows) < 0:
        raise InvalidArgument(
            f"{what}: needs a count of rows, not negative, for each of the {place.size} ranks; "
            f"got {counts!r}"
        )
    return rows


def _check_rows(what: str, rows: Sequence[int], source: Buffer) -> None:
    have = source.shape[0] if source.shape else 0
    if not source.shape or have != sum(rows):
        raise InvalidArgument(f"{what}: the counts give x {sum(rows)} rows, but it has {have}")


def _vectors(side: str, rows: Sequence[int], width: int) -> dict[str, list[int]]:
    counts = [n * width for n in rows]
    offsets = list(accumulate(counts, initial=0))[:-1]
    return {f"{side}_counts": counts, f"{side}_offsets": offsets}


def check_tag(tag: int) -> None:
    """Raise InvalidArgument for a tag that a message cannot have."""
    if not 0 <= tag < 1 << 62:
        raise InvalidArgument(f"tag {tag} is out of range: 0 to 2^62 - 1")


def integer(what: str, value: Any) -> int:
    """Return split()'s argument `what` as an integer of 64 bits."""
    try:
        number = index(value)
    except TypeError:
        raise InvalidArgument(f"split: {what} {value!r} is not an integer") from None
    if not -(1 << 63) <= number < 1 << 63:
        raise InvalidArgument(f"split: {what} {number} does not fit into 64 bits")
    return number
