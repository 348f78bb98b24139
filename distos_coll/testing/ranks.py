"""Ranks as threads of one process, over real links: the quickest way to run the native core on
numpy arrays.

Each rank has its own runtime, so shared memory, sockets, handshakes and liveness are those of
separate processes; only the address space is shared.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np
import numpy.typing as npt

from distos_coll import _native
from distos_coll._vocabulary import Collective, DType, ReduceOp
from distos_coll.errors import DistosError, from_code
from distos_coll.group_plan import Found, plan_for
from distos_coll.planner import Plan
from distos_coll.settings import Settings
from distos_coll.work import translated

Array = npt.NDArray[Any]
T = TypeVar("T")

_DTYPES = {
    np.dtype(np.int8): DType.INT8,
    np.dtype(np.uint8): DType.UINT8,
    np.dtype(np.int16): DType.INT16,
    np.dtype(np.int32): DType.INT32,
    np.dtype(np.int64): DType.INT64,
    np.dtype(np.float16): DType.FLOAT16,
    np.dtype(np.float32): DType.FLOAT32,
    np.dtype(np.float64): DType.FLOAT64,
    np.dtype(np.bool_): DType.BOOL,
    np.dtype(np.complex64): DType.COMPLEX64,
    np.dtype(np.complex128): DType.COMPLEX128,
}


@dataclass
class Rank:
    """One rank's end of the group. Arrays must be contiguous; counts follow docs/decisions/0001."""

    native: _native.Communicator
    plan: Plan

    @property
    def rank(self) -> int:
        return self.native.rank

    @property
    def size(self) -> int:
        return self.native.size

    def call(
        self,
        collective: Collective,
        source: Array | None,
        output: Array | None,
        count: int,
        *,
        op: ReduceOp = ReduceOp.SUM,
        root: int = 0,
        vectors: dict[str, list[int]] | None = None,
        blocking: bool = True,
        wide: bool = False,
        timeout_ms: int = 0,
    ) -> _native.Work:
        """Starts the collective; a blocking one is finished on return, and raises if it failed."""
        example = source if source is not None else output
        dtype = DType.UINT8 if example is None else _DTYPES[example.dtype]
        with translated():
            work = self.native.enqueue(
                int(collective),
                int(dtype),
                int(op),
                root,
                address(source),
                address(output),
                count,
                **(vectors or {}),
                timeout_ms=timeout_ms,
                blocking=blocking,
                wide=wide,
            )
        if blocking:
            check(work)
        return work

    def all_reduce(self, x: Array, out: Array | None = None, **options: Any) -> _native.Work:
        return self.call(Collective.ALL_REDUCE, x, x if out is None else out, x.size, **options)

    def barrier(self) -> None:
        self.call(Collective.BARRIER, None, None, 0)


def address(array: Array | None) -> int:
    """The address of a contiguous array's data; 0 for none."""
    if array is None:
        return 0
    if not array.flags.c_contiguous:
        raise ValueError("the array is not contiguous: pass numpy.ascontiguousarray(array)")
    return int(array.ctypes.data)


def check(work: _native.Work) -> None:
    """Raises the work's error if it failed."""
    if work.code != 0:
        raise from_code(work.code, work.error)


@final
class LocalWorld:
    """`size` ranks in one group. Close it, or use it in a `with`.

    `algo` is DISTOS_COLL_ALGO's grammar; `settings` holds "name=value" lines for the core, for
    example "domain_limit=2" to split the ranks into domains joined by sockets. `planned` plans for
    every rank instead of the planner, alike for all.
    """

    def __init__(
        self,
        size: int,
        *,
        algo: str = "",
        settings: str = "",
        slot_bytes: int = 1 << 20,
        segment_bytes: int | None = None,
        timeout_ms: int = 30_000,
        planned: Callable[[Found], Plan] | None = None,
    ) -> None:
        text = f"{settings}\nslot_bytes={slot_bytes}\n"
        self.size = size
        self._store = _native.MemoryStore()
        self._runtimes = [_native.Runtime(text) for _ in range(size)]

        def join(rank: int) -> Rank:
            with translated():
                native = _native.Communicator(
                    self._runtimes[rank], self._store, rank, size, timeout_ms, "local"
                )
            values = Settings(algo=algo, slot_bytes=slot_bytes)
            found = Found(native.domain_of(), native.domain_bits())
            chosen = planned(found) if planned else plan_for(values, found)
            if segment_bytes is not None:
                chosen = chosen.with_segment_bytes(segment_bytes)
            with translated():
                native.install_plan(chosen.encode())
                native.ready(self._store)
            return Rank(native, chosen)

        self.ranks: list[Rank] = run_threads(join, range(size))

    def run(self, function: Callable[[Rank], T]) -> list[T]:
        """Calls `function` once per rank, in parallel.

        Returns the results by rank, or raises the first error.
        """
        return run_threads(function, self.ranks)

    def close(self) -> None:
        run_threads(lambda rank: rank.native.close(), self.ranks)
        for runtime in self._runtimes:
            runtime.shutdown()

    def __enter__(self) -> LocalWorld:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def run_threads(function: Callable[[Any], T], arguments: Iterable[Any]) -> list[T]:
    """Runs `function` in one thread per argument; returns the results or raises the first error."""
    items = list(arguments)
    results: list[Any] = [None] * len(items)
    errors: list[BaseException] = []

    def work(index: int) -> None:
        try:
            results[index] = function(items[index])
        except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        # A failure elsewhere shows as an abort here; the cause is the more useful one.
        raise next((e for e in errors if not isinstance(e, DistosError)), errors[0])
    return results
