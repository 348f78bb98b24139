"""Ranks are killed, the others shrink and go on: training comes to the same result as without the
dead rank, and whatever the moment of a death, those that are left find each other.
"""

from __future__ import annotations

import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from fork_server import spawner

torch = pytest.importorskip("torch", reason="the model that is trained is torch's")

from shrink_training import SIZE, Job, run  # noqa: E402  imports torch

HERE = Path(__file__).parent


@functools.lru_cache
def train(door: str, how: str, victim: int) -> Any:
    """What all ranks that are left came to."""
    # Not in rank 0, which may be the one that dies.
    store = torch.distributed.TCPStore("127.0.0.1", 0, SIZE, is_master=True, wait_for_workers=False)
    meet = str(store.port) if door == "torch" else f"unix:shrink{uuid.uuid4().hex}"
    job = Job(door, how, victim, meet)
    pipes = [spawner().Pipe(duplex=False) for _ in range(SIZE)]
    ranks = [
        spawner().Process(target=run, args=(job, rank, pipes[rank][1])) for rank in range(SIZE)
    ]
    try:
        for rank, (_, writer) in zip(ranks, pipes, strict=True):
            rank.start()
            writer.close()  # so that the end of a rank that fails is seen
        left = [reader.recv() for i, (reader, _) in enumerate(pipes) if i != victim]
        for rank in ranks:
            rank.join(20)
        codes = [rank.exitcode for rank in ranks]
    finally:
        for rank in ranks:
            if rank.is_alive():
                rank.kill()
                rank.join(10)
    expected = -signal.SIGKILL if how == "killed" else 0
    assert codes == [expected if i == victim else 0 for i in range(SIZE)]
    assert all(each == left[0] for each in left)
    return left[0]


@pytest.mark.parametrize(("door", "victim"), [("array", 0), ("array", 2), ("torch", 1)])
def test_training_goes_on_as_if_the_dead_rank_had_left_before_the_epoch(
    door: str, victim: int
) -> None:
    killed = train(door, "killed", victim)
    # Which of them leaves makes no difference: the others keep their order.
    left = train(door, "leaves", 1)
    assert killed["size"] == SIZE - 1
    assert killed == left
    assert killed["correct"] >= 330  # of 360: it has learnt something


@pytest.mark.parametrize("seed", range(8 if os.environ.get("DISTOS_TEST_ALL") else 3))
def test_those_that_are_left_find_each_other_whenever_ranks_die(seed: int) -> None:
    size = 5
    draw = random.Random(seed)
    meet = f"unix:shrink{uuid.uuid4().hex}"
    command = [sys.executable, str(HERE / "shrink_chaos.py")]
    jobs = [json.dumps({"rank": rank, "size": size, "meet": meet}) for rank in range(size)]
    ranks = [subprocess.Popen([*command, job], stdout=subprocess.PIPE, text=True) for job in jobs]
    victims = draw.sample(range(size), 3)
    try:
        for rank in ranks:
            assert rank.stdout is not None
            assert rank.stdout.readline() == "ready\n"
        for victim in victims:
            ranks[victim].kill()
            # Some of them die while the others shrink because of the one before.
            time.sleep(draw.choice([0.0, 0.001, 0.003, 0.01, 0.03, 0.3]))
        for victim in victims:
            ranks[victim].wait(20)
        left = [rank for i, rank in enumerate(ranks) if i not in victims]
        for rank in left:
            rank.send_signal(signal.SIGUSR1)
        texts = [rank.communicate(timeout=100)[0] for rank in left]
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
    for text in texts:
        outcome = json.loads(text)
        assert outcome["size"] == size - len(victims)
        assert outcome["wrong"] == 0
        assert outcome["calls"] > 0
