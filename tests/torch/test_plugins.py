"""Through torch: ranks with other plugins are named, and plugins run."""

# torch types only part of torch.distributed.
# mypy: disable-error-code="no-untyped-call"

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from error_page import raises
from plugin_files import star
from world import run_ranks

import distos_coll.torch


def apart(rank: int, size: int, folder: str) -> None:
    sys.path.insert(0, folder)
    if rank == 1:
        os.environ["DISTOS_COLL_PLUGINS"] = "torch_star"
    with raises("plugins-differ", "'torch_star' is on rank 1 and not on ranks 0, 2;", torch=True):
        dist.new_group()
    os.environ["DISTOS_COLL_PLUGINS"] = "torch_star"
    x = torch.full((7,), float(rank))
    group = dist.new_group()
    dist.all_reduce(x, group=group)
    assert x.tolist() == [3.0] * 7
    assert distos_coll.torch.explain(group, nbytes=28).endswith("the core runs: torch_star")
    # Where the plugin is missing, planning fails already.
    os.environ["DISTOS_COLL_ALGO"] = "allreduce:torch_star"
    if rank == 0:
        del os.environ["DISTOS_COLL_PLUGINS"]
    with raises("plugins-differ", "'torch_star' is on ranks 1, 2 and not on rank 0;", torch=True):
        dist.new_group()


def test_ranks_with_other_plugins(tmp_path: Path) -> None:
    (tmp_path / "torch_star.py").write_text(star("torch_star", cost="-1e9"), encoding="utf-8")
    run_ranks(apart, 3, str(tmp_path))
