"""The kit for sources of topology: whose documents it takes, how it refuses, what it costs."""

import random
import re
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distos_coll.errors import TopologyError
from distos_coll.plugins.asking import described
from distos_coll.plugins.kinds import SOURCES
from distos_coll.plugins.loading import built_in
from distos_coll.testing.kits.check import Check, all_checks, as_test, wrong
from distos_coll.testing.kits.samples import SAMPLES
from distos_coll.topology import checks
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import recognise
from distos_coll.topology.source import Document, Found, TopologySource

Samples = Sequence[Path | str | bytes] | Mapping[str, Sequence[Path | str | bytes]]
"""Files, or their bytes; by the source's name where a plugin has several."""

_GARBAGE: Mapping[str, bytes] = {
    "nothing": b"",
    "zeros": bytes(1 << 16),
    "ones": b"\xff" * (1 << 16),
    "random bytes": random.Random(1).randbytes(1 << 16),
    "a long line": b"a" * (1 << 20),
    "many lines": b"\n" * (1 << 18),
    "brackets": b"[" * (1 << 18),
    "tags": b"<a>" * (1 << 17),
    "text that is no UTF-8": "äöü\n".encode("latin-1") * 1000,
}
_DAMAGED = 160
_GROWN_BYTES = 1 << 20
_MEMORY_PER_BYTE, _MEMORY_BASE = 200, 64 << 20
_SECONDS = 60.0
"""Of CPU for a megabyte: far above what any parser takes that does not square its input."""


def topology_source_kit(subject: object, samples: Samples = ()) -> Any:
    """Return a test for pytest of a source, a list of them, or all sources of a plugin.

    `samples` are documents that it must read: paths, or their bytes.
    """
    return as_test(topology_source_checks(subject, samples))


def topology_source_checks(subject: object, samples: Samples = ()) -> Iterator[Check]:
    """Yield the checks of a source, a list of them, or all sources of a plugin."""

    def checks_of(source: TopologySource) -> Iterable[Check]:
        mine = samples.get(source.name, ()) if isinstance(samples, Mapping) else samples
        return _checks(source, [_document(n, sample) for n, sample in enumerate(mine)])

    return all_checks(SOURCES, subject, checks_of)


def _document(number: int, sample: Path | str | bytes) -> Document:
    if isinstance(sample, bytes):
        return Document(f"sample {number}", sample)
    path = Path(sample)
    if path.is_dir():
        return Document(str(path), root=path)
    return Document(str(path), path.read_bytes())


def _checks(source: TopologySource, samples: Sequence[Document]) -> Iterator[Check]:
    yield Check("says what it is", lambda: _describes(source))
    yield Check("takes no other format's documents", lambda: _leaves_others(source))
    yield Check("recognises without raising", lambda: _recognises_garbage(source))
    yield Check("refuses what is not its own", lambda: _refuses_garbage(source))
    if not samples:
        yield Check("reads its samples", lambda: "there is no sample; give samples=[...]")
    for document in samples:
        name = Path(document.name).name
        yield _about(f"reads {name}", _reads, source, document)
        if document.root is None:
            yield _about(f"reads or refuses {name} when damaged", _damaged, source, document)
            yield _about(f"stays within bounds on more of {name}", _bounded, source, document)
        if source.write is not None:
            yield _about(f"writes {name} as it was read", _round_trip, source, document)


def _about(
    name: str,
    check: Callable[[TopologySource, Document], object],
    source: TopologySource,
    document: Document,
) -> Check:
    return Check(name, lambda: check(source, document))


def _describes(source: TopologySource) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", source.name):
        raise wrong(f"the name {source.name!r}: use lower-case letters, digits and hyphens")
    if not source.doc.strip():
        raise wrong("doc is empty: `plugins list` shows it; say in a line what it reads")
    if source.max_bytes < 1:
        raise wrong(f"max_bytes is {source.max_bytes}; it must be positive")
    if source.write is not None and not source.writes:
        raise wrong("it has `write`, but `writes` names no type that it takes")


def _others(source: TopologySource) -> list[TopologySource]:
    return [other for _, other in built_in(SOURCES) if other.name != source.name]


def _recognises(source: TopologySource, document: Document, what: str) -> bool:
    try:
        found = source.recognise(document)
    except Exception as error:
        raise wrong(
            f"recognise() raises {described(error)} for {what}; it is asked of every document, and "
            "answers True or False"
        ) from error
    if not isinstance(found, bool):
        raise wrong(f"recognise() answers {found!r} for {what}, and not True or False")
    return found


def _leaves_others(source: TopologySource) -> None:
    for name, data in SAMPLES.items():
        if name == source.name or not _recognises(source, Document(name, data), name):
            continue
        reader = recognise(Document(name, data), [*_others(source), source])
        if reader is source:
            raise wrong(
                f"it would read a document of {name}: recognise it by more, or give it a lower rank"
            )


def _recognises_garbage(source: TopologySource) -> None:
    for what, data in _GARBAGE.items():
        if _recognises(source, Document(what, data), what):
            raise wrong(f"it recognises {what} as its own")
    _recognises(source, Document("a folder", root=Path(__file__).parent), "a folder")


def _refuses_garbage(source: TopologySource) -> None:
    """Also of what it would not recognise: `format` may be told."""
    for what, data in _GARBAGE.items():
        _parsed(source, Document(what, data), what)


def _parsed(source: TopologySource, document: Document, what: str) -> Found | TopologyError:
    """What it reads, or how it refuses; anything else is wrong."""
    try:
        found: object = source.parse(document)
    except TopologyError as error:
        if document.name not in str(error):
            raise wrong(
                f"{what}: the error does not name the document; raise document.error(...): {error}"
            ) from error
        return error
    except Exception as error:
        raise wrong(
            f"{what}: it raises {described(error)}; all that can be wrong with a document is a "
            "TopologyError: raise document.error(what, line, element)"
        ) from error
    if not isinstance(found, Found):
        raise wrong(f"{what}: parse() returns {type(found).__name__}, and not Found")
    return found


def _read(source: TopologySource, document: Document) -> Found:
    found = _parsed(source, document, document.name)
    if isinstance(found, TopologyError):
        raise wrong(f"it refuses its own sample: {found}")
    return found


def _reads(source: TopologySource, document: Document) -> None:
    if not _recognises(source, document, document.name):
        raise wrong(f"it does not recognise its own sample {document.name}")
    reader = recognise(document, [*_others(source), source])
    if reader is not source:
        raise wrong(
            f"{reader.name} would read {document.name}: recognise it by more, or raise the rank "
            f"above {reader.rank}"
        )
    first, second = _read(source, document), _read(source, document)
    if first != second:
        raise wrong(f"reading {document.name} twice gives different results")
    if isinstance(first.content, Topology):
        checks.contradictions(first.content)
    elif not isinstance(first.content.facts(), Mapping):
        raise wrong("facts() of what it reads is no mapping")


def _damages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Cut off, with bytes changed, left out and repeated; the same ones every time."""
    draw = random.Random(len(data))
    for i in range(_DAMAGED // 4):
        end = i * len(data) // (_DAMAGED // 4)
        yield f"cut off after {end} bytes", data[:end]
        at, count = draw.randrange(len(data) or 1), draw.randrange(1, 24)
        yield f"bytes {at} and on changed", data[:at] + draw.randbytes(count) + data[at + count :]
        yield f"{count} bytes left out at {at}", data[:at] + data[at + count :]
        yield f"{count} bytes repeated at {at}", data[: at + count] + data[at:]


def _damaged(source: TopologySource, document: Document) -> str:
    refused = with_line = 0
    for what, data in _damages(document.data):
        found = _parsed(source, Document(document.name, data), f"{document.name} {what}")
        if isinstance(found, TopologyError):
            refused += 1
            with_line += re.search(re.escape(document.name) + r":\d+", str(found)) is not None
    if refused and not with_line and document.data.count(b"\n") > 3:
        raise wrong(
            f"it refuses {refused} damaged versions of {document.name}, never with a line: pass it "
            "to document.error(what, line)"
        )
    return ""


def _bounded(source: TopologySource, document: Document) -> None:
    """Much more of the same, and much more of its end."""
    data = document.data or b"\n"
    tail = data[-max(1, len(data) // 8) :]
    grown = {
        "the whole, repeated": data * (_GROWN_BYTES // len(data) + 1),
        "its end, repeated": data + tail * (_GROWN_BYTES // len(tail)),
        "its first half, and zeros": data[: len(data) // 2] + bytes(_GROWN_BYTES),
    }
    for what, more in grown.items():
        more = more[: source.max_bytes]
        limit = _MEMORY_BASE + _MEMORY_PER_BYTE * len(more)
        start = time.thread_time()
        tracemalloc.start()
        try:
            _parsed(source, Document(document.name, more), f"{document.name}, {what}")
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        seconds = time.thread_time() - start
        if peak > limit:
            raise wrong(f"{what}: {peak:,} bytes of memory for a document of {len(more):,}")
        if seconds > _SECONDS:
            raise wrong(f"{what}: {seconds:.0f} s for a document of {len(more):,} bytes")


def _round_trip(source: TopologySource, document: Document) -> str:
    found = _read(source, document)
    if not isinstance(found.content, source.writes):
        return f"it writes {', '.join(kind.__name__ for kind in source.writes)} only"
    assert source.write is not None  # noqa: S101  asked before
    written = source.write(found.content)
    again = _parsed(source, Document("what it wrote", written), "what it wrote")
    if isinstance(again, TopologyError):
        raise wrong(f"it cannot read what it wrote: {again}")
    if again.content != found.content:
        raise wrong(f"{document.name}, written and read again, is another topology")
    return ""
