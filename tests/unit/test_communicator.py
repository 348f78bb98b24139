"""The array door's groups: ranks are threads. That results are right is test_array_oracle.py's."""

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_page import raises

import distos_coll
from distos_coll import Communicator, ThreadStore, run_threads
from distos_coll.errors import (
    Aborted,
)

SHORT = 0.3
"""Seconds; for what must time out."""


def ones(*shape: int) -> Any:
    return np.ones(shape, np.float32)


# ---- what a group says of itself


def test_a_group_says_who_it_is() -> None:
    def ask(c: Communicator) -> tuple[int, int, str, list[int]]:
        assert repr(c) == f"<distos_coll.Communicator 'world', rank {c.rank} of 3>"
        assert c.describe()
        return c.rank, c.size, c.name, c.domains

    assert run_threads(3, ask) == [(r, 3, "world", [0, 0, 0]) for r in range(3)]


def test_explain_names_the_algorithm_and_the_others() -> None:
    def ask(c: Communicator) -> str:
        with raises("collective-unknown", "unknown collective 'nonsense'"):
            c.explain("nonsense", 8)
        work = c.all_reduce(ones(250), async_op=True)
        work.wait()
        text = str(c.explain("all_reduce", 1000))
        assert f"* {work.algorithm.partition('/')[0]}" in text
        return text

    first, second = run_threads(2, ask)
    assert first == second
    assert "all_reduce of 1000 bytes" in first


def test_empty_is_page_aligned() -> None:
    def make(c: Communicator) -> None:
        for shape in (5, (2, 3), (), (0, 4)):
            array = c.empty(shape, np.int16)
            assert array.dtype == np.int16
            assert array.shape == np.zeros(shape).shape
            assert array.ctypes.data % 4096 == 0 or array.size == 0
        assert c.empty(3).dtype == np.float32

    run_threads(1, make)


# ---- wrong arguments, refused before anything is sent

Wrong = tuple[Callable[[Communicator], Any], str, str]
"""A call, the row of docs/errors.md, what differs from case to case."""
READ_ONLY = np.broadcast_to(ones(1), (4,))
WRONG: dict[str, Wrong] = {
    "reduction": (
        lambda c: c.all_reduce(ones(4), op="mean"),
        "no-reduction",
        "there is no reduction 'mean'; use one of sum, product, prod, min, max, average",
    ),
    "bits of floats": (
        lambda c: c.all_reduce(ones(4), op="band"),
        "op-meaningless",
        "op band has no meaning for float32",
    ),
    "average of bools": (
        lambda c: c.all_reduce(np.ones(4, bool), op="avg"),
        "op-meaningless",
        "op average has no meaning for bool",
    ),
    "type to reduce": (
        lambda c: c.all_reduce(np.zeros(4, "timedelta64[s]")),
        "not-reducible",
        r"timedelta64\[s\] cannot be reduced; convert it to one of int8",
    ),
    "unsigned order": (
        lambda c: c.reduce(np.ones(4, np.uint32), op="max"),
        "unsigned-order",
        "max of uint32 is not offered",
    ),
    "root of reduce": (
        lambda c: c.reduce(ones(4), root=2),
        "root-range",
        "reduce: root 2 is not one of the 2 ranks",
    ),
    "root of broadcast": (
        lambda c: c.broadcast(ones(4), root=-1),
        "root-range",
        "broadcast: root -1 is not one of the 2 ranks",
    ),
    "root of gather": (lambda c: c.gather(ones(4), root=2), "root-range", "gather: root 2"),
    "root of scatter": (
        lambda c: c.scatter(ones(4), ones(2), root=2),
        "root-range",
        "scatter: root 2",
    ),
    "types": (
        lambda c: c.all_reduce(ones(4), out=np.ones(4)),
        "types-differ",
        "all_reduce: x is float32, out is float64; both must have one type",
    ),
    "size of out": (
        lambda c: c.all_gather(ones(4), out=ones(2, 3)),
        "out-size",
        "all_gather: out has 6 elements, the result 8",
    ),
    "rows of all_to_all": (
        lambda c: c.all_to_all(ones(3)),
        "not-a-multiple",
        r"all_to_all: dimension 0 of x \(3\) is not a multiple of the 2 ranks; use all_to_all_v",
    ),
    "no rows": (
        lambda c: c.reduce_scatter(np.array(1.0)),
        "no-dimension",
        "reduce_scatter: x has no dimension 0 to divide among the ranks",
    ),
    "too few counts": (
        lambda c: c.all_gather_v(ones(4), [4]),
        "counts-wrong",
        r"all_gather_v: needs a count of rows, not negative, for each of the 2 ranks; got \[4\]",
    ),
    "negative counts": (
        lambda c: c.reduce_scatter_v(ones(4), [5, -1]),
        "counts-wrong",
        "reduce_scatter_v: needs a count of rows, not negative",
    ),
    "counts that are no numbers": (
        lambda c: c.all_to_all_v(ones(4), [2.5, 1.5], [2, 2]),  # type: ignore[list-item]
        "counts-wrong",
        r"all_to_all_v: needs a count of rows.*got \[2.5, 1.5\]",
    ),
    "sum of counts": (
        lambda c: c.all_to_all_v(ones(4), [2, 3], [2, 2]),
        "counts-sum",
        "all_to_all_v: the counts give x 5 rows, but it has 4",
    ),
    "own counts": (
        lambda c: c.all_to_all_v(ones(4), [2, 2], [1, 1]),
        "own-counts",
        "it sends itself",
    ),
    "scatter": (
        lambda c: c.scatter(ones(5), ones(2), root=c.rank),
        "scatter-size",
        "scatter: x has 5 elements at the root; 2 ranks with outs of 2 need 4",
    ),
    "no out": (
        lambda c: c.scatter(ones(4), None),
        "not-an-array",
        "scatter takes numpy arrays, torch tensors and arrays with __dlpack__, not NoneType",
    ),
    "read-only": (
        lambda c: c.all_reduce(READ_ONLY),
        "read-only",
        "all_reduce: the array is read-only",
    ),
    "tag of send": (
        lambda c: c.send(ones(1), 1 - c.rank, tag=-1),
        "tag-range",
        r"tag -1 is out of range: 0 to 2\^62 - 1",
    ),
    "tag of recv": (lambda c: c.recv(ones(1), tag=1 << 62), "tag-range", "is out of range"),
    "self": (
        lambda c: c.send(ones(1), c.rank),
        "send-to-self",
        "send: destination . is not another rank of the group of 2",
    ),
    "source": (
        lambda c: c.recv(ones(1), 7),
        "recv-from-self",
        "recv: source 7 is not another rank of the group of 2",
    ),
    "color": (
        lambda c: c.split("red"),  # type: ignore[arg-type]
        "split-integer",
        "split: color 'red' is not an integer",
    ),
    "key": (
        lambda c: c.split(0, key=1 << 63),
        "split-64-bits",
        "split: key 9223372036854775808 does not fit into 64 bits",
    ),
    "timeout": (
        lambda c: c.monitored_barrier(timeout=-1),
        "seconds-range",
        "timeout is -1 s; it must not be negative, and below 1e9",
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_wrong_arguments_are_refused_and_the_group_goes_on(wrong: Wrong) -> None:
    call, row, message = wrong

    def refuse(c: Communicator) -> None:
        with raises(row, message):
            call(c)
        assert c.all_reduce(ones(1)) == 2

    run_threads(2, refuse, timeout=20)


# ---- point to point, groups of calls, works


def test_sends_that_cross_in_a_group() -> None:
    def cross(c: Communicator) -> None:
        mine, theirs = np.full(200_000, c.rank), np.zeros(200_000, np.int64)
        with c.group():
            sent = c.send(mine, 1 - c.rank)
            received = c.recv(theirs, 1 - c.rank)
            total = c.all_reduce(mine.copy())
        assert sent.done()
        assert received.wait() is theirs
        assert np.all(theirs == 1 - c.rank)
        assert np.all(total.wait() == 1)

    run_threads(2, cross, timeout=20)


def test_a_group_inside_itself_is_refused() -> None:
    def nest(c: Communicator) -> None:
        with c.group():
            with raises("group-nested"):
                c.group().__enter__()
            with raises("split-in-group"):
                c.split(0)
        with c.group():
            c.barrier()

    run_threads(2, nest, timeout=20)


def test_an_exception_in_a_group_is_not_held_up_by_what_was_started() -> None:
    def start(c: Communicator, x: Any, works: list[Any]) -> None:
        with c.group():
            works.append(c.recv(x, 1 - c.rank))
            raise ZeroDivisionError

    def leave(c: Communicator) -> None:
        x, works = np.zeros(1), list[Any]()
        with pytest.raises(ZeroDivisionError):
            start(c, x, works)
        c.send(np.full(1, 5.0), 1 - c.rank)
        assert works[0].wait() is x
        assert x == 5

    run_threads(2, leave, timeout=20)


def test_a_group_waits_for_all_and_raises_the_first_failure() -> None:
    def exchange(c: Communicator, good: Any) -> None:
        with c.group():
            c.send(ones(2), 1 - c.rank, tag=1)
            c.send(np.ones(3), 1 - c.rank, tag=2)
            c.recv(ones(3), 1 - c.rank, tag=1)
            c.recv(good, 1 - c.rank, tag=2)

    def fail(c: Communicator) -> None:
        good = np.zeros(3)
        with raises("message-size", "the message that arrived has 8 bytes"):
            exchange(c, good)
        assert good.sum() == 3

    run_threads(2, fail, timeout=20)


def test_a_group_takes_only_the_calls_of_its_thread() -> None:
    def beside(c: Communicator) -> None:
        totals: list[Any] = []
        with c.group():
            other = threading.Thread(target=lambda: totals.append(c.all_reduce(ones(1))))
            other.start()
            other.join()
        assert totals == [2]

    run_threads(2, beside, timeout=20)


def test_messages_from_any_source_by_tag() -> None:
    def exchange(c: Communicator) -> list[tuple[int, int]]:
        if c.rank != 0:
            c.send(np.array([c.rank]), 0, tag=c.rank % 2)
            return []
        got = []
        for tag in (1, 0, 1):
            x = np.zeros(1, np.int64)
            work = c.recv(x, distos_coll.ANY_SOURCE, tag, async_op=True)
            assert work.wait() is x
            got.append((work.source, int(x[0])))
        return got

    got = run_threads(4, exchange, timeout=20)[0]
    assert got[1] == (2, 2)
    assert {got[0], got[2]} == {(1, 1), (3, 3)}


def test_strided_arrays_are_sent_and_filled() -> None:
    def exchange(c: Communicator) -> None:
        whole = np.zeros((4, 6))
        if c.rank == 0:
            c.send(np.arange(24.0).reshape(6, 4).T[:, ::2], 1)
        else:
            assert c.recv(whole[:, ::2], 0) is not None
            np.testing.assert_array_equal(whole[:, ::2], np.arange(24.0).reshape(6, 4).T[:, ::2])
            assert not whole[:, 1::2].any()

    run_threads(2, exchange, timeout=20)


def test_a_wait_that_is_too_short_can_be_repeated() -> None:
    go = threading.Event()

    def patience(c: Communicator) -> None:
        if c.rank == 1:
            assert go.wait(20)
            c.send(np.array([7]), 0)
            return
        x = np.zeros(1, np.int64)
        work = c.recv(x, 1, async_op=True)
        for timeout in (0, 0.001, 0.25):
            with raises("wait-timeout", f"not finished after {timeout} s; the opera"):
                work.wait(timeout)
        assert not work.done()
        with raises("seconds-range", "timeout is -1 s"):
            work.wait(-1)
        go.set()
        assert work.wait(20) is x
        assert work.wait() is x
        assert work.done()
        assert x == 7

    run_threads(2, patience, timeout=30)


def test_arrays_live_as_long_as_the_operation() -> None:
    go = threading.Event()

    def drop(c: Communicator) -> None:
        if c.rank == 1:
            assert go.wait(20)
            c.send(np.full(1 << 16, 7, np.uint8), 0)
            c.send(np.zeros(1, np.uint8), 0)
            return
        x = np.zeros(1 << 16, np.uint8)
        alive = weakref.ref(x)
        c.recv(x, 1, async_op=True)
        del x
        gc.collect()
        kept = alive()
        assert kept is not None
        go.set()
        c.recv(np.zeros(1, np.uint8), 1)  # messages of one rank come in order
        assert np.all(kept == 7)
        del kept
        for _ in range(64):
            c.recv(np.zeros(0, np.uint8), 1, async_op=True)
        assert alive() is None

    run_threads(2, drop, timeout=30)


def test_a_group_that_is_dropped_lets_its_operations_finish() -> None:
    store, results = ThreadStore(), [np.ones(100_000), np.ones(100_000)]

    def start(rank: int) -> None:
        c = distos_coll.init(rank=rank, size=2, store=store, timeout=20)
        c.all_reduce(results[rank], async_op=True)

    threads = [threading.Thread(target=start, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert np.all(results[0] == 2)
    assert np.all(results[1] == 2)


# ---- failures


def test_ranks_that_call_different_things_are_told() -> None:
    def differ(c: Communicator) -> None:
        with raises("calls-differ", r"all_reduce of 4 float32.*all_reduce of 5 float32|5.*4"):
            c.all_reduce(ones(4 + c.rank))

    run_threads(2, differ, timeout=20)


def test_a_rank_that_does_not_come_is_named() -> None:
    done = threading.Event()

    def absent(c: Communicator) -> None:
        if c.rank == 2:
            assert done.wait(20)
            return
        c._native.set_timeout(int(1000 * SHORT))
        with raises("operation-timeout", r"rank 2 \(process"):
            c.all_reduce(ones(4))
        done.set()

    run_threads(3, absent, timeout=20)


def test_the_monitored_barrier_names_who_is_missing() -> None:
    done = threading.Event()

    def barrier(c: Communicator) -> None:
        c.monitored_barrier()
        c.monitored_barrier(timeout=20, wait_all_ranks=True)
        if c.rank == 1:
            assert done.wait(20)
            return
        with raises("barrier-timeout", r"rank 1 .*failed to pass monitored_barrier"):
            c.monitored_barrier(timeout=SHORT)
        done.set()

    run_threads(2, barrier, timeout=20)


def test_abort_ends_what_others_wait_for() -> None:
    def abort(c: Communicator) -> None:
        if c.rank == 0:
            c.recv(ones(1), 1)
            c.abort("enough")
            with raises("group-aborted", "enough"):
                c.barrier()
            return
        work = c.recv(ones(1), 0, tag=9, async_op=True)
        c.send(ones(1), 0)
        for call in (c.barrier, work.wait, work.wait, c.barrier, lambda: c.split(0)):
            with raises("group-aborted", "rank 0 aborted the group 'world': enough"):
                call()

    run_threads(2, abort, timeout=20)


def test_a_rank_that_leaves_is_named() -> None:
    def leave(c: Communicator) -> None:
        if c.rank == 1:
            return
        with raises("peer-lost", r"rank 1 .*left while rank 0 was in .*all_reduce"):
            c.all_reduce(ones(4))

    run_threads(2, leave, timeout=20)


@pytest.mark.parametrize("size", [1, 2])
def test_a_group_is_closed_once_and_not_used_afterwards(size: int) -> None:
    def close(c: Communicator) -> None:
        c.barrier()
        c.close()
        c.close()
        c.abort()
        calls: list[Callable[[], Any]] = [
            c.barrier,
            lambda: c.all_reduce(ones(3)),
            lambda: c.split(0),
            lambda: c.all_gather(ones(3), async_op=True),
        ]
        if size > 1:
            calls.append(lambda: c.send(ones(1), 1 - c.rank))
        for call in calls:
            with raises("group-closed", "the group 'world' was closed"):
                call()
        assert c.size == size
        assert "barrier" in str(c.explain("barrier", 0))

    run_threads(size, close, timeout=20)


@pytest.mark.parametrize("error", [ZeroDivisionError("boom"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_in_one_thread_ends_the_others(error: BaseException) -> None:
    seen: list[BaseException] = []

    def fail(c: Communicator) -> None:
        try:
            part = c.split(0)
            assert part is not None
            if c.rank == 1:
                raise error
            (part if c.rank == 0 else c).barrier()
        except Aborted as abort:
            seen.append(abort)
            raise

    with pytest.raises(type(error)) as caught:
        run_threads(3, fail, timeout=60)
    assert caught.value is error
    assert len(seen) == 2
    for abort in seen:
        assert "rank 1 aborted the group 'world" in str(abort)
        assert f"{type(error).__name__}: {error}" in str(abort)


@pytest.mark.parametrize("rank", range(3))
def test_a_wrong_argument_of_one_rank_is_the_cause(rank: int) -> None:
    def fail(c: Communicator) -> None:
        c.all_reduce(ones(3), op="mean" if c.rank == rank else "sum")

    with raises("no-reduction", "there is no reduction 'mean'"):
        run_threads(3, fail, timeout=60)


def test_a_program_that_ends_well_does_not_abort() -> None:
    def end(c: Communicator) -> None:
        c.send(ones(1), 1 - c.rank, async_op=True)
        if c.rank == 0:
            raise SystemExit
        c.recv(ones(1), 0)

    with pytest.raises(SystemExit):
        run_threads(2, end, timeout=20)


# ---- split


def test_split_makes_groups_by_color_ordered_by_key() -> None:
    def split(c: Communicator) -> tuple[int, int, int] | None:
        color = None if c.rank == 4 else c.rank % 2 - 7
        part = c.split(color, key=-c.rank)
        if part is None:
            return None
        with part:
            total = part.all_reduce(np.array([c.rank]))
            return part.rank, part.size, int(total[0])

    assert run_threads(5, split, timeout=30) == [(1, 2, 2), (1, 2, 4), (0, 2, 2), (0, 2, 4), None]


def test_equal_keys_keep_the_order_of_ranks_and_splits_nest() -> None:
    def split(c: Communicator) -> str:
        half = c.split(c.rank // 2)
        assert half is not None
        assert (half.rank, half.size) == (c.rank % 2, 2)
        again = c.split(0)
        assert again is not None
        assert again.rank == c.rank
        one = half.split(half.rank)
        assert one is not None
        assert one.size == 1
        assert one.all_reduce(np.array([c.rank])) == c.rank
        assert half.all_reduce(np.array([c.rank])) == 4 * (c.rank // 2) + 1
        # A group outlives the one that it was made from.
        half.close()
        assert one.all_gather(ones(2)).shape == (1, 2)
        return one.name

    assert run_threads(4, split, timeout=30) == [
        "world/1.0/1.0",
        "world/1.0/1.1",
        "world/1.1/1.0",
        "world/1.1/1.1",
    ]


def test_split_into_no_group() -> None:
    assert run_threads(3, lambda c: c.split(None), timeout=20) == [None] * 3


def test_memory_is_told_while_a_call_waits() -> None:
    asked = threading.Event()

    def ask(c: Communicator) -> None:
        if c.rank == 1:
            assert asked.wait(20)
            c.barrier()
            return
        waits = threading.Thread(target=c.barrier)
        waits.start()
        # Some of these come while the barrier holds what a running operation holds.
        for _ in range(200):
            assert "memory" in c.describe()
        asked.set()
        waits.join()

    run_threads(2, ask, timeout=30)
