"""Joining a job, and joining again after what can go wrong; processes are tests/multiproc's."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from error_page import raises, says, says_in_time

import distos_coll
from distos_coll import ThreadStore, _native, launch, start
from distos_coll.errors import Aborted, TimeoutExpired
from distos_coll.settings import Settings

SHORT = 0.3
"""Seconds; for what must time out."""


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("RANK", "WORLD_SIZE", "LOCAL_", "OMPI_", "PMI_", "MPI_", "SLURM_")):
            monkeypatch.delenv(name)


def init_in_threads(
    store: ThreadStore, ranks: list[int], size: int = 2, timeout: float = 20
) -> list[Any]:
    """What init() returned or raised on each of the ranks; groups that were made are closed."""
    results: list[Any] = [None] * len(ranks)

    def call(i: int) -> None:
        try:
            with distos_coll.init(rank=ranks[i], size=size, store=store, timeout=timeout) as c:
                results[i] = (c.name, float(c.all_reduce(np.ones(1))[0]))
        except Exception as error:  # noqa: BLE001  the test looks at it
            results[i] = error

    threads = [threading.Thread(target=call, args=(i,)) for i in range(len(ranks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


def test_init_close_init_again() -> None:
    store = ThreadStore()
    assert init_in_threads(store, [0, 1]) == [("world", 2)] * 2
    assert init_in_threads(store, [1, 0]) == [("world 2", 2)] * 2


def test_init_after_a_rank_that_never_came() -> None:
    store = ThreadStore()
    (lonely,) = init_in_threads(store, [0], timeout=SHORT)
    assert isinstance(lonely, TimeoutExpired)
    assert "rank 1 of group 'world' did not appear within 300 ms" in str(lonely)
    # One that comes too late learns at once why, and both find each other at the next call.
    (late,) = init_in_threads(store, [1])
    assert isinstance(late, Aborted)
    assert says("member-failed", str(late))
    assert says("member-absent", str(late))
    assert init_in_threads(store, [0, 1]) == [("world 2", 2)] * 2


def test_init_after_rank_0_failed_twice() -> None:
    store = ThreadStore()
    for _ in range(2):
        (lonely,) = init_in_threads(store, [0], timeout=SHORT)
        assert isinstance(lonely, TimeoutExpired)
    (late,) = init_in_threads(store, [1])
    assert isinstance(late, Aborted)
    assert init_in_threads(store, [0, 1]) == [("world 3", 2)] * 2


def test_init_without_rank_0_names_it() -> None:
    store = ThreadStore()
    (lonely,) = init_in_threads(store, [1], timeout=SHORT)
    assert isinstance(lonely, TimeoutExpired)
    assert says("rank-0-late", str(lonely))
    assert "within 300 ms of rank 1's call" in str(lonely)
    assert init_in_threads(store, [0, 1]) == [("world", 2)] * 2


@pytest.mark.parametrize(
    ("options", "row"),
    [
        ({"timeout": 0}, "timeout-positive"),
        ({"timeout": float("nan")}, "seconds-range"),
        ({"rank": 0}, "rank-and-size"),
        ({"size": 1}, "rank-and-size"),
        ({"store": ThreadStore()}, "store-needs-rank"),
        ({"store": ThreadStore(), "rank": 2, "size": 2}, "rank-range"),
        ({"rank": 0, "size": 2, "rendezvous": "nowhere"}, "not-an-address"),
        ({"rank": 0, "size": 2}, "no-meeting-point"),
    ],
)
def test_init_refuses(options: dict[str, Any], row: str) -> None:
    with raises(row):
        distos_coll.init(**options)


def test_init_alone_and_again() -> None:
    with distos_coll.init() as first, distos_coll.init() as second:
        assert first.name != second.name
        assert first.all_reduce(np.ones(3)).sum() == second.all_reduce(np.ones(3)).sum() == 3
        part = first.split(5)
        assert part is not None
        part.barrier()


def test_settings_that_changed_after_the_first_init(monkeypatch: pytest.MonkeyPatch) -> None:
    distos_coll.init().close()
    monkeypatch.setenv("DISTOS_COLL_SLOT_BYTES", "64K")
    with raises("settings-changed"):
        distos_coll.init()


def test_ctrl_c_ends_blocked_ranks() -> None:
    script = (
        "import distos_coll, numpy\n"
        "def wait(c):\n"
        "    c.barrier()\n"
        "    if c.rank == 0: print('ready', flush=True)\n"
        "    c.recv(numpy.ones(1), 1 - c.rank)\n"
        "distos_coll.run_threads(2, wait)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert "KeyboardInterrupt" in errors
    assert process.returncode == -signal.SIGINT


# ---- where ranks meet


def rank_0_at(place: str) -> Callable[[float], Any]:
    """Join within so many seconds, in which rank 0's own store has to be found, too."""
    return lambda s: distos_coll.init(rank=0, size=2, rendezvous=place, timeout=s)


def test_two_ranks_of_one_job_in_one_process_are_told_of_the_thread_store() -> None:
    place = f"unix:one process {os.getpid()}"
    assert "rank 1 of group 'world'" in says_in_time("member-absent", rank_0_at(place))
    with raises("second-rank", r"is rank 0 of this job already .*ThreadStore"):
        distos_coll.init(rank=1, size=2, rendezvous=place, timeout=SHORT)


def test_a_place_where_rank_0_never_listens() -> None:
    place = f"unix:nobody {os.getpid()}"
    for _ in range(2):
        with raises("store-not-found"):
            distos_coll.init(rank=1, size=2, rendezvous=place, timeout=SHORT)
    # Nothing is left of that: the process may come as another rank.
    assert "rank 1 of group 'world'" in says_in_time("member-absent", rank_0_at(place))


def test_a_place_that_another_job_has() -> None:
    place = f"unix:taken {os.getpid()}"
    name = launch.explicit(0, 2).meeting_at(place).unix_name
    other = _native.JobStore(name, [], [], "other", "", serves=True, timeout_ms=5000)
    with raises("store-taken"):
        distos_coll.init(rank=0, size=2, rendezvous=place)
    assert other.dropped == 0


def test_a_host_that_cannot_be_resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with raises("host-unresolved", "meet at 'nowhere', which this host cannot resolve"):
        distos_coll.init(rank=0, size=2, rendezvous="nowhere:29500")


def test_rank_0_does_not_listen_on_loopback_for_other_hosts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def loopback(*_: Any, **__: Any) -> Any:
        return [(2, 1, 6, "", ("127.0.1.1", 0)), (2, 1, 6, "", ("127.0.1.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", loopback)
    monkeypatch.setattr(_native, "own_addresses", lambda _: ["10.0.0.7"])
    values = Settings()
    first, second = (launch.explicit(r, 2).meeting_at("node0:29500") for r in range(2))
    assert start._addresses(first, values) == ["10.0.0.7", "127.0.1.1"]
    assert start._addresses(second, values) == ["127.0.1.1"]
    for name in ("localhost", "127.0.1.1"):
        asked = launch.explicit(0, 2).meeting_at(f"{name}:29500")
        assert start._addresses(asked, values) == ["127.0.1.1"]


OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "0",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
}


def test_mpi_on_several_hosts_needs_mpi4py(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OPEN_MPI.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with raises("no-meeting-point-mpi", r"Open MPI does not say where .*install mpi4py"):
        distos_coll.init()


def test_an_mpi4py_of_another_mpi_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in OPEN_MPI.items():
        monkeypatch.setenv(name, value)
    alone = SimpleNamespace(Get_rank=lambda: 0, Get_size=lambda: 1)
    monkeypatch.setitem(
        sys.modules, "mpi4py", SimpleNamespace(MPI=SimpleNamespace(COMM_WORLD=alone))
    )
    with raises("other-mpi", "this is rank 0 of 2, mpi4py that it is 0 of 1"):
        distos_coll.init()


def test_a_text_is_no_list_of_plugins() -> None:
    with raises("plugin-arguments", r"write plugins=\['my_ring'\]"):
        distos_coll.init(plugins="my_ring")
