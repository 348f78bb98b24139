"""`distos-coll plan explain FILE`."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.testing
from error_page import raises, says
from topologies import OWN

from distos_coll.cli import plan_options
from distos_coll.cli.app import app

SWITCHED = str(OWN / "nccl-eight-switched.xml")


def invoke(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["plan", "explain", *arguments])


def told(*arguments: str) -> Any:
    result = invoke(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_job_is_laid_over_copies_of_a_host() -> None:
    found = told(SWITCHED, "--copies", "3", "--bytes", "16M")
    assert found["model"] == "nccl"
    assert found["layout"]["nodes"] == 3
    (kind,) = found["layout"]["kinds"]
    assert len(kind["nodes"]) == 3
    assert len(kind["rings"]) == found["layout"]["rings"]["channels"]
    assert found["layout"]["bottleneck"]["gbps"] > 0
    chosen = [each for each in found["candidates"] if each["chosen"]]
    assert [each["name"] for each in chosen] == [found["candidates"][0]["name"]]
    assert all(link["rings_gbps"] <= link["gbps"] * 1.001 for link in kind["links"])
    assert found["winners"][0]["from_bytes"] == 1


def test_people_see_rings_trees_and_the_reasons() -> None:
    text = invoke(SWITCHED, "--copies", "3", "--bytes", "16M").output
    assert "rings:" in text
    assert "bottleneck of the rings: " in text
    assert " > GPU 0 > " in text
    assert "└── " in text
    assert "left out: " in text
    winners = invoke(SWITCHED, "--copies", "3").output
    assert "from bytes" in winners


def test_fewer_ranks() -> None:
    assert told(SWITCHED, "--gpus", "0,3")["layout"]["ranks"] == 2
    assert told(SWITCHED, "--ranks-per-host", "4", "--copies", "2")["layout"]["ranks"] == 8
    assert told(SWITCHED, "--copies", "4", "--nodes", "2")["layout"]["nodes"] == 2


def test_hosts_without_gpus_are_priced_by_this_librarys_model() -> None:
    found = told(SWITCHED, "--model", "calibrated", "--collective", "broadcast", "--bytes", "1M")
    names = {each["algorithm"] for each in found["candidates"]}
    assert "binomial" in names


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--copies", "2"), "needs a FILE"),
        ((SWITCHED, "--ranks", "4"), "is what a FILE says"),
        ((SWITCHED, "--picture", "x.gif"), "pictures are .svg or .png files"),
        ((SWITCHED, "--plot", "x.txt"), "plots are .svg, .png, .pdf files"),
        ((SWITCHED, "--gpus", "a"), "expected numbers"),
        ((SWITCHED, "--bytes", "lots"), "expected a number of bytes"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], text: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert text in " ".join(result.output.split())


def test_of_gpus_that_nobody_names_this_librarys_algorithms_are_priced() -> None:
    """AMD's, here: a file of RCCL's."""
    file = str(OWN / "rccl-four-mesh.xml")
    assert told(file)["model"] == "calibrated"
    assert "name it by --capability" in " ".join(invoke(file).output.split())
    assert told(file, "--capability", "90")["model"] == "nccl"


def test_gpus_are_numbers() -> None:
    assert plan_options.numbers("0,3") == (0, 3)
    assert plan_options.numbers("") is None
    with raises("plan-gpus"):
        plan_options.numbers("0,x")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((SWITCHED, "--gpus", "77"), "name each once"),
        ((SWITCHED, "--model", "crystal"), "unknown cost model 'crystal'"),
    ],
)
def test_what_a_file_cannot_answer(arguments: tuple[str, ...], text: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 1
    assert text in result.output + str(result.exception)


def test_what_has_no_hosts_is_refused() -> None:
    result = invoke(str(OWN / "graph-ring-and-tree.xml"))
    assert result.exit_code == 1
    assert says("plan-no-hosts", result.output + str(result.exception))


def test_without_matplotlib_no_plot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = invoke(SWITCHED, "--plot", str(tmp_path / "q.png"))
    assert result.exit_code == 1
    assert says("plot-matplotlib", result.output + str(result.exception))


@pytest.mark.parametrize("copies", [1, 3, 40])
def test_pictures_and_plots(tmp_path: Path, copies: int) -> None:
    picture, plot = tmp_path / "p.svg", tmp_path / "q.png"
    arguments = ("--copies", str(copies), "--picture", str(picture), "--plot", str(plot))
    assert invoke(SWITCHED, *arguments).exit_code == 0
    drawn = picture.read_text()
    assert "GPU 7" in drawn
    assert "channel 0: " in drawn
    assert ("tree 0 blue" in drawn) == (copies > 1)
    assert ("24 nodes more are not drawn" in drawn) == (copies == 40)
    assert plot.read_bytes().startswith(b"\x89PNG")
