"""Registered memory at the array door: who gets it, when it is used, how long it lives.

That results are right is test_native_collectives.py's.
"""

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from distos_coll import Communicator, run_threads

COUNT = 1 << 18
"""Elements of float32, so many that the plan takes registered memory at any number of ranks."""
REGISTERED = "direct2/registered"


def on_ranks(size: int, function: Callable[[Communicator], Any]) -> list[Any]:
    return run_threads(size, function, timeout=60)


def algorithm_of(c: Communicator, x: Any, out: Any = None) -> str:
    work = c.all_reduce(x, out=out, async_op=True)
    work.wait()
    return str(work.algorithm)


def registered(c: Communicator) -> Any:
    """An array in registered memory that all ranks map; each of them must ask for one."""
    x = c.empty(COUNT)
    # Mapping it takes the others a moment. All ranks get the same answer, so they stop together.
    x[:] = 0
    while algorithm_of(c, x) != REGISTERED:
        pass
    return x


def test_it_is_used_in_place_and_out_of_place() -> None:
    def body(c: Communicator) -> None:
        x, out = registered(c), registered(c)
        x[:] = c.rank + 1
        assert algorithm_of(c, x, out) == REGISTERED
        assert (x == c.rank + 1).all()
        assert (out == 6).all()
        assert algorithm_of(c, x[100:-100]) == REGISTERED
        assert (x[100:-100] == 6).all()
        assert (x[:100] == c.rank + 1).all()
        # A part of the result lies in private memory.
        private = np.zeros(COUNT, np.float32)
        assert algorithm_of(c, out, private) != REGISTERED
        assert (private == 18).all()

    on_ranks(3, body)


@pytest.mark.parametrize("private", [0, 1])
def test_one_ranks_private_array_is_enough_for_all(private: int) -> None:
    def body(c: Communicator) -> None:
        shared = registered(c)
        for _ in range(3):
            x = np.ones(COUNT, np.float32) if c.rank == private else shared
            x[:] = 1
            assert algorithm_of(c, x) != REGISTERED
            assert (x == 2).all()
        shared[:] = 1
        assert algorithm_of(c, shared) == REGISTERED

    on_ranks(2, body)


def test_small_arrays_are_ordinary_memory() -> None:
    def body(c: Communicator) -> int:
        kept = [c.empty(8) for _ in range(100)]
        assert len(kept) == 100
        return c.memory.registered

    assert on_ranks(2, body) == [0, 0]


def test_memory_outlives_its_group_and_goes_with_the_last_view() -> None:
    def body(c: Communicator) -> None:
        x = registered(c)
        before = c.memory.registered
        assert before >= x.nbytes
        part = x[1000:2000]
        c.close()
        del x
        part[:] = 7
        assert part.base is not None
        assert (part == 7).all()

    on_ranks(2, body)


def test_freed_memory_is_kept_for_the_next_array_of_its_size() -> None:
    def body(c: Communicator) -> None:
        x = registered(c)
        address, held = x.ctypes.data, c.memory.registered
        del x
        gc.collect()
        assert c.memory.registered == held
        y = c.empty((2, COUNT // 2))
        assert y.ctypes.data == address
        # Nothing has to be mapped anew.
        y[:] = 1
        assert algorithm_of(c, y) == REGISTERED

    on_ranks(2, body)


def test_no_more_is_kept_than_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTOS_COLL_REGISTERED_CACHE", str(4 * COUNT))

    def body(c: Communicator) -> None:
        arrays = [c.empty(COUNT) for _ in range(3)]
        assert c.memory.registered == 12 * COUNT
        arrays.clear()
        gc.collect()
        assert c.memory.registered == 4 * COUNT

    on_ranks(2, body)


def test_groups_made_of_others_use_it_too() -> None:
    def body(c: Communicator) -> None:
        x = registered(c)
        part = c.split(c.rank % 2)
        assert part is not None
        x[:] = 1
        assert algorithm_of(part, x) == REGISTERED
        assert (x == 2).all()
        if c.rank == 3:
            c.close()
            return
        small = c.shrink([3])
        x[:] = 1
        assert algorithm_of(small, x) == REGISTERED
        assert (x == 3).all()
        # Memory from the smaller group works in the larger one's place as well.
        y = registered(small)
        y[:] = c.rank
        assert algorithm_of(small, x, y) == REGISTERED
        assert (y == 9).all()

    on_ranks(4, body)


def test_a_group_whose_plan_uses_no_rounds_finds_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ring passes messages, which say nothing of memory; every ninth operation asks."""
    monkeypatch.setenv("DISTOS_COLL_ALGO", "allreduce:ring,direct2")

    def body(c: Communicator) -> None:
        for _ in range(20):
            assert algorithm_of(c, np.ones(1 << 20, np.float32)) != REGISTERED
        registered(c)

    on_ranks(2, body)


def test_explain_tells_what_runs_in_registered_memory() -> None:
    def body(c: Communicator) -> str:
        return str(c.explain("all_reduce", 4 * COUNT))

    text = on_ranks(2, body)[0]
    assert "chosen instead where all ranks' arrays lie in registered memory" in text
