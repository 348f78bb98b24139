"""A rank that is stopped (SIGSTOP, a debugger, a frozen container): at the deadline the others name
it, with the last that is known of it.
"""

import os
import signal
import subprocess
import sys

PROGRAM = """
import os, signal, sys, numpy, distos_coll
rank = int(sys.argv[1])
group = distos_coll.init(rank=rank, size=3, rendezvous="unix:" + sys.argv[2], timeout=100)
group.all_reduce(numpy.ones(6))
group._native.set_timeout(4000)
print("ready", flush=True)
if rank == 2:
    os.kill(os.getpid(), signal.SIGSTOP)
try:
    group.all_reduce(numpy.ones(8))
except Exception as error:
    print(type(error).__name__, error)
"""


def test_a_stopped_rank_is_named_at_the_deadline() -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("DISTOS_COLL_")}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(rank), f"stopped{os.getpid()}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank in range(3)
    ]
    try:
        for rank in ranks[:2]:
            out, err = rank.communicate(timeout=100)
            assert out.startswith("ready\nTimeoutExpired #2 all_reduce of 8 float64, op sum"), err
            assert f"rank 2 (process {ranks[2].pid} on" in out
            assert "does not answer (is it stopped?); the last known of it is #1, " in out
            assert "#1, all_reduce of 6 float64, op sum" in out
            assert "In it: ranks 0, 1." in out
    finally:
        ranks[2].send_signal(signal.SIGCONT)
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
            rank.communicate()
