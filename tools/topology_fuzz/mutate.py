"""Changes of an input: bytes, words, numbers, lines. `structure` knows XML, JSON and archives."""

import bz2
import gzip
import lzma
import re
from collections.abc import Callable, Sequence
from random import Random

LARGEST = 1 << 18
"""Bytes of an input: ten times what makes work that grows with the square be seen."""

NUMBERS = (
    "0", "1", "-1", "-0", "2", "3", "7", "255", "65535", "65536", "262143", "262144", "2147483647",
    "2147483648", "-2147483649", "4294967295", "4294967296", "9223372036854775807",
    "9223372036854775808", "-9223372036854775809", "18446744073709551616", "9" * 40, "9" * 5000,
    "0" * 300 + "1", "1e308", "-1e308", "1e309", "1e-320", "nan", "NaN", "inf", "-Infinity", "1.5",
    "0x0", "0xffffffffffffffff", "0x1" + "0" * 70, "+1", "1_000", "01", " 1", "1-", "1-0",
    "1-65535", "\u0663", "\u00b2", "\uff11",
)  # fmt: skip
TEXTS = (
    "", " ", "\0", "\t", "\r\n", "\n\n", "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x7f", "\x85",
    "\x9b2J", "\u202egnol", "\u2066a\u2069", "\u2028", "\ufeff", "\u00e9", "e\u0301", "\u200b",
    "\U0001f600", "\U000e0041", "\ud800", "\ufffe", "[red]x[/red]", "[/]", "%s%n{0}", "../../etc",
    "/", "\\", "'", '"', "<", "&", "&amp;", "&#0;", "]]>", "{}", "[]", ":", "#", "a" * 300,
    "a" * 70_000, "a," * 40_000, "n[1-3]", "n[1-99999]", "n" + "[1-9]" * 5, "None", "null", "true",
    "N/A", "host0", "localhost", "0000:01:00.0", "ffffffff:ff:1f.7",
    "0x0000000000000000", "0xffffffffffffffff",
)  # fmt: skip
_TOKEN = re.compile(rb"0[xX][0-9a-fA-F]+|[0-9]+(?:\.[0-9]+)?|[A-Za-z_][\w.:-]*")

Change = Callable[[bytes], bytes]


def encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


class Mutator:
    """Changes an input in one way or several; others are what pieces come from."""

    def __init__(self, random: Random, others: Sequence[bytes]) -> None:
        self.random = random
        self.others = others

    def changed(self, data: bytes, structured: Change) -> bytes:
        """Return it after one to eight changes, those by its structure as often as all others."""
        random = self.random
        for _ in range(min(8, int(random.expovariate(0.5)) + 1)):
            change = structured if random.random() < 0.5 else random.choice(self.plain)
            data = change(data)[:LARGEST]
        if random.random() < 0.01:
            data = random.choice((gzip.compress, bz2.compress, lzma.compress))(data)
            if random.random() < 0.3:
                data = self.noise(data)
        return data

    @property
    def plain(self) -> Sequence[Change]:
        return (
            self.noise, self.cut, self.double, self.shorten, self.splice,
            self.token, self.token, self.token, self.number, self.number, self.text, self.swap,
            self.lines, self.lines, self.lines, self.many,
        )  # fmt: skip

    def span(self, data: bytes, most: int = 64) -> tuple[int, int]:
        start = self.random.randint(0, len(data))
        return start, min(len(data), start + self.random.randint(0, most))

    def noise(self, data: bytes) -> bytes:
        found = bytearray(data or b"\0")
        for _ in range(self.random.randint(1, 4)):
            at = self.random.randrange(len(found))
            found[at] = self.random.choice((found[at] ^ 1 << self.random.randrange(8), 0, 255, 32))
        return bytes(found)

    def cut(self, data: bytes) -> bytes:
        start, end = self.span(data, self.random.choice((1, 8, 64, 2000)))
        return data[:start] + data[end:]

    def shorten(self, data: bytes) -> bytes:
        return data[: self.random.randint(0, len(data))]

    def double(self, data: bytes) -> bytes:
        start, end = self.span(data, self.random.choice((8, 64, 2000)))
        return data[:end] + data[start:end] * self.random.choice((1, 1, 2, 9)) + data[end:]

    def splice(self, data: bytes) -> bytes:
        other = self.random.choice(self.others)
        start, end = self.span(other, 500)
        at, after = self.span(data)
        return data[:at] + other[start:end] + data[after:]

    def many(self, data: bytes) -> bytes:
        """Repeat a piece until the input is large: what work grows with is seen."""
        if self.random.random() < 0.8:
            return self.double(data)
        start, end = self.span(data, self.random.choice((1, 20, 200)))
        times = self.random.choice((100, 1000, 20_000))
        times = min(times, LARGEST // 4 // max(1, end - start) + 1)
        return data[:start] + data[start:end] * times + data[end:]

    def _replaced(self, data: bytes, pattern: "re.Pattern[bytes]", new: bytes) -> bytes:
        found = [match.span() for match in pattern.finditer(data[: 1 << 15])]
        if not found:
            return data + new
        start, end = self.random.choice(found)
        return data[:start] + new + data[end:]

    def number(self, data: bytes) -> bytes:
        new = self.random.choice(NUMBERS)
        if self.random.random() < 0.4:
            new = str(self.random.randint(0, self.random.choice((3, 20, 300))))
        return self._replaced(data, re.compile(rb"\d+"), encoded(new))

    def text(self, data: bytes) -> bytes:
        return self._replaced(data, re.compile(rb"[A-Za-z][\w.-]*"), self.strange())

    def strange(self) -> bytes:
        return encoded(self.random.choice(TEXTS))

    def token(self, data: bytes) -> bytes:
        """Replace a word by another of the same file, or of another file of the format."""
        other = data if self.random.random() < 0.6 else self.random.choice(self.others)
        words = _TOKEN.findall(other[: 1 << 15])
        return self._replaced(data, _TOKEN, self.random.choice(words) if words else b"")

    def swap(self, data: bytes) -> bytes:
        a, b = sorted((self.span(data), self.span(data)))
        if a[1] > b[0]:
            return data
        return (
            data[: a[0]] + data[b[0] : b[1]] + data[a[1] : b[0]] + data[a[0] : a[1]] + data[b[1] :]
        )

    def lines(self, data: bytes) -> bytes:
        found = data.splitlines(keepends=True) or [b"\n"]
        random = self.random
        at = random.randrange(len(found))
        upto = min(len(found), at + random.choice((1, 1, 2, 5, 30)))
        kind = random.randrange(7)
        if kind == 0:
            del found[at:upto]
        elif kind == 1:
            found[at:at] = found[at:upto] * random.choice((1, 1, 1, 5, 200))
        elif kind == 2:
            to = random.randrange(len(found))
            moved, found[at:upto] = found[at:upto], []
            found[to:to] = moved
        elif kind == 3:
            found[at] = random.choice((b" ", b"  ", b"\t", b"", b"# ", b"- ")) + found[at].lstrip()
        elif kind == 4:
            found[at] = random.choice(found).rstrip(b"\r\n") + found[at]
        elif kind == 5:
            others = random.choice(self.others).splitlines(keepends=True) or [b"\n"]
            first = random.randrange(len(others))
            found[at:at] = others[first : first + random.choice((1, 1, 3, 20))]
        else:
            random.shuffle(found)
        return b"".join(found)
