"""Joining a job: from a launcher, from arguments, or as threads of one process."""

import atexit
import contextlib
import functools
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from distos_coll import _native, launch, settings
from distos_coll.communicator import Communicator, Home, open_groups
from distos_coll.errors import Aborted, DistosError, GroupBroken, InvalidArgument, TimeoutExpired
from distos_coll.launch import Launch
from distos_coll.settings import Settings
from distos_coll.work import milliseconds, translated

T = TypeVar("T")

TIMEOUT_S = 1800.0
EXIT_TIMEOUT_MS = 2000
"""What operations in flight get when the interpreter ends without close()."""


class _Job:
    """What a rank keeps of its job between calls of init()."""

    def __init__(self, store: _native.Store | None = None) -> None:
        self.lock = threading.Lock()
        self.store = store
        self._worlds = 0

    def meet(self, found: Launch, values: Settings, timeout_ms: int) -> None:
        """Find the other ranks, unless that was done and rank 0 is still there."""
        if self.store is not None:
            try:
                self.store.get("init/1", 0)
            except _native.NativeError:
                self.store = None
        if self.store is None:
            self._worlds = 0
            self.store = _meet(found, values, timeout_ms)

    def next_world(self, rank: int, timeout_ms: int) -> tuple[_native.Store, str]:
        """Name the group of all ranks that init() makes now, alike on all of them.

        Rank 0 counts its calls of init(); the others take the latest that they have not taken yet.
        So a rank that failed, or that came too late for a call, finds the others at their next.
        """
        store = self.store
        assert store is not None  # noqa: S101  meet() has run
        if rank == 0:
            self._worlds += 1
            store.set(f"init/{self._worlds}", b"")
        else:
            if store.get(f"init/{self._worlds + 1}", timeout_ms) is None:
                raise TimeoutExpired(
                    f"rank 0 did not call init() within {timeout_ms} ms of rank {rank}'s call"
                )
            self._worlds += 1
            while store.get(f"init/{self._worlds + 1}", 0) is not None:
                self._worlds += 1
        return store, "world" if self._worlds == 1 else f"world {self._worlds}"


_lock = threading.Lock()
_jobs: dict[Launch, _Job] = {}


class ThreadStore:
    """Where ranks that are threads of this process meet: pass one to each thread's `init()`."""

    def __init__(self) -> None:
        self._native = _native.MemoryStore()
        self._jobs: dict[int, _Job] = {}

    def _job(self, rank: int) -> _Job:
        return self._jobs.setdefault(rank, _Job(self._native))


def init(
    *,
    rank: int | None = None,
    size: int | None = None,
    rendezvous: str = "",
    store: ThreadStore | None = None,
    timeout: float = TIMEOUT_S,
    plugins: Sequence[object] = (),
) -> Communicator:
    """Join the job and return the group of all its ranks.

    Without arguments rank, size and where ranks meet come from torchrun, mpirun (Open MPI or MPICH)
    or Slurm; without any of them the group has one rank. `rank` and `size` say it explicitly, with
    `rendezvous` "HOST:PORT" of rank 0's host, or "unix:NAME" on one host (DISTOS_COLL_RENDEZVOUS is
    its default), or with `store` for threads of this process. `timeout` in seconds is the deadline
    of each step of joining and of each operation.

    `plugins` come after those that are installed and those of DISTOS_COLL_PLUGINS: modules, objects
    with hooks, or "module" and "module:attribute" (docs/plugins/index.md). All ranks must name the
    same; PluginError says what is wrong with one.

    TimeoutExpired names the ranks that did not come, SettingsError the variables that are wrong.
    Each call makes a new group; after a failure it may be called again.
    """
    if timeout <= 0:
        raise InvalidArgument(f"timeout is {timeout} s; it must be positive")
    if isinstance(plugins, str):
        raise InvalidArgument(f"init(plugins=...) takes a list; write plugins=[{plugins!r}]")
    timeout_ms = milliseconds(timeout)
    if (rank is None) != (size is None):
        raise InvalidArgument("init() takes rank and size together, or neither")
    values = settings.load()
    if store is not None:
        if rank is None or size is None:
            raise InvalidArgument("init(store=...) needs rank and size")
        found = launch.explicit(rank, size)
        job = store._job(rank)  # noqa: SLF001  hidden from users, not from here
        with translated():
            runtime = _native.Runtime(values.native_text())
    else:
        found = _found(rank, size, rendezvous or values.rendezvous)
        with translated():
            # Refuses settings that differ from those in use, and a forked child.
            runtime = _native.Runtime.default(values.native_text())
        job = _met(found, values, timeout_ms)
    with job.lock, translated():
        meeting, name = job.next_world(found.rank, timeout_ms)
    own = _native.PrefixStore(meeting, f"{name}/")
    home = Home(runtime, values, timeout, tuple(plugins))
    return Communicator.join(home, own, found.rank, range(found.size), name)


def run_threads(size: int, function: Callable[[Communicator], T], **options: Any) -> list[T]:
    """Call `function(communicator)` as `size` ranks, each a thread; return what they returned.

    `options` are init()'s. The first exception of a rank ends the other ranks and is raised here;
    so does one that comes to the caller meanwhile, such as KeyboardInterrupt.
    """
    store = ThreadStore()
    results: list[Any] = [None] * size
    joined: list[Communicator] = []
    errors: list[BaseException] = []
    ended: queue.SimpleQueue[int] = queue.SimpleQueue()

    def run(rank: int) -> None:
        try:
            with init(rank=rank, size=size, store=store, **options) as communicator:
                joined.append(communicator)
                results[rank] = function(communicator)
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            errors.append(error)
        finally:
            ended.put(rank)

    threads = [threading.Thread(target=run, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    try:
        # Not join(): interrupted, it takes the thread for ended (until Python 3.13).
        for _ in threads:
            ended.get()
    except BaseException:
        for communicator in joined:
            communicator.abort("the thread that called run_threads() was interrupted")
        for thread in threads:
            thread.join(EXIT_TIMEOUT_MS / 1000)
        raise
    for thread in threads:
        thread.join()
    if errors:
        raise _cause(errors)
    return results


def _cause(errors: Sequence[BaseException]) -> BaseException:
    """Return the error that brought the others about: a rank's failure shows elsewhere, too."""

    def distance(error: BaseException) -> int:
        consequences = (DistosError, GroupBroken, Aborted)  # each a kind of the one before
        return sum(isinstance(error, kind) for kind in consequences)

    return min(errors, key=distance)


def _found(rank: int | None, size: int | None, rendezvous: str) -> Launch:
    if rank is not None and size is not None:
        found = launch.explicit(rank, size)
    else:
        found = launch.detect(os.environ)
    return found.meeting_at(rendezvous) if rendezvous else found


def _met(found: Launch, values: Settings, timeout_ms: int) -> _Job:
    with _lock:
        for other in _jobs:
            same_job = replace(other, rank=found.rank, local_rank=found.local_rank) == found
            if same_job and other.rank != found.rank:
                raise InvalidArgument(
                    f"this process is rank {other.rank} of this job already and cannot be rank "
                    f"{found.rank} as well; ranks that are threads meet in a ThreadStore: "
                    "init(rank=..., size=..., store=...)"
                )
        job = _jobs.setdefault(found, _Job())
    with job.lock:
        try:
            with translated():
                job.meet(found, values, timeout_ms)
        except BaseException:
            with _lock:
                _jobs.pop(found, None)
            raise
    return job


def _meet(found: Launch, values: Settings, timeout_ms: int) -> _native.Store:
    if found.size == 1:
        return _native.MemoryStore()
    if not found.unix_name and not found.host:
        found = _through_mpi(found, values)
    return _native.JobStore(
        unix_name=found.unix_name,
        ips=_addresses(found, values),
        ports=found.ports,
        job=found.job,
        key=_native.read_job_key(values.job_key_file),
        serves=found.rank == 0,
        timeout_ms=timeout_ms,
    )


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


# Only a success is kept: MPI's broadcast is collective, and a rank may come here again alone.
@functools.lru_cache(maxsize=1)
def _through_mpi(found: Launch, values: Settings) -> Launch:
    """Let rank 0 tell the others over MPI where it listens."""
    nowhere = (
        f"{found.launcher} does not say where the {found.size} ranks of this job can meet: pass "
        "init(rendezvous=...) or set DISTOS_COLL_RENDEZVOUS to HOST:PORT, a free port of rank 0's "
        "host, or to unix:NAME if all ranks are on one host"
    )
    # Importing mpi4py starts MPI, which only its own launchers prepare for.
    if found.launcher not in {"Open MPI", "MPICH", "Slurm"} and "mpi4py.MPI" not in sys.modules:
        raise InvalidArgument(nowhere)
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise InvalidArgument(f"{nowhere}; or install mpi4py for this MPI ({error})") from None
    world = MPI.COMM_WORLD
    if (world.Get_rank(), world.Get_size()) != (found.rank, found.size):
        raise InvalidArgument(
            f"{found.launcher} says that this is rank {found.rank} of {found.size}, mpi4py that it "
            f"is {world.Get_rank()} of {world.Get_size()}: mpi4py uses another MPI than the "
            "launcher; set DISTOS_COLL_RENDEZVOUS=HOST:PORT"
        )
    hosts = _native.own_addresses(values.interfaces) or ["127.0.0.1"]
    job, hosts = world.bcast((found.job, hosts))
    return launch.with_meeting_point(replace(found, job=job, host=",".join(hosts)))


def _close_all() -> None:
    """Say goodbye for groups that nobody closed, so that others see a rank leave and not die."""
    for communicator in list(open_groups):
        with contextlib.suppress(Exception):
            communicator.close_within(EXIT_TIMEOUT_MS)
    _native.shutdown()


atexit.register(_close_all)
