"""What DISTOS_COLL_DEBUG=INFO logs of a group, without torch: the group is a stand-in."""

import logging
from types import SimpleNamespace

import pytest

from distos_coll.settings import Settings
from distos_coll.torch.log import log_group

GROUP = SimpleNamespace(topology=(3, [0, 0, 1], [0x402, 0x402, 0x202]))
LINKS = "this is process 7\nprocess 8: shm"


def logged(values: Settings, rank: int, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO, logger="distos_coll")
    log_group(values, "world", rank, GROUP, LINKS)
    return [record.getMessage() for record in caplog.records]


def test_info_says_settings_links_and_plan(caplog: pytest.LogCaptureFixture) -> None:
    lines = logged(Settings(debug="INFO", shm=False, algo="all_reduce:ring"), 0, caplog)
    head = "group 'world', rank 0 of 3: "
    assert all(line.startswith(head) for line in lines)
    texts = [line.removeprefix(head) for line in lines]
    assert texts[0] == (
        "settings: DISTOS_COLL_ALGO=all_reduce:ring, DISTOS_COLL_SHM=0, DISTOS_COLL_DEBUG=INFO"
    )
    assert texts[1:3] == LINKS.splitlines()
    assert texts[3] == "plan for 2 domains:"
    assert "all_reduce: ring" in texts
    assert "all_to_all: pairwise" in texts


def test_the_plan_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    lines = logged(Settings(debug="INFO"), 1, caplog)
    assert len(lines) == 3
    assert not any("plan" in line for line in lines)


def test_warn_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert logged(Settings(), 0, caplog) == []
