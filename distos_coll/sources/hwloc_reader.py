"""Values in hwloc's XML, and what is wrong with them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from distos_coll.api import Document, Element, Finding, TopologyError
from distos_coll.sources import cpu_lists

INFINITE = "0xf...f"
"""At the start of a set: all that there can be."""


@dataclass
class Reader:
    """Reads a document; what is wrong in it has the line and the element."""

    document: Document
    version: int = 1
    findings: list[Finding] = field(default_factory=list)

    def error(self, what: str, element: Element) -> TopologyError:
        return self.document.error(what, element.line, element.name)

    def find(self, code: str, message: str, element: Element) -> None:
        where = f"{self.document.name}:{element.line}: {element.name}"
        self.findings.append(Finding(code, message, where))

    def integer(self, element: Element, name: str) -> int | None:
        text = element.attributes.get(name)
        if text is None:
            return None
        if not re.fullmatch(r"-?\d{1,18}", text):
            raise self.error(f"{name}={text[:40]!r}: expected a whole number", element)
        return int(text)

    def bits(self, element: Element, name: str) -> int | None:
        """A set; None where it is not said, or without end."""
        text = element.attributes.get(name)
        if not text or text.startswith(INFINITE):
            return None
        try:
            return cpu_lists.from_mask(text)
        except ValueError:
            raise self.error(
                f"{name}={text[:40]!r}: expected hexadecimal words between commas", element
            ) from None


def objects(element: Element, *types: str) -> Iterator[Element]:
    """Yield the element and what is below it, of these types."""
    for each in element.walk():
        if each.tag == "object" and each.attributes.get("type") in types:
            yield each


def infos(element: Element) -> dict[str, str]:
    """The pairs of name and value of an element, the first of each name."""
    found: dict[str, str] = {}
    for child in element.of("info"):
        name, value = child.attributes.get("name"), child.attributes.get("value")
        if name and value:
            found.setdefault(name, value)
    return found
