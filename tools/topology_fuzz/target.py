"""What is done with an input: all that a user's command would do with that file."""

import io
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

from rich.console import Console

from distos_coll.cli import topo_diff, topo_tree
from distos_coll.drawing import svg
from distos_coll.drawing.topology import picture
from distos_coll.errors import DistosError, TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.sources import archives
from distos_coll.sources.file_tree import Archive
from distos_coll.sources.switch_tree import Names
from distos_coll.topology import reading
from distos_coll.topology.artifacts import artifacts, export
from distos_coll.topology.diff import diff
from distos_coll.topology.importing import Wanted, import_documents
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import Reading
from distos_coll.topology.source import Document, Found, TopologySource
from distos_coll.topology.summary import summary

DATA = Path(__file__).parents[2] / "tests/data"
_BASE = DATA / "fuzz/cluster-topology-model/seed-cluster.json"
"""What inputs are merged and compared with."""
_MOST_MEMBERS = 2000
_WHOLE = {"cluster-topology-model", "host-report"}
"""Formats that say all that a topology says, so that what is read again is equal."""
_OURS = _WHOLE | {"nvlink-domain-map", "ib-rail-assignments"}
"""Formats that can say whatever is written in them. Others' know fewer names and numbers: there
what was written may be refused, but only as any file is.
"""


class Broken(Exception):
    """Nothing was raised, and still it is wrong."""


def few_names() -> None:
    """Let lists such as n[1-99999] hold no more names than an input has bytes for, in this process:
    a quarter of a million, which they may stand for, take a minute whatever is done with them.
    """
    Names.__init__.__defaults__ = (4096,)


@dataclass(frozen=True)
class Target:
    """One format's, in a folder to work in."""

    format: str
    folder: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)

    def run(self, data: bytes, more: Callable[[], bool] = lambda: True) -> bool:
        """Read it, and do all else if there should be `more`; False if the input was refused.

        Raises whatever should not have been.
        """
        path = self.folder / "input"
        path.write_bytes(data)
        try:
            return _Run(self.format, path, default_sources()).all(more)
        except DistosError as error:
            printable("an error", str(error))
            return False


@dataclass(frozen=True)
class _Run:
    format: str
    path: Path
    sources: Sequence[TopologySource]

    def all(self, more: Callable[[], bool]) -> bool:
        document = reading.open_document(self.path)
        read = self.read(document)
        json.dumps(summary(read), allow_nan=False)
        if not more():
            return True
        if read.format == "sysfs":
            self.folder(document)
        self.shown(read)
        self.written(read)
        content = read.found.content
        if isinstance(content, Topology):
            self.changes(content)
            self.merged()
        return True

    def read(self, document: Document) -> Reading:
        """Read it as a user's command would; what nobody recognises by the format's own parser."""
        try:
            return reading.parse(document, self.sources)
        except TopologyError as error:
            printable("an error", str(error))
            if "none of the known formats" not in str(error):
                raise
        own = next(source for source in self.sources if source.name == self.format)
        return Reading(own.name, document.name, own.parse(document), ())

    def shown(self, read: Reading) -> None:
        console = _Console()
        topo_tree.show(console, read, summary(read))
        console.check("topo show")
        if isinstance(read.found.content, Topology):
            drawn = svg.render(picture(read.found.content, read.name))
            expat.ParserCreate().Parse(drawn, True)

    def written(self, read: Reading) -> None:
        """Each format that can say it; what was written is read again."""
        for source in self.sources:
            if source.write is None:
                continue
            try:
                data = export(read.found, source)
            except DistosError as error:
                printable("an error", str(error))
                continue
            again = self.again(source.name, data)
            if source.name in _WHOLE:
                self.equal(source, read.found.content, again)

    def equal(self, source: TopologySource, written: Any, again: Any) -> None:
        """What is read is what was written; texts of one name may have been put together."""
        if again != written and export(Found(again), source) != export(Found(written), source):
            raise Broken(f"{source.name} reads other things than it wrote")

    def again(self, name: str, data: bytes) -> object:
        try:
            return reading.parse(Document(name, data), self.sources).found.content
        except DistosError as error:
            if name.removesuffix(".json") in _OURS:
                raise Broken(f"what {name} wrote it refuses: {error}") from error
            return None

    def changes(self, topology: Topology) -> None:
        """Nothing changed to itself, and whatever did to another."""
        if diff(topology, topology):
            raise Broken("it differs from itself")
        base = _base()
        for old, new in ((base, topology), (topology, base)):
            console = _Console()
            found = diff(old, new)
            topo_diff.show(console, found)
            console.check("topo diff")
            json.dumps([change.as_dict() for change in found], allow_nan=False)

    def merged(self) -> None:
        """With itself, and with other hosts."""
        for others, short in ([self.path], False), ([_BASE], True):
            wanted = [Wanted(self.path), *map(Wanted, others)]
            try:
                found = import_documents(wanted, self.sources, short_names=short)
                files = artifacts(found.topology, found.findings, self.sources)
            except DistosError as error:
                printable("an error", str(error))
                continue
            printable("a finding", "".join(map(str, found.findings)))
            for name, data in files.items():
                again = self.again(name, data)
                source = next(s for s in self.sources if s.name == name.removesuffix(".json"))
                if source.name in _WHOLE:
                    self.equal(source, found.topology, again)

    def folder(self, document: Document) -> None:
        """What an archive of /sys holds, as a folder."""
        ttar = archives.is_ttar(document.head)
        tree = (archives.read_ttar if ttar else archives.read_tar)(document)
        root = self.path.with_name("tree")
        shutil.rmtree(root, ignore_errors=True)
        _unpack(tree, root)
        try:
            self.shown(reading.read(root, self.sources))
        except DistosError as error:
            printable("an error", str(error))


@cache
def _base() -> Topology:
    content = reading.read(_BASE, default_sources()).found.content
    assert isinstance(content, Topology)
    return content


def _unpack(tree: Archive, root: Path) -> None:
    """Its members are inside: the archive left out names that lead out."""
    root.mkdir()
    waiting = [""]
    left = _MOST_MEMBERS
    while waiting and left:
        over = waiting.pop()
        for name in tree._names(over)[:left]:  # noqa: SLF001
            path = f"{over}/{name}" if over else name
            left -= 1
            kind = tree._kind(path)  # noqa: SLF001
            try:
                if kind == "directory":
                    (root / path).mkdir()
                    waiting.append(path)
                elif kind == "link":
                    (root / path).symlink_to(tree._link(path))  # noqa: SLF001
                else:
                    (root / path).write_bytes(tree._read(path))  # noqa: SLF001
            except (OSError, ValueError):
                continue  # a name that no file can have


class _Console(Console):
    """Keeps what it prints."""

    def __init__(self) -> None:
        self.kept = io.StringIO()
        super().__init__(file=self.kept, width=100, force_terminal=False, color_system=None)

    def check(self, what: str) -> None:
        printable(what, self.kept.getvalue())


def printable(what: str, text: str) -> None:
    """A terminal gets no commands from files of strangers."""
    wrong = next((c for c in text if c != "\n" and not c.isprintable()), None)
    if wrong is not None:
        at = text.index(wrong)
        raise Broken(f"{what} has {wrong!r}: {text[max(0, at - 40) : at + 40]!r}")
