"""Files of the flight recorder: what is read, what is refused, and the command over it."""

import copy
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from error_page import raises, says
from flight_dumps import ALL_REDUCE, BROADCAST, GROUP, history, message, parsed, raw
from hypothesis import given
from hypothesis import strategies as st

from distos_coll.cli.app import app
from distos_coll.errors import InvalidArgument
from distos_coll.flight import dump, merge, torch_trace

WHOLE = raw(0, 2, [*history([ALL_REDUCE, BROADCAST], 1), message(True, 0, 1, 3)])


def run(*args: object) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["flight", *map(str, args)])


def write(folder: Path, *raws: dict[str, Any]) -> None:
    for each in raws:
        name = f"rank_{each['distos']['rank']}.json"
        (folder / name).write_text(json.dumps(each), encoding="utf-8")


def test_a_dump_is_read() -> None:
    read = parsed(WHOLE)
    assert (read.job_rank, read.host, read.pid, read.reason) == (0, "here", 100, "test")
    [view] = read.views
    assert (view.id, view.name, view.rank, view.job_ranks) == (GROUP, "dp", 0, (0, 1))
    assert [call.call for call in view.calls] == [ALL_REDUCE, BROADCAST]
    assert view.messages == (dump.Message(True, 1, 3, 8, "scheduled"),)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """WHOLE with one of its values gone or replaced."""
    value = copy.deepcopy(WHOLE)
    holder: Any = value
    for _ in range(draw(st.integers(0, 4))):
        below = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
        inner = [key for key in below if isinstance(holder[key], dict | list) and holder[key]]
        if not inner:
            break
        holder = holder[draw(st.sampled_from(inner))]
    key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
    junk: st.SearchStrategy[Any] = st.sampled_from(
        [None, True, -1, 10**30, 0.5, "", "x", "[0, 0]", [], {}, [[]], [{}]]
    )
    holder[key] = draw(junk)
    return value


@given(damaged())
def test_damage_is_refused_or_harmless(value: Any) -> None:
    try:
        read = dump.parse(json.dumps(value), "some.json")
    except InvalidArgument as error:
        assert str(error).startswith("some.json: ")  # noqa: PT017  it may also be read
    else:
        merge.merge([read])
        torch_trace.convert([read])


@given(st.one_of(st.text(), st.integers(0, 400).map(lambda n: json.dumps(WHOLE)[:n])))
def test_garbage_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^some\.json: not "):
        dump.parse(text, "some.json")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"distos": {**WHOLE["distos"], "format": 2}}, "format 2; this version reads format 1"),
        ({"entries": [{"process_group": ["no", ""]}]}, "group 'no', which is not there"),
        ({"entries": [{"process_group": [["no"]]}]}, "group ['no'], which is not there"),
        ({"distos": {}}, "'format' is not of type int"),
    ],
)
def test_refusals_say_why(change: dict[str, Any], why: str) -> None:
    with raises("flight-not-a-record", re.escape(why)):
        dump.parse(json.dumps({**WHOLE, **change}), "a.json")


def test_files_that_are_no_records(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{")
    with raises("flight-not-json"):
        dump.read(file)
    with file.open("w") as opened:
        opened.truncate(dump.LARGEST_FILE + 1)
    with raises("flight-large"):
        dump.read(file)


# ---- the command


def test_the_command_ends_with_0_1_or_2(tmp_path: Path) -> None:
    well = history([ALL_REDUCE], 1)
    write(tmp_path, raw(0, 2, well), raw(1, 2, well))
    result = run(tmp_path)
    assert (result.exit_code, "nothing is wrong" in result.output) == (0, True)
    result = run(tmp_path / "rank_0.json")
    assert (result.exit_code, "rank 1 left no dump" in result.output) == (1, True)
    (tmp_path / "rank_1.json").write_bytes(b"\x80\x02}q\x00.")
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "rank_1.json" in result.output.replace("\n", "")


def test_no_file_and_no_such_file_are_usage_errors(tmp_path: Path) -> None:
    assert run().exit_code == 2
    result = run(tmp_path)
    assert result.exit_code == 2
    assert says("flight-none", result.output)
    result = run(tmp_path / "absent.json")
    assert result.exit_code == 2
    assert "No such file" in result.output


def test_json_says_the_same(tmp_path: Path) -> None:
    write(tmp_path, raw(0, 2, history([ALL_REDUCE], 0)), raw(1, 2, history([BROADCAST], 0)))
    result = run(tmp_path, "--json")
    assert result.exit_code == 1
    [reading] = json.loads(result.output)
    assert reading["difference"] == {
        "sequence": 1,
        "calls": [{"call": ALL_REDUCE, "ranks": [0]}, {"call": BROADCAST, "ranks": [1]}],
    }
    assert reading["problem"]
    assert reading["conclusions"][0].startswith("different calls at #1: rank 0 called")


# ---- torch


def test_records_for_torch_start_where_all_ranks_remember(tmp_path: Path) -> None:
    calls = history([ALL_REDUCE] * 200 + [BROADCAST], 200)
    write(tmp_path, raw(0, 2, calls), raw(1, 2, calls[:-1], last=200))
    assert run(tmp_path, "--to-torch", tmp_path / "fr").exit_code == 1
    for rank, last in ((0, 201), (1, 200)):
        read = pickle.loads((tmp_path / f"fr/distos_rank_{rank}").read_bytes())
        numbers = [entry["collective_seq_id"] for entry in read["entries"]]
        assert numbers == list(range(74, last + 1))
        assert [entry["record_id"] for entry in read["entries"]] == list(range(len(numbers)))
        assert {entry["profiling_name"] for entry in read["entries"]} <= {
            "gloo:all_reduce",
            "gloo:broadcast",
        }


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    write(tmp_path, WHOLE)
    result = run(tmp_path, "--to-torch", tmp_path / "rank_0.json" / "x")
    assert says("flight-for-torch", str(result.exception))
