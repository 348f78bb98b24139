"""Strangers who knock at listening ports: port scans, garbage, hellos of an older version, and
connections that say nothing. For tests of ports, and to measure what they cost.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Callable, Sequence

Place = tuple[str, int]
"""An IP address and a port."""

# Of a hello as it was before connections proved themselves: a message of type 1 whose handshake
# says version 1.
OLD_HELLO = struct.pack("<IHHIIQQ", 0x4D434344, 1, 0, 0, 120, 0, 0) + struct.pack("<HH", 1, 2)
KINDS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    os.urandom(64),
    bytes(4096),
    OLD_HELLO + bytes(116),
    OLD_HELLO[:20],
    b"",  # says nothing, and stays
)
_SILENT_AT_ONCE = 200


class Strangers:
    """Connects to all places in turn, each time as another kind of stranger."""

    def __init__(self, places: Sequence[Place], per_second: int) -> None:
        self._places = places
        self._per_second = per_second
        self._silent: list[socket.socket] = []
        self._number = 0
        self.sent = [0] * len(places)
        """Connections that each place took."""
        self.trouble: list[OSError] = []
        """Why others could not be made."""

    def knock_until(self, over: Callable[[], bool]) -> None:
        start, before = time.monotonic(), self._number
        while not over():
            ahead = (self._number - before) / self._per_second - (time.monotonic() - start)
            if ahead > 0:
                select.select([], [], [], ahead)
            # Not in step with the places, so that each of them sees each kind.
            place = self._number % len(self._places)
            self._visit(place, KINDS[self._number // len(self._places) % len(KINDS)])
            self._number += 1
        self._leave(0)

    def _visit(self, place: int, says: bytes) -> None:
        try:
            caller = socket.create_connection(self._places[place], timeout=10)
        except OSError as error:
            self.trouble.append(error)
            return
        self.sent[place] += 1
        if not says:
            self._silent.append(caller)
            self._leave(_SILENT_AT_ONCE)
            return
        with contextlib.suppress(OSError):  # dropped before it had said all
            caller.sendall(says)
        caller.close()

    def _leave(self, how_many_stay: int) -> None:
        while len(self._silent) > how_many_stay:
            self._silent.pop(0).close()
