"""One rank that sums without end and shrinks whenever a rank has died, until SIGUSR1 comes.

Argument, as JSON: {"rank", "size", "meet"}. Writes "ready", and at the end {"size", "calls",
"wrong"}.
"""

from __future__ import annotations

import faulthandler
import json
import signal
import sys

import numpy as np

import distos_coll
from distos_coll.errors import GroupBroken

DEADLINE_S = 100


def main() -> None:
    faulthandler.dump_traceback_later(DEADLINE_S, exit=True)
    job = json.loads(sys.argv[1])
    stop = np.zeros(1)
    signal.signal(signal.SIGUSR1, lambda *_: stop.fill(1))
    group = distos_coll.init(rank=job["rank"], size=job["size"], rendezvous=job["meet"], timeout=60)
    group.barrier()
    print("ready", flush=True)
    calls = wrong = 0
    in_this_group = 0  # alike on all ranks, which `calls` is not: one may finish what others do not
    while True:
        try:
            # The last value says whether anybody was told to stop.
            values = np.concatenate([np.full(5000, float(group.rank)), stop])
            group.all_reduce(values)
            # A part of the group must work as well: where it meets must not be in a dead rank.
            if in_this_group % 50 == 0:
                part = group.split(0)
                assert part is not None
                part.barrier()
                part.close()
            stopped = bool(values[-1] > 0)
            if stopped:
                # One that has died since may have given its values to the sum, but not to this.
                group.barrier()
        except GroupBroken:
            before, group = group, group.shrink()
            before.close()
            in_this_group = 0
            continue
        calls += 1
        in_this_group += 1
        wrong += int(np.any(values[:-1] != group.size * (group.size - 1) / 2))
        if stopped:
            break
    print(json.dumps({"size": group.size, "calls": calls, "wrong": wrong}), flush=True)
    group.close()


if __name__ == "__main__":
    main()
