"""What DISTOS_COLL_DEBUG=INFO logs of a group while it is planned, without torch."""

import logging
from collections.abc import Callable

import pytest

from distos_coll.settings import variable_of
from distos_coll.torch import planning

LINKS = "this is process 7\nprocess 8: shm"


@pytest.fixture
def logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., list[str]]:
    def plan(rank: int, **environment: str) -> list[str]:
        for name, value in environment.items():
            monkeypatch.setenv(variable_of(name), value)
        caplog.set_level(logging.INFO, logger="distos_coll")
        planner = planning.planner(lambda: LINKS)
        assert planner("world", rank, [0, 0, 1], [0x402, 0x402, 0x202], b"")
        return [record.getMessage() for record in caplog.records]

    return plan


def test_info_says_settings_links_and_plan(logged: Callable[..., list[str]]) -> None:
    lines = logged(0, debug="INFO", shm="0", algo="all_reduce:ring")
    head = "group 'world', rank 0 of 3: "
    assert all(line.startswith(head) for line in lines)
    texts = [line.removeprefix(head) for line in lines]
    assert texts[0] == (
        "settings: DISTOS_COLL_ALGO=all_reduce:ring, DISTOS_COLL_SHM=0, DISTOS_COLL_DEBUG=INFO"
    )
    assert texts[1:3] == LINKS.splitlines()
    assert texts[3] == "predictions: built-in figures"
    assert texts[4] == "plan for 2 domains, what is predicted fastest at each size:"
    (all_reduce,) = [text for text in texts if text.startswith("all_reduce: ")]
    assert all_reduce.startswith("all_reduce: ring; not ")
    assert "tree: left out by DISTOS_COLL_ALGO=ring" in all_reduce
    assert "single_copy: needs all ranks in one domain, and this group has 2" in all_reduce
    assert any(text.startswith("all_to_all: pairwise; not direct1") for text in texts)


def test_the_plan_is_said_once(logged: Callable[..., list[str]]) -> None:
    lines = logged(1, debug="INFO")
    assert len(lines) == 3
    assert not any("plan" in line for line in lines)


def test_warn_says_nothing(logged: Callable[..., list[str]]) -> None:
    assert logged(0) == []
