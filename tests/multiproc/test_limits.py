"""What many groups cost, and what a process that ends leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

GROUPS = 1000
FILES = 256
KIB_PER_GROUP = 128
"""docs/memory.md; measured are 72 of private and 16 of shared memory."""

MANY = """
import json, os, resource, sys
import numpy, distos_coll

rank, job, groups, files = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

def kib():
    with open("/proc/self/smaps_rollup") as lines:
        sizes = {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith("kB\\n")}
    return sizes["Anonymous:"] + sizes["Shared_Dirty:"]

with distos_coll.init(rank=rank, size=2, rendezvous="unix:" + job, timeout=60) as world:
    world.barrier()
    before = kib()
    parts = [world.split(0) for _ in range(groups)]
    totals = [int(part.all_reduce(numpy.full(100, i))[0]) for i, part in enumerate(parts)]
    after, memory = kib(), parts[-1].memory
    print(json.dumps({
        "right": totals == [2 * i for i in range(groups)],
        "kib": (after - before) / groups,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "window": memory.window,
        "touched": memory.window_touched,
        "described": str(memory) in parts[-1].describe(),
    }))
    world.barrier()
"""

TORCH_MANY = """
import sys, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[4]), int(sys.argv[4])))
import torch, torch.distributed as dist, distos_coll.torch
distos_coll.torch.register()
rank, path, groups = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
dist.init_process_group("distos", store=dist.FileStore(path, 2), rank=rank, world_size=2)
made = [dist.new_group() for _ in range(groups)]
totals = []
for i, group in enumerate(made):
    x = torch.full((10,), i)
    dist.all_reduce(x, group=group)
    totals.append(int(x[0]))
assert totals == [2 * i for i in range(groups)]
print('"fine"')
dist.destroy_process_group()
"""


def run_two(script: str, *arguments: str) -> list[object]:
    """What each of two ranks printed last, as JSON."""
    ours = ("DISTOS_COLL_", "NCCL_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    environment |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), *arguments],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=200)[0] for rank in ranks]
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.communicate()
    assert [rank.returncode for rank in ranks] == [0, 0]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def test_a_thousand_groups_within_few_descriptors_and_little_memory() -> None:
    for found in run_two(MANY, uuid.uuid4().hex, str(GROUPS), str(FILES)):
        assert isinstance(found, dict)
        assert found["right"]
        assert found["kib"] < KIB_PER_GROUP, found
        assert found["descriptors"] < 100, found
        assert 0 < found["touched"] < found["window"] == (36 << 10) + 3 * (1 << 20)
        assert found["described"]


def test_torch_groups_within_few_descriptors(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    assert run_two(TORCH_MANY, str(tmp_path / "store"), "300", str(FILES)) == ["fine"] * 2


LEAVES = """
import json, sys
import numpy, distos_coll
group = distos_coll.init(rank=int(sys.argv[1]), size=2, rendezvous="unix:" + sys.argv[2])
part = group.split(0)
part.all_reduce(numpy.ones(1 << 20))
group.recv(numpy.ones(1), 1 - group.rank, async_op=True)  # nobody sends
print(json.dumps("left"))
"""


def test_processes_that_end_without_close_end_and_leave_nothing() -> None:
    assert run_two(LEAVES, uuid.uuid4().hex) == ["left"] * 2
    assert [path for path in Path("/dev/shm").iterdir() if "distos" in path.name] == []
