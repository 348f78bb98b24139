"""Changes by what an input is: elements of XML, values of JSON and YAML, members of archives."""

import io
import json
import re
import tarfile
from collections.abc import Iterator
from random import Random
from typing import Any

import yaml

from topology_fuzz.mutate import LARGEST, NUMBERS, TEXTS, Mutator, encoded

_TAG = re.compile(rb"<([^<>]*)>")
_ATTRIBUTE = re.compile(rb'\s([\w:.-]+)\s*=\s*("[^"<]*"|\'[^\'<]*\')')
_SEEN = 1 << 15
"""Bytes of an input that are looked at; to look at more takes longer than running it."""
_TTAR = b"# ttar - - -"


def structured(mutator: Mutator, data: bytes) -> bytes:
    """Change it by its structure; by its lines where it has none that we know."""
    start = data[:200].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"<"):
        return Xml(mutator, data).changed()
    if start.startswith((b"{", b"[")):
        return Json(mutator, data).changed()
    if data.startswith((b"# Archive created by ttar", _TTAR)) or data[257:262] == b"ustar":
        return Members(mutator, data).changed()
    if re.search(rb"^[\w-]+:|^- ", data[:500], re.M) and b"SwitchName" not in data:
        return Json(mutator, data).changed()
    return mutator.lines(data)


class Xml:
    def __init__(self, mutator: Mutator, data: bytes) -> None:
        self.mutator = mutator
        self.random: Random = mutator.random
        self.data = data
        self.elements = list(elements(data))

    def changed(self) -> bytes:
        if not self.elements:
            return self.mutator.lines(self.data)
        start, end = self.random.choice(self.elements)
        data, piece = self.data, self.data[start:end]
        kind = self.random.randrange(12)
        if kind < 4:
            return data[:start] + self.attribute(piece) + data[end:]
        if kind == 4:
            return data[:start] + data[end:]
        if kind == 5:
            times = self.random.choice((2, 2, 2, 3, 20, 1000))
            times = min(times, LARGEST // 2 // len(piece) + 1)
            return data[:start] + piece * times + data[end:]
        if kind == 6:
            return self.moved(start, end)
        if kind == 7:
            return data[:start] + self.nested(piece) + data[end:]
        if kind == 8:
            return data[:start] + self.other() + data[end:]
        if kind == 9:
            return data[:end] + self.other() + data[end:]
        if kind == 10:
            inside = piece.find(b">") + 1
            content = self.mutator.strange().replace(b"\0", b"")
            return data[: start + inside] + content + data[start + inside :]
        tag = re.search(rb"<([\w:.-]+)", self.other())
        return data[: start + 1] + (tag[1] if tag else b"x") + data[start + 1 :]

    def other(self) -> bytes:
        """An element of another file, or of this one."""
        other = self.random.choice((self.data, self.random.choice(self.mutator.others)))
        found = list(elements(other))
        start, end = self.random.choice(found) if found else (0, 0)
        return other[start:end]

    def moved(self, start: int, end: int) -> bytes:
        """Into another element, or out of its own."""
        piece = self.data[start:end]
        to = self.random.choice(self.elements)[1]
        if start < to < end:
            return self.data
        first, last = sorted(((start, end, b""), (to, to, piece)))
        data = self.data
        return data[: first[0]] + first[2] + data[first[1] : last[0]] + last[2] + data[last[1] :]

    def nested(self, piece: bytes) -> bytes:
        """In one like it, many times."""
        head = re.match(rb"<([\w:.-]+)[^<>]*?/?>", piece)
        if head is None:
            return piece
        opening = head[0].rstrip(b"/>") + b">"
        depth = self.random.choice((1, 2, 30, 99, 101, 3000))
        return opening * depth + piece + b"</%s>" % head[1] * depth

    def attribute(self, piece: bytes) -> bytes:
        """Change an attribute of the element, or of one inside."""
        found = [match.span() for match in _ATTRIBUTE.finditer(piece[: _SEEN // 4])]
        if not found:
            return piece
        start, end = self.random.choice(found)
        name, _, value = piece[start:end].partition(b"=")
        kind = self.random.randrange(8)
        if kind == 0:
            return piece[:start] + piece[end:]
        if kind == 1:
            return piece[:end] + name + b"2=" + value + piece[end:]
        if kind == 2:
            a, b = self.random.choice(found)
            return piece[:start] + name + b"=" + piece[a:b].partition(b"=")[2] + piece[end:]
        new = encoded(self.random.choice(NUMBERS if kind < 6 else TEXTS))
        for bad, good in ((b"&", b"&amp;"), (b"<", b"&lt;"), (b'"', b"&quot;")):
            new = new.replace(bad, good)
        return piece[:start] + name + b'="' + new + b'"' + piece[end:]


def elements(data: bytes) -> Iterator[tuple[int, int]]:
    """Where elements are, of a document that may be broken."""
    open_: list[tuple[bytes, int]] = []
    for match in _TAG.finditer(data[:_SEEN]):
        inside = match[1]
        tag = inside.strip(b"/").split(None, 1)[:1]
        if inside.startswith((b"!", b"?")) or not tag:
            continue
        if inside.startswith(b"/"):
            if open_ and open_[-1][0] == tag[0]:
                yield open_.pop()[1], match.end()
        elif inside.endswith(b"/"):
            yield match.span()
        else:
            open_.append((tag[0], match.start()))


class Json:
    """One value, or one in each line; YAML is read as such, and written in either way."""

    def __init__(self, mutator: Mutator, data: bytes) -> None:
        self.mutator = mutator
        self.random: Random = mutator.random
        self.data = data

    def changed(self) -> bytes:
        if len(self.data) > 2 * _SEEN:
            return self.mutator.lines(self.data)
        try:
            values, is_json = self.values(self.data)
            for _ in range(self.random.choice((1, 1, 2, 4))):
                self.change(values)
            return self.text(values, is_json=is_json)
        except (ValueError, yaml.YAMLError, RecursionError, IndexError):
            return self.mutator.lines(self.data)  # it is none of both, or there is nothing in it

    @staticmethod
    def values(data: bytes) -> tuple[list[Any], bool]:
        text = data.decode("utf-8", "surrogatepass").removeprefix("\ufeff")
        try:
            return [json.loads(text)], True
        except ValueError:
            pass
        try:
            return [json.loads(line) for line in text.splitlines() if line], True
        except ValueError:
            loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
            return [value for value in yaml.load_all(text, loader) if value], False

    def text(self, values: list[Any], *, is_json: bool) -> bytes:
        if not is_json and self.random.random() < 0.7:
            flow = self.random.choice((None, None, True))
            return yaml.safe_dump_all(values, sort_keys=False, default_flow_style=flow).encode()
        tight = self.data.startswith(b'{"distos_host_report":')
        separators = (",", ":") if tight else None
        escaped = self.random.random() < 0.9
        texts = (json.dumps(v, separators=separators, ensure_ascii=escaped) for v in values)
        return encoded("\n".join(texts) + "\n")

    def places(self, value: Any) -> list[tuple[Any, Any]]:
        """Each value inside, as its container and key there."""
        found: list[tuple[Any, Any]] = []
        waiting = [value]
        while waiting and len(found) < 5000:
            each = waiting.pop()
            pairs: Any = each.items() if isinstance(each, dict) else enumerate(each)
            for key, inner in pairs:
                found.append((each, key))
                if isinstance(inner, dict | list):
                    waiting.append(inner)
        return found

    def change(self, values: list[Any]) -> None:
        random = self.random
        places = self.places(values)
        if not places:
            return
        over, key = random.choice(places)
        old = over[key]
        kind = random.randrange(12)
        if kind == 0:
            del over[key]
        elif kind == 1 and isinstance(over, list):
            over[key:key] = [_copy(old)] * random.choice((1, 1, 1, 30, 1000))
        elif kind in {1, 2} and isinstance(over, dict):
            name = random.choice([k for o, k in places if isinstance(o, dict)])
            over[random.choice((name, random.choice(TEXTS[:40])))] = _copy(old)
        elif kind in {3, 4}:
            other, place = random.choice(places)
            over[key] = _copy(other[place])
        elif kind == 5:
            other, place = random.choice(
                self.places(self.values(random.choice(self.mutator.others))[0])
            )
            over[key] = _copy(other[place])
        elif kind == 6:
            over[key] = random.choice((None, True, False, [], {}, "", 0, [None], {"": None}))
        elif kind == 7:
            depth = random.choice((1, 2, 40, 70, 300))
            for _ in range(depth):
                old = [old] if random.random() < 0.5 else {"a": old}
            over[key] = old
        elif kind == 8 and isinstance(old, list):
            random.shuffle(old)
        elif isinstance(old, str):
            over[key] = self.string(old, places)
        else:
            over[key] = self.number()

    def string(self, old: str, places: list[tuple[Any, Any]]) -> str:
        random = self.random
        kind = random.randrange(5)
        if kind == 0:
            return random.choice(TEXTS)
        if kind == 1:
            return random.choice(NUMBERS)
        if kind == 2:
            return old + random.choice(TEXTS)
        texts: list[str] = [over[key] for over, key in places if isinstance(over[key], str)]
        return random.choice(texts)

    def number(self) -> Any:
        random = self.random
        return random.choice(
            (0, 1, 2, -1, 3, 64, 65536, 1 << 31, 1 << 53, (1 << 63) - 1, 1 << 63, 1 << 64, -1 << 63,
             10**40, 0.5, -0.0, 1e308, 1e-320, 5e-324, random.randint(0, 300))
        )  # fmt: skip


def _copy(value: Any) -> Any:
    return json.loads(json.dumps(value))


class Members:
    """Files, folders and links of a dump, in ttar or tar."""

    def __init__(self, mutator: Mutator, data: bytes) -> None:
        self.mutator = mutator
        self.random: Random = mutator.random
        self.data = data

    def changed(self) -> bytes:
        random = self.random
        if random.random() < 0.15:
            return (
                self.header() if self.data[257:262] == b"ustar" else self.mutator.lines(self.data)
            )
        try:
            found = self.members()
        except (tarfile.TarError, ValueError, OverflowError, EOFError):
            return self.mutator.noise(self.data)
        if not found:
            return self.mutator.noise(self.data)
        for _ in range(random.choice((1, 1, 3, 10))):
            self.change(found)
        return as_tar(found) if random.random() < 0.2 else as_ttar(found)

    def change(self, found: list[tuple[str, str, bytes]]) -> None:
        """A member is its name, its kind, its content or what a link points at."""
        random = self.random
        at = random.randrange(len(found))
        name, kind, content = found[at]
        what = random.randrange(9)
        if what == 0 and len(found) > 1:
            del found[at]
        elif what == 1:
            found.append((name, random.choice(("file", "directory", "link")), content))
        elif what == 2:
            other = random.choice(found)[0]
            names = (
                name + "/" + other,
                other,
                name.replace("0", "1"),
                name + random.choice(TEXTS[:30]),
            )
            found.append((random.choice(names), kind, content))
        elif what == 3:
            target = random.choice(found)[0]
            link = random.choice((".", "..", "/", "../" * 9 + target, "/" + target, target, name))
            found[at] = (name, "link", encoded(link))
        elif what == 4:
            found[at] = (name, kind, self.mutator.token(content))
        elif what == 5:
            found[at] = (name, kind, encoded(random.choice(NUMBERS)) + b"\n")
        elif what == 6:
            found[at] = (name, kind, self.mutator.strange())
        else:
            other_content = random.choice(found)[2]
            found[at] = (name, kind, random.choice((self.mutator.noise(content), other_content)))

    def members(self) -> list[tuple[str, str, bytes]]:
        if self.data[257:262] != b"ustar":
            return list(_ttar_members(self.data))
        found = []
        with tarfile.open(fileobj=io.BytesIO(self.data)) as archive:
            for number, info in enumerate(archive):
                if number > 1000:
                    break
                kind = "link" if info.issym() else "directory" if info.isdir() else "file"
                file = archive.extractfile(info) if info.isreg() else None
                content = file.read(1 << 16) if file else info.linkname.encode("utf-8", "replace")
                found.append((info.name, kind, content))
        return found

    def header(self) -> bytes:
        """Change a field of a header of a tar file, and mostly its sum, too."""
        starts = [
            i for i in range(0, len(self.data), 512) if self.data[i + 257 : i + 262] == b"ustar"
        ]
        if not starts:
            return self.mutator.noise(self.data)
        at = self.random.choice(starts)
        block = bytearray(self.data[at : at + 512])
        fields = ((0, 100), (124, 12), (156, 1), (157, 100), (257, 8), (345, 155))
        start, length = self.random.choice(fields)
        new = self.random.choice(
            (b"0", b"7777777777", b"\x80" + b"\xff" * 11, b"-1", b"x", b"L", b"K", b"2", b"5", b"1",
             b"../..", b"a/" * 60, self.mutator.strange())
        )  # fmt: skip
        block[start : start + length] = new[:length].ljust(length, b"\0")
        if len(block) == 512 and self.random.random() < 0.9:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
        return self.data[:at] + bytes(block) + self.data[at + 512 :]


def _ttar_members(data: bytes) -> Iterator[tuple[str, str, bytes]]:
    lines = data.decode("utf-8", "replace").split("\n")
    position, path = 0, ""
    while position < len(lines):
        key, _, value = lines[position].partition(": ")
        position += 1
        if key in {"Path", "Directory"}:
            path = value
            if key == "Directory":
                yield path, "directory", b""
        elif key == "SymlinkTo":
            yield path, "link", value.encode()
        elif key == "Lines" and value.isdecimal() and len(value) < 6:
            content = "\n".join(lines[position : position + int(value)]) + "\n"
            position += int(value)
            yield path, "file", content.encode()


def as_ttar(found: list[tuple[str, str, bytes]]) -> bytes:
    pieces = [b"# Archive created by ttar\n"]
    for name, kind, content in found:
        path = encoded(name)
        if kind == "directory":
            pieces.append(b"Directory: %s\nMode: 755\n" % path)
        elif kind == "link":
            pieces.append(b"Path: %s\nSymlinkTo: %s\n" % (path, content[:300]))
        else:
            lines = content if content.endswith(b"\n") else content + b"\n"
            pieces.append(b"Path: %s\nLines: %d\n%sMode: 644\n" % (path, lines.count(b"\n"), lines))
        pieces.append(_TTAR + b" - -\n")
    return b"".join(pieces)


def as_tar(found: list[tuple[str, str, bytes]]) -> bytes:
    packed = io.BytesIO()
    gnu = tarfile.GNU_FORMAT
    with tarfile.open(fileobj=packed, mode="w", format=gnu, errors="surrogatepass") as archive:
        for name, kind, content in found:
            info = tarfile.TarInfo(name or "x")
            if kind == "link":
                info.type, info.linkname = tarfile.SYMTYPE, content.decode("utf-8", "replace")[:300]
            elif kind == "directory":
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()[:LARGEST]
