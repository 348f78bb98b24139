"""Names for people: in the order of their numbers, and many of them in one word."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import TypeAlias

Natural: TypeAlias = tuple[tuple[int | str, ...], str]

_NUMBER = re.compile("([0-9]{1,18})")
# No hash: its digits are no number.
_NUMBERED = re.compile("(?!0x)(.*?)([0-9]{1,18})([^0-9]*)", re.S)


@lru_cache(maxsize=1 << 16)
def natural(text: str) -> Natural:
    """Order names by their numbers: eth2 before eth10."""
    parts = _NUMBER.split(text)
    return tuple(int(part) if i % 2 else part for i, part in enumerate(parts)), text


def ranges(names: Iterable[str], most: int = 8) -> str:
    """Write many names as Slurm does, n[0001-1000,1007], at most so many ranges of them."""
    numbered: dict[tuple[str, str], list[str]] = {}
    plain: list[str] = []
    for name in sorted(set(names), key=natural):
        match = _NUMBERED.fullmatch(name)
        if match is None:
            plain.append(name)
        else:
            numbered.setdefault((match[1], match[3]), []).append(match[2])
    words = {key: _runs(numbers) for key, numbers in numbered.items()}
    total = len(plain) + sum(map(len, words.values()))
    found: list[str] = []
    left = most
    for (prefix, suffix), runs in words.items():
        kept = runs[: max(left, 0)]
        left -= len(kept)
        if kept:
            several = len(kept) > 1 or "-" in kept[0]
            inside = ",".join(kept)
            found.append(f"{prefix}[{inside}]{suffix}" if several else f"{prefix}{inside}{suffix}")
    found += plain[: max(left, 0)]
    rest = total - most
    return ", ".join(found) + (f" and {rest:,} more" if rest > 0 else "")


def _runs(numbers: list[str]) -> list[str]:
    """Numbers that follow each other, with the same leading zeros: 0001-1000."""
    found: list[list[str]] = []
    for number in numbers:
        last = found[-1][-1] if found else ""
        if last and str(int(last) + 1).zfill(len(last)) == number:
            found[-1][1:] = [number]
        else:
            found.append([number])
    return ["-".join(run) for run in found]


def listed(items: Iterable[str], most: int = 4) -> str:
    """Write a few of them, and how many more there are."""
    found = list(items)
    rest = len(found) - most
    return ", ".join(found[:most]) + (f" and {rest:,} more" if rest > 0 else "")


def counted(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
