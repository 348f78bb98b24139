"""Through torch, ranks with different profiles plan by rank 0's."""

# torch types only part of torch.distributed.
# mypy: disable-error-code="no-untyped-call"

import os
from pathlib import Path

import torch.distributed as dist
from error_page import raises
from measured import ALL_REDUCE, favouring, profile_of, stored
from world import run_ranks

import distos_coll.torch
from distos_coll import profiles
from distos_coll.planner import ClusterView

STAGED = {"DISTOS_COLL_SINGLE_COPY": "0"}


def tree_of_two(path: Path) -> str:
    view = ClusterView.one_domain(2)
    profiles.save(stored(profile_of(view, {ALL_REDUCE: favouring("tree")})), path)
    return str(path)


def explained(rank: int, size: int, path: str) -> str:
    os.environ["DISTOS_COLL_PROFILE"] = path if rank == 0 else "none"
    return distos_coll.torch.explain(dist.new_group([0, 1]), nbytes=4096)


def test_one_host_is_calibrated(tmp_path: Path) -> None:
    path = tree_of_two(tmp_path / "profile.json")
    for text in run_ranks(explained, 2, path, environment=STAGED):
        assert "by a profile, measured in groups like this one" in text
        assert text.splitlines()[2].startswith("* tree")
        assert text.endswith("the core runs: tree")


def refused(rank: int, size: int, path: str) -> None:
    os.environ["DISTOS_COLL_PROFILE"] = path if rank == 0 else "none"
    with raises("profile-refused", "rank 0: the profile", torch=True):
        dist.new_group([0, 1])


def test_one_that_is_named_and_not_there_is_refused_by_all(tmp_path: Path) -> None:
    run_ranks(refused, 2, str(tmp_path / "missing.json"))
