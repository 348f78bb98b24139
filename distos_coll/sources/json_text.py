"""JSON documents of ours: laid out so that two can be compared line by line, read within bounds."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from distos_coll.api import Document, TopologyError

T = TypeVar("T")
MOST_VALUES = 1 << 22
"""In one document. 16,384 GPUs with their network have less than a million."""
_WIDEST = 120
"""Characters of a list of plain values in one line."""
_BYTE = re.compile(r" \(byte (\d+)\)")
_encode = msgspec.json.Encoder().encode


class Head(msgspec.Struct):
    """What every document of ours starts with."""

    format: str
    schema_version: int


def render(document: dict[str, Any]) -> bytes:
    """Write it so that what is one thing is one line, in the order given."""
    lines: list[str] = []
    with _no_surrogates():
        _render(document, "", "", "", lines)
        return ("\n".join(lines) + "\n").encode()


def encoded(value: Any) -> bytes:
    with _no_surrogates():
        return _encode(value)


@contextmanager
def _no_surrogates() -> Iterator[None]:
    """Halves of characters, which JSON's escapes can spell and UTF-8 cannot."""
    try:
        yield
    except UnicodeEncodeError as error:
        text = error.object[max(0, error.start - 20) : error.end + 20]
        raise TopologyError(f"{text!r} has characters that JSON cannot hold; rename it") from None


def _render(value: Any, indent: str, key: str, comma: str, lines: list[str]) -> None:
    start = f"{indent}{key}"
    if _is_one_line(value):
        lines.append(start + msgspec.json.format(_encode(value), indent=0).decode() + comma)
        return
    inner = indent + "  "
    last = len(value) - 1
    if isinstance(value, dict):
        lines.append(start + "{")
        for i, (name, item) in enumerate(value.items()):
            _render(item, inner, f'"{name}": ', "," if i < last else "", lines)
        lines.append(f"{indent}}}{comma}")
    else:
        lines.append(start + "[")
        for i, item in enumerate(value):
            _render(item, inner, "", "," if i < last else "", lines)
        lines.append(f"{indent}]{comma}")


def _is_one_line(value: Any, depth: int = 2) -> bool:
    """Plain values, and objects and lists of them, at most so deep."""
    if isinstance(value, dict):
        return not value or (depth > 0 and all(_is_one_line(v, depth - 1) for v in value.values()))
    if isinstance(value, list):
        if not value:
            return True
        plain = not any(isinstance(each, (dict, list)) for each in value)
        return depth > 0 and plain and sum(len(str(each)) + 4 for each in value) <= _WIDEST
    return True


def is_format(document: Document, name: str) -> bool:
    """Whether it is a document of ours of this format, wherever in its head that is said."""
    head = document.head.removeprefix(b"\xef\xbb\xbf").lstrip()
    said = rb'"format"\s*:\s*"' + re.escape(name.encode()) + b'"'
    return head.startswith(b"{") and re.search(said, head) is not None


def read(document: Document, decoder: "msgspec.json.Decoder[T]", version: int) -> T:
    """Decode it; raises TopologyError with the line, or the path of what is wrong."""
    data = document.data.removeprefix(b"\xef\xbb\xbf")
    # Each value but the first of its list has one before it: memory is bounded before it is taken.
    values = data.count(b",") + data.count(b"[") + data.count(b"{")
    if values > MOST_VALUES:
        raise document.error(f"{values:,} values in it; at most {MOST_VALUES:,} are read")
    head = _decoded(document, data, _HEAD.decode)
    if head.schema_version != version:
        raise document.error(
            f"schema_version is {head.schema_version}; this version of distos-coll reads {version}",
            element="$.schema_version",
        )
    return _decoded(document, data, decoder.decode)


_HEAD = msgspec.json.Decoder(Head)


def _decoded(document: Document, data: bytes, decode: Callable[[bytes], T]) -> T:
    try:
        return decode(data)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `")
        raise document.error(
            f"is not as its schema says: {what}", element=path.strip("`")
        ) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        match = _BYTE.search(str(error))
        line = data.count(b"\n", 0, int(match[1])) + 1 if match else 0
        why = _BYTE.sub("", str(error)).removeprefix("JSON is malformed: ")
        raise document.error(f"is not JSON: {why}", line) from None
