"""Which links between domains the programs of this library use, and for how much of the data.

Of the ring and the trees they are edges between places of an order, of the others pairs of domains.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from distos_coll.plugins.costs import TREE_HALVES
from distos_coll.program.double_tree import links

Edge: TypeAlias = tuple[int, int, float]
"""From a place, to a place, and what passes in parts of what the cost functions take a rank to
move.
"""
Pairs: TypeAlias = set[tuple[int, int]]


def ring_edges(n: int) -> list[Edge]:
    return [(place, (place + 1) % n, 1.0) for place in range(n)] if n > 1 else []


def tree_edges(sizes: Sequence[int]) -> list[Edge]:
    """Of the double tree over ranks, of which so many stand at each place; both ways, for data go
    up and down.
    """
    place_of = [place for place, size in enumerate(sizes) for _ in range(size)]
    halves: dict[tuple[int, int], int] = {}
    for tree in range(2):
        for rank in range(len(place_of)):
            up = links(tree, rank, len(place_of)).parent
            if up < 0 or place_of[up] == place_of[rank]:
                continue
            for pair in ((place_of[rank], place_of[up]), (place_of[up], place_of[rank])):
                halves[pair] = halves.get(pair, 0) + 1
    return [(a, b, count / TREE_HALVES) for (a, b), count in sorted(halves.items())]


def _powers(n: int) -> Iterator[int]:
    bit = 1
    while bit < n:
        yield bit
        bit *= 2


def binomial(places: Sequence[int]) -> Pairs:
    """Of binomial trees from any root over so many numbers; `places` has the domain of each."""
    n = len(places)
    found: Pairs = set()
    for bit in _powers(n):
        found |= {(places[i], places[(i + bit) % n]) for i in range(n)}
    return _between(found)


def halving(places: Sequence[int]) -> Pairs:
    """Of recursive halving: what is over of a power of two first joins a neighbour."""
    n = len(places)
    power = 1 << n.bit_length() - 1
    over = n - power
    at = [places[2 * i + 1] if i < over else places[i + over] for i in range(power)]
    found = {(places[2 * i], places[2 * i + 1]) for i in range(over)}
    for bit in _powers(power):
        found |= {(at[i], at[i ^ bit]) for i in range(power)}
    return _between(found)


def _between(pairs: Pairs) -> Pairs:
    return {pair for a, b in pairs if a != b for pair in ((a, b), (b, a))}
