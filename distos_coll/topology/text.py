"""Text of strangers, line by line; and what a reader finds on the way."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field

from distos_coll.errors import TopologyError
from distos_coll.topology.findings import Finding
from distos_coll.topology.source import Document

MAX_LINE = 1 << 16
"""Bytes of a line."""
_MOST_NOTES = 1000
"""More than are ever shown (`findings.summed_up`); a broken file can have one in every line."""


def text_lines(document: Document) -> Iterator[tuple[int, str]]:
    """Yield number and text of each line, one at a time: what is no UTF-8 is replaced, blanks at
    its end are gone.
    """
    with io.BytesIO(document.data.removeprefix(b"\xef\xbb\xbf")) as file:
        for number, line in enumerate(file, 1):
            if len(line) > MAX_LINE:
                raise document.error(f"a line of more than {MAX_LINE:,} characters", number)
            yield number, line.decode("utf-8", "replace").rstrip()


def told(name: str) -> str:
    """A name that the operating system gave, as text: what is no UTF-8 in it is replaced."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def cut_off(document: Document, what: str, line: int) -> TopologyError:
    """Of a line that starts like one of `what` and does not end like it."""
    return document.error(f"no whole line of {what}; was it cut off?", line)


@dataclass
class Notes:
    """Findings of one document, as many as anybody will read."""

    document: Document
    found: list[Finding] = field(default_factory=list)

    def add(self, code: str, message: str, line: int = 0) -> None:
        if len(self.found) < _MOST_NOTES:
            where = f"{self.document.name}:{line}" if line else self.document.name
            self.found.append(Finding(code, message, where))

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(self.found)
