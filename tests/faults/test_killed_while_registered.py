"""A rank is killed while others read and write its registered memory, and it theirs."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
import uuid
from multiprocessing.connection import Connection

import numpy as np
import pytest

import distos_coll
from distos_coll import Communicator
from distos_coll.errors import PeerDied

SIZE = 3
COUNT = 1 << 20
REGISTERED = "direct2/registered"


def step(c: Communicator, x: np.ndarray[tuple[int], np.dtype[np.float32]]) -> str:
    x[:] = 1
    work = c.all_reduce(x, async_op=True)
    work.wait()
    assert (x == c.size).all()
    return str(work.algorithm)


def loop(c: Communicator, x: np.ndarray[tuple[int], np.dtype[np.float32]]) -> None:
    while True:
        step(c, x)


def run(rank: int, meet: str, pipe: Connection) -> None:
    c = distos_coll.init(rank=rank, size=SIZE, rendezvous=meet, timeout=60)
    x = c.empty(COUNT)
    while step(c, x) != REGISTERED:
        pass
    pipe.send("ready")
    with pytest.raises(PeerDied, match=r"rank 1 .*died"):
        loop(c, x)
    small = c.shrink()
    # All that are left have left the operation, so nobody writes here any more.
    x[:] = 5
    small.barrier()
    assert (x == 5).all()
    y = small.empty(COUNT)
    assert not np.shares_memory(x, y)
    while step(small, y) != REGISTERED:
        pass
    assert step(small, x) == REGISTERED
    small.close()
    c.close()
    pipe.send("done")


@pytest.mark.parametrize("seed", range(6 if os.environ.get("DISTOS_TEST_ALL") else 2))
def test_the_others_notice_and_go_on_in_registered_memory(seed: int) -> None:
    context = multiprocessing.get_context("spawn")
    meet = f"unix:registered{uuid.uuid4().hex}"
    pipes = [context.Pipe(duplex=False) for _ in range(SIZE)]
    ranks = [context.Process(target=run, args=(r, meet, pipes[r][1])) for r in range(SIZE)]
    try:
        for rank in ranks:
            rank.start()
        for reader, _ in pipes:
            assert reader.poll(60)
            assert reader.recv() == "ready"
        # Anywhere in an operation, which takes about a millisecond.
        time.sleep(random.Random(seed).uniform(0.01, 0.05))
        ranks[1].kill()
        for r in (0, 2):
            assert pipes[r][0].poll(60)
            assert pipes[r][0].recv() == "done"
        for rank in ranks:
            rank.join(20)
        assert [rank.exitcode for rank in ranks] == [0, -signal.SIGKILL, 0]
    finally:
        for rank in ranks:
            if rank.is_alive():
                rank.kill()
                rank.join(10)
