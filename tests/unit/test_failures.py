"""What ranks are told when set-up or an operation fails for reasons outside the library."""

import gc
import os
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from error_page import ROWS, raises, says, says_in_time

import distos_coll
from distos_coll import ThreadStore, _native, errors
from distos_coll.group_plan import Found, plan_for
from distos_coll.settings import Settings
from distos_coll.testing import LocalWorld, Rank
from distos_coll.testing.ranks import check, run_threads
from distos_coll.work import translated

SHORT_MS = 300
"""For what must time out."""
LONG_MS = 20_000


def connect(
    store: _native.Store, rank: int, size: int = 2, settings: str = "", timeout_ms: int = LONG_MS
) -> _native.Communicator:
    with translated():
        runtime = _native.Runtime(settings)
        return _native.Communicator(runtime, store, rank, size, timeout_ms, "group")


def plan_of(group: _native.Communicator) -> bytes:
    return plan_for(Settings(), Found(group.domain_of(), group.domain_bits())).encode()


def what_each_says(*calls: Callable[[], Any]) -> list[str]:
    """The errors of calls that run at once."""

    def said(call: Callable[[], Any]) -> str:
        try:
            call()
        except errors.DistosError as error:
            return str(error)
        return ""

    return run_threads(said, calls)


# ---- settings, and the way to a peer


def test_settings_of_another_version() -> None:
    with raises("settings-version"), translated():
        _native.Runtime("speed=3")


def test_a_job_key_that_is_short(tmp_path: Any) -> None:
    (tmp_path / "key").write_text("short")
    with raises("job-key"), translated():
        _native.read_job_key(str(tmp_path / "key"))


def test_no_address_is_usable() -> None:
    every = ",".join(name for _, name in socket.if_nameindex())
    with raises("no-address", "excluded by the interface setting"), translated():
        _native.Runtime(f"shm=0\ninterfaces=^{every}")


def test_two_ranks_without_a_common_transport() -> None:
    """Which of two opens the connection is a matter of their random names, so it is tried often."""
    missing = {"switched-off", "no-shared-memory"}
    for _ in range(60):
        store = _native.MemoryStore()
        said = what_each_says(
            lambda s=store: connect(s, 0, settings="tcp=0"),  # type: ignore[misc]
            lambda s=store: connect(s, 1, settings="shm=0"),  # type: ignore[misc]
        )
        for text in said:
            assert says("connect-failed", text)
            missing = {row for row in missing if not ROWS[row].is_in(text)}
        if not missing:
            return
    raise AssertionError(missing)


# ---- where ranks meet


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def job_store(port: int, *, serves: bool, key: str = "", s: float = LONG_MS / 1000) -> Any:
    with translated():
        return _native.JobStore("", ["127.0.0.1"], [port], "job", key, serves, int(1000 * s))


def test_a_rank_with_another_job_key() -> None:
    port = free_port()
    served = job_store(port, serves=True, key="the one of rank 0")
    text = says_in_time("wrong-key", lambda s: job_store(port, serves=False, key="another", s=s))
    assert says("store-not-found", text)
    served.set("still", b"there")
    assert served.dropped > 0


def test_a_meeting_point_that_speaks_something_else() -> None:
    class Web(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever).start()
        port = server.server_address[1]
        text = says_in_time("other-protocol", lambda s: job_store(port, serves=False, s=s))
        server.shutdown()
    assert says("store-not-found", text)


def test_a_store_whose_process_is_gone() -> None:
    port = free_port()
    served = job_store(port, serves=True)
    client = job_store(port, serves=False)
    del served
    with raises("store-lost"), translated():
        client.get("key", LONG_MS)


# ---- members that differ, or are gone


def test_members_of_two_builds() -> None:
    store = _native.MemoryStore()

    def forge() -> None:
        card = store.get("distos/card/0", LONG_MS)
        assert card is not None
        version = distos_coll.__version__.encode()
        assert version in card
        store.set("distos/card/1", card.replace(version, b"9" * len(version)))

    with raises("build-differs"):
        forger = threading.Thread(target=forge)
        forger.start()
        connect(store, 0)
    forger.join()


def test_members_that_believe_in_different_sizes() -> None:
    store = ThreadStore()

    def join(rank: int, size: int) -> Callable[[], Any]:
        return lambda: distos_coll.init(rank=rank, size=size, store=store, timeout=20)

    said = what_each_says(join(0, 2), join(1, 3), join(2, 3))
    assert says("size-differs", said[0])


def test_members_with_windows_of_two_sizes() -> None:
    store = _native.MemoryStore()

    def join(rank: int) -> None:
        group = connect(store, rank, settings=f"slot_bytes={(rank + 1) << 16}")
        with translated():
            group.install_plan(plan_of(group))
            group.ready(store)

    said = what_each_says(lambda: join(0), lambda: join(1))
    assert any(says("window-size", text) for text in said if "window is" in text), said


def test_a_member_that_ends_during_set_up() -> None:
    store = _native.MemoryStore()
    runtimes = [_native.Runtime() for _ in range(2)]
    first, _second = run_threads(
        lambda rank: _native.Communicator(runtimes[rank], store, rank, 2, LONG_MS, "group"),
        range(2),
    )
    first.install_plan(plan_of(first))
    runtimes[1].shutdown()
    with raises("member-ended"), translated():
        first.ready(store)


# ---- operations


BIG = 1 << 22
"""Bytes; more than a message that goes without being asked for, and read in place."""

UNREADABLE = """
import ctypes, mmap, sys
rank, job = int(sys.argv[1]), sys.argv[2]
from distos_coll.schedules import single_copy
single_copy._broadcast_us = lambda cost: 0  # so that it is chosen
size = 1 << 24
memory = mmap.mmap(-1, size)
x = numpy.frombuffer(memory, numpy.uint8)
def protect(flags):
    address = ctypes.c_void_p(x.ctypes.data)
    assert ctypes.CDLL(None).mprotect(address, ctypes.c_size_t(size), flags) == 0
with distos_coll.init(rank=rank, size=2, rendezvous="unix:" + job, timeout=20) as group:
    if rank == 0:
        protect(0)  # as if it had been freed
    for call in (
        lambda: group.send(x, 1) if rank == 0 else group.recv(x, 0),
        lambda: group.broadcast(x),
    ):
        try:
            call()
        except distos_coll.errors.DistosError as error:
            print(type(error).__name__, error)
    protect(3)
"""


def test_memory_that_cannot_be_read() -> None:
    job = f"unreadable-{os.getpid()}"
    with ThreadPoolExecutor(2) as both:
        first, second = both.map(lambda rank: python(UNREADABLE, str(rank), job), range(2))
    assert says("single-copy-send", first)
    assert says("single-copy-recv", second)
    assert says("single-copy", second)


def test_messages_of_two_sizes() -> None:
    def exchange(rank: Rank) -> None:
        out = np.zeros(BIG, np.uint8)
        if rank.rank == 1:
            with raises("message-size"):
                check(rank.native.receive(out.ctypes.data, BIG - 1, 0))
        else:
            with raises("message-size-sender"):
                check(rank.native.send(out.ctypes.data, BIG, 1))

    with LocalWorld(2) as local:
        local.run(exchange)


def test_messages_that_come_too_late() -> None:
    late = threading.Event()

    def send(rank: Rank) -> None:
        out = np.zeros(BIG, np.uint8)
        if rank.rank == 1:
            with raises("message-timeout"):
                check(rank.native.receive(out.ctypes.data, 1, 0, timeout_ms=SHORT_MS))
            late.set()
            return
        late.wait(20)
        with raises("message-timeout"):
            check(rank.native.send(out.ctypes.data, BIG, 1, timeout_ms=SHORT_MS))
        with raises("send-announced"):
            rank.barrier()

    with LocalWorld(2) as local:
        local.run(send)


def test_a_monitored_barrier_without_rank_0() -> None:
    done = threading.Event()

    def barrier(rank: Rank) -> None:
        if rank.rank == 0:
            done.wait(20)
            return
        with raises("barrier-unanswered"), translated():
            rank.native.monitored_barrier(SHORT_MS)
        done.set()

    with LocalWorld(2) as local:
        local.run(barrier)


def test_a_plan_of_another_topology() -> None:
    store = _native.MemoryStore()
    with LocalWorld(2) as local:
        plan = local.ranks[0].plan.encode()

    def join(rank: int) -> None:
        group = connect(store, rank, settings="domain_limit=1")
        with raises("plan-unmet"), translated():
            group.install_plan(plan)

    run_threads(join, range(2))


def test_shrinks_that_cannot_be() -> None:
    tried, excluded = threading.Event(), threading.Barrier(3)

    def shrink(c: distos_coll.Communicator) -> None:
        with c.group(), raises("shrink-in-group"):
            c.shrink()
        with raises("shrink-rank"):
            c.shrink(exclude=[c.rank])
        if c.rank == 2:
            assert tried.wait(20)
        else:
            with raises("shrink-absent", "rank 2"):
                c.shrink(timeout=SHORT_MS / 1000)
            tried.set()
        excluded.wait(20)
        if c.rank == 2:
            with raises("shrink-excluded", "rank 2 was left out"):
                c.shrink()
        else:
            c.shrink(exclude=[2]).close()

    distos_coll.run_threads(3, shrink, timeout=20)


def test_a_shrink_that_failed_may_be_kept() -> None:
    """What is kept of a failed call, such as its exception, is no word in the next one."""
    kept: list[Any] = []
    waiting, dropped = threading.Event(), threading.Event()

    def drop() -> None:
        assert waiting.wait(20)
        time.sleep(0.2)  # the other call of rank 0 has begun
        kept.clear()
        gc.collect()
        dropped.set()

    def shrink(c: distos_coll.Communicator) -> None:
        if c.rank == 0:
            with pytest.raises(distos_coll.errors.TimeoutExpired) as caught:
                c.shrink(timeout=SHORT_MS / 1000)
            kept.append(caught)
            del caught
            waiting.set()
        else:
            assert dropped.wait(20)
        c.shrink().close()

    helper = threading.Thread(target=drop)
    helper.start()
    distos_coll.run_threads(2, shrink, timeout=20)
    helper.join()


# ---- processes at their limits, children of fork(), the end of a program


def python(script: str, *arguments: str) -> str:
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            "import os, distos_coll, numpy\n" + script,
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


IN_A_CHILD = """
from distos_coll import _native
group = distos_coll.init()
if os.fork() == 0:
    for call in (
        distos_coll.init,
        _native.Runtime,
        group.barrier,
        lambda: _native.Communicator(runtime, _native.MemoryStore(), 0, 1, 1000, "group"),
        distos_coll.dump_flight_record,
    ):
        try:
            call()
        except Exception as error:
            print(error)
    os._exit(0)
os.wait()
"""


def test_children_of_fork_are_told_what_to_do() -> None:
    script = IN_A_CHILD.replace("group =", "runtime = _native.Runtime()\ngroup =")
    lines = python(script).splitlines()
    rows = ["forked-default", "forked-process", "forked-group", "forked-new-group", "flight-forked"]
    for row, line in zip(rows, lines, strict=True):
        assert says(row, line)


def test_a_flight_record_without_a_file() -> None:
    with distos_coll.init(), raises("flight-no-file"):
        distos_coll.dump_flight_record()


def test_a_group_that_is_made_when_all_is_over() -> None:
    script = """
import atexit, sys
def late():
    try:
        distos_coll.init()
    except Exception as error:
        print(error)
import distos_coll.start
atexit._clear()
atexit.register(late)
atexit.register(distos_coll.start._close_all)
distos_coll.init()
"""
    assert says("process-exiting", python(script))


def test_a_window_that_the_system_has_no_room_for() -> None:
    script = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, 8 << 20))
os.environ["DISTOS_COLL_SLOT_BYTES"] = "16M"
try:
    distos_coll.run_threads(2, lambda c: None)
except distos_coll.errors.SystemFailure as error:
    print(error)
"""
    assert says("window-memory", python(script))


def test_a_copy_that_there_is_no_memory_for() -> None:
    script = """
import resource
os.environ["DISTOS_COLL_ALGO"] = "ring"
x = numpy.zeros(1 << 29, numpy.float16)
def reduce(c):
    pages = int(open("/proc/self/statm").read().split()[0])
    limit = pages * resource.getpagesize() + (1 << 30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        c.all_reduce(x)
    except distos_coll.errors.SystemFailure as error:
        print(error)
distos_coll.run_threads(2, reduce)
"""
    assert says("no-memory", python(script))
