"""JSON and YAML of strangers: values with their places, and errors that name them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from distos_coll.errors import TopologyError
from distos_coll.topology.source import Document

_MAX_DOCUMENTS = 100_000


@dataclass(frozen=True, slots=True)
class Placed:
    """A value and the line where it starts."""

    value: Any
    line: int


@dataclass(frozen=True, slots=True)
class Data:
    """A value of a document. What it must be is said by asking for it."""

    document: Document
    value: Any
    """None, text, a number, a list, a dictionary."""
    place: str = ""
    """hosts.leaf1[0]"""
    line: int = 0

    def error(self, what: str) -> TopologyError:
        return self.document.error(what, self.line, self.place)

    def _inside(self, value: Any, place: str) -> "Data":
        if isinstance(value, Placed):
            return Data(self.document, value.value, place, value.line)
        return Data(self.document, value, place, self.line)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    def entries(self) -> Iterator[tuple[str, "Data"]]:
        """Names and values of a mapping."""
        if not isinstance(self.value, dict):
            raise self.error("expected a mapping of names to values")
        prefix = f"{self.place}." if self.place else ""
        for name, value in self.value.items():
            yield str(name), self._inside(value, prefix + str(name)[:60])

    def items(self) -> Iterator["Data"]:
        if not isinstance(self.value, list):
            raise self.error("expected a list of values")
        for i, value in enumerate(self.value):
            yield self._inside(value, f"{self.place}[{i}]")

    def get(self, name: str) -> "Data | None":
        """A value of a mapping; None where there is none, or it is null."""
        if not isinstance(self.value, dict):
            raise self.error("expected a mapping of names to values")
        found = self.value.get(name)
        bare = found.value if isinstance(found, Placed) else found
        if bare is None:
            return None
        return self._inside(found, f"{self.place}.{name}" if self.place else name)

    def required(self, name: str) -> "Data":
        found = self.get(name)
        if found is None:
            raise self.error(f"it has no value for {name!r}")
        return found

    def text(self) -> str:
        if isinstance(self.value, bool) or not isinstance(self.value, str | int | float):
            raise self.error("expected text or a number")
        return str(self.value)

    def whole(self) -> int:
        """A whole number that is not negative."""
        text = self.text()
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise self.error(f"expected a whole number, not {text[:40]!r}")
        return int(text)

    def is_true(self) -> bool:
        return self.value is True or (isinstance(self.value, str) and self.value.lower() == "true")


def parse_json(document: Document) -> list[Data]:
    """Parse one JSON text, or several that follow each other."""
    text = document.data.removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
    decoder = json.JSONDecoder()
    found: list[Data] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        if at == len(text) and found:
            return found
        if len(found) >= _MAX_DOCUMENTS:
            raise document.error(f"more than {_MAX_DOCUMENTS:,} JSON texts in one file")
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise document.error(f"is not JSON: {error.msg}", error.lineno) from None
        except RecursionError:
            raise document.error("is nested too deeply to be read") from None
        except ValueError as error:
            # A number of thousands of digits.
            raise document.error(f"is not JSON: {error}") from None
        found.append(Data(document, value, f"text {len(found) + 1}" if found else ""))
