"""One rank of the array door under a launcher: does what MODE says and writes what it found as
JSON, one file a rank, into FOLDER.

Arguments: MODE FOLDER [RANK SIZE RENDEZVOUS]; without the last three the launcher says them.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import distos_coll
from distos_coll.errors import DistosError

DEADLINE_S = 100
"""After it a rank ends by itself, whatever became of the test."""
SHORT = 1.0

Join = Callable[..., distos_coll.Communicator]


def check(c: distos_coll.Communicator) -> None:
    """A few collectives, small and large, to the last bit."""
    n, r = c.size, c.rank
    for count in (1, 1000, 300_001):
        x = np.arange(count, dtype=np.int64) + r
        c.all_reduce(x)
        np.testing.assert_array_equal(x, n * np.arange(count) + n * (n - 1) // 2)
    gathered = c.all_gather(np.full((2, 3), r, np.int16))
    np.testing.assert_array_equal(gathered[:, 0, 0], np.arange(n))
    np.testing.assert_array_equal(c.all_to_all(np.arange(n) + n * r), np.arange(n) * n + r)
    last = c.broadcast(np.full(7, r, np.float32), root=n - 1)
    assert np.all(last == n - 1)
    half = c.split(r % 2)
    assert half is not None
    with half:
        assert half.all_reduce(np.array([1]))[0] == half.size
    with c.group():
        ring = np.zeros(1, np.int64)
        if n > 1:
            c.send(np.array([r]), (r + 1) % n)
            c.recv(ring, (r - 1) % n)
    assert n == 1 or ring[0] == (r - 1) % n


def failure(call: Callable[[], Any]) -> str:
    try:
        call()
    except DistosError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def rounds(join: Join) -> dict[str, Any]:
    """Init, close, init again; the last group is left to the end of the interpreter."""
    names = []
    for _ in range(2):
        with join() as c:
            check(c)
            names.append(c.name)
    last = join()
    check(last)
    return {"size": last.size, "names": [*names, last.name], "domains": last.domains}


def leave(join: Join) -> dict[str, Any]:
    """Rank 1 ends without close() while the others still want something of it."""
    c = join()
    c.barrier()
    if c.rank == 1:
        return {"size": c.size, "failure": ""}
    return {"size": c.size, "failure": failure(lambda: c.all_reduce(np.ones(3)))}


def elastic(join: Join) -> dict[str, Any]:
    """In torchrun's first round rank 1 fails, so that it starts a second."""
    c = join()
    check(c)
    again = int(os.environ["TORCHELASTIC_RESTART_COUNT"])
    if again == 0 and c.rank == 1:
        sys.exit(1)
    c.barrier()
    return {"size": c.size, "restarts": again}


def late(join: Join) -> dict[str, Any]:
    """The first calls fail for want of the last rank; then that comes, too."""
    first = ""
    # A process that starts slowly is missed as well, at first.
    while "rank 2 of group" not in first:
        first = failure(lambda: join(timeout=SHORT))
    print(first, flush=True)
    with join() as c:
        check(c)
        return {"size": c.size, "failure": first}


def latecomer(join: Join) -> dict[str, Any]:
    """Comes when the others have failed; it may meet what is left of that, and tries again."""
    c = None
    while c is None:
        with contextlib.suppress(DistosError):
            c = join()
    with c:
        check(c)
        return {"size": c.size, "failure": ""}


def survivor(join: Join) -> dict[str, Any]:
    """Joins again when it is told that there is a new rank 0."""
    for _ in range(2):
        with join() as c:
            check(c)
        print("done", flush=True)
        sys.stdin.readline()
    return {"size": 2, "failure": ""}


def once(join: Join) -> dict[str, Any]:
    with join() as c:
        check(c)
        return {"size": c.size, "failure": ""}


MODES = {f.__name__: f for f in (rounds, leave, elastic, late, latecomer, survivor, once)}


def pretend_several_hosts() -> None:
    """Make the launcher's variables say that every rank has a host of its own."""
    alone = {
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "1",
        "OMPI_COMM_WORLD_LOCAL_RANK": "0",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
        "MPI_LOCALRANKID": "0",
        "MPI_LOCALNRANKS": "1",
    }
    os.environ.update({name: value for name, value in alone.items() if name in os.environ})


def main(rank: int | None, mode: str, folder: str, size: int | None, place: str) -> None:
    faulthandler.dump_traceback_later(DEADLINE_S, exit=True)
    ranks: list[int] = []

    def join(timeout: float = 60) -> distos_coll.Communicator:
        c = distos_coll.init(rank=rank, size=size, rendezvous=place, timeout=timeout)
        ranks.append(c.rank)
        return c

    found = MODES[mode](join)
    Path(folder, f"{ranks[0]}.json").write_text(json.dumps({"rank": ranks[0], **found}))


def spawn(mode: str, folder: str, size: int, place: str) -> None:
    import torch.multiprocessing

    torch.multiprocessing.spawn(  # type: ignore[attr-defined,no-untyped-call]
        main, args=(mode, folder, size, place), nprocs=size
    )


if __name__ == "__main__":
    first, into, *explicit = sys.argv[1:]
    if first.endswith("+hosts"):
        pretend_several_hosts()
    first = first.partition("+")[0]
    if not explicit:
        main(None, first, into, None, "")
    elif explicit[0] == "spawn":
        spawn(first, into, int(explicit[1]), explicit[2])
    else:
        main(int(explicit[0]), first, into, int(explicit[1]), explicit[2])
