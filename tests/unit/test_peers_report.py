"""bench/peers without its peers: figures, promises, the report, who is asked in which order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.peers import must_show, report, stats
from bench.peers.__main__ import options_of, parser
from bench.peers.conductor import Conductor
from bench.peers.doors import Array, Call, pattern
from bench.peers.grid import Cell, cells, parse_size, size_text, sizes_between
from bench.peers.group import PeerLost, PeerRefused
from bench.peers.must_show import KIB, MIB
from bench.peers.rank import Bound, Server
from bench.peers.results import Entry, Measured, Results, Wait, load

# ---- the grid


def test_sizes_are_rounded_up_to_what_the_ranks_divide_and_come_once() -> None:
    found = cells(["all_reduce", "all_gather", "barrier"], [4, 8, 64], ranks=4)
    assert found == [
        Cell("all_reduce", 1),
        Cell("all_reduce", 2),
        Cell("all_reduce", 16),
        Cell("all_gather", 4),
        Cell("all_gather", 16),
        Cell("barrier", 0),
    ]


def test_sizes_as_text() -> None:
    assert [parse_size(text) for text in ("4", "64K", "256m")] == [4, 64 << 10, 256 << 20]
    assert [size_text(n) for n in (4, 2048, 1536 << 10)] == ["4 B", "2 KiB", "1.5 MiB"]
    assert sizes_between(4, 70, 4) == [4, 16, 64]


# ---- figures


def test_a_ratio_is_the_median_of_the_repeats_ratios() -> None:
    # Not the ratio of the medians, which would be 1.
    found = stats.ratio_of([1, 2, 9], [2, 9, 1])
    assert found is not None
    assert found.median == 0.5
    assert found.spreads


def test_repeats_without_both_do_not_count() -> None:
    assert stats.ratio_of([2, None, 2, 8], [1, 1, None, 4]) == stats.Ratio(2, 0)
    assert stats.ratio_of([None, 2], [1, None]) is None


def test_the_spread_is_that_of_the_quartiles() -> None:
    found = stats.ratio_of([0.9, 0.95, 1, 1.06, 5], [1] * 5)
    assert found is not None
    assert found.spread == pytest.approx(0.11)
    assert found.spreads


# ---- promises


def entry(peer: str, us: float, dtype: str = "float32") -> Entry:
    return Entry(peer, dtype, calls=[10] * 7, seconds=[us * 1e-5] * 7)


def cell(
    collective: str,
    nbytes: int,
    *entries: Entry,
    ranks: int = 2,
    load: int = 0,
    mode: str = "same",
) -> Measured:
    return Measured(collective, nbytes // 4, ranks, load, mode, list(entries))


def verdicts(item: str, *measured: Measured, waits: tuple[Wait, ...] = ()) -> list[bool]:
    results = Results(cells=list(measured), waits=list(waits))
    return [line.met for line in lines_of(item, results)]


def lines_of(item: str, results: Results) -> list[must_show.Line]:
    found = {promise.item: lines for promise, lines in must_show.evaluate(results)}
    return found[item]


@pytest.mark.parametrize(
    ("item", "met", "missed"),
    [
        ("1a", [("distos-torch", 15), ("noop", 10)], [("distos-torch", 16), ("noop", 10)]),
        ("1b", [("distos-torch", 1), ("gloo", 15)], [("distos-torch", 1), ("gloo", 14)]),
        ("2a", [("distos", 10), ("mpich", 9.6)], [("distos", 11), ("mpich", 9)]),
    ],
)
def test_small_all_reduce(
    item: str, met: list[tuple[str, float]], missed: list[tuple[str, float]]
) -> None:
    for peers, verdict in ((met, True), (missed, False)):
        assert verdicts(item, cell("all_reduce", 4, *(entry(*p) for p in peers))) == [verdict]


def test_the_best_mpi_counts_whichever_it_is() -> None:
    three = [entry("distos", 10), entry("openmpi", 8), entry("mpich", 30)]
    assert verdicts("2a", cell("all_reduce", MIB, *three, ranks=4)) == [False]
    assert verdicts("2b", cell("all_reduce", MIB, *three)) == [False]
    three[1] = entry("openmpi", 15)
    assert verdicts("2b", cell("all_reduce", MIB, *three)) == [True]
    # Eight ranks, and loaded machines, are not promised anything.
    assert verdicts("2a", cell("all_reduce", MIB, *three, ranks=8)) == []
    assert verdicts("2a", cell("all_reduce", MIB, *three, load=4)) == []


def test_gloo_between_the_promised_sizes_is_not_judged() -> None:
    both = [entry("distos-torch", 10), entry("gloo", 60)]
    sizes = (64 * KIB, 256 * KIB, MIB)
    assert verdicts("1b", *(cell("all_reduce", n, *both) for n in sizes)) == [False, True]


@pytest.mark.parametrize(("limit", "mpi", "met"), [(9, 1, True), (1, 16, True), (8, 14, False)])
def test_a_copy_is_near_the_limit_or_fast(limit: float, mpi: float, met: bool) -> None:
    same = cell("broadcast", MIB, entry("distos", 10), entry("openmpi", mpi))
    fresh = cell("broadcast", MIB, entry("distos", 10), entry("limit", limit), mode="fresh")
    assert verdicts("2c", same, fresh) == [met]


def test_a_copy_without_limit_is_judged_by_mpi_alone() -> None:
    assert verdicts("2c", cell("broadcast", MIB, entry("distos", 10), entry("mpich", 9))) == [False]


@pytest.mark.parametrize(
    ("nbytes", "private", "registered"),
    [(MIB, 5, 1.5), (4 * MIB, 3, 1.25), (32 * MIB, 3, 1.25), (64 * MIB, 1.4, 1.25)],
)
def test_bounds_to_the_limit(nbytes: int, private: float, registered: float) -> None:
    for factor, verdict in ((0.99, True), (1.01, False)):
        measured = cell(
            "all_reduce",
            nbytes,
            entry("distos", private * factor),
            entry("distos-registered", registered * factor),
            entry("limit", 1),
            mode="fresh",
        )
        assert verdicts("3a", measured) == [verdict]
        assert verdicts("3b", measured) == [verdict]


def test_halves_are_compared_with_as_many_floats() -> None:
    three = [entry("distos", 10)]
    three += [entry("distos", 5, "bfloat16"), entry("distos", 7, "float16")]
    assert verdicts("4", cell("all_reduce", 4 * MIB, *three)) == [True, False]
    assert verdicts("4", cell("all_reduce", MIB, *three)) == []


def test_under_load() -> None:
    alone = cell("all_reduce", MIB, entry("distos", 10), entry("distos-torch", 10))
    loaded = cell(
        "all_reduce",
        MIB,
        entry("distos", 79),
        entry("distos-torch", 81),
        entry("gloo", 80),
        load=4,
    )
    assert verdicts("5a", alone, loaded) == [True, False]
    assert verdicts("5b", alone, loaded) == [True, False]
    assert verdicts("5b", loaded) == []


def test_a_loaded_mean_is_not_a_median() -> None:
    stalls = entry("distos", 10)
    stalls.seconds[0] = 10 * 350e-6
    assert verdicts("5c", cell("all_reduce", 4, stalls, load=4)) == [False]
    assert verdicts("5c", cell("all_reduce", 4, entry("distos", 10), load=4)) == [True]


def test_waits() -> None:
    waits = (Wait("distos", 2, 0, 0.02, [0.04]), Wait("distos-torch", 2, 4, 0.2, [0.01, 0.06, 0.9]))
    assert verdicts("5d", waits=waits) == [True, False]


# ---- the report


def spreading_run() -> Results:
    steady, wild = entry("distos", 10), entry("distos", 10)
    wild.seconds = [float(number + 1) for number in range(7)]
    refused = Entry("mpich", "bfloat16", refused="has no bfloat16")
    return Results(
        cells=[
            cell("all_reduce", 4, steady, entry("openmpi", 10), refused),
            cell("all_reduce", 64, wild, entry("openmpi", 10)),
        ],
        skipped={"ucc, 2 ranks": "this torch was built without UCC"},
    )


def test_cells_that_spread_are_listed_apart() -> None:
    text = report.markdown(spreading_run())
    promised, _, apart = text.partition("### Cells whose quartiles spread")
    steady, wild = (
        "| 2a | 2 ranks, load 0, all_reduce 4 B",
        "| 2a | 2 ranks, load 0, all_reduce 64 B",
    )
    assert steady in promised
    assert wild not in promised
    assert wild in apart
    assert "1 of 2, 50%; at most 20%: NOT met." in apart


def test_the_report_says_what_is_missing() -> None:
    text = report.markdown(spreading_run())
    assert "- ucc, 2 ranks: this torch was built without UCC" in text
    assert "- mpich bfloat16, all_reduce: has no bfloat16" in text
    assert "| 3b | registered memory: at the limit from 1 MiB | not measured |" in text
    assert "| all_reduce | same | float32 | 4 B | 10.00 | 10.00 |" in text


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    results = spreading_run()
    results.waits.append(Wait("gloo", 2, 0, 0.02, [0.5]))
    file = tmp_path / "results.json"
    results.save(file)
    assert load(file) == results
    file.write_text("{}")
    with pytest.raises(ValueError, match="not a result of this version"):
        load(file)


# ---- a rank


class SumDoor:
    """Rank 0 of two, without the other: what comes out is what the test says."""

    title, rank, ranks, computes = "sums", 0, 2, True

    def __init__(self, total: float) -> None:
        self._total = total

    def empty(self, count: int, dtype: str) -> Array:
        return np.empty(count, np.uint32)

    def bind(self, collective: str, x: Array, out: Array, dtype: str) -> Call:
        def call() -> None:
            if x.any():
                out.fill(pattern(dtype, self._total))

        return call

    def barrier(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("mode", ["same", "fresh"])
def test_a_rank_times_calls(mode: str) -> None:
    answer = Server(SumDoor(3)).answer(f"run all_reduce 4 float32 5 {mode}")
    assert answer["seconds"] > 0


def test_a_wrong_result_is_not_timed() -> None:
    with pytest.raises(ArithmeticError, match="4 wrong elements of 4"):
        Bound(SumDoor(4), "all_reduce", 4, "float32")


def test_patterns_are_the_types_bits() -> None:
    assert pattern("bfloat16", 3) == 0x4040
    assert pattern("float16", 3) == 0x4200
    assert pattern("float32", 3) == 0x40400000


# ---- the conductor


class FakeGroup:
    """Answers at once with so many microseconds a call; says who was asked."""

    def __init__(self, name: str, us: float, asked: list[str]) -> None:
        self._name, self._us, self._asked = name, us, asked
        self.dies_after = 10**9

    def ask(self, line: str, timeout: float) -> list[dict[str, Any]]:
        self._asked.append(self._name)
        words = line.split()
        self.dies_after -= 1
        if self.dies_after < 0:
            raise PeerLost("a rank closed its connection")
        if words[3] == "bfloat16":
            raise PeerRefused("has no bfloat16")
        seconds = int(words[4]) * self._us * 1e-6
        return [{"seconds": seconds / 2}, {"seconds": seconds}]


def conductor_of(*groups: tuple[str, float]) -> tuple[Conductor, list[str], Results]:
    asked: list[str] = []
    names = [name for name, _ in groups]
    line = ["--repeats", "3", "--dtypes", "float32", "bfloat16", "--peers", *names]
    results = Results()
    conductor = Conductor(options_of(parser().parse_args(line)), results, lambda: None)
    conductor._groups = {name: FakeGroup(name, us, asked) for name, us in groups}  # type: ignore[misc]
    return conductor, asked, results


def test_the_order_rotates_and_bursts_are_full() -> None:
    conductor, asked, _ = conductor_of(("distos", 5), ("gloo", 500), ("mpich", 50_000))
    measured = conductor._measure(Cell("broadcast", 4), 2, 0, "same")
    order = list(dict.fromkeys(asked[-3:]))
    assert order == ["mpich", "distos", "gloo"], "the third repeat starts with the third"
    assert [e.median() for e in measured.entries] == pytest.approx([5e-6, 5e-4, 5e-2])
    for each in measured.entries:
        assert len(each.seconds) == 3
        assert min(each.seconds) >= 0.045


def test_a_type_that_a_peer_lacks_is_asked_for_once() -> None:
    conductor, _, _ = conductor_of(("openmpi", 5))
    measured = conductor._measure(Cell("all_reduce", 4), 2, 0, "same")
    there, lacks = measured.entries
    assert len(there.calls) == 3
    assert (lacks.dtype, lacks.refused) == ("bfloat16", "has no bfloat16")
    assert lacks.median() is None


def test_the_limit_takes_part_in_fresh_calls_only() -> None:
    conductor, _, _ = conductor_of(("limit", 5))
    assert conductor._measure(Cell("broadcast", 4), 2, 0, "same").entries == []
    assert len(conductor._measure(Cell("broadcast", 4), 2, 0, "fresh").entries) == 1


def test_a_run_whose_last_peer_is_lost_ends() -> None:
    conductor, asked, results = conductor_of(("gloo", 500))
    conductor._groups["gloo"].dies_after = 4  # type: ignore[attr-defined]
    conductor._measure_all(2, 0)
    assert len(results.cells) == 1
    assert len(asked) == 5


def test_the_run_goes_on_without_a_peer_that_is_lost() -> None:
    conductor, _, results = conductor_of(("gloo", 500), ("distos", 5))
    conductor._groups["gloo"].dies_after = 4  # type: ignore[attr-defined]
    measured = conductor._measure(Cell("broadcast", 4), 2, 0, "same")
    gloo, distos = measured.entries
    assert gloo.refused == "lost: a rank closed its connection"
    assert [time is not None for time in distos.times()] == [True] * 3
    assert list(conductor._groups) == ["distos"]
    (told,) = results.skipped.items()
    assert told == (
        "gloo, after `run broadcast 4 float32 100 same`",
        "a rank closed its connection",
    )
