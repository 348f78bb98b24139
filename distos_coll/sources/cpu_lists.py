"""Sets of CPUs as Linux and hwloc write them, as bits."""

import re

MOST = 1 << 16
"""CPUs of a host."""

_PART = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?")


def from_list(text: str) -> int:
    """0-3,8,10-11. Raises ValueError."""
    found = 0
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(part)
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < MOST:
            raise ValueError(part)
        found |= (1 << (last + 1)) - (1 << first)
    return found


def from_mask(text: str) -> int:
    """ff,ffffffff: words of 32 bits; hwloc leaves out those without a bit. Raises ValueError."""
    words = [word.strip().lower().removeprefix("0x") or "0" for word in text.split(",")]
    if len(words) * 32 > MOST or not all(re.fullmatch("[0-9a-f]{1,8}", word) for word in words):
        raise ValueError(text[:40])
    return int("".join(word.rjust(8, "0") for word in words), 16)


def numbers(cpus: int) -> list[int]:
    """Those in a set, in order."""
    digits = bin(cpus)[:1:-1]
    return [i for i, digit in enumerate(digits) if digit == "1"]
