"""Every collective in registered memory against numpy; test_registered.py has when it is used."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_native_collectives import ALGORITHMS, REDUCING, Case, compare

from distos_coll import _native
from distos_coll._vocabulary import Collective, ReduceOp
from distos_coll.testing import LocalWorld, Rank
from distos_coll.testing.ranks import Array

_worlds: dict[int, LocalWorld] = {}


@pytest.fixture(scope="module", autouse=True)
def close_worlds() -> Iterator[None]:
    yield
    _arenas.clear()
    for each in _worlds.values():
        each.close()
    _worlds.clear()


def world(n: int) -> LocalWorld:
    if n not in _worlds:
        _worlds[n] = LocalWorld(n, algo="direct1,direct2")
    return _worlds[n]


class Arena:
    """Registered memory of one rank, from which the arrays of one call after the other are cut."""

    def __init__(self, rank: Rank) -> None:
        self._bytes = np.frombuffer(_native.allocate(rank.native, 1 << 23) or b"", np.uint8)
        self._used = 0

    def reset(self) -> None:
        self._used = 0

    def place(self, x: Array) -> Array:
        start, self._used = self._used, self._used + -(-x.nbytes // 8) * 8
        placed: Array = self._bytes[start : start + x.nbytes].view(x.dtype)
        placed[:] = x
        return placed


_arenas: dict[int, list[Arena]] = {}


def arenas(n: int) -> list[Arena]:
    """Of the world of n ranks, once all of them map them."""
    if n not in _arenas:
        made = world(n).run(Arena)

        def settle(rank: Rank) -> None:
            x = made[rank.rank].place(np.ones(100_000, np.float32))
            while rank.all_reduce(x).algorithm != "direct2/registered":
                pass

        world(n).run(settle)
        _arenas[n] = made
    return _arenas[n]


@given(data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_registered_memory_gives_the_same_as_numpy(data: st.DataObject) -> None:
    collective = data.draw(st.sampled_from(sorted(set(ALGORITHMS) - {Collective.ALL_TO_ALL_V})))
    n = data.draw(st.sampled_from([2, 3, 5]))
    count = data.draw(st.sampled_from([1, 3000, 70_000, 70_001]))
    dtype, op = "uint8", ReduceOp.SUM
    if collective in REDUCING:
        dtype = data.draw(st.sampled_from(["uint8", "int32", "float16", "float64"]))
        op = data.draw(st.sampled_from([ReduceOp.SUM, ReduceOp.MAX, ReduceOp.AVERAGE]))
    root, seed = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, 2**20))
    case = Case(collective, n, count, dtype, op, root, seed)
    in_place, private = data.draw(st.booleans()), data.draw(st.sampled_from([None, 0, n - 1]))
    memory = arenas(n)

    def run(rank: Rank) -> Array | None:
        memory[rank.rank].reset()
        place = np.copy if rank.rank == private else memory[rank.rank].place
        return case.run(rank, in_place, place)

    compare(case, world(n).run(run))
    (algorithm,) = case.algorithms
    if case.largest() == 0:
        return
    rows = world(n).ranks[0].plan.registered_rows
    of_size = [r for r in rows if r.collective is collective and case.largest() <= r.max_bytes]
    # Without a row nothing registered is faster in such a group.
    uses = bool(of_size) and of_size[0].candidate.registered
    passes_input = collective is not Collective.BROADCAST or private == root
    private_input = private is not None and passes_input and len(case.inputs[private]) > 0
    if uses and private is None:
        assert algorithm == of_size[0].candidate.key
    elif not uses or private_input:
        assert "registered" not in algorithm
