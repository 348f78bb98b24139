"""Ranks with different profiles, or none: all plan by rank 0's."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import joined
import pytest
from error_page import raises
from measured import ALL_REDUCE, favouring, profile_of, stored

from distos_coll import _native, profiles
from distos_coll.communicator import Communicator, Home
from distos_coll.planner import ClusterView
from distos_coll.settings import Settings
from distos_coll.testing.ranks import run_threads
from distos_coll.work import translated

T = TypeVar("T")
RING, TREE = "ring", "tree"


@pytest.fixture(params=[True, False], ids=["single_copy", "staged"])
def values(request: pytest.FixtureRequest) -> Settings:
    return Settings(single_copy=request.param)


@pytest.fixture
def file_of(tmp_path: Path, values: Settings) -> Callable[[str], str]:
    def made(name: str) -> str:
        """Write a profile of two ranks that favours an algorithm."""
        views = [ClusterView.one_domain(2, single_copy=copy) for copy in (False, True)]
        both = [profile_of(view, {ALL_REDUCE: favouring(name)}) for view in views]
        tables = tuple(table for each in both for table in each.tables)
        path = tmp_path / f"{name}.json"
        profiles.save(stored(replace(both[0], tables=tables)), path)
        return str(path)

    return made


def together(values: Settings, named: list[str], function: Callable[[Communicator], T]) -> list[T]:
    """Call it as ranks that have these profiles."""
    return joined.together([replace(values, profile=name) for name in named], function)


def chosen(group: Communicator) -> str:
    """Run one; return the algorithm that served it."""
    work = group.all_reduce(group.empty(1000), async_op=True)
    work.wait()
    return str(work.algorithm)


def test_one_host_is_calibrated(values: Settings, file_of: Callable[[str], str]) -> None:
    assert together(values, [file_of(TREE), "none"], chosen) == [TREE, TREE]
    assert together(values, ["none", file_of(TREE)], chosen) != [TREE, TREE]


def test_both_are_and_differ(values: Settings, file_of: Callable[[str], str]) -> None:
    assert together(values, [file_of(TREE), file_of(RING)], chosen) == [TREE, TREE]
    assert together(values, [file_of(RING), file_of(TREE)], chosen) == [RING, RING]


def test_a_part_has_a_rank_0_of_its_own(values: Settings, file_of: Callable[[str], str]) -> None:
    def reversed_part(group: Communicator) -> str:
        part = group.split(0, key=-group.rank)
        assert part is not None
        with part:
            return chosen(part)

    assert together(values, [file_of(TREE), file_of(RING)], reversed_part) == [RING, RING]


def test_one_that_is_named_and_not_there_is_refused_by_all(tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.json")
    refused: list[int] = []

    def one(rank: int) -> None:
        with translated():
            runtime = _native.Runtime("")
        home = Home(runtime, Settings(profile=missing if rank == 0 else "none"), 20.0)
        with raises("profile-refused", "^rank 0: .*No such file"):
            Communicator.join(home, store, rank, range(2), "world")
        refused.append(rank)

    store = _native.MemoryStore()
    run_threads(one, range(2))
    assert sorted(refused) == [0, 1]
