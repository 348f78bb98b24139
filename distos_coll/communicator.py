"""The array door's groups: who is in them, and how they begin and end."""

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np

from distos_coll import _native, calls, manifests
from distos_coll.collectives import Collectives
from distos_coll.errors import Aborted, DistosError, InvalidArgument, Mismatch
from distos_coll.group_plan import Found, Member, plan_and_log
from distos_coll.manifests import Meeting
from distos_coll.memory import Memory
from distos_coll.profiles import STORE_KEY, shared
from distos_coll.settings import Settings
from distos_coll.work import milliseconds, translated

if TYPE_CHECKING:
    from distos_coll.planner.explain import Explanation
    from distos_coll.planner.plan import Plan

open_groups: "weakref.WeakSet[Communicator]" = weakref.WeakSet()
"""Every group of this process that is alive, closed or not."""


@dataclass(frozen=True)
class Home:
    """What the groups that come from one call of init() share."""

    runtime: _native.Runtime
    settings: Settings
    timeout: float
    plugins: tuple[object, ...] = ()
    """Besides those that are installed and those of the settings."""


@final
class Communicator(Collectives):
    """A group of ranks. Made by `init()`, `split()` and `shrink()`; a context manager that closes.

    Every method but `send`, `recv`, `abort` and `close` is collective: all ranks call it, in the
    same order, with matching sizes. Methods work in place unless `out` is given, which may overlap
    `x`, and return the result. With `async_op=True` they return a `Work` at once; the arrays must
    not be touched until it has ended.
    Failures are exceptions of `distos_coll.errors`: TimeoutExpired, PeerDied, PeerLeft, Aborted,
    Mismatch, InvalidArgument, Unsupported.
    """

    def __init__(
        self,
        native: _native.Communicator,
        plan: "Plan",
        home: Home,
        name: str,
        job_ranks: Sequence[int],
    ) -> None:
        super().__init__(native, wide=home.settings.wide_reduce)
        self._plan = plan
        self._home = home
        self._name = name
        self._splits = 0
        self._closed = False
        self._job_ranks = job_ranks
        self._parts: weakref.WeakSet[Communicator] = weakref.WeakSet()
        open_groups.add(self)

    def __del__(self) -> None:
        # The core lets what is in flight finish; the arrays must live until then.
        if len(self._flying) > 0:
            self._native.close()

    @classmethod
    def join(
        cls, home: Home, store: _native.Store, rank: int, job_ranks: Sequence[int], name: str
    ) -> "Communicator":
        """Meet the ranks of the group `name`, these of the job, in a store of its own; agree."""
        timeout_ms = milliseconds(home.timeout)
        with translated():
            if rank == 0:
                # Before the others can see this rank, so that they find it once they have met it.
                store.set(STORE_KEY, shared(home.settings, len(job_ranks)))
            native = _native.Communicator(
                home.runtime, store, rank, len(job_ranks), timeout_ms, name, job_ranks
            )
        try:
            with translated():
                told = store.get(STORE_KEY, timeout_ms) or b""
            found = Found(native.domain_of(), native.domain_bits(), told, native.hosts())
            member = Member(name, rank, home.runtime.describe)
            plan = plan_and_log(home.settings, member, found, home.plugins)
            with translated():
                native.install_plan(plan.encode())
        except BaseException as error:
            native.give_up(store, f"{type(error).__name__}: {error}")
            if isinstance(error, DistosError):
                cls._blame_plugins(home, Meeting(store, name, rank, len(job_ranks)), error)
            raise
        try:
            with translated():
                native.ready(store)
        except (Mismatch, Aborted) as error:
            cls._blame_plugins(home, Meeting(store, name, rank, len(job_ranks)), error)
            raise
        return cls(native, plan, home, name, job_ranks)

    @staticmethod
    def _blame_plugins(home: Home, meeting: Meeting, error: DistosError) -> None:
        """Raise Mismatch, if the ranks' plugins differ."""
        found = manifests.why_not(meeting, manifests.own(home.settings, home.plugins))
        if found:
            raise Mismatch(found) from error

    # ---- who we are

    @property
    def rank(self) -> int:
        return self._native.rank

    @property
    def size(self) -> int:
        return self._native.size

    @property
    def name(self) -> str:
        return self._name

    @property
    def domains(self) -> list[int]:
        """For each rank its domain: ranks of one share memory."""
        return self._native.domain_of()

    def explain(self, collective: str, nbytes: int) -> "Explanation":
        """Say which algorithm a call of `nbytes` bytes runs, and why."""
        return self._plan.explain(collective, nbytes)

    @property
    def memory(self) -> Memory:
        """The bytes that the group holds in this process (docs/memory.md)."""
        return Memory(*self._native.memory_use())

    def describe(self) -> str:
        """Links, addresses tried and why some were rejected, and memory, one per line."""
        return f"{self._home.runtime.describe().rstrip()}\n{self.memory}\n"

    def __repr__(self) -> str:
        return f"<distos_coll.Communicator {self._name!r}, rank {self.rank} of {self.size}>"

    # ---- memory and groups

    def empty(
        self, shape: int | tuple[int, ...], dtype: Any = np.float32
    ) -> "np.ndarray[Any, Any]":
        """Return a numpy array in registered memory, uninitialised. Not collective.

        Ranks of this host map it, too, so that collectives whose arrays are registered on all ranks
        work on them in place, in this group and in others. The memory is freed with the last array
        that refers to it (docs/memory.md).
        """
        kind = np.dtype(dtype)
        nbytes = math.prod((shape,) if isinstance(shape, int) else shape) * kind.itemsize
        with translated():
            memory = _native.allocate(self._native, nbytes)
        # What is small stays ordinary memory.
        raw = _at_page(nbytes) if memory is None else np.frombuffer(memory, np.uint8)
        array: np.ndarray[Any, Any] = raw.view(kind).reshape(shape)
        return array

    def split(self, color: int | None, key: int = 0) -> "Communicator | None":
        """Make one group of the ranks that pass the same `color`, ordered by `key`, then rank.

        None makes a rank a member of none; it gets None.
        """
        if self._grouped.works is not None:
            raise InvalidArgument("split() cannot wait inside a group() block; call it before")
        chosen = calls.integer("color", 0 if color is None else color)
        numbers = [color is not None, chosen, calls.integer("key", key)]
        every = self.all_gather(np.array(numbers, dtype=np.int64))
        self._splits += 1
        if color is None:
            return None
        members = [r for r in range(self.size) if every[r][0] and every[r][1] == chosen]
        members.sort(key=lambda r: (int(every[r][2]), r))
        name = f"{self._name}/{self._splits}.{chosen}"
        store = _native.BoardStore(self._native, members, f"split/{self._splits}.{chosen}")
        return self._part(store, members, name)

    def _part(self, store: _native.Store, members: Sequence[int], name: str) -> "Communicator":
        job_ranks = [self._job_ranks[member] for member in members]
        rank = members.index(self.rank)
        part = Communicator.join(self._home, store, rank, job_ranks, name)
        self._parts.add(part)
        return part

    def shrink(
        self, exclude: Sequence[int] = (), *, timeout: float | None = None
    ) -> "Communicator":
        """Make a group of the ranks that are left: that have neither ended nor closed this one.

        They all call it, after an error that says that a rank died, or to leave out the ranks
        `exclude`, which must not call it. They keep their order. Ranks that end meanwhile are left
        out, too. TimeoutExpired names those that live but have not called within `timeout` seconds,
        by default init()'s. This group stays as it is; close it when the new one is there.
        """
        if self._grouped.works is not None:
            raise InvalidArgument("shrink() cannot wait inside a group() block; call it after")
        limit = milliseconds(self._home.timeout if timeout is None else timeout)
        with translated():
            shrink = _native.Shrink(self._native, list(exclude), limit)
            shrink.agree()
        while True:
            try:
                return self._part(shrink, shrink.ranks, f"{self._name}/shrunk {shrink.call}")
            except DistosError:
                with translated():
                    if not shrink.overtaken():
                        raise
                    shrink.agree()

    def abort(self, reason: str = "abort() was called") -> None:
        """Fail everything in flight, on all ranks. The group cannot be used again.

        Does nothing once this rank has closed the group; others may still be finishing.
        """
        if not self._closed:
            self._native.abort(reason)

    def close(self) -> None:
        """Let what is in flight finish, say goodbye to the others. Idempotent."""
        self._native.close()
        self._closed = True

    def close_within(self, milliseconds: int) -> None:
        """Close, but wait no longer than this for what is in flight."""
        self._native.set_timeout(milliseconds)
        self.close()

    def __enter__(self) -> "Communicator":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, _: object) -> None:
        left_well = kind is None or (isinstance(error, SystemExit) and not error.code)
        if not left_well and kind is not None:
            # The others may never come to where this rank would wait for them.
            self._end(f"{kind.__name__}: {error}")
        self.close()

    def _end(self, why: str) -> None:
        for part in list(self._parts):
            part._end(why)  # noqa: SLF001  another object of this class
        self.abort(why)


def _at_page(nbytes: int) -> "np.ndarray[Any, Any]":
    """Return bytes at the start of a page."""
    page = 4096
    raw = np.empty(nbytes + page, dtype=np.uint8)
    start = -raw.ctypes.data % page
    return raw[start : start + nbytes]
