"""Flight records through torch: groups keep their names, and ranks are those of the job."""

# mypy: disable-error-code="no-untyped-call"

import os
from pathlib import Path

import torch
import torch.distributed as dist
from world import run_ranks

import distos_coll
from distos_coll.flight import dump, merge, report


def odd_ones(rank: int, size: int) -> None:
    """Ranks 1 and 2 have a group in which they disagree; a record is there when they are told."""
    pair = dist.new_group([1, 2])
    dist.all_reduce(torch.ones(4))
    prefix = os.environ["DISTOS_COLL_FLIGHT_FILE"]
    if rank == 0:
        assert distos_coll.dump_flight_record() == [f"{prefix}0.json"]
        return
    try:
        dist.all_reduce(torch.ones(rank), group=pair)
    except RuntimeError:
        assert Path(f"{prefix}{rank}.json").exists()
    else:
        raise AssertionError("they called different sizes")


def test_records_have_the_job_s_ranks(tmp_path: Path) -> None:
    run_ranks(odd_ones, 3, environment={"DISTOS_COLL_FLIGHT_FILE": f"{tmp_path}/r"})
    found = merge.merge(dump.read(path) for path in dump.find([tmp_path]))
    world, pair = sorted(found, key=lambda reading: -len(reading.job_ranks))
    assert not world.problem
    assert pair.job_ranks == (1, 2)
    conclusion = next(report.conclusions(pair))
    assert "rank 0 called all_reduce of 1 float32, op sum" in conclusion
    assert "rank 1 called all_reduce of 2 float32, op sum" in conclusion
    assert "(2 ranks, in the job 1, 2; id" in next(report.lines(pair))
