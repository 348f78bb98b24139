"""shrink() of the array door, with ranks as threads; tests/faults kills processes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from error_page import raises

from distos_coll import Communicator, _native, run_threads
from distos_coll.errors import Aborted, GroupBroken, InvalidArgument, PeerLeft, TimeoutExpired


def on_ranks(size: int, function: Callable[[Communicator], Any]) -> list[Any]:
    return run_threads(size, function, timeout=30)


def test_those_that_are_left_keep_their_order_and_split_again() -> None:
    def body(c: Communicator) -> Any:
        if c.rank == 1:
            c.close()
            return None
        with pytest.raises(PeerLeft):
            c.barrier()
        small = c.shrink()
        c.close()
        part = small.split(0)
        assert part is not None
        gathered = part.all_gather(np.array([c.rank])).ravel().tolist()
        part.close()
        small.close()
        return small.rank, small.size, gathered

    assert on_ranks(4, body) == [(0, 3, [0, 2, 3]), None, (1, 3, [0, 2, 3]), (2, 3, [0, 2, 3])]


def test_ranks_that_live_are_excluded_and_told_if_they_ask() -> None:
    def body(c: Communicator) -> Any:
        if c.rank == 2:
            with pytest.raises(Aborted, match="rank 2 was left out by the other ranks of group"):
                c.shrink()
            return None
        small = c.shrink([2])
        total = int(small.all_reduce(np.array([c.rank]))[0])
        # All must have read before one of them ends the group.
        small.barrier()
        return small.size, total

    assert on_ranks(3, body) == [(2, 1), (2, 1), None]


def test_a_group_is_shrunk_more_than_once() -> None:
    def body(c: Communicator) -> Any:
        sizes = []
        for gone in (3, 2, 1):
            if c.rank == gone:
                break
            c = c.shrink([gone])
            sizes.append(c.size)
        return sizes

    assert on_ranks(4, body) == [[3, 2, 1], [3, 2], [3], []]


def test_a_rank_that_lives_and_does_not_call_is_named_and_may_come_later() -> None:
    def body(c: Communicator) -> Any:
        if c.rank < 2:
            # On a busy machine rank 1 may be late, too, and is then named beside rank 2.
            absent = (
                r"shrink of group 'world': .*rank 2 \(process \d+ on .*\) neither ended nor called"
            )
            with pytest.raises(TimeoutExpired, match=absent):
                c.shrink(timeout=0.5)
        c.barrier()
        with c.shrink() as small:
            small.barrier()
            return small.size

    assert on_ranks(3, body) == [3, 3, 3]


@pytest.mark.parametrize("rank", [-1, 0, 2])
def test_ranks_that_cannot_be_excluded_are_refused(rank: int) -> None:
    def body(c: Communicator) -> None:
        if c.rank == 0:
            with pytest.raises(InvalidArgument, match=f"rank {rank} cannot be excluded"):
                c.shrink([rank])

    on_ranks(2, body)


def test_shrink_inside_a_group_is_refused() -> None:
    def body(c: Communicator) -> None:
        with c.group(), pytest.raises(InvalidArgument, match=r"shrink\(\) cannot wait"):
            c.shrink()

    on_ranks(1, body)


def test_an_exception_ends_the_shrunk_group_too() -> None:
    def body(c: Communicator) -> None:
        small = c.shrink()
        if c.rank == 0:
            raise ValueError("mine")
        with pytest.raises(GroupBroken, match="mine"):
            small.barrier()

    with pytest.raises(ValueError, match="mine"):
        on_ranks(2, body)


def test_a_closed_group_cannot_be_shrunk() -> None:
    def body(c: Communicator) -> None:
        c.close()
        with raises("shrink-closed"):
            c.shrink()

    on_ranks(2, body)


def test_one_that_gives_up_its_call_is_named() -> None:
    def body(c: Communicator) -> None:
        if c.rank == 1:
            part = _native.Shrink(c._native, [], 20_000)
            part.agree()
            assert part.get("distos/card/0", 20_000) is not None  # rank 0 has agreed, too
            del part
        else:
            with raises("shrink-given-up"):
                c.shrink()
        c.barrier()

    on_ranks(2, body)
