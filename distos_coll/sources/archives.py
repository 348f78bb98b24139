"""Dumps in one file: tar, and ttar, which is text.

The headers of tar are read here rather than by tarfile, whose older versions, which this package
supports, loop for ever over damaged ones. Nothing is unpacked: members are places in the data.
"""

import re
from collections.abc import Iterator

from distos_coll.api import Document, TopologyError
from distos_coll.sources.file_tree import Archive, Member

_BLOCK = 512
_MAX_NAME = 4096
_KINDS = {b"0": "file", b"\0": "file", b"7": "file", b"5": "directory", b"2": "link"}
_LONG = {b"L": "path", b"K": "linkpath"}
_PAX = {b"x", b"X"}
_TTAR = b"# ttar - - -"
_ESCAPE = re.compile(rb"\\?(?:NULLBYTE|EOF)")


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" and _checksum(head[:_BLOCK])


def is_ttar(head: bytes) -> bool:
    return head.startswith((b"# Archive created by ttar", _TTAR))


def tar_names(data: bytes, most: int) -> Iterator[str]:
    """Yield names of the first members, of one that may be damaged."""
    position = 0
    for _ in range(most):
        header = data[position : position + _BLOCK]
        size = _number(header[124:136]) if _checksum(header) else None
        if size is None:
            return
        yield _name(header)
        position += _BLOCK * (1 + -(-size // _BLOCK))


def read_tar(document: Document) -> Archive:
    """List a tar file's members; raises TopologyError where it is damaged or cut off."""
    return _Tar(document).read()


class _Tar:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.archive = Archive(document.name, document.data)
        self.next: dict[str, str] = {}
        """What the records before a member say of it."""

    def read(self) -> Archive:
        data, position = self.document.data, 0
        while position + _BLOCK <= len(data):
            header = data[position : position + _BLOCK]
            if not header.strip(b"\0"):
                return self.archive
            size = _number(header[124:136])
            if size is None or not _checksum(header):
                raise self.document.error(f"a damaged tar file: no header at byte {position:,}")
            size = self.member(header, position + _BLOCK, size)
            position += _BLOCK * (1 + -(-size // _BLOCK))
        if position > len(data):
            raise self.document.error(f"a tar file cut off: it needs {position:,} bytes at least")
        return self.archive

    def own_size(self, size: int) -> int:
        told = self.next.get("size", "")
        return int(told) if told.isdecimal() and len(told) < 16 else size

    def member(self, header: bytes, start: int, size: int) -> int:
        """Add it, and return the bytes that follow its header."""
        kind = header[156:157]
        if kind in _LONG or kind in _PAX:
            content = self.document.data[start : start + min(size, 1 << 16)]
            if kind in _LONG:
                self.next[_LONG[kind]] = _text(content)
            else:
                self.next |= _pax(content)
            return size
        size = self.own_size(size)
        if kind in _KINDS:
            name = self.next.get("path") or _name(header)
            link = self.next.get("linkpath") or _text(header[157:257])
            if start + size > len(self.document.data) and kind != b"5":
                raise self.document.error(f"a tar file cut off: in {name[:80]}")
            if len(name) <= _MAX_NAME and len(link) <= _MAX_NAME:
                self.archive.add(name, Member(_KINDS[kind], link, start, size))
            else:
                self.archive.find("too-many", "a name longer than any file's", name[:80])
        self.next.clear()
        return size


def _name(header: bytes) -> str:
    name, prefix = _text(header[:100]), _text(header[345:500])
    # GNU's old format has other things in the prefix's place.
    return f"{prefix}/{name}" if prefix and header[257:263] == b"ustar\0" else name


def _text(data: bytes) -> str:
    return data.partition(b"\0")[0].decode("utf-8", "replace")


def _number(field: bytes) -> int | None:
    """Octal, or, for what is too large, binary after a byte of 0x80. None: neither."""
    if field[:1] == b"\x80":
        found = int.from_bytes(field[1:], "big")
        return found if found < 1 << 40 else None
    digits = field.strip(b"\0 ")
    if not digits:
        return 0
    return int(digits, 8) if re.fullmatch(rb"[0-7]+", digits) else None


def _checksum(header: bytes) -> bool:
    told = _number(header[148:156]) if len(header) == _BLOCK else None
    return told is not None and told == sum(header) - sum(header[148:156]) + 8 * ord(" ")


def _pax(content: bytes) -> dict[str, str]:
    """Records "LENGTH NAME=VALUE" with a line break; the first that is none ends them."""
    found: dict[str, str] = {}
    position = 0
    while match := re.compile(rb"(\d{1,5}) ([a-zA-Z.]{1,40})=").match(content, position):
        end = position + int(match[1])
        if end <= match.end() or end > len(content):
            break
        if match[2] in {b"path", b"linkpath", b"size"}:
            found[match[2].decode()] = content[match.end() : end - 1].decode("utf-8", "replace")
        position = end
    return found


def read_ttar(document: Document) -> Archive:
    """List the members of a ttar file (github.com/ideaship/ttar), which is text by lines."""
    return _Ttar(document).read()


class _Ttar:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.number = 0
        self.position = 0
        # Escapes make a file's bytes others than the archive's, so they are collected apart.
        self.content = bytearray()
        self.members: list[tuple[str, Member]] = []

    def line(self) -> bytes | None:
        data = self.document.data
        if self.position >= len(data):
            return None
        end = data.find(b"\n", self.position)
        end = len(data) if end < 0 else end
        line = data[self.position : end]
        self.position = end + 1
        self.number += 1
        return line

    def read(self) -> Archive:
        path = ""
        while (line := self.line()) is not None:
            key, colon, value = line.partition(b": ")
            if line.startswith(b"#") or not line.strip() or (colon and key == b"Mode"):
                continue
            if key in {b"Path", b"Directory"} and colon:
                path = value.decode("utf-8", "replace")
                if key == b"Directory":
                    self.members.append((path, Member("directory")))
            elif key == b"SymlinkTo" and path:
                link = value.decode("utf-8", "replace")[:_MAX_NAME]
                self.members.append((path, Member("link", link)))
            elif key == b"Lines" and path:
                self.file(path, value)
            else:
                raise self.error(f"{line[:40].decode('utf-8', 'replace')!r} is no line of ttar")
        archive = Archive(self.document.name, bytes(self.content))
        for name, member in self.members:
            archive.add(name, member)
        return archive

    def error(self, what: str) -> TopologyError:
        return self.document.error(what, self.number)

    def file(self, path: str, count: bytes) -> None:
        if not re.fullmatch(rb"\d{1,9}", count):
            raise self.error("a ttar file without its number of lines")
        start = len(self.content)
        for _ in range(int(count)):
            line = self.line()
            if line is None:
                raise self.error(f"a ttar file cut off: in {path[:80]}")
            ended = line.endswith(b"EOF") and not line.endswith(b"\\EOF")
            self.content += _ESCAPE.sub(_unescaped, line)
            if not ended:
                self.content += b"\n"
        self.members.append((path, Member("file", "", start, len(self.content) - start)))


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[0].startswith(b"\\"):
        return match[0][1:]
    return b"\0" if match[0] == b"NULLBYTE" else b""
