"""An element and all below it as text."""

import re

from distos_coll.errors import TopologyError
from distos_coll.topology.xml_tree import Element

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(element: Element) -> str:
    """Write without a declaration, indented by two blanks, as NCCL writes its files."""
    lines: list[str] = []
    _render(element, "", lines)
    return "\n".join(lines) + "\n"


def _render(element: Element, indent: str, lines: list[str]) -> None:
    attributes = "".join(f' {n}="{escaped(t)}"' for n, t in element.attributes.items())
    start = f"{indent}<{element.tag}{attributes}"
    if not element.children:
        lines.append(f"{start}/>")
        return
    lines.append(f"{start}>")
    for child in element.children:
        _render(child, indent + "  ", lines)
    lines.append(f"{indent}</{element.tag}>")


def escaped(text: str) -> str:
    """Escape a value of an attribute; line breaks too, which would be read as blanks."""
    if _NO_XML.search(text):
        raise TopologyError(f"{text[:60]!r} has characters that XML cannot hold; rename it")
    return re.sub('[&<>"\t\n\r]', lambda m: _ESCAPES.get(m[0], f"&#{ord(m[0])};"), text)
