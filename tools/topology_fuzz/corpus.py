"""Inputs to start with, and those worth keeping: few, small, and together as far as all."""

import time
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path

from distos_coll.errors import DistosError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import reading
from topology_fuzz.coverage import Coverage, coverage
from topology_fuzz.target import DATA, Target
from topology_fuzz.worker import Limited

FOLDER = DATA / "fuzz"
_LARGEST_SEED = 1 << 15
_LARGEST_KEPT, _MOST_KEPT = 1 << 12, 1 << 14
"""Bytes of an input, and of all those that are added for a format."""


def formats() -> list[str]:
    return sorted(source.name for source in default_sources())


def inputs(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in sorted(folder.glob("*")) if path.suffix != ".txt"]


def kept(format_name: str) -> list[Path]:
    """Inputs of the repository, of a format."""
    return sorted((FOLDER / format_name).glob("*"))


def seeds(format_name: str) -> list[bytes]:
    """Return what the repository has of a format."""
    own = [path.read_bytes() for path in kept(format_name)]
    return own + recognised(DATA / "topologies", format_name)


def recognised(folder: Path, format_name: str) -> list[bytes]:
    """Read the files of a folder that are of a format, and not large."""
    sources = default_sources()
    found = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.stat().st_size > _LARGEST_SEED:
            continue
        try:
            document = reading.open_document(path)
            name = reading.recognise(document, sources).name
        except DistosError:
            continue
        if name == format_name and len(document.data) <= _LARGEST_SEED:
            found.append(document.data)
    return found


class Minimiser:
    """Chooses inputs that reach what others do not, and makes them smaller."""

    def __init__(self, format_name: str, folder: Path) -> None:
        self.limited = Limited(Target(format_name, folder).run)
        self.covered: Coverage = coverage()
        self.covered.start()

    def places(self, data: bytes) -> set[tuple[object, ...]]:
        self.covered.again()
        return set() if self.limited.run(data) else set(self.covered.places)

    def chosen(self, known: Iterable[bytes], found: Sequence[bytes], seconds: float) -> list[bytes]:
        """Return those of `found` that reach more than `known`, smaller than they were."""
        reached: set[tuple[object, ...]] = set()
        for data in known:
            reached |= self.places(data)
        more: list[tuple[bytes, set[tuple[object, ...]]]] = []
        for data in sorted(found, key=len):
            own = self.places(data) - reached
            if own:
                reached |= own
                more.append((data, own))
        end = time.process_time() + seconds
        smaller = sorted((self.smaller(data, own, end) for data, own in more), key=len)
        sizes = accumulate(map(len, smaller))
        return [
            data
            for data, size in zip(smaller, sizes, strict=True)
            if len(data) <= _LARGEST_KEPT and size <= _MOST_KEPT
        ]

    def smaller(self, data: bytes, own: set[tuple[object, ...]], end: float) -> bytes:
        """Leave out pieces as long as it reaches what it did alone."""
        size = len(data) // 2
        while size:
            at = 0
            while at < len(data) and time.process_time() < end:
                shorter = data[:at] + data[at + size :]
                if own <= self.places(shorter):
                    data = shorter
                else:
                    at += size
            size //= 2
        return data

    def close(self) -> None:
        self.covered.stop()
