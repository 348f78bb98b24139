"""Topology files for tests: our own small ones, and other people's, where they are at hand.

Other people's are never copied here. They lie beside the repository, or where
DISTOS_TEST_TOPOLOGIES says, with a manifest.json that says what a right parser must report of each.
"""

import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from distos_coll.plugins.manager import default_sources
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import Reading, parse, read
from distos_coll.topology.source import Document

OWN = Path(__file__).parents[1] / "data/topologies"
_BESIDE = Path(__file__).parents[3] / "shared/topologies"
OTHERS = Path(os.environ.get("DISTOS_TEST_TOPOLOGIES", _BESIDE))


@dataclass(frozen=True)
class Entry:
    """A row of the manifest."""

    kind: str
    name: str
    must_report: str

    @property
    def path(self) -> Path:
        return OTHERS / self.kind / self.name

    def __str__(self) -> str:
        return f"{self.kind}/{self.name}"


def entries(*kinds: str) -> list[Entry]:
    rows = json.loads((OTHERS / "manifest.json").read_text(encoding="utf-8"))
    return [
        Entry(row["kind"], row["name"], row["must_report"]) for row in rows if row["kind"] in kinds
    ]


def present() -> bool:
    return (OTHERS / "manifest.json").exists()


def read_own(name: str) -> Reading:
    return read(OWN / name, default_sources())


def read_text(text: str | bytes, name: str = "a.xml") -> Reading:
    data = text.encode() if isinstance(text, str) else text
    return parse(Document(name, data), default_sources())


def topology_of(reading: Reading) -> Topology:
    assert isinstance(reading.found.content, Topology)
    return reading.found.content


def number(text: str, pattern: str) -> int | None:
    """The number that stands before or after a word of a manifest's line."""
    match = re.search(pattern, text)
    return int(match[1]) if match else None


def counts(text: str, pattern: str) -> Mapping[int, int] | None:
    """{2: 8, 1: 4} of a manifest's line."""
    match = re.search(pattern + r" \{([^}]*)\}", text)
    if match is None:
        return None
    pairs = (pair.split(":") for pair in match[1].split(","))
    return {int(key): int(value) for key, value in pairs}


def counted(values: Any) -> dict[Any, int]:
    return dict(Counter(values))


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """A file with pieces cut out, doubled, or replaced by other bytes."""

    def cut(changes: list[tuple[int, int, int, bytes]]) -> bytes:
        found = data
        for start, length, kind, other in changes:
            at = start % (len(found) + 1)
            piece = found[at : at + length]
            found = found[:at] + (b"", piece + piece, other)[kind] + found[at + length :]
        return found

    change = st.tuples(
        st.integers(0, len(data)), st.integers(0, 60), st.integers(0, 2), st.binary(max_size=12)
    )
    return st.lists(change, min_size=1, max_size=6).map(cut)
