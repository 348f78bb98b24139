"""What is measured: collectives, element types, sizes, and which sizes make sense for which."""

from __future__ import annotations

from dataclasses import dataclass

COLLECTIVES = (
    "all_reduce",
    "reduce_scatter",
    "all_gather",
    "broadcast",
    "all_to_all",
    "reduce",
    "barrier",
)
IN_PLACE = frozenset({"all_reduce", "reduce", "broadcast"})
"""Of these torch has no other form; the others have an `out` that was there before."""
DTYPES = {"float32": 4, "bfloat16": 2, "float16": 2}
MODES = ("same", "fresh")
"""same: calls follow one another on the same buffers; fresh: each rank writes its input before."""
_PARTED = frozenset({"reduce_scatter", "all_gather", "all_to_all"})


@dataclass(frozen=True)
class Cell:
    """What all peers do in turn. All element types have as many elements, so that they compare."""

    collective: str
    elements: int  # of the whole buffer: all ranks' parts, where there are parts

    @property
    def nbytes(self) -> int:
        """As float32."""
        return self.elements * DTYPES["float32"]


def part(collective: str, elements: int, ranks: int) -> tuple[int, int]:
    """Return how many elements a rank's input has, and its output."""
    if collective == "all_gather":
        return elements // ranks, elements
    if collective == "reduce_scatter":
        return elements, elements // ranks
    return elements, elements


def cells(collectives: list[str], sizes: list[int], ranks: int) -> list[Cell]:
    """Return the cells in order, each once; sizes are rounded up to what the ranks divide."""
    found: dict[Cell, None] = {}
    for collective in collectives:
        if collective == "barrier":
            found[Cell(collective, 0)] = None
            continue
        unit = ranks if collective in _PARTED else 1
        for nbytes in sizes:
            elements = max(1, nbytes // DTYPES["float32"])
            found[Cell(collective, -(-elements // unit) * unit)] = None
    return list(found)


def sizes_between(least: int, most: int, factor: int) -> list[int]:
    sizes = []
    while least <= most:
        sizes.append(least)
        least *= factor
    return sizes


def dtypes_of(collective: str, dtypes: list[str]) -> list[str]:
    """Only all_reduce is measured with more than one type."""
    if collective == "all_reduce":
        return dtypes
    return ["float32"]


def size_text(nbytes: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if nbytes >= 1 << shift and nbytes % (1 << (shift - 3)) == 0:
            return f"{nbytes / (1 << shift):g} {unit}"
    return f"{nbytes} B"


def parse_size(text: str) -> int:
    """Read 4, 64K, 1M, 2G."""
    units = {"K": 10, "M": 20, "G": 30}
    shift = units.get(text[-1:].upper(), 0)
    return int(text[:-1] if shift else text) << shift
