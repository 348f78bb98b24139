"""Groups of threads that join as processes do, each with settings of its own."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from distos_coll import _native
from distos_coll.communicator import Communicator, Home
from distos_coll.settings import Settings
from distos_coll.testing.ranks import run_threads
from distos_coll.work import translated

T = TypeVar("T")
_TIMEOUT_S = 30.0


def together(values: Sequence[Settings], function: Callable[[Communicator], T]) -> list[T]:
    """Call it as ranks that have these settings; return what each returned."""
    store = _native.MemoryStore()

    def one(rank: int) -> T:
        with translated():
            runtime = _native.Runtime(values[rank].native_text())
        home = Home(runtime, values[rank], _TIMEOUT_S)
        with Communicator.join(home, store, rank, range(len(values)), "world") as group:
            return function(group)

    return run_threads(one, range(len(values)))
