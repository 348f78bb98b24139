"""The loop of a run on real groups of threads, also through a door that returns wrong results."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from error_page import raises

import distos_coll
from distos_coll.bench.collectives import COLLECTIVES
from distos_coll.bench.data import OPS
from distos_coll.bench.doors import ArrayDoor, Call, Case
from distos_coll.bench.elements import Array
from distos_coll.bench.options import Options
from distos_coll.bench.run import Measure, Member, Row, Totals, bench
from distos_coll.bench.worker import run_door

SMALL = Options(sizes=(0, 40, 5000), iterations=1, warm_ups=0)


class Notes:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.members: list[Member] = []
        self.left: list[str] = []

    def begin(self, options: Options, title: str, members: Any) -> None:
        self.members = list(members)

    def section(self, collective: str) -> None: ...

    def left_out(self, what: str, why: str) -> None:
        self.left.append(f"{what}: {why}")

    def row(self, row: Row) -> None:
        self.rows.append(row)

    def section_end(self, collective: str, totals: Totals) -> None: ...

    def end(self, totals: Totals) -> None: ...


class WrongDoor(ArrayDoor):
    """Spoils an element of one rank's result, or of its input."""

    def __init__(self, communicator: Any, *, spoil: str = "out", rank: int = 1) -> None:
        super().__init__(communicator)
        self._spoil, self._spoiler = spoil, rank

    def bind(self, case: Case, x: Array, out: Array) -> Call:
        call = super().bind(case, x, out)
        array = out if self._spoil == "out" else x

        def spoiling(**more: Any) -> Any:
            result = call(**more)
            if self.rank == self._spoiler and array.size and not more:
                array.view(np.uint8)[-1] ^= 1
            return result

        return spoiling


def run(
    options: Options, ranks: int = 3, door: Callable[[Any], ArrayDoor] = ArrayDoor
) -> tuple[Totals, Notes]:
    notes = Notes()

    def one(group: Any) -> Totals:
        return bench(door(group), options, [notes] if group.rank == 0 else [])

    every = distos_coll.run_threads(ranks, one)
    assert every == [every[0]] * ranks
    return every[0], notes


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("name", COLLECTIVES)
def test_every_collective_is_exact(name: str, ranks: int) -> None:
    options = replace(SMALL, collectives=(name,), types=("half", "int32"), ops=OPS, root=-1)
    if name == "sendrecv" and ranks == 1:
        with raises("bench-nothing", r"nothing was measured: .*cannot send to itself"):
            run(options, ranks)
        return
    totals, notes = run(options, ranks)
    assert totals.out_of_bounds == 0
    roots = ranks if COLLECTIVES[name].rooted else 1
    kinds = 5 + 8 if COLLECTIVES[name].reduces else 2
    assert len(notes.rows) == (1 if name == "barrier" else 3 * roots * kinds)
    assert all(m.wrong == 0 for row in notes.rows for m in row.measures)
    if name not in {"sendrecv", "barrier"}:
        assert all(row.algorithm for row in notes.rows)


def measures(notes: Notes) -> list[Measure]:
    return [measure for row in notes.rows for measure in row.measures]


@pytest.mark.parametrize("name", [n for n in COLLECTIVES if n != "barrier"])
def test_a_wrong_result_is_counted(name: str) -> None:
    options = replace(SMALL, collectives=(name,), sizes=(5000,), root=1)
    totals, notes = run(options, door=WrongDoor)
    assert [(m.wrong, m.wrong_ranks) for m in measures(notes)] == [(1, 1)] * len(measures(notes))
    assert totals.out_of_bounds == len(measures(notes)) >= 1


def test_a_changed_input_is_counted() -> None:
    options = replace(SMALL, collectives=("all_gather",), sizes=(5000,))
    totals, notes = run(options, door=lambda group: WrongDoor(group, spoil="x"))
    (row,) = notes.rows
    assert row.out_of_place is not None
    assert row.out_of_place.wrong == 1
    assert totals.out_of_bounds == 2  # in place the input is a part of the result


def test_each_check_counts_and_none_is_no_verdict() -> None:
    options = replace(SMALL, collectives=("broadcast",), sizes=(400,), checks=3)
    _, notes = run(options, door=WrongDoor)
    assert [m.wrong for m in measures(notes)] == [3]
    totals, notes = run(replace(options, checks=0), door=WrongDoor)
    assert [m.wrong for m in measures(notes)] == [None]
    assert totals.out_of_bounds == 0


def test_rows_say_what_ran() -> None:
    options = replace(SMALL, collectives=("all_gather", "barrier"), sizes=(1000,), cycles=2)
    _, notes = run(options)
    gather, again, barrier, _ = notes.rows
    assert (gather.nbytes, gather.count, gather.type) == (996, 83, "float")
    assert (gather.op, gather.root) == ("none", -1)
    assert again.collective == "all_gather"
    assert (barrier.nbytes, barrier.type, barrier.in_place) == (0, "none", None)
    assert gather.out_of_place is not None
    seconds = gather.out_of_place.seconds
    assert gather.out_of_place.algorithm_gbps == pytest.approx(996 / seconds / 1e9)
    assert gather.out_of_place.bus_gbps == pytest.approx(996 / seconds / 1e9 * 2 / 3)
    assert [member.rank for member in notes.members] == [0, 1, 2]
    assert {member.domain for member in notes.members} == {0}


@pytest.mark.parametrize("average", [0, 1, 2, 3])
def test_times_of_the_ranks_are_joined(average: int) -> None:
    options = replace(SMALL, average=average, blocking=1, together=2, unalign=1, warm_ups=1)
    totals, notes = run(options)
    assert totals.out_of_bounds == 0
    assert all(m.seconds > 0 for m in measures(notes))


def test_what_is_not_offered_is_left_out_with_the_reason() -> None:
    options = replace(SMALL, types=("uint32", "bool"), ops=("sum", "min", "avg"))
    _, notes = run(options)
    assert {(row.type, row.op) for row in notes.rows} == {
        ("uint32", "sum"),
        ("bool", "sum"),
        ("bool", "min"),
    }
    first, second = notes.left
    assert first.startswith("min, avg of uint32: min of uint32 is not offered")
    assert second == "avg of bool: it has no meaning"


def test_nothing_to_measure_is_an_error() -> None:
    with raises("bench-nothing", "nothing was measured: bxor of float: it has no"):
        run(replace(SMALL, ops=("bxor",)))


def test_a_root_that_is_no_rank() -> None:
    with raises("bench-root", "-r 3: the ranks are 0 to 2"):
        run(replace(SMALL, collectives=("reduce",), root=3))


def test_rank_0_reports(capfd: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    file = tmp_path / "out.json"
    options = replace(SMALL, json_file=str(file))
    results = distos_coll.run_threads(2, lambda group: run_door(WrongDoor(group), options))
    assert results == [False, False]
    text = capfd.readouterr().out
    assert "# Out of bounds values : 4 FAILED" in text
    assert f"# Writing JSON output to {file}" in text
    assert json.loads(file.read_text())["out_of_bounds"] == {"count": 4, "okay": "false"}
    options = replace(SMALL, json_only=True)
    assert (
        distos_coll.run_threads(2, lambda group: run_door(ArrayDoor(group), options)) == [True] * 2
    )
    assert len(json.loads(capfd.readouterr().out)["results"]) == 3
