"""What a run measured, as it goes into the JSON file and comes back out of it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.peers.grid import DTYPES

FORMAT = 1


@dataclass
class Entry:
    """One peer's repeats of a cell; a repeat without calls failed."""

    peer: str
    dtype: str
    calls: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)  # for all calls of the repeat
    refused: str = ""

    def add(self, calls: int, seconds: float) -> None:
        self.calls.append(calls)
        self.seconds.append(seconds)

    @property
    def label(self) -> str:
        return self.peer if self.dtype == "float32" else f"{self.peer} {self.dtype}"

    def times(self) -> list[float | None]:
        """Return the seconds of a call, repeat by repeat."""
        pairs = zip(self.calls, self.seconds, strict=True)
        return [seconds / calls if calls else None for calls, seconds in pairs]

    def median(self) -> float | None:
        known = [time for time in self.times() if time is not None]
        return statistics.median(known) if known else None


@dataclass
class Measured:
    """A cell with all its peers."""

    collective: str
    elements: int
    ranks: int
    load: int
    mode: str  # of MODES
    entries: list[Entry] = field(default_factory=list)

    @property
    def nbytes(self) -> int:
        """As float32."""
        return self.elements * DTYPES["float32"]

    def entry(self, peer: str, dtype: str = "float32") -> Entry | None:
        for entry in self.entries:
            if (entry.peer, entry.dtype) == (peer, dtype) and entry.median() is not None:
                return entry
        return None


@dataclass
class Wait:
    """What waiting for a late rank took of a core, at most over the ranks that waited."""

    peer: str
    ranks: int
    load: int
    absent_s: float
    shares: list[float] = field(default_factory=list)


@dataclass
class Results:
    machine: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    peers: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    flag_s: dict[str, list[float]] = field(default_factory=dict)  # one way
    cells: list[Measured] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n")


def load(path: Path) -> Results:
    raw = json.loads(path.read_text())
    if raw.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is not a result of this version of bench/peers")
    raw["waits"] = [Wait(**wait) for wait in raw["waits"]]
    for cell in raw["cells"]:
        cell["entries"] = [Entry(**entry) for entry in cell["entries"]]
    raw["cells"] = [Measured(**cell) for cell in raw["cells"]]
    return Results(**raw)
