"""Joining a job: from a launcher, from arguments, or as threads of one process."""

import atexit
import contextlib
import os
import socket
import threading
import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from distos_coll import _native, launch, settings
from distos_coll.communicator import Communicator, Home, translated
from distos_coll.errors import DistosError, InvalidArgument
from distos_coll.launch import Launch
from distos_coll.settings import Settings

T = TypeVar("T")

TIMEOUT_S = 1800.0
EXIT_TIMEOUT_MS = 2000
"""What operations in flight get when the interpreter ends without close()."""

_lock = threading.Lock()
_homes: dict[Launch, "_JobHome"] = {}
_open: "weakref.WeakSet[Communicator]" = weakref.WeakSet()


class ThreadStore:
    """Where ranks that are threads of this process meet: pass one to each thread's `init()`."""

    def __init__(self) -> None:
        self.native = _native.MemoryStore()


class _JobHome(Home):
    worlds = 0
    """How many groups init() has made of this job; every rank makes the same ones."""


def init(
    *,
    rank: int | None = None,
    size: int | None = None,
    rendezvous: str = "",
    store: ThreadStore | None = None,
    timeout: float = TIMEOUT_S,
) -> Communicator:
    """Join the job and return the group of all its ranks.

    Without arguments rank, size and where ranks meet come from torchrun, mpirun (Open MPI or MPICH)
    or Slurm; without any of them the group has one rank. `rank` and `size` say it explicitly, with
    `rendezvous` "HOST:PORT" of rank 0's host, or "unix:NAME" on one host (DISTOS_COLL_RENDEZVOUS is
    its default), or with `store` for threads of this process. `timeout` in seconds is the deadline
    of joining and of each operation.

    TimeoutExpired names the ranks that did not come, SettingsError the variables that are wrong.
    """
    if timeout <= 0:
        raise InvalidArgument(f"timeout is {timeout} s; it must be positive")
    if (rank is None) != (size is None):
        raise InvalidArgument("init() takes rank and size together, or neither")
    values = settings.load()
    if store is not None:
        if rank is None or size is None:
            raise InvalidArgument("init(store=...) needs rank and size")
        with translated():
            runtime = _native.Runtime(values.native_text())
        return _joined(Home(runtime, store.native, values, timeout), rank, size, "world")
    if rank is not None and size is not None:
        found = launch.explicit(rank, size)
    else:
        found = launch.detect(os.environ)
    place = rendezvous or values.rendezvous
    if place:
        found = found.meeting_at(place)
    with _lock:
        home = _homes.get(found)
        if home is None:
            home = _homes[found] = _meet(found, values, timeout)
        home.timeout, home.settings = timeout, values
        home.worlds += 1
        name = "world" if home.worlds == 1 else f"world {home.worlds}"
    return _joined(home, found.rank, found.size, name)


def run_threads(size: int, function: Callable[[Communicator], T], **options: Any) -> list[T]:
    """Call `function(communicator)` as `size` ranks, each a thread; return what they returned.

    `options` are init()'s. The first exception of a rank is raised here; the other ranks are ended
    by it.
    """
    store = ThreadStore()
    results: list[Any] = [None] * size
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            with init(rank=rank, size=size, store=store, **options) as communicator:
                results[rank] = function(communicator)
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        # A failure elsewhere shows as an abort here; the cause is the more useful one.
        raise next((e for e in errors if not isinstance(e, DistosError)), errors[0])
    return results


def _joined(home: Home, rank: int, size: int, name: str) -> Communicator:
    communicator = Communicator.join(home, rank, size, name)
    _open.add(communicator)
    return communicator


def _meet(found: Launch, values: Settings, timeout: float) -> _JobHome:
    with translated():
        runtime = _native.Runtime.default(values.native_text())
        if found.size == 1:
            return _JobHome(runtime, _native.MemoryStore(), values, timeout)
        if not found.unix_name and not found.host:
            found = _through_mpi(found, values)
        store = _native.JobStore(
            unix_name=found.unix_name,
            ips=_addresses(found, values),
            ports=found.ports,
            job=found.job,
            key=_native.read_job_key(values.job_key_file),
            serves=found.rank == 0,
            timeout_ms=max(1, int(timeout * 1000)),
        )
    return _JobHome(runtime, store, values, timeout)


def _addresses(found: Launch, values: Settings) -> list[str]:
    if not found.host:
        return []
    if "," in found.host:
        return found.host.split(",")
    try:
        entries = socket.getaddrinfo(found.host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidArgument(
            f"the ranks meet at {found.host!r}, which this host cannot resolve: {error}"
        ) from None
    ips = list(dict.fromkeys(str(entry[4][0]).partition("%")[0] for entry in entries))
    # /etc/hosts often gives a host's own name a loopback address, which the others cannot reach.
    lost = found.rank == 0 and all(ip.startswith("127.") or ip == "::1" for ip in ips)
    if lost and not found.one_host and found.host not in {"localhost", *ips}:
        return _native.own_addresses(values.interfaces) + ips
    return ips


def _through_mpi(found: Launch, values: Settings) -> Launch:
    """Let rank 0 tell the others over MPI where it listens."""
    try:
        from mpi4py import MPI
    except ImportError:
        raise InvalidArgument(
            f"{found.launcher} does not say where the {found.size} ranks of this job can meet: set "
            "DISTOS_COLL_RENDEZVOUS=HOST:PORT to a free port of rank 0's host, or install mpi4py"
        ) from None
    world = MPI.COMM_WORLD
    if (world.Get_rank(), world.Get_size()) != (found.rank, found.size):
        raise InvalidArgument(
            f"{found.launcher} says that this is rank {found.rank} of {found.size}, mpi4py that it "
            f"is {world.Get_rank()} of {world.Get_size()}: mpi4py uses another MPI than the "
            "launcher; set DISTOS_COLL_RENDEZVOUS=HOST:PORT"
        )
    job, hosts = world.bcast((found.job, _native.own_addresses(values.interfaces)))
    first = replace(found, job=job, host=",".join(hosts))
    return launch.with_meeting_point(first)


def _close_all() -> None:
    """Say goodbye for groups that nobody closed, so that others see a rank leave and not die."""
    for communicator in list(_open):
        with contextlib.suppress(Exception):
            communicator.close_within(EXIT_TIMEOUT_MS)
    _native.shutdown()


atexit.register(_close_all)
