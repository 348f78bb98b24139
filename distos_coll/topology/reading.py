"""From a path to what it says: opened within bounds, recognised by content, read, checked."""

import bz2
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distos_coll.errors import TopologyError
from distos_coll.topology import checks
from distos_coll.topology.findings import Finding, summed_up
from distos_coll.topology.model import Topology
from distos_coll.topology.source import Document, Found, TopologySource

LARGEST = 1 << 28
"""Bytes, unpacked; a source may allow less."""

_PACKED: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
)


@dataclass(frozen=True)
class Reading:
    """A document that was read: what its format is, what it says, what contradicts itself in it."""

    format: str
    name: str
    found: Found
    warnings: tuple[Finding, ...]


def open_document(path: Path, largest: int = LARGEST) -> Document:
    """Read a file, unpacked, or name a directory."""
    if path.is_dir():
        return Document(str(path), root=path)
    try:
        with path.open("rb") as file:
            magic = file.read(6)
        unpack = next((u for start, u in _PACKED if magic.startswith(start)), None)
        with unpack(path) if unpack else path.open("rb") as content:
            data = content.read(largest + 1)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise TopologyError(f"{path}: cannot be read: {error}") from None
    if len(data) > largest:
        raise TopologyError(f"{path}: has more than {largest:,} bytes; no topology is that large")
    return Document(str(path), data)


def recognise(document: Document, sources: Iterable[TopologySource]) -> TopologySource:
    """Return the source that reads it."""
    known = sorted(sources, key=lambda source: (-source.rank, source.name))
    for source in known:
        if source.recognise(document):
            return source
    names = ", ".join(sorted(source.name for source in known))
    raise document.error(f"none of the known formats; they are {names}")


def understood(
    document: Document, sources: Iterable[TopologySource]
) -> tuple[TopologySource, Found]:
    """Recognise a document and read it."""
    source = recognise(document, sources)
    if len(document.data) > source.max_bytes:
        raise document.error(
            f"has {len(document.data):,} bytes; {source.name} is read up to {source.max_bytes:,}"
        )
    return source, source.parse(document)


def parse(document: Document, sources: Iterable[TopologySource]) -> Reading:
    """Recognise a document, read it, and look for contradictions."""
    source, found = understood(document, sources)
    warnings = list(found.warnings)
    if isinstance(found.content, Topology):
        warnings += checks.contradictions(found.content)
    return Reading(source.name, document.name, found, summed_up(warnings))


def read(path: Path, sources: Iterable[TopologySource]) -> Reading:
    return parse(open_document(path), sources)
