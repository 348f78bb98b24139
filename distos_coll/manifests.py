"""When the ranks of a group could not agree: whether their plugins are why (docs/decisions/0013).

In a group that agrees nothing of this happens: what plugins add is in the fingerprint that ranks
compare anyway. Else every rank comes here, whether it refused or was told of another's refusal, and
rank 0 compares what all say.
"""

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from distos_coll.errors import DistosError
from distos_coll.plugins.loading import Wanted
from distos_coll.plugins.manager import plugins_of
from distos_coll.plugins.manifest import Told, difference, from_text
from distos_coll.settings import Settings

_PREFIX = "distos/plugins"
WAIT_MS = 5000
"""For ranks that may have ended; the error that brought us here then stands alone."""


class Board(Protocol):
    """The store in which the group met."""

    def set(self, key: str, value: bytes, /) -> None: ...
    def get(self, key: str, timeout_ms: int, /) -> bytes | None:
        """Wait for a key; None if it does not come."""


@dataclass(frozen=True)
class Meeting:
    board: Board
    group: str
    rank: int
    size: int


def own(values: Settings, plugins: Sequence[object] = ()) -> str:
    """Return this rank's manifest; "" if its plugins cannot be loaded, which it has told."""
    try:
        return plugins_of(Wanted.of(values, plugins)).manifest
    except DistosError:
        return ""


def why_not(meeting: Meeting, mine: str) -> str:
    """Return how the ranks' plugins differ, or "". Never raises; takes seconds if ranks are gone.

    All ranks of the group call it, and get the same text.
    """
    found = ""
    with contextlib.suppress(Exception):  # the store may be gone with its process
        meeting.board.set(f"{_PREFIX}/{meeting.rank}", mine.encode())
        if meeting.rank == 0:
            found = _compared(meeting)
            meeting.board.set(f"{_PREFIX}/found", b"+" + found.encode())
            _outlive(meeting)
        else:
            told = meeting.board.get(f"{_PREFIX}/found", 2 * WAIT_MS)
            found = (told or b"+")[1:].decode()
            meeting.board.set(f"{_PREFIX}/seen/{meeting.rank}", b"+")
    return found and (
        f"ranks of group {meeting.group!r} have different plugins: {found}; load the same ones on "
        "all ranks (distos-coll plugins list shows a rank's)"
    )


def _compared(meeting: Meeting) -> str:
    told: dict[int, Told] = {}
    for rank, text in _all(meeting, _PREFIX).items():
        manifest = from_text(text.decode(errors="replace"))
        if manifest is not None:
            told[rank] = manifest
    return difference(told) if len(told) > 1 else ""


def _outlive(meeting: Meeting) -> None:
    """Rank 0 may host the store, and the others shall read what it found."""
    _all(meeting, f"{_PREFIX}/seen", first=1)


def _all(meeting: Meeting, prefix: str, first: int = 0) -> dict[int, bytes]:
    deadline = time.monotonic() + WAIT_MS / 1000
    found = {}
    for rank in range(first, meeting.size):
        left = max(1, int(1000 * (deadline - time.monotonic())))
        value = meeting.board.get(f"{prefix}/{rank}", left)
        if value is not None:
            found[rank] = value
    return found
