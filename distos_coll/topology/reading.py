"""From a path to what it says: opened within bounds, recognised by content, read, checked."""

import bz2
import errno
import gzip
import io
import lzma
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from distos_coll.errors import TopologyError
from distos_coll.topology import checks
from distos_coll.topology.findings import Finding, summed_up
from distos_coll.topology.model import Topology
from distos_coll.topology.source import Document, Found, TopologySource
from distos_coll.topology.text import told

LARGEST = 1 << 28
"""Bytes, unpacked; a source may allow less."""

STANDARD_INPUT = Path("-")

_PIECE = 1 << 20
_XZ_MEMORY = 1 << 27
"""Bytes; xz -9 asks for half of it, a damaged file for gigabytes."""


@dataclass(frozen=True)
class Reading:
    """A document that was read: what its format is, what it says, what contradicts itself in it."""

    format: str
    name: str
    found: Found
    warnings: tuple[Finding, ...]


def open_document(path: Path, largest: int = LARGEST) -> Document:
    """Read a file, unpacked, or name a directory."""
    name = "standard input" if path == STANDARD_INPUT else told(str(path))
    if path != STANDARD_INPUT and path.is_dir():
        return Document(name, root=path)
    try:
        with _opened(path) as file:
            magic = file.read(6)
            unpack = next((u for start, u in _PACKED if magic.startswith(start)), _pieces)
            # Piece by piece: memory for the largest file is not taken for a small one.
            found = io.BytesIO()
            pieces = unpack(io.BufferedReader(_Again(magic, file)))
            while found.tell() <= largest and (piece := next(pieces, None)) is not None:
                found.write(piece)
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise TopologyError(f"{name}: cannot be read: {error}") from None
    if found.tell() > largest:
        raise TopologyError(f"{name}: has more than {largest:,} bytes; no topology is that large")
    return Document(name, found.getvalue())


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        yield sys.stdin.buffer
        return
    with path.open("rb") as file:
        yield file


class _Again(io.RawIOBase):
    """A stream from its start, of which some bytes have been read: a pipe cannot be turned back."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self.head = head
        self.rest = rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self.head[: len(buffer)] or self.rest.read(len(buffer))
        self.head = self.head[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


def _pieces(file: Any) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _xz(file: BinaryIO) -> Iterator[bytes]:
    """Within bounds of memory, which lzma.LZMAFile has not: streams, with zeros between them."""
    rest = file.read(_PIECE)
    while rest:
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)
        while not stream.eof:
            if stream.needs_input and not rest and not (rest := file.read(_PIECE)):
                raise EOFError("it was cut off")
            yield stream.decompress(rest, _PIECE)
            rest = b""
        rest = stream.unused_data
        while not rest.strip(b"\0") and (rest := file.read(_PIECE)):
            pass
        rest = rest.lstrip(b"\0")


_PACKED: tuple[tuple[bytes, Callable[[BinaryIO], Iterator[bytes]]], ...] = (
    (b"\x1f\x8b", lambda file: _pieces(gzip.GzipFile(fileobj=file))),
    (b"BZh", lambda file: _pieces(bz2.BZ2File(file))),
    (b"\xfd7zXZ\x00", _xz),
)


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
