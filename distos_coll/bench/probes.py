"""Measures links and kernels one by one, as the cost model knows them (plugins/costs.py)."""

import ctypes
import mmap
import os
import time
from collections.abc import Callable
from math import sqrt
from typing import Any

import numpy as np

from distos_coll import _native
from distos_coll._vocabulary import DType
from distos_coll.bench.elements import Array
from distos_coll.communicator import Communicator
from distos_coll.planner import ClusterView
from distos_coll.plugins.costs import LinkCost, round_factor

SMALL = 8
NEAR = 256 << 10
"""Bytes that every core's own cache holds, and that are enough to see a rate."""
FAR = 32 << 20
"""Bytes that come from memory, in this and the next one."""
STREAM = 4 << 20
"""Bytes of a message whose time is its bandwidth."""
REPEATS = 9

Measured = dict[str, Any]
"""By the names of Figures."""


def probe(group: Communicator) -> Measured:
    """Measure what this group can show; all its ranks call it, and rank 0's result counts.

    In its domain: see _within. Between domains: messages over TCP.
    """
    members = _view(group).members
    if len(members) == 1:
        return _within(group)
    part = group.split(_view(group).domain_of[group.rank])
    assert part is not None  # noqa: S101  every rank has a domain
    with part:
        found = _within(part)
    return found | _messages(group, members[0][0], members[1][0], "tcp")


def _view(group: Communicator) -> ClusterView:
    return group._plan.view  # noqa: SLF001  hidden from users, not from here


def _within(group: Communicator) -> Measured:
    """Measure in a group of one domain: rounds, copies, kernels, and either reads of another's
    memory or, where there is no such thing, messages on a ring. Of ranks that share cores only what
    that costs, for it would distort everything else.
    """
    view = _view(group)
    if group.size == 1:
        return {}
    barrier_us = _barrier_us(group)
    if view.sharing > 1:
        return {"switch_us": barrier_us / (view.sharing - 1)}
    copies = _Copies(group, 0, 1)
    # In one domain a barrier is a window round.
    found = copies.mapped(barrier_us / round_factor(group.size)) | _kernels(group)
    return found | (copies.single() if view.all_single_copy else _messages(group, 0, 1, "message"))


def _barrier_us(group: Communicator) -> float:
    calls = 100
    times = []
    for _ in range(REPEATS):
        group.barrier()
        started = time.perf_counter()
        for _ in range(calls):
            group.barrier()
        times.append((time.perf_counter() - started) / calls * 1e6)
    return _said_by(group, 0, times)


# ---- messages


def _messages(group: Communicator, a: int, b: int, name: str) -> Measured:
    small, large = (_half_trip_us(group, a, b, nbytes) for nbytes in (SMALL, STREAM))
    return {name: LinkCost(small, _gbps(STREAM, large, small))}


def _half_trip_us(group: Communicator, a: int, b: int, nbytes: int) -> float:
    data = np.zeros(nbytes, np.uint8)
    trips = 200 if nbytes == SMALL else 2
    times = []
    for _ in range(REPEATS):
        group.barrier()
        started = time.perf_counter()
        if group.rank in {a, b}:
            other = b if group.rank == a else a
            for turn in range(2 * trips):
                if (turn % 2 == 0) == (group.rank == a):
                    group.send(data, other)
                else:
                    group.recv(data, other)
        times.append((time.perf_counter() - started) / trips / 2 * 1e6)
    return _said_by(group, a, times)


def _said_by(group: Communicator, rank: int, times: list[float]) -> float:
    """Return the median of that rank's times, on all ranks."""
    median = np.array([np.median(times)])
    group.broadcast(median, rank)
    return float(median[0])


def _gbps(nbytes: float, us: float, alpha_us: float = 0.0) -> float:
    """Return the bandwidth, where latency is at most half of the time."""
    return nbytes / max(us - alpha_us, us / 2, 1e-3) / 1000


# ---- memory


class _Copies:
    """Rank `b` copies what rank `a` has just written, through a mapping or out of its memory."""

    def __init__(self, group: Communicator, a: int, b: int) -> None:
        self._group, self._a, self._b = group, a, b
        self._private = np.ones(FAR, np.uint8)
        facts = np.zeros(3, np.int64)
        if group.rank == a:
            self._fd = os.memfd_create("distos_coll.probe")
            os.ftruncate(self._fd, FAR)
            facts[:] = os.getpid(), self._fd, self._private.ctypes.data
        group.broadcast(facts, a)
        self._pid, self._its_fd, self._its_address = (int(each) for each in facts)

    def mapped(self, alpha_us: float) -> Measured:
        """Copies through memory that both map; the alpha is a window round's."""
        shared = self._map()
        sizes = [NEAR << step for step in range(8) if NEAR << step <= FAR]

        def copy(size: int) -> None:
            self._private[:size] = shared[:size]

        def write(size: int) -> None:
            shared[:size] += 1

        rates = {size: _gbps(size, self._us(size, write, copy)) for size in sizes}
        near, far = max(rates[NEAR], rates[FAR]), rates[FAR]
        # Where the rate has fallen half of the way.
        kept = max((size for size in sizes if rates[size] >= sqrt(near * far)), default=NEAR)
        return {"mapped": LinkCost(alpha_us, near, far), "cache_bytes": kept}

    def single(self) -> Measured:
        """Reads of the other's private memory."""
        read = _Reader(self._pid, self._its_address, self._private)

        def write(size: int) -> None:
            self._private[:size] += 1

        small, near, far = (self._us(size, write, read) for size in (SMALL, NEAR, FAR))
        return {"single_copy": LinkCost(small, _gbps(NEAR, near, small), _gbps(FAR, far, small))}

    def _map(self) -> Array:
        """Map the memory on both; others get some of their own."""
        if self._group.rank == self._a:
            memory = mmap.mmap(self._fd, FAR)
        elif self._group.rank == self._b:
            fd = os.open(f"/proc/{self._pid}/fd/{self._its_fd}", os.O_RDWR)
            memory = mmap.mmap(fd, FAR)
            os.close(fd)
        else:
            memory = mmap.mmap(-1, FAR)
        self._group.barrier()
        if self._group.rank == self._a:
            os.close(self._fd)
        return np.frombuffer(memory, np.uint8)

    def _us(self, size: int, write: Callable[[int], None], read: Callable[[int], None]) -> float:
        times = []
        for _ in range(REPEATS):
            if self._group.rank == self._a:
                write(size)
            self._group.barrier()
            started = time.perf_counter()
            if self._group.rank == self._b:
                read(size)
            times.append((time.perf_counter() - started) * 1e6)
            self._group.barrier()
        return _said_by(self._group, self._b, times)


class _Extent(ctypes.Structure):
    """Struct iovec."""

    _fields_ = (("address", ctypes.c_void_p), ("nbytes", ctypes.c_size_t))


class _Reader:
    """process_vm_readv from another process's memory."""

    def __init__(self, pid: int, address: int, target: Array) -> None:
        self._read = ctypes.CDLL(None, use_errno=True).process_vm_readv
        self._pid, self._address, self._target = pid, address, target

    def __call__(self, size: int) -> None:
        local = _Extent(self._target.ctypes.data, size)
        remote = _Extent(self._address, size)
        done = self._read(self._pid, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0)
        if done != size:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))


# ---- kernels


def _kernels(group: Communicator) -> Measured:
    """Measure sums of two arrays on rank 0, while the others wait."""
    found: Measured = {}
    for name, dtype in (("reduce", DType.FLOAT32), ("half_reduce", DType.FLOAT16)):
        rates = np.zeros(2)
        if group.rank == 0:
            rates[:] = [_sum_gbps(dtype, size) for size in (NEAR // 2, FAR)]
        group.broadcast(rates, 0)
        found[name] = LinkCost(0.0, float(rates.max()), float(rates[1]))
    return found


def _sum_gbps(dtype: DType, nbytes: int) -> float:
    """Return how fast sources of so many bytes are read."""
    element = 2 if dtype is DType.FLOAT16 else 4
    dst, *sources = (np.ones(nbytes, np.uint8) for _ in range(3))
    addresses = [source.ctypes.data for source in sources]
    times = []
    for _ in range(REPEATS + 1):
        started = time.perf_counter()
        _native.reduce_sum(int(dtype), dst.ctypes.data, addresses, nbytes // element)
        times.append((time.perf_counter() - started) * 1e6)
    return _gbps(2 * nbytes, float(np.median(times[1:])))
