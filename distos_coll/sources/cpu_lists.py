"""Sets of CPUs as Linux and hwloc write them, as bits."""

import re
from collections.abc import Iterator

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


def first(cpus: int) -> int:
    """Of a set that is not empty."""
    return (cpus & -cpus).bit_length() - 1


def numbers(cpus: int) -> Iterator[int]:
    """Yield those in a set, in order."""
    while cpus:
        yield first(cpus)
        cpus &= cpus - 1


class Packages:
    """Which package CPUs are of: each of the first that has it, however often it is claimed."""

    def __init__(self) -> None:
        self._taken = 0
        self._package: dict[int, int] = {}
        self._cpus: dict[int, int] = {}

    def add(self, package: int, cpus: int) -> None:
        own = cpus & ~self._taken
        self._taken |= own
        self._cpus[package] = self._cpus.get(package, 0) | own
        self._package |= dict.fromkeys(numbers(own), package)

    def of(self, cpus: int | None) -> int | None:
        """The one that all these CPUs are of."""
        package = self._package.get(first(cpus)) if cpus else None
        if package is None or not cpus or cpus & ~self._cpus[package]:
            return None
        return package

    def __len__(self) -> int:
        return len(self._cpus)
