"""The array door: collectives on numpy arrays, torch tensors and arrays with DLPack."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distos_coll import _native, calls
from distos_coll._vocabulary import Collective
from distos_coll.buffers import readable, writable
from distos_coll.calls import ArrayCall, Place
from distos_coll.errors import InvalidArgument
from distos_coll.work import Flying, Grouped, Work, failed, milliseconds, translated, wait_for_all

ANY_SOURCE = -1

_ALL_REDUCE = int(Collective.ALL_REDUCE)
_REDUCE = int(Collective.REDUCE)
_REDUCE_SCATTER = int(Collective.REDUCE_SCATTER)
_REDUCE_SCATTER_V = int(Collective.REDUCE_SCATTER_V)
_BROADCAST = int(Collective.BROADCAST)
_ALL_GATHER = int(Collective.ALL_GATHER)
_ALL_GATHER_V = int(Collective.ALL_GATHER_V)
_ALL_TO_ALL = int(Collective.ALL_TO_ALL)
_ALL_TO_ALL_V = int(Collective.ALL_TO_ALL_V)
_GATHER = int(Collective.GATHER)
_SCATTER = int(Collective.SCATTER)
_BARRIER = int(Collective.BARRIER)


class Collectives:
    """What ranks do together on arrays; `Communicator` adds how they come together and part."""

    def __init__(self, native: _native.Communicator, *, wide: bool) -> None:
        self._native = native
        self._wide = wide
        self._place = Place(native.rank, native.size)
        self._grouped = Grouped()
        self._flying = Flying()
        # Runs a call on plain numpy arrays, or returns False and leaves it to the long way.
        self._quick_calls = native.quick_calls(failed, wide)
        self._quick = self._quick_calls.function()

    # ---- reductions

    def all_reduce(
        self, x: Any, op: str = "sum", out: Any = None, *, async_op: bool = False
    ) -> Any:
        """Reduce `x` over all ranks, element by element; all get the same bits."""
        if not async_op and self._quick(_ALL_REDUCE, op, 0, x, out):
            return x if out is None else out
        return self._run(calls.all_reduce(x, op, out), async_op)

    def reduce(
        self, x: Any, op: str = "sum", root: int = 0, out: Any = None, *, async_op: bool = False
    ) -> Any:
        """Reduce `x` over all ranks at `root`; the others get None and keep their `x`."""
        if not async_op and self._quick(_REDUCE, op, root, x, out):
            return (x if out is None else out) if self._place.rank == root else None
        return self._run(calls.reduce(self._place, x, op, root, out), async_op)

    def reduce_scatter(
        self, x: Any, op: str = "sum", out: Any = None, *, async_op: bool = False
    ) -> Any:
        """Reduce `x` over all ranks; rank i gets the i-th of `size` equal parts of dimension 0.

        Of an `x` with one row for each rank it gets row i, without dimension 0.
        """
        if not async_op and out is not None and self._quick(_REDUCE_SCATTER, op, 0, x, out):
            return out
        return self._run(calls.reduce_scatter(self._place, x, op, out), async_op)

    def reduce_scatter_v(
        self,
        x: Any,
        counts: Sequence[int],
        op: str = "sum",
        out: Any = None,
        *,
        async_op: bool = False,
    ) -> Any:
        """Reduce `x` over all ranks; rank i gets `counts[i]` rows of dimension 0."""
        quick = not async_op and out is not None
        if quick and self._quick(_REDUCE_SCATTER_V, op, 0, x, out, counts, None):
            return out
        return self._run(calls.reduce_scatter_v(self._place, x, counts, op, out), async_op)

    # ---- data as it is

    def broadcast(self, x: Any, root: int = 0, *, async_op: bool = False) -> Any:
        """Overwrite `x` with the root's."""
        if not async_op and self._quick(_BROADCAST, "", root, x, None):
            return x
        return self._run(calls.broadcast(self._place, x, root), async_op)

    def all_gather(self, x: Any, out: Any = None, *, async_op: bool = False) -> Any:
        """Return all ranks' `x` in rank order, along a new dimension 0."""
        if not async_op and out is not None and self._quick(_ALL_GATHER, "", 0, x, out):
            return out
        return self._run(calls.all_gather(self._place, x, out), async_op)

    def all_gather_v(
        self, x: Any, counts: Sequence[int], out: Any = None, *, async_op: bool = False
    ) -> Any:
        """Return all ranks' rows of dimension 0 one after the other; rank i brings `counts[i]`."""
        quick = not async_op and out is not None
        if quick and self._quick(_ALL_GATHER_V, "", 0, x, out, None, counts):
            return out
        return self._run(calls.all_gather_v(self._place, x, counts, out), async_op)

    def all_to_all(self, x: Any, out: Any = None, *, async_op: bool = False) -> Any:
        """Send the i-th of `size` equal parts of dimension 0 to rank i; return what came."""
        if not async_op and out is not None and self._quick(_ALL_TO_ALL, "", 0, x, out):
            return out
        return self._run(calls.all_to_all(self._place, x, out), async_op)

    def all_to_all_v(
        self,
        x: Any,
        send_counts: Sequence[int],
        recv_counts: Sequence[int],
        out: Any = None,
        *,
        async_op: bool = False,
    ) -> Any:
        """Send `send_counts[i]` rows of dimension 0 to rank i, receive `recv_counts[i]` from it."""
        quick = not async_op and out is not None
        if quick and self._quick(_ALL_TO_ALL_V, "", 0, x, out, send_counts, recv_counts):
            return out
        call = calls.all_to_all_v(self._place, x, send_counts, recv_counts, out)
        return self._run(call, async_op)

    def gather(self, x: Any, root: int = 0, out: Any = None, *, async_op: bool = False) -> Any:
        """Return all ranks' `x` along a new dimension 0 at the root, None elsewhere."""
        given = out is not None or self._place.rank != root
        if not async_op and given and self._quick(_GATHER, "", root, x, out):
            return out if self._place.rank == root else None
        return self._run(calls.gather(self._place, x, root, out), async_op)

    def scatter(self, x: Any, out: Any, root: int = 0, *, async_op: bool = False) -> Any:
        """Fill `out` with this rank's equal part of dimension 0 of the root's `x`.

        Only the root's `x` is looked at; pass None elsewhere.
        """
        if not async_op and self._quick(_SCATTER, "", root, x, out):
            return out
        return self._run(calls.scatter(self._place, x, out, root), async_op)

    def barrier(self, *, async_op: bool = False) -> Any:
        """Wait until every rank has called it."""
        if not async_op and self._quick(_BARRIER, "", 0, None, None):
            return None
        return self._run(calls.barrier(), async_op)

    def monitored_barrier(
        self, timeout: float | None = None, *, wait_all_ranks: bool = False
    ) -> None:
        """Wait for every rank; TimeoutExpired names one that did not come, or all of them."""
        limit = 0 if timeout is None else milliseconds(timeout)
        with translated():
            self._native.monitored_barrier(limit, wait_all_ranks)

    # ---- point to point

    def send(self, x: Any, dest: int, tag: int = 0, *, async_op: bool = False) -> Any:
        """Send `x` to rank `dest`, which receives as many bytes with the same tag."""
        calls.check_tag(tag)
        source = readable(x, "send")
        later = async_op or self._grouped.works is not None
        with translated():
            native = self._native.send(source.address, source.nbytes, dest, tag, blocking=not later)
        return self._started(Work(native, None, [source], self._flying), async_op)

    def recv(
        self, out: Any, source: int = ANY_SOURCE, tag: int = 0, *, async_op: bool = False
    ) -> Any:
        """Fill `out` with a message from rank `source`, or from any, with this tag."""
        calls.check_tag(tag)
        target = writable(out, "recv")
        later = async_op or self._grouped.works is not None
        with translated():
            native = self._native.receive(
                target.address, target.nbytes, source, tag, blocking=not later
            )
        return self._started(Work(native, out, [target], self._flying), async_op)

    @contextmanager
    def group(self) -> Iterator[None]:
        """Start every operation of the block at once, and wait for all of them at its end.

        Sends and receives between the same ranks then need no order. Only calls of this thread
        belong to the block. Where an exception leaves it, what was started goes on by itself.
        """
        if self._grouped.works is not None:
            raise InvalidArgument("a group() of this communicator is open already")
        works: list[Work] = []
        self._grouped.works = works
        self._quick_calls.pause(paused=True)
        try:
            yield
        finally:
            self._quick_calls.pause(paused=False)
            self._grouped.works = None
        wait_for_all(works)

    # ---- how a call runs

    def _run(self, call: ArrayCall, async_op: bool) -> Any:
        with translated():
            native = self._native.enqueue(
                int(call.collective),
                int(call.dtype),
                int(call.op),
                call.root,
                call.source.address if call.source is not None else 0,
                call.target.address if call.target is not None else 0,
                call.count,
                blocking=not async_op and self._grouped.works is None,
                wide=self._wide,
                **call.vectors,  # type: ignore[arg-type]  # each a keyword of its own
            )
        buffers = [buffer for buffer in (call.source, call.target) if buffer is not None]
        return self._started(Work(native, call.result, buffers, self._flying), async_op)

    def _started(self, work: Work, async_op: bool) -> Any:
        if self._grouped.works is not None:
            self._grouped.works.append(work)
            return work
        return work if async_op else work.wait()
