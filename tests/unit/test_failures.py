"""What ranks are told when set-up or an operation fails for reasons outside the library."""

import ctypes
import mmap
import socket
import socketserver
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import distos_coll
from distos_coll import ThreadStore, _native, errors
from distos_coll.group_plan import plan_for
from distos_coll.settings import Settings
from distos_coll.testing.ranks import run_threads
from distos_coll.work import translated
from tests.error_page import raises, says

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
    return plan_for(Settings(), group.domain_of(), group.domain_bits()).encode()


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
    store = _native.MemoryStore()
    said = what_each_says(
        lambda: connect(store, 0, settings="tcp=0"), lambda: connect(store, 1, settings="shm=0")
    )
    print(said)
    assert says("connect-failed", said[0])
    assert says("connect-failed", said[1])


# ---- where ranks meet


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def job_store(port: int, *, serves: bool, key: str = "", timeout_ms: int = LONG_MS) -> Any:
    with translated():
        return _native.JobStore("", ["127.0.0.1"], [port], "job", key, serves, timeout_ms)


def test_a_rank_with_another_job_key() -> None:
    port = free_port()
    served = job_store(port, serves=True, key="the one of rank 0")
    with raises("store-not-found") as caught:
        job_store(port, serves=False, key="another", timeout_ms=SHORT_MS)
    assert says("wrong-key", str(caught.value))
    assert served.dropped > 0


def test_a_meeting_point_that_speaks_something_else() -> None:
    class Web(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Web) as server:
        threading.Thread(target=server.serve_forever).start()
        with raises("store-not-found") as caught:
            job_store(server.server_address[1], serves=False, timeout_ms=SHORT_MS)
        server.shutdown()
    assert says("other-protocol", str(caught.value))


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


def card_of_one_that_ended() -> bytes:
    """What a process says of itself to the others, which will not find it."""
    store = _native.MemoryStore()
    with ThreadPoolExecutor(1) as alone:
        lonely = alone.submit(connect, store, 1, timeout_ms=SHORT_MS)
        card = store.get("distos/card/1", LONG_MS)
        with raises("member-absent"):
            lonely.result()
    assert card is not None
    return card


def test_a_member_whose_process_is_gone_before_anybody_reached_it() -> None:
    """Which of two opens the connection is a matter of their random names, so it is tried often."""
    card, missing = card_of_one_that_ended(), {"refused-unix", "not-opened"}
    for _ in range(60):
        store = _native.MemoryStore()
        store.set("distos/card/1", card)
        with raises("connect-failed") as caught:
            connect(store, 0, settings="tcp=0", timeout_ms=30)
        row = "not-opened" if "smaller uid" in str(caught.value) else "refused-unix"
        assert says(row, str(caught.value))
        missing.discard(row)
        if not missing:
            return
    raise AssertionError(missing)


# ---- operations


def no_access(size: int) -> tuple[mmap.mmap, int]:
    """Memory that nobody may read, and its address."""
    memory = mmap.mmap(-1, size)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(address), size, 0) == 0
    return memory, address


BIG = 1 << 22
