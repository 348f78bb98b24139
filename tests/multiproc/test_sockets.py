"""Two processes that pass for two hosts, and the several sockets of their link."""

import os
import subprocess
import sys

SOCKETS = 3

EVERYTHING = """
import sys, numpy as np, distos_coll
rank, place = int(sys.argv[1]), sys.argv[2]
with distos_coll.init(rank=rank, size=2, rendezvous=place, timeout=100) as group:
    assert group.domains == [0, 1]
    for count in (1, 1000, 30_001, 1_000_003):
        mine = np.arange(count) * (rank + 1)
        np.testing.assert_array_equal(group.all_reduce(mine.copy()), 3 * np.arange(count))
        np.testing.assert_array_equal(group.broadcast(mine.copy(), root=1), 2 * np.arange(count))
        both = group.all_gather(mine)
        np.testing.assert_array_equal(both, [np.arange(count), 2 * np.arange(count)])
        other = np.empty_like(mine)
        with group.group():
            group.send(mine, 1 - rank)
            group.recv(other, 1 - rank)
        np.testing.assert_array_equal(other, np.arange(count) * (2 - rank))
    print(group.describe())
"""

SURVIVES = """
import os, signal, sys, numpy as np, distos_coll
from distos_coll.errors import PeerDied
rank, place = int(sys.argv[1]), sys.argv[2]
with distos_coll.init(rank=rank, size=2, rendezvous=place, timeout=100) as group:
    data = np.zeros(8_000_000, np.float32)
    group.all_reduce(data)
    work = group.all_reduce(data, async_op=True)
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        work.wait()
        group.barrier()
    except PeerDied as error:
        print(error)
"""


def run_two(script: str, place: str, codes: tuple[int, int] = (0, 0)) -> list[str]:
    """What the ranks wrote, which must end with these codes."""
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(rank), f"unix:{place}_{os.getpid()}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "DISTOS_COLL_HOST_ID": f"host {rank}",
                "DISTOS_COLL_SOCKETS_PER_PEER": str(SOCKETS),
            },
        )
        for rank in range(2)
    ]
    said = []
    try:
        for rank, code in zip(ranks, codes, strict=True):
            out, err = rank.communicate(timeout=120)
            assert rank.returncode == code, f"{out}\n{err}"
            said.append(out)
    finally:
        for rank in ranks:
            rank.kill()
            rank.communicate()
    return said


def test_everything_arrives_whatever_its_size() -> None:
    for text in run_two(EVERYTHING, "distos_test_sockets"):
        assert f", {SOCKETS} sockets" in text


def test_a_death_is_told_of_links_with_several_sockets() -> None:
    survivor, _ = run_two(SURVIVES, "distos_test_dying_sockets", (0, -9))
    assert "rank 1" in survivor
    assert "died" in survivor
