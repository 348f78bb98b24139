"""Files of a machine, on it or in a dump: read within bounds, links followed inside only.

The kernel's files vanish while one reads them, and some only root may read: both are findings. A
dump is a stranger's: a link that leads out of it is not followed, and a file that is no plain file
is not opened.
"""

import errno
import os
import stat
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from distos_coll.api import Document, Finding

MAX_FILES = 200_000
MAX_BYTES = 1 << 26
MAX_TEXT = 1 << 16
"""Of one file; what follows is not read."""
MAX_ENTRIES = 1 << 16
"""Of one directory."""
MAX_DEPTH = 64
_MAX_LINKS = 40
_MAX_FINDINGS = 1000

# What drivers answer where a value has no meaning: the speed of an interface that is down.
_SAYS_NOTHING = {errno.EINVAL, errno.EOPNOTSUPP, errno.ENXIO, errno.EISDIR, errno.ENOTDIR}
_VANISHED = {errno.ENOENT, errno.ENODEV, errno.ESTALE}


class Tree(ABC):
    """Paths are relative to the root, without a leading slash; "" is the root."""

    def __init__(self, name: str) -> None:
        self.name = name.rstrip("/")
        self.base = ""
        """Where the links that start with a slash start."""
        self.findings: list[Finding] = []
        self._files = 0
        self._bytes = 0

    @abstractmethod
    def _kind(self, path: str) -> str:
        """Say "file", "directory", "link", or "" where there is none of them."""

    @abstractmethod
    def _link(self, path: str) -> str: ...

    @abstractmethod
    def _read(self, path: str) -> bytes:
        """Read at most MAX_TEXT bytes. Raises OSError."""

    @abstractmethod
    def _names(self, path: str) -> list[str]:
        """List at most MAX_ENTRIES. Raises OSError."""

    def find(self, code: str, message: str, path: str) -> None:
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(Finding(code, message, self.place(path)))

    def place(self, path: str) -> str:
        return f"{self.name}/{path}"

    def resolve(self, path: str) -> str | None:
        """Return where it lies, all links followed, or None: not there, or not inside."""
        waiting, done, links = path.split("/")[::-1], list[str](), 0
        while waiting:
            name = waiting.pop()
            if name in {"", "."}:
                continue
            if name == "..":
                if not done:
                    self.find("link-outside", "a link that leads out of the tree", path)
                    return None
                done.pop()
                continue
            here = "/".join((*done, name))
            kind = self._kind(here)
            if kind == "link":
                links += 1
                target = self._link(here)
                if links > _MAX_LINKS or len(waiting) > 8 * MAX_DEPTH:
                    self.find("link-loop", "links that never end", path)
                    return None
                if target.startswith("/"):
                    done = self.base.split("/") if self.base else []
                waiting += target.split("/")[::-1]
            elif kind and len(done) < MAX_DEPTH:
                done.append(name)
            else:
                return None
        return "/".join(done)

    def target(self, path: str) -> str | None:
        """Return what a link says, as a path from the root, whether it is there or not."""
        if self._kind(path) != "link":
            return None
        target = self._link(path)
        start = self.base if target.startswith("/") else path.rpartition("/")[0]
        done: list[str] = []
        for name in f"{start}/{target}".split("/"):
            if name == "..":
                done = done[:-1]
            elif name not in {"", "."}:
                done.append(name)
        return "/".join(done)

    def is_directory(self, path: str) -> bool:
        found = self.resolve(path)
        return found is not None and (not found or self._kind(found) == "directory")

    def names(self, path: str) -> list[str]:
        """What is in a directory, sorted; empty where there is none."""
        found = self.resolve(path)
        if found is None or (found and self._kind(found) != "directory"):
            return []
        self._count(path, 0)
        try:
            return sorted(self._names(found))
        except OSError as error:
            self._failed(error, path, expected=True)
            return []

    def text(self, path: str, *, expected: bool = False) -> str | None:
        """Read a file without the blanks around it; None where it is not there or says nothing.

        That one is missing is a finding if it is `expected`.
        """
        found = self.resolve(path)
        if found is None or self._kind(found) != "file":
            if expected:
                self.find("vanished", "is not there", path)
            return None
        try:
            data = self._read(found)
        except OSError as error:
            self._failed(error, path, expected=expected)
            return None
        self._count(path, len(data))
        return data.decode("utf-8", "replace").strip("\0 \t\r\n") or None

    def _failed(self, error: OSError, path: str, *, expected: bool) -> None:
        if error.errno in _VANISHED:
            if expected:
                self.find("vanished", "is not there", path)
        elif error.errno not in _SAYS_NOTHING:
            self.find("unreadable", f"cannot be read: {error.strerror}", path)

    def _count(self, path: str, size: int) -> None:
        self._files += 1
        self._bytes += size
        if self._files > MAX_FILES or self._bytes > MAX_BYTES:
            raise Document(self.place(path)).error(
                f"reading stopped after {self._files:,} files with {self._bytes:,} bytes; no "
                "machine has that many"
            )


class Directory(Tree):
    def __init__(self, root: Path, name: str = "") -> None:
        super().__init__(name or str(root))
        self._root = os.fspath(root)

    def _at(self, path: str) -> str:
        # What was no UTF-8 in a name is a surrogate here.
        return os.path.join(self._root, path)  # noqa: PTH118

    def _kind(self, path: str) -> str:
        try:
            mode = os.lstat(self._at(path)).st_mode
        except (OSError, ValueError):
            return ""
        if stat.S_ISLNK(mode):
            return "link"
        return "directory" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else ""

    def _link(self, path: str) -> str:
        try:
            return os.readlink(self._at(path))  # noqa: PTH115
        except OSError:
            return "."

    def _read(self, path: str) -> bytes:
        # Should a pipe have taken the file's place, opening it must not wait.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(self._at(path), flags), "rb", buffering=0) as file:
            return file.read(MAX_TEXT) or b""

    def _names(self, path: str) -> list[str]:
        found: list[str] = []
        with os.scandir(self._at(path)) as entries:
            for entry in entries:
                if len(found) >= MAX_ENTRIES:
                    message = f"has more than {MAX_ENTRIES:,} entries; the others were left out"
                    self.find("too-many", message, path)
                    break
                found.append(entry.name)
        return found


@dataclass(frozen=True, slots=True)
class Member:
    """Of an archive: a link's target, or where a file's bytes are."""

    kind: str
    link: str = ""
    start: int = 0
    size: int = 0


class Archive(Tree):
    """Members of an archive, whose bytes stay where they are."""

    def __init__(self, name: str, data: bytes) -> None:
        super().__init__(name)
        self.added = 0
        """Members with a name of their own; folders need none."""
        self._data = memoryview(data)
        self._members: dict[str, Member] = {}
        self._inside: dict[str, dict[str, None]] = {"": {}}

    def add(self, name: str, member: Member) -> None:
        """Add a member, the last of a name for good; raises TopologyError beyond MAX_FILES."""
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if ".." in parts or len(parts) > MAX_DEPTH or not parts:
            if parts:
                self.find("link-outside", "a name that leads out of the tree, or deep", name[:80])
            return
        path = "/".join(parts)
        self.added += 1
        self._members[path] = member
        while path not in self._inside.get(path.rpartition("/")[0], {}):
            folder, _, _ = path.rpartition("/")
            self._inside.setdefault(folder, {})[path] = None
            if not folder:
                break
            self._members.setdefault(folder, Member("directory"))
            path = folder
        if len(self._members) > MAX_FILES:
            raise Document(self.name).error(
                f"an archive of more than {MAX_FILES:,} files; no machine has that many"
            )

    def _kind(self, path: str) -> str:
        member = self._members.get(path)
        return member.kind if member else ""

    def _link(self, path: str) -> str:
        return self._members[path].link

    def _read(self, path: str) -> bytes:
        member = self._members[path]
        return bytes(self._data[member.start : member.start + min(member.size, MAX_TEXT)])

    def _names(self, path: str) -> list[str]:
        return [each.rpartition("/")[2] for each in self._inside.get(path, {})][:MAX_ENTRIES]
