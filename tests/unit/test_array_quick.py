"""Which calls of the array door go the short way, and that both ways mean the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_page import raises

from distos_coll import Communicator, run_threads
from distos_coll._vocabulary import Collective


def ones(*shape: int, dtype: Any = np.float32) -> Any:
    return np.ones(shape, dtype)


def known(c: Communicator) -> None:
    """Make the types known: they are after their first call."""
    for dtype in (np.float32, np.int64, np.uint32):
        c.all_reduce(ones(1, dtype=dtype))


def quick(c: Communicator, name: str, x: Any, out: Any = None, op: str = "sum") -> bool:
    return c._quick(int(Collective[name.upper()]), op, 0, x, out)


def own_part(c: Communicator, n: int) -> tuple[Any, Any]:
    whole = ones(n)
    return whole[n // 2 * c.rank :][: n // 2], whole


SHORT: dict[str, Callable[[Communicator], tuple[Any, ...]]] = {
    "in place": lambda c: ("all_reduce", ones(5)),
    "no elements": lambda c: ("all_reduce", ones(0)),
    "no dimension": lambda c: ("all_reduce", ones()),
    "out": lambda c: ("all_reduce", ones(5), ones(5)),
    "out with another shape": lambda c: ("all_reduce", ones(6), ones(2, 3)),
    "maximum": lambda c: ("all_reduce", ones(5), None, "max"),
    "average": lambda c: ("all_reduce", ones(5, dtype=np.int64), None, "avg"),
    "broadcast": lambda c: ("broadcast", ones(5)),
    "unsigned, moved": lambda c: ("broadcast", ones(5, dtype=np.uint32)),
    "all_gather": lambda c: ("all_gather", ones(5), ones(2, 5)),
    "reduce_scatter": lambda c: ("reduce_scatter", ones(2, 5), ones(5)),
    "all_gather, its own part of out": lambda c: ("all_gather", *own_part(c, 10)),
    "reduce_scatter into its own part": lambda c: ("reduce_scatter", *own_part(c, 10)[::-1]),
    "all_to_all": lambda c: ("all_to_all", ones(4, 5), ones(4, 5)),
    "gather": lambda c: ("gather", ones(5), ones(2, 5) if c.rank == 0 else None),
    "scatter": lambda c: ("scatter", ones(2, 5) if c.rank == 0 else None, ones(5)),
    "barrier": lambda c: ("barrier", None),
}

buffer = ones(12)
LONG: dict[str, Callable[[Communicator], tuple[Any, ...]]] = {
    "a list": lambda c: ("all_reduce", [1.0]),
    "every second element": lambda c: ("all_reduce", ones(10)[::2]),
    "Fortran's order": lambda c: ("all_reduce", np.asfortranarray(ones(3, 4))),
    "read-only": lambda c: ("all_reduce", np.broadcast_to(ones(1), (1,))),
    "masked": lambda c: ("all_reduce", np.ma.masked_array(ones(3))),
    "a subclass": lambda c: ("all_reduce", ones(3).view(np.recarray)),
    "swapped bytes": lambda c: ("all_reduce", ones(3).astype(">f4")),
    "objects": lambda c: ("all_reduce", np.array([None])),
    "unsigned, reduced": lambda c: ("all_reduce", ones(3, dtype=np.uint32)),
    "an op that there is not": lambda c: ("all_reduce", ones(3), None, "mean"),
    "an op without meaning": lambda c: ("all_reduce", ones(3), None, "band"),
    "out of another type": lambda c: ("all_reduce", ones(3), ones(3, dtype=np.int64)),
    "out of another size": lambda c: ("all_reduce", ones(3), ones(4)),
    "overlapping": lambda c: ("all_reduce", buffer[:8], buffer[4:]),
    "another's part of out": lambda c: ("all_gather", buffer[6 - 6 * c.rank :][:6], buffer),
    "into another's part": lambda c: ("reduce_scatter", buffer, buffer[6 - 6 * c.rank :][:6]),
    "shifted by one": lambda c: ("all_gather", buffer[6 * c.rank :][1:6], buffer[:10]),
    "rows that cannot be divided": lambda c: ("reduce_scatter", ones(3, 4), ones(6)),
    "nothing to divide": lambda c: ("all_to_all", ones(), ones()),
    "no out": lambda c: ("all_gather", ones(3)),
}


@pytest.mark.parametrize("case", SHORT.values(), ids=SHORT)
def test_plain_arrays_go_the_short_way(case: Any) -> None:
    def body(c: Communicator) -> None:
        known(c)
        name, x, *rest = case(c)
        assert quick(c, name, x, *rest)

    run_threads(2, body)


@pytest.mark.parametrize("case", LONG.values(), ids=LONG)
def test_others_are_left_as_they_are(case: Any) -> None:
    def body(c: Communicator) -> None:
        known(c)
        name, x, *rest = case(c)
        before = np.array(x).tolist()
        assert not quick(c, name, x, *rest)
        assert np.array(x).tolist() == before

    run_threads(2, body)


def test_a_type_that_was_not_met_goes_the_long_way_once() -> None:
    import ml_dtypes

    def body(c: Communicator) -> None:
        x = np.ones(3, ml_dtypes.bfloat16)
        c.all_reduce(x)
        assert quick(c, "all_reduce", x)
        assert x.tolist() == [4.0, 4.0, 4.0]

    run_threads(2, body)


def test_calls_in_a_group_do_not_wait() -> None:
    def body(c: Communicator) -> None:
        known(c)
        x, y = ones(3), ones(4)
        with c.group():
            assert not quick(c, "all_reduce", x)
            c.all_reduce(x)
            c.all_reduce(y)
        assert x.tolist() == [2, 2, 2]
        assert y.tolist() == [2, 2, 2, 2]
        assert quick(c, "all_reduce", x)

    run_threads(2, body)


def test_new_buffers_and_sizes_each_time() -> None:
    def body(c: Communicator) -> None:
        for i in range(200):
            x = np.full(i % 7 + 3, c.rank + i, np.int64)
            assert c.all_reduce(x) is x
            assert set(x.tolist()) == {2 * i + 1}
            out = np.empty((2, i % 3), np.int64)
            assert c.all_gather(x[: i % 3], out=out) is out
            assert set(out.ravel().tolist()) <= {2 * i + 1}
            assert (c.reduce(x, root=i % 2) is None) == (c.rank != i % 2)
            parts = np.array([[c.rank + i], [10 * c.rank + i]]) if c.rank == i % 2 else None
            assert c.scatter(parts, one := np.empty(1, np.int64), root=i % 2) is one
            assert one[0] == (10 if c.rank else 1) * (i % 2) + i
            here = np.empty((2, 1), np.int64) if c.rank == i % 2 else None
            assert c.gather(one, root=i % 2, out=here) is here
            assert here is None or here.ravel().tolist() == [i % 2 + i, 10 * (i % 2) + i]

    run_threads(2, body)


def test_in_place_in_the_own_part() -> None:
    def body(c: Communicator) -> None:
        known(c)
        whole = np.arange(6, dtype=np.float32) + 10 * c.rank
        own = whole[3 * c.rank :][:3]
        assert c.reduce_scatter(whole, out=own) is own
        assert own.tolist() == [3 * c.rank * 2 + 10, 3 * c.rank * 2 + 12, 3 * c.rank * 2 + 14]
        other = whole[3 - 3 * c.rank :][:3]
        assert other.tolist() == [v + 10 * c.rank + 3 - 3 * c.rank for v in range(3)]
        assert c.all_gather(own, out=whole) is whole
        assert whole.tolist() == [10, 12, 14, 16, 18, 20]

    run_threads(2, body)


def test_failures_are_those_of_the_long_way() -> None:
    def body(c: Communicator) -> None:
        known(c)
        known(c)
        if c.rank == 1:
            c.close()
            return
        with raises("peer-lost", "rank 1"):
            c.all_reduce(ones(1))
        c.close()
        with raises("group-closed"):
            c.all_reduce(ones(1))

    run_threads(2, body)


def quick_v(
    c: Communicator, name: str, x: Any, out: Any, send: Any = None, receive: Any = None
) -> bool:
    return c._quick(int(Collective[name.upper()]), "sum", 0, x, out, send, receive)


# Of two ranks, rank 0 gives or gets one row of three elements and rank 1 two rows.
SHORT_V: dict[str, Callable[[Communicator], tuple[Any, ...]]] = {
    "all_gather_v": lambda c: ("all_gather_v", ones(c.rank + 1, 3), ones(3, 3), None, [1, 2]),
    "a tuple": lambda c: ("all_gather_v", ones(c.rank + 1, 3), ones(9), None, (1, 2)),
    "nothing from one": lambda c: ("all_gather_v", ones(2 * c.rank, 3), ones(2, 3), None, [0, 2]),
    "nothing at all": lambda c: ("all_gather_v", ones(0, 3), ones(0, 3), None, [0, 0]),
    "reduce_scatter_v": lambda c: ("reduce_scatter_v", ones(3, 3), ones(c.rank + 1, 3), [1, 2]),
    "all_to_all_v": lambda c: (
        "all_to_all_v",
        ones(3, 3),
        ones(2 * c.rank + 2, 3),
        [1, 2],
        [c.rank + 1] * 2,
    ),
}
LONG_V: dict[str, Callable[[Communicator], tuple[Any, ...]]] = {
    "an array of counts": lambda c: (
        "all_gather_v",
        ones(c.rank + 1, 3),
        ones(3, 3),
        None,
        np.array([1, 2]),
    ),
    "too few counts": lambda c: ("all_gather_v", ones(1, 3), ones(3, 3), None, [1]),
    "no counts": lambda c: ("all_gather_v", ones(1, 3), ones(3, 3)),
    "a negative count": lambda c: ("all_gather_v", ones(1, 3), ones(3, 3), None, [-1, 2]),
    "a vast count": lambda c: ("all_gather_v", ones(1, 3), ones(3, 3), None, [1 << 70, 2]),
    "no number": lambda c: ("reduce_scatter_v", ones(3, 3), ones(1, 3), [1.0, 2.0]),
    "rows that do not add up": lambda c: ("reduce_scatter_v", ones(4, 3), ones(1, 3), [1, 2]),
    "out of another size": lambda c: ("all_gather_v", ones(1, 3), ones(8), None, [1, 2]),
    "out of another width": lambda c: ("all_gather_v", ones(1, 3), ones(2, 2), None, [1, 1]),
    "an out where nothing comes": lambda c: (
        "all_gather_v",
        ones(0, 3),
        ones(1, 3),
        None,
        [0, 0],
    ),
    "no dimension": lambda c: ("reduce_scatter_v", ones(), ones(1), [1, 0]),
    "in place": lambda c: ("all_gather_v", buffer[:3], buffer[:6], None, [3, 3]),
}


@pytest.mark.parametrize("case", SHORT_V.values(), ids=SHORT_V)
def test_counts_go_the_short_way(case: Any) -> None:
    def body(c: Communicator) -> None:
        known(c)
        assert quick_v(c, *case(c))

    run_threads(2, body)


@pytest.mark.parametrize("case", LONG_V.values(), ids=LONG_V)
def test_other_counts_are_left_as_they_are(case: Any) -> None:
    def body(c: Communicator) -> None:
        known(c)
        assert not quick_v(c, *case(c))

    run_threads(2, body)


def test_counts_that_change_are_not_those_of_the_call_before() -> None:
    """The totals, by which calls are kept, stay the same."""
    splits = [(1, 2, 3), (3, 2, 1), (2, 2, 2), (6, 0, 0), (0, 1, 5)]

    def body(c: Communicator) -> None:
        own = c.rank
        for turn in range(12):
            counts = list(splits[turn % len(splits)] if turn % 3 else splits[0])
            mine = np.arange(counts[own] * 2, dtype=np.int64).reshape(-1, 2) + 100 * own + turn
            everything = [
                np.arange(n * 2).reshape(-1, 2) + 100 * r + turn for r, n in enumerate(counts)
            ]
            whole = np.concatenate(everything)
            out = np.empty((6, 2), np.int64)
            assert (c.all_gather_v(mine, counts, out) == whole).all()
            part = np.empty((counts[own], 2), np.int64)
            start = sum(counts[:own])
            wanted = 3 * whole[start : start + counts[own]]
            assert (c.reduce_scatter_v(whole.copy(), counts, out=part) == wanted).all()
            # Rank r sends counts[(i + r) % 3] rows to rank i.
            send = [counts[(i + own) % 3] for i in range(3)]
            receive = [counts[(own + r) % 3] for r in range(3)]
            brought = np.full((6, 2), own, np.int64)
            got = np.empty((sum(receive), 2), np.int64)
            c.all_to_all_v(brought, send, receive, got)
            assert got[:, 0].tolist() == [r for r, n in enumerate(receive) for _ in range(n)]

    run_threads(3, body)


def test_failures_of_counts_are_those_of_the_long_way() -> None:
    def body(c: Communicator) -> None:
        x, out = ones(3, 3), ones(c.rank + 1, 3)
        for _ in range(3):
            c.reduce_scatter_v(x, [1, 2], out=out)
        with raises("counts-sum"):
            c.reduce_scatter_v(x, [2, 2], out=out)
        with raises("counts-wrong"):
            c.reduce_scatter_v(x, [3], out=out)
        with raises("own-counts"):
            c.all_to_all_v(x, [1, 2], [2, 1], ones(3, 3))

    run_threads(2, body)
