"""XML of strangers: a tree with line numbers, within bounds, that declares and fetches nothing.

expat itself rather than a wrapper: it knows the line, and refusing in its handlers stops it before
anything grows. A document type may be named, as hwloc and nvidia-smi do; it is not fetched, and
what it could declare (entities, default attributes) is refused.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from distos_coll.errors import TopologyError
from distos_coll.topology.source import Document

MAX_ELEMENTS = 200_000
MAX_DEPTH = 100
MAX_ATTRIBUTES = 64
MAX_VALUE = 1 << 16
"""Characters of an attribute."""
MAX_NAME = 256
"""Characters of its name, or an element's."""

_PROLOG = re.compile(rb"\s+|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^\[<>]*>", re.S)
_ROOT = re.compile(rb"<([A-Za-z_][\w.-]*)([^<>]*)>?", re.S)


@dataclass(slots=True)
class Element:
    tag: str
    attributes: dict[str, str]
    line: int = 0
    children: list["Element"] = field(default_factory=list)
    text: str = ""

    def of(self, tag: str) -> Iterator["Element"]:
        return (child for child in self.children if child.tag == tag)

    def find(self, tag: str) -> "Element | None":
        return next(self.of(tag), None)

    def walk(self) -> Iterator["Element"]:
        """Itself and all below, in the order of the document."""
        waiting = [self]
        while waiting:
            element = waiting.pop()
            yield element
            waiting += reversed(element.children)

    @property
    def name(self) -> str:
        """As messages call it: <pci busid="0000:01:00.0">."""
        first = next(iter(self.attributes.items()), None)
        return f'<{self.tag} {first[0]}="{first[1][:40]}">' if first else f"<{self.tag}>"


def root_tag(head: bytes) -> tuple[str, str]:
    """Return name and attributes, as text, of the outermost element, or two empty ones."""
    data = head.removeprefix(b"\xef\xbb\xbf")
    position = 0
    while match := _PROLOG.match(data, position):
        position = match.end()
    root = _ROOT.match(data, position)
    if root is None:
        return "", ""
    return root[1].decode("ascii", "replace"), root[2].decode("utf-8", "replace")


class _Builder:
    def __init__(self, document: Document, keep_text: bool) -> None:
        self.document = document
        self.parser = expat.ParserCreate()
        self.root: Element | None = None
        self.open: list[Element] = []
        self.elements = 0
        parser = self.parser
        parser.buffer_text = True
        parser.StartElementHandler = self.start
        parser.EndElementHandler = self.end
        parser.EntityDeclHandler = self.declares
        parser.AttlistDeclHandler = self.declares
        parser.ExternalEntityRefHandler = self.declares
        parser.SkippedEntityHandler = self.declares
        if keep_text:
            parser.CharacterDataHandler = self.characters
        # Blank lines before the first element are no XML where a declaration follows, and common.
        self.data = document.data.lstrip(b"\r\n\t ")
        self.blank_lines = document.data[: len(document.data) - len(self.data)].count(b"\n")
        self.texts: list[list[str]] = []

    @property
    def line(self) -> int:
        return self.parser.CurrentLineNumber + self.blank_lines

    def error(self, what: str, element: str = "") -> TopologyError:
        return self.document.error(what, self.line, element)

    def declares(self, *_: object) -> int:
        raise self.error("declares or uses entities or default attributes, which are not read")

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self.elements += 1
        element = Element(tag, attributes, self.line)
        if self.elements > MAX_ELEMENTS:
            raise self.error(f"more than {MAX_ELEMENTS:,} elements")
        if len(self.open) >= MAX_DEPTH:
            raise self.error(f"elements are nested deeper than {MAX_DEPTH}")
        if len(attributes) > MAX_ATTRIBUTES:
            raise self.error(f"an element with more than {MAX_ATTRIBUTES} attributes")
        if any(len(value) > MAX_VALUE for value in attributes.values()):
            raise self.error(f"an attribute of more than {MAX_VALUE:,} characters")
        if len(tag) > MAX_NAME or any(len(name) > MAX_NAME for name in attributes):
            raise self.error(f"a name of more than {MAX_NAME} characters")
        if self.open:
            self.open[-1].children.append(element)
        else:
            self.root = element
        self.open.append(element)
        self.texts.append([])

    def end(self, _: str) -> None:
        self.open.pop().text = "".join(self.texts.pop())

    def characters(self, text: str) -> None:
        self.texts[-1].append(text)


def parse(document: Document, *, keep_text: bool = False) -> Element:
    """Parse a document; raises TopologyError with the line. Text is kept only where it matters."""
    builder = _Builder(document, keep_text)
    try:
        # In one piece: fed in parts, expat scans a long token again for every part.
        builder.parser.Parse(builder.data, True)
    except expat.ExpatError as error:
        why = expat.ErrorString(error.code)
        raise document.error(f"is not XML: {why}", error.lineno + builder.blank_lines) from None
    except TopologyError:
        raise
    except (ValueError, LookupError) as error:
        raise builder.error(f"has an encoding that cannot be read: {error}") from None
    return builder.root or Element("", {})
