"""Ctrl-C while a rank waits for another that does not come, in each door: it raises
KeyboardInterrupt there, and the other rank hears of it.
"""

import os
import signal
import subprocess
import sys

import pytest

# The deadline is far away: only the signal can end the wait.
ARRAY = """
import sys, numpy, distos_coll
rank = int(sys.argv[1])
group = distos_coll.init(rank=rank, size=2, rendezvous="unix:" + sys.argv[2], timeout=600)
def wait():
    group.{call}
"""
TORCH = """
import sys, torch, torch.distributed as dist
from datetime import timedelta
rank = int(sys.argv[1])
dist.init_process_group("distos", init_method="file://" + sys.argv[3], rank=rank, world_size=2,
                        timeout=timedelta(seconds=600))
def wait():
    dist.{call}
"""
REST = """
import os, threading, time
def say_when_inside():
    # The main thread is inside the core when it sleeps on: starved it would be ready to run.
    asleep = 0
    while asleep < 10:
        time.sleep(0.03)
        with open(f"/proc/self/task/{os.getpid()}/stat") as stat:
            state = stat.read().rpartition(")")[2].split()[0]
        asleep = asleep + 1 if state == "S" else 0
    print("ready", flush=True)
if rank == 1:
    print("ready", flush=True)
    sys.stdin.readline()  # until rank 0 has been interrupted
else:
    threading.Thread(target=say_when_inside).start()
try:
    wait()
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
except Exception as error:
    print(type(error).__name__, error)
"""
CASES = {
    "array blocking": (ARRAY, "all_reduce(numpy.ones(8))"),
    "array asynchronous": (ARRAY, "all_reduce(numpy.ones(8), async_op=True).wait()"),
    "array recv": (ARRAY, "recv(numpy.ones(8), 1 - rank)"),
    "torch blocking": (TORCH, "all_reduce(torch.ones(8))"),
    "torch asynchronous": (TORCH, "all_reduce(torch.ones(8), async_op=True).wait()"),
}


@pytest.mark.parametrize("case", CASES)
def test_ctrl_c_ends_a_wait(case: str, tmp_path: os.PathLike[str]) -> None:
    head, call = CASES[case]
    program = head.format(call=call) + REST
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DISTOS_COLL_")}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(rank), f"test{os.getpid()}", f"{tmp_path}/store"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(2)
    ]
    try:
        for rank in ranks:
            assert rank.stdout is not None
            assert rank.stdout.readline() == "ready\n"
        ranks[0].send_signal(signal.SIGINT)
        out, err = ranks[0].communicate(timeout=60)
        assert out == "interrupted\n", err
        out, err = ranks[1].communicate("\n", timeout=60)
        assert "rank 0 aborted the group" in out, out + err
        assert "signal" in out
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.communicate()
