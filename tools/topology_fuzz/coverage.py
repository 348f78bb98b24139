"""Which lines and branches of the readers ran: what an input reached that none before did."""

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Protocol

_PACKAGE = str(Path(__file__).parents[2] / "distos_coll")
_WATCHED = tuple(f"{_PACKAGE}/{name}" for name in ("topology", "sources", "drawing", "cli/topo"))


class Coverage(Protocol):
    places: set[tuple[object, ...]]
    """All that ran since `start` or `again`."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def again(self) -> None:
        """Forget what ran."""


def coverage() -> Coverage:
    return Monitored() if sys.version_info >= (3, 12) else Traced()


class Traced:
    """Lines, by sys.settrace; a function all of whose lines have run costs no more than a call."""

    def __init__(self) -> None:
        self.places: set[tuple[object, ...]] = set()
        self._left: dict[CodeType, set[int]] = {}

    def start(self) -> None:
        sys.settrace(self._call)

    def stop(self) -> None:
        sys.settrace(None)

    def again(self) -> None:
        self.places = set()
        self._left = {}

    def _call(self, frame: FrameType, _event: str, _arg: object) -> Any:
        code = frame.f_code
        left = self._left.get(code)
        if left is None:
            watched = code.co_filename.startswith(_WATCHED)
            lines = {line for *_, line in code.co_lines() if line} if watched else set()
            # The line of `def` has no event of its own.
            left = self._left[code] = lines - {code.co_firstlineno}
        return self._line if left else None

    def _line(self, frame: FrameType, event: str, _arg: object) -> Any:
        if event == "line":
            self.places.add((frame.f_code.co_filename, frame.f_lineno))
            self._left[frame.f_code].discard(frame.f_lineno)
        return self._line


class Monitored:
    """Lines and branches, by sys.monitoring; what has run is switched off."""

    def __init__(self) -> None:
        self.places: set[tuple[object, ...]] = set()
        self._ends: dict[tuple[CodeType, int], set[int]] = {}
        self._monitoring: Any = sys.monitoring  # type: ignore[attr-defined,unused-ignore]

    def start(self) -> None:
        tool = self._monitoring
        own = tool.COVERAGE_ID
        tool.use_tool_id(own, "fuzz")
        tool.register_callback(own, tool.events.LINE, self._line)
        tool.register_callback(own, tool.events.BRANCH, self._branch)
        tool.set_events(own, tool.events.LINE | tool.events.BRANCH)

    def stop(self) -> None:
        tool = self._monitoring
        tool.set_events(tool.COVERAGE_ID, 0)
        tool.free_tool_id(tool.COVERAGE_ID)

    def again(self) -> None:
        self.places = set()
        self._ends = {}
        self._monitoring.restart_events()

    def _line(self, code: CodeType, line: int) -> Any:
        if code.co_filename.startswith(_WATCHED):
            self.places.add((code.co_filename, line))
        return self._monitoring.DISABLE

    def _branch(self, code: CodeType, start: int, end: int) -> Any:
        if not code.co_filename.startswith(_WATCHED):
            return self._monitoring.DISABLE
        self.places.add((code.co_filename, code.co_firstlineno, start, end))
        ends = self._ends.setdefault((code, start), set())
        ends.add(end)
        return self._monitoring.DISABLE if len(ends) > 1 else None
