"""Groups of one job on the same links."""

import json
from typing import Any

import machines
import pytest
import typer.testing
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN

from distos_coll.cli import plan_share
from distos_coll.cli.app import app
from distos_coll.layout.lay import lay_out
from distos_coll.layout.placement import Placement, place, repeated
from distos_coll.layout.sharing import Dimension, Shared, by_strides, share_out

FOUR = repeated(machines.nvswitch_400g(), 4)
SEATS = place(FOUR)


def shared(*lengths: tuple[str, int, float]) -> dict[str, Shared]:
    found = share_out(FOUR, SEATS, by_strides(SEATS.size, lengths))
    return {each.dimension.name: each for each in found}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4))
def test_dimensions_cut_all_ranks(lengths: list[int]) -> None:
    size = 1
    for length in lengths:
        size *= length
    for each, length in zip(
        by_strides(size, [(str(i), n, 0.1) for i, n in enumerate(lengths)]), lengths, strict=True
    ):
        assert all(len(group) == length for group in each.groups)
        assert sorted(rank for group in each.groups for rank in group) == list(range(size))


def test_neighbours_are_in_the_innermost_dimension() -> None:
    tensor, data = by_strides(8, [("tensor", 4, 0.3), ("data", 2, 0.2)])
    assert tensor.groups == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert data.groups == ((0, 4), (1, 5), (2, 6), (3, 7))


def test_lengths_that_do_not_fit_are_refused() -> None:
    with raises("share-size"):
        by_strides(8, [("tensor", 3, 0.3)])
    with raises("share-length"):
        by_strides(8, [("tensor", 8, 1.5)])
    with raises("share-text"):
        plan_share.parsed("tensor=8")


def test_inside_hosts_and_between_them_nothing_is_shared() -> None:
    found = shared(("tensor", 8, 0.5), ("data", 4, 0.5))
    assert found["tensor"].slowdown == 1
    assert found["tensor"].link is None
    assert len(found["tensor"].layouts) == 4


def test_two_dimensions_on_the_same_ports_slow_each_other() -> None:
    found = shared(("tensor", 8, 0.5), ("pipeline", 2, 0.25), ("data", 2, 0.5))
    pipeline, data = found["pipeline"], found["data"]
    # Alone each fills the ports. Of a link the other takes its share of time: 1 / (1 - 0.5).
    assert pipeline.slowdown == pytest.approx(2.0, rel=0.05)
    assert data.slowdown == pytest.approx(1 / 0.75, rel=0.05)
    assert pipeline.beside == ("data",)
    assert data.beside == ("pipeline",)
    assert pipeline.gbps == pytest.approx(pipeline.layouts[0].rings.gbps / pipeline.slowdown)


def test_more_of_the_time_means_slower_others() -> None:
    slow = [
        shared(("tensor", 8, 0.1), ("pipeline", 2, 0.2), ("data", 2, part))["pipeline"].slowdown
        for part in (0.0, 0.25, 0.5, 0.75, 1.0)
    ]
    assert slow == sorted(slow)
    assert slow[0] == 1
    # Of two that both want all of it, each gets half at least.
    assert slow[-1] <= 2.01


def test_groups_of_one_dimension_crowd_each_other() -> None:
    """Two groups of a dimension on the GPUs of one host, both over its only two ports."""
    two = repeated(machines.two_nics(), 2)
    seats = place(two)
    per_host = seats.size // 2
    halves = Dimension(
        "data",
        (
            tuple(r for r in range(seats.size) if r % per_host % 2 == 0),
            tuple(r for r in range(seats.size) if r % per_host % 2),
        ),
        0.5,
    )
    (found,) = share_out(two, seats, [halves])
    alone = [lay_out(two, Placement(tuple(seats.seats[r] for r in g))) for g in halves.groups]
    assert [layout.rings for layout in found.layouts] == [layout.rings for layout in alone]
    assert found.crowding > 1
    assert found.slowdown == found.crowding


def test_groups_that_are_alike_are_those_of_a_search_each() -> None:
    _, data = by_strides(SEATS.size, [("tensor", 8, 0.3), ("data", 4, 0.2)])
    (found,) = share_out(FOUR, SEATS, [data])
    for group, layout in zip(data.groups, found.layouts, strict=True):
        assert layout == lay_out(FOUR, Placement(tuple(SEATS.seats[r] for r in group)))


def invoke(*arguments: str) -> Any:
    return typer.testing.CliRunner().invoke(app, ["plan", "share", *arguments])


def test_the_command() -> None:
    file = str(OWN / "nccl-eight-switched.xml")
    job = (file, "--copies", "4", "-d", "tensor=8:0.3", "-d", "pp=2:0.2", "-d", "dp=2:0.5")
    tensor, pp, dp = json.loads(invoke(*job, "--json").stdout)
    assert (tensor["groups"], tensor["ranks"], tensor["slowdown"]) == (4, 8, 1)
    assert pp["shared_gbps"] < pp["alone_gbps"]
    assert dp["beside"] == ["pp"]
    assert "host0-0: " in pp["link"]
    text = " ".join(invoke(*job).output.split())
    assert "nothing is shared" in text
    assert invoke(file, "-d", "tensor").exit_code == 2
