"""nccl-tests' lines and JSON, from made-up rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from error_page import raises

from distos_coll.bench import table
from distos_coll.bench.options import Options
from distos_coll.bench.report import Report, free_name
from distos_coll.bench.run import Listener, Measure, Member, Row, Totals
from distos_coll.bench.table import Table

GOOD = Measure(0.000125, 1.0, 1.5, 0)
BAD = Measure(0.0121, 0.25, 0.375, 12345, 2)
UNCHECKED = Measure(2e-6, 40.0, 60.0, None)
ROW = Row("all_reduce", 1048576, 262144, "float", "sum", -1, GOOD, BAD, "ring")
MEMBERS = [Member(0, 17, "left", "x86_64 avx2", 0), Member(1, 18, "right", "x86_64 avx2", 1)]
OPTIONS = Options(
    collectives=("all_reduce", "broadcast"),
    sizes=(8, 16, 32),
    span=(8, 40),
    step=("factor", 2),
    checks=1,
)


def play(listener: Listener, rows: Sequence[Row], options: Options = OPTIONS) -> None:
    listener.begin(options, "a library 1.0", MEMBERS)
    listener.section("all_reduce")
    listener.left_out("avg of uint8", "not offered")
    for row in rows:
        listener.row(row)
    listener.section_end("all_reduce", Totals.of(rows))
    listener.end(Totals.of(rows))


def printed(rows: Sequence[Row], options: Options = OPTIONS) -> list[str]:
    said: list[str] = []
    play(Table(said.append), rows, options)
    return "\n".join(said).splitlines()


def document(rows: Sequence[Row], options: Options = OPTIONS) -> dict[str, Any]:
    said: list[str] = []
    play(Report(said.append, ["bench", "all"]), rows, options)
    (text,) = said
    found: dict[str, Any] = json.loads(text)
    return found


@pytest.mark.parametrize(
    ("value", "width", "text"),
    [
        (0.0, 7, "   0.00"),
        (1.234, 7, "   1.23"),
        (9999.5, 7, "9999.50"),
        (12345.6, 7, "12345.6"),
        (123456.7, 7, " 123457"),
        (1234567.8, 7, "1234568"),
        (12345678.9, 7, "1.2e+07"),
        (999.99, 6, "999.99"),
        (1234.5, 6, "1234.5"),
        (12345.6, 6, " 12346"),
        (123456.7, 6, "123457"),
        (1234567.0, 6, " 1e+06"),
    ],
)
def test_numbers_keep_their_columns(value: float, width: int, text: str) -> None:
    assert table.number(value, width) == text
    assert len(text) == width


def test_a_row_is_nccl_tests_with_the_algorithm_behind() -> None:
    head = "     1048576        262144     float     sum      -1"
    out_of_place = "   125.00    1.00    1.50       0"
    in_place = "  12100.0    0.25    0.38   12345"
    assert table.line(ROW) == f"{head}{out_of_place}{in_place}  ring"
    unchecked = Row("reduce", 8, 2, "half", "avg", 3, None, UNCHECKED, "")
    assert table.line(unchecked) == (
        "           8             2      half     avg       3"
        "      N/A     N/A     N/A     N/A     2.00   40.00   60.00     N/A"
    )
    assert table.line(ROW, "2030-01-02 03:04:05").split()[-3:] == [
        "2030-01-02",
        "03:04:05",
        "ring",
    ]


def test_the_heading_stands_over_the_columns() -> None:
    forms, names, units = table.heading()
    assert forms == (
        "#                                                              "
        "out-of-place                       in-place"
    )
    four = "time algbw busbw #wrong"
    assert " ".join(names.split()) == f"# size count type redop root {four} {four} algorithm"
    assert " ".join(units.split()) == "# (B) (elements) (us) (GB/s) (GB/s) (us) (GB/s) (GB/s)"
    row = table.line(ROW)
    # Each name ends where its column does.
    for name, cell in (("size", "1048576"), ("root", "-1"), ("#wrong", "12345")):
        assert names.rindex(name) + len(name) == row.rindex(cell) + len(cell)


def test_header_and_footer() -> None:
    lines = printed([ROW, ROW])
    assert lines[0].startswith("# distos-coll bench version ")
    assert "(a library 1.0)" in lines[0]
    assert lines[1] == (
        "# nThread 1 nGpus 1 minBytes 8 maxBytes 40 step: 2(factor) warmup iters: 1 iters: 20 "
        "agg iters: 1 validation: 1 graph: 0 unalign: 0"
    )
    assert "# Ranks: 2 hosts: 2 domains: 2" in lines
    assert "#  Rank  1 Group  0 Pid     18 on      right device  0 [domain 1] x86_64 avx2" in lines
    assert "# Collective test starting: all_reduce" in lines
    assert "# left out: avg of uint8: not offered" in lines
    assert lines.count("# Out of bounds values : 4 FAILED") == 2  # the section's and the run's
    assert "# Avg bus bandwidth    : 0.9375 " in lines
    assert "# Collective test concluded: all_reduce" in lines


def test_a_good_run_says_ok() -> None:
    good = Row("all_reduce", 8, 2, "float", "sum", -1, GOOD, GOOD, "")
    assert "# Out of bounds values : 0 OK" in printed([good])
    assert document([good])["out_of_bounds"] == {"count": 0, "okay": "true"}


def test_what_is_not_as_usual_is_said() -> None:
    options = Options(blocking=1, average=3, timestamps=True)
    lines = printed([ROW], options)
    assert any(line.startswith("# Blocking Enabled") for line in lines)
    assert "# Time of: maximum over ranks" in lines
    assert not any(line == "# All collectives" for line in lines)


def test_json_has_nccl_tests_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISTOS_COLL_ALGO", "ring")
    monkeypatch.setenv("DISTOS_COLL_JOB_KEY_FILE", "/a/secret")
    monkeypatch.setenv("PASSWORD", "secret")
    found = document([ROW])
    assert found["version"] == 2
    assert found["args"] == ["bench", "all"]
    assert found["env"] == ["DISTOS_COLL_ALGO=ring"]
    config = found["config"]
    assert (config["minimum_bytes"], config["maximum_bytes"]) == (8, 40)
    assert (config["step_factor"], config["iterations"], config["validation"]) == (2, 20, 1)
    assert config["blocking_collectives"] == "false"
    assert config["devices"][1] == {
        "rank": 1,
        "group": 0,
        "pid": 18,
        "hostname": "right",
        "device": 0,
        "device_hex": "",
        "device_info": "x86_64 avx2",
        "domain": 1,
    }
    (result,) = found["results"]
    assert result == {
        "size": 1048576,
        "count": 262144,
        "type": "float",
        "redop": "sum",
        "root": "    -1",
        "out_of_place": {"time": 125.0, "alg_bw": 1.0, "bus_bw": 1.5, "nwrong": 0.0},
        "in_place": {"time": 12100.0, "alg_bw": 0.25, "bus_bw": 0.375, "nwrong": 12345.0},
        "actual_iterations": 20,
        "experiment_name": "all_reduce",
        "algorithm": "ring",
    }
    assert found["out_of_bounds"] == {"count": 2, "okay": "false"}
    assert found["average_bus_bandwidth"] == {"bandwidth": 0.9375, "okay": "unchecked"}
    assert found["errors"] == []
    assert found["left_out"] == [
        {"experiment_name": "all_reduce", "what": "avg of uint8", "why": "not offered"}
    ]
    assert found["start_time"] <= found["end_time"]


def test_json_of_a_missing_form_and_an_unchecked_one() -> None:
    row = Row("broadcast", 8, 2, "half", "none", 0, None, UNCHECKED, "")
    (result,) = document([row])["results"]
    assert result["out_of_place"] is None
    assert result["in_place"]["nwrong"] is None


def test_a_file_that_exists_is_kept(tmp_path: Path) -> None:
    wanted = tmp_path / "out.json"
    assert free_name(str(wanted)) == wanted
    wanted.touch()
    (tmp_path / "out.json.0").touch()
    assert free_name(str(wanted)) == tmp_path / "out.json.1"


def test_a_place_that_cannot_be_written_is_told_before_the_run(tmp_path: Path) -> None:
    with raises("bench-no-file"):
        free_name(str(tmp_path / "missing" / "out.json"))


def test_totals_of_nothing() -> None:
    assert Totals.of([]) == Totals(0, 0.0)
