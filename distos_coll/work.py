"""Operations in flight, and what keeps their arrays alive."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, final

from distos_coll import _native
from distos_coll.buffers import Buffer
from distos_coll.errors import InvalidArgument, from_code


@contextmanager
def translated() -> Iterator[None]:
    """Turn the core's error into the tree of distos_coll.errors."""
    try:
        yield
    except _native.NativeError as error:
        raise from_code(error.code, str(error)) from None


def milliseconds(seconds: float, what: str = "timeout") -> int:
    """Return a time limit in the core's unit; 0 means none there, so it is at least 1."""
    if not 0 <= seconds < 1e9:
        raise InvalidArgument(f"{what} is {seconds} s; it must not be negative, and below 1e9")
    return max(1, int(seconds * 1000))


def failed(code: int, text: str) -> NoReturn:
    """Raise what a call ended with: what a signal handler raised meanwhile, or the core's error."""
    _native.raise_interrupt()
    raise from_code(code, text)


class Flying:
    """The arrays of a group's operations in flight; callers may drop theirs, and their Works."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buffers: dict[_native.Work, Sequence[Buffer]] = {}
        self._look_at = 16

    def add(self, native: _native.Work, buffers: Sequence[Buffer]) -> None:
        with self._lock:
            if len(self._buffers) >= self._look_at:
                self._buffers = {w: b for w, b in self._buffers.items() if not w.test()}
                # So that a thousand operations in flight are not looked at a thousand times.
                self._look_at = 16 + 2 * len(self._buffers)
            self._buffers[native] = buffers

    def remove(self, native: _native.Work) -> None:
        with self._lock:
            self._buffers.pop(native, None)

    def __len__(self) -> int:
        return len(self._buffers)


@final
class Work:
    """An operation in flight. Its result is in place once `wait()` has returned.

    The arrays live until it has ended, whether or not the caller keeps them.
    """

    def __init__(
        self, native: _native.Work, result: Any, buffers: Sequence[Buffer], flying: Flying
    ) -> None:
        self._native = native
        self._result = result
        self._buffers = buffers
        self._flying = flying
        self._lock = threading.Lock()
        if not native.test():
            flying.add(native, buffers)

    def wait(self, timeout: float | None = None) -> Any:
        """Return the operation's result once it is there.

        TimeoutError if it is not there after `timeout` seconds; it goes on then. Otherwise what the
        operation failed with.
        """
        if not self._native.wait(0 if timeout is None else milliseconds(timeout)):
            raise TimeoutError(f"not finished after {timeout} s; the operation goes on")
        return self._finished()

    def done(self) -> bool:
        """Whether it has ended, well or not."""
        return self._native.test()

    @property
    def source(self) -> int:
        """The rank that a receive got its message from; -1 for other operations."""
        return self._native.source

    @property
    def algorithm(self) -> str:
        """The program that ran it."""
        return self._native.algorithm

    def _finished(self) -> Any:
        self._flying.remove(self._native)
        with self._lock:
            buffers, self._buffers = self._buffers, ()
            if self._native.code != 0:
                failed(self._native.code, self._native.error)
            for buffer in buffers:
                if buffer.finish is not None:
                    buffer.finish()
        return self._result


class Grouped(threading.local):
    """What the open group() of this thread has started."""

    works: list[Work] | None = None


def wait_for_all(works: Sequence[Work]) -> None:
    """Wait until every one has ended; then raise the first failure."""
    failures: list[Exception] = []
    for work in works:
        try:
            work.wait()
        except Exception as error:  # noqa: BLE001  raised when all have ended
            failures.append(error)
    if failures:
        raise failures[0]
