"""What `distos-coll bench` reads, and what it refuses, with the reason."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from error_page import ROWS, raises, says

from distos_coll.bench import local, worker
from distos_coll.bench import options as read
from distos_coll.bench.collectives import COLLECTIVES
from distos_coll.bench.options import Options
from distos_coll.cli.app import app


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No launcher but what a test sets."""
    for name in ("RANK", "WORLD_SIZE", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Options, int]]:
    """What would run; nothing does."""
    calls: list[tuple[Options, int]] = []

    def run(options: Options, ranks: int) -> bool:
        calls.append((options, ranks))
        return True

    monkeypatch.setattr(local, "run_local", run)
    monkeypatch.setattr(worker, "run_threaded", lambda options: run(options, 0))
    monkeypatch.setattr(worker, "run_launched", lambda options: run(options, -1))
    return calls


def invoke(*arguments: str) -> Any:
    return typer.testing.CliRunner().invoke(app, ["bench", *arguments])


@pytest.mark.parametrize(
    ("text", "size"),
    [("8", 8), ("64K", 65536), ("1.5M", 3 << 19), ("2g", 2 << 30), ("4 KiB", 4096), ("0", 0)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert read.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "K", "-8", "8T", "1e6", "0x10", "8KK"])
def test_other_sizes_are_refused(text: str) -> None:
    with raises("bench-size"):
        read.parse_size(text)


def test_sizes_to_scan() -> None:
    assert read.sizes(8, 64, factor=2, step=0) == (8, 16, 32, 64)
    assert read.sizes(8, 70, factor=4, step=0) == (8, 32)
    assert read.sizes(0, 30, factor=1, step=10) == (0, 10, 20, 30)
    assert read.sizes(32 << 20, 32 << 20, factor=1, step=1 << 20) == (32 << 20,)
    with raises("bench-range", r"smallest size \(-b 9\) is above the largest \(-e 8\)"):
        read.sizes(9, 8, factor=2, step=1)
    with raises("bench-never-grows"):
        read.sizes(0, 8, factor=2, step=1)
    with raises("bench-increment"):
        read.sizes(0, 8, factor=1, step=0)


def test_types_by_both_names_and_lists() -> None:
    assert read.parse_types("float") == read.parse_types("float32") == ("float",)
    assert read.parse_types("half,bfloat16,half") == ("half", "bfloat16")
    assert len(read.parse_types("all")) >= 12
    with raises("bench-type", r"no data type 'int4'; use one of int8, .*, or all"):
        read.parse_types("int4")


def test_operations_and_roots() -> None:
    assert read.parse_ops("max,sum") == ("max", "sum")
    assert set(read.parse_ops("all")) >= {"sum", "prod", "min", "max", "avg"}
    with raises("bench-mulsum"):
        read.parse_ops("mulsum")
    with raises("bench-op", "no reduction 'mean'"):
        read.parse_ops("mean")
    assert (read.parse_root("3"), read.parse_root("all")) == (3, -1)
    with raises("bench-not-a-rank"):
        read.parse_root("-2")


def test_options_travel_as_json() -> None:
    options = Options(collectives=("reduce", "gather"), sizes=(8, 16), step=("factor", 2), root=-1)
    assert Options.from_dict(json.loads(json.dumps(options.as_dict()))) == options


def test_defaults_are_nccl_tests(asked: list[tuple[Options, int]]) -> None:
    assert invoke().exit_code == 0
    options, ranks = asked[0]
    assert ranks == 2
    assert options == Options()
    assert (options.sizes, options.iterations, options.warm_ups) == ((32 << 20,), 20, 1)
    assert (options.checks, options.average, options.together) == (1, 1, 1)


def test_every_option_arrives(asked: list[tuple[Options, int]]) -> None:
    line = (
        "all --ranks 4 -b 8 -e 1K -f 8 -n 5 -w 2 -m 3 -N 2 -c 7 -o all -d half -r all -z 1 -a 3 "
        "-u 1 -S 1 -T 9.5 -J out.json --json -g 1 -t 1"
    )
    result = invoke(*line.split())
    assert result.exit_code == 0, result.output
    options, ranks = asked[0]
    assert ranks == 4
    assert options.collectives == tuple(COLLECTIVES)
    assert (options.sizes, options.span) == ((8, 64, 512), (8, 1024))
    assert (options.step, options.iterations, options.warm_ups) == (("factor", 8), 5, 2)
    assert (options.together, options.cycles, options.checks) == (3, 2, 7)
    assert (options.types, options.root, options.blocking) == (("half",), -1, 1)
    assert (options.average, options.unalign, options.timestamps) == (3, 1, True)
    assert (options.timeout, options.json_file, options.json_only) == (9.5, "out.json", True)


def is_said(words: str, output: str) -> bool:
    """Whether the output has a row of docs/errors.md, or the words themselves."""
    return says(words, output) if words in ROWS else words in re.sub(r"[\s│]+", " ", output)


USAGE = [
    ("nonsense", "bench-collective"),
    ("-b 1T", "bench-size"),
    ("-b 2K -e 1K", "bench-range"),
    ("-i 8 -f 2", "bench-i-and-f"),
    ("-d int4", "bench-type"),
    ("-o mean", "bench-op"),
    ("-r 2 --ranks 2", "bench-root"),
    ("-g 2", "bench-gpu"),
    ("-t 2 --ranks 2", "bench-threads"),
    ("-t 2 --backend gloo", "bench-threads-torch"),
    ("-m 2 --backend gloo", "bench-together"),
    ("-G 1", "CPU calls have no graphs"),
    ("-y1", "CPU calls have no streams"),
    ("--local_register=2", "no registered memory yet"),
    ("-z 3", "'-z'"),
    ("-n 0", "'-n'"),
    ("-a 4", "'-a'"),
    ("--nonsense", "No such option"),
]


@pytest.mark.parametrize(("line", "words"), USAGE, ids=[line for line, _ in USAGE])
def test_usage_errors_say_why(line: str, words: str, asked: list[tuple[Options, int]]) -> None:
    result = invoke(*line.split())
    assert result.exit_code == 2, result.output
    assert is_said(words, result.output)
    assert asked == []


@pytest.mark.parametrize("names", read.REFUSED, ids=lambda names: names.split()[0])
def test_refused_options_are_none_of_ours(names: str) -> None:
    letter, word = names.split()
    text = invoke("--help").output
    assert f" {letter}," not in text
    assert word not in text
    assert (
        word in read.refusal([word]) == read.refusal([letter, "1"]) == read.refusal([f"{letter}1"])
    )


def test_a_launcher_gives_the_ranks(
    asked: list[tuple[Options, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    assert invoke().exit_code == 0
    assert invoke("--ranks", "3").exit_code == 0
    assert [ranks for _, ranks in asked] == [-1, -1]
    for line, words in [
        ("--ranks 2", "bench-ranks"),
        ("--backend gloo", "bench-backend"),
        ("-t 2", "bench-threads"),
        ("-r 3", "bench-root"),
    ]:
        result = invoke(*line.split())
        assert result.exit_code == 2
        assert says(words, result.output)


def test_wrong_results_end_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "run_local", lambda options, ranks: False)
    assert invoke().exit_code == 1


def test_the_page_has_every_option() -> None:
    page = (Path(__file__).parents[2] / "docs/bench.md").read_text(encoding="utf-8")
    text = invoke("--help").output
    for option in re.findall(r"(?:^|[ ,])(--?[a-zA-Z_]+)", text):
        assert option == "--help" or f"`{option}`" in page, option
    for names in read.REFUSED:
        assert f"`{names.split()[0]}`" in page
    for name in (*COLLECTIVES, *read.parse_types("all"), *read.parse_ops("all")):
        assert re.search(rf"\b{name}\b", page), name


def test_other_commands_need_neither_numpy_nor_the_native_library() -> None:
    code = (
        "import sys, distos_coll.cli.app; "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'torch', 'distos_coll._native')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
