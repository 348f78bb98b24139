"""What a plugin hands over to add a source of topology: how it is recognised, how it is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from distos_coll.errors import TopologyError
from distos_coll.topology.findings import Finding
from distos_coll.topology.model import Topology

HEAD_BYTES = 1 << 16
"""What `recognise` sees of a file."""


@dataclass(frozen=True)
class Document:
    """What is read: the bytes of a file, unpacked where it was compressed; or a directory."""

    name: str
    """As messages call it."""
    data: bytes = b""
    root: Path | None = None
    """Set where it is a directory; `data` is empty then."""

    @property
    def head(self) -> bytes:
        return self.data[:HEAD_BYTES]

    def error(self, what: str, line: int = 0, element: str = "") -> TopologyError:
        """Say what is wrong, where: file, line, element."""
        place = "".join((self.name, f":{line}" if line else "", f": {element}" if element else ""))
        return TopologyError(f"{place}: {what}")


class Fragment(Protocol):
    """What a file says that is no topology by itself: a plan, routes, a table of addresses."""

    def facts(self) -> Mapping[str, Any]:
        """What `topo show` prints: the keys of `summary` that apply, and its own."""


@dataclass(frozen=True)
class Found:
    """What a document says."""

    content: Topology | Fragment
    warnings: tuple[Finding, ...] = ()
    """Contradictions that only the reader can see; those of the model are found later."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Further keys for `topo show`, which say what the model has no place for."""


Recognise: TypeAlias = Callable[[Document], bool]
Parse: TypeAlias = Callable[[Document], Found]
Write: TypeAlias = Callable[[Any], bytes]
"""Of content of one of the types in `writes`."""
Discover: TypeAlias = Callable[[], Found]


@dataclass(frozen=True)
class TopologySource:
    """A format or a way to ask a machine. All that a document can do wrong is a TopologyError."""

    name: str
    """What `format` says: "nccl-xml"."""
    doc: str
    recognise: Recognise = field(compare=False)
    """By content, from `head` or by looking into the directory; never raises, never reads all."""
    parse: Parse = field(compare=False)
    write: Write | None = field(default=None, compare=False)
    writes: tuple[type, ...] = (Topology,)
    discover: Discover | None = field(default=None, compare=False)
    """Ask the running machine."""
    rank: int = 0
    """Of sources that recognise a document the one of the highest rank reads it: dialects."""
    max_bytes: int = 1 << 26
