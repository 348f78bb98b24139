"""Lists of hosts as Slurm writes them: node[01-04,07],login1."""

import re
from collections.abc import Iterator

MAX_HOSTS = 1 << 18
"""Of one document; the largest machines have some ten thousand."""
_MAX_BRACKETS = 4
_MAX_NAME = 255
_RANGE = re.compile(r"(\d{1,18})(?:-(\d{1,18}))?")


class TooManyHosts(ValueError):
    """A list has more than may be made."""


def expand(text: str, most: int = MAX_HOSTS) -> list[str]:
    """Return every host, in order. Raises ValueError with what is wrong; TooManyHosts before more
    than `most` are made.
    """
    found: list[str] = []
    for part in _parts(text):
        found += _expanded(part, most - len(found))
    return found


def _parts(text: str) -> Iterator[str]:
    """Split at commas outside of brackets."""
    depth = start = 0
    for i, c in enumerate(text):
        depth += (c == "[") - (c == "]")
        if depth not in {0, 1}:
            raise ValueError("its brackets do not match")
        if c == "," and not depth:
            yield text[start:i]
            start = i + 1
    if depth:
        raise ValueError("its brackets do not match")
    yield text[start:]


def _expanded(part: str, most: int) -> list[str]:
    pieces = re.split(r"\[([^\]]*)\]", part.strip())
    if not part.strip():
        raise ValueError("a name is empty")
    if len(pieces) // 2 > _MAX_BRACKETS:
        raise ValueError(f"more than {_MAX_BRACKETS} brackets in a name")
    # Before any is made: a long name is one of as many as may be.
    if sum(map(len, pieces[::2])) > _MAX_NAME:
        raise ValueError(f"a name of more than {_MAX_NAME} characters")
    found = [pieces[0]]
    for ranges, after in zip(pieces[1::2], pieces[2::2], strict=True):
        numbers = _numbers(ranges, most // max(1, len(found)))
        found = [f"{name}{number}{after}" for name in found for number in numbers]
    if len(found) > most:
        raise TooManyHosts(f"more than {most:,} hosts")
    return found


def _numbers(ranges: str, most: int) -> list[str]:
    found: list[str] = []
    for each in ranges.split(","):
        match = _RANGE.fullmatch(each.strip())
        if match is None:
            raise ValueError(f"{each[:20]!r} is no range such as 01-04")
        first, last = match[1], match[2] or match[1]
        low, high = int(first), int(last)
        if high < low:
            raise ValueError(f"the range {each[:40]} ends before it starts")
        if len(found) + high - low >= most:
            raise TooManyHosts(f"more than {most:,} hosts")
        found += (f"{number:0{len(first)}}" for number in range(low, high + 1))
    return found
