"""Graphs that are products: a torus is one of rings, a mesh of lines, a HyperX of full meshes.

In a product every link belongs to one dimension. Two links at a switch belong to the same one
unless they are two sides of exactly one square, whose opposite sides then belong together; links
put together by this rule are the dimensions of the product (Feder 1992; for products of rings of
four, the dimensions of a hypercube).
"""

from collections import Counter
from math import prod

from distos_coll.topology.fabric import Recognised
from distos_coll.topology.fabric_graph import SwitchGraph

_MOST_PAIRS = 400_000
"""Of links at one switch, over all switches: what keeps the search within a second or two."""


class _Sets:
    def __init__(self, count: int) -> None:
        self.parent = list(range(count))

    def find(self, i: int) -> int:
        while self.parent[i] != i:
            self.parent[i] = self.parent[self.parent[i]]
            i = self.parent[i]
        return i

    def join(self, a: int, b: int) -> None:
        self.parent[self.find(a)] = self.find(b)


def _dimensions(graph: SwitchGraph, part: list[int]) -> list[list[tuple[int, int]]]:
    """The links of each dimension."""
    edges = [(i, j) for i in part for j in graph.links[i] if i < j]
    number = {edge: n for n, edge in enumerate(edges)}
    sets = _Sets(len(edges))

    def edge(a: int, b: int) -> int:
        return number[min(a, b), max(a, b)]

    around = {i: frozenset(graph.links[i]) for i in part}
    for u in part:
        for v in graph.links[u]:
            for w in graph.links[u]:
                if v >= w:
                    continue
                common = (around[v] & around[w]) - {u}
                if v in around[w] or len(common) != 1:
                    sets.join(edge(u, v), edge(u, w))
                else:
                    (x,) = common
                    sets.join(edge(u, v), edge(w, x))
                    sets.join(edge(u, w), edge(v, x))
    found: dict[int, list[tuple[int, int]]] = {}
    for n, each in enumerate(edges):
        found.setdefault(sets.find(n), []).append(each)
    return list(found.values())


def _factor(edges: list[tuple[int, int]], switches: int) -> tuple[str, int] | None:
    """Return what one dimension is a copy of, "ring", "line" or "mesh", and its size."""
    degree = Counter(end for edge in edges for end in edge)
    index = {switch: n for n, switch in enumerate(degree)}
    sets = _Sets(len(degree))
    for a, b in edges:
        sets.join(index[a], index[b])
    sizes = Counter(sets.find(n) for n in range(len(degree)))
    size = sizes[sets.find(0)]
    if len(degree) != switches or set(sizes.values()) != {size}:
        return None
    degrees = set(degree.values())
    copies = len(sizes)
    if degrees == {size - 1}:
        return "mesh", size
    if degrees == {2}:
        return "ring", size
    if degrees == {1, 2} and len(edges) == copies * (size - 1):
        return "line", size
    return None


def recognise_product(graph: SwitchGraph, part: list[int]) -> Recognised | None:
    """Name a torus, a mesh, a HyperX or a hypercube with its dimensions."""
    if sum(len(graph.links[i]) ** 2 for i in part) > 2 * _MOST_PAIRS:
        return None
    factors = [_factor(edges, len(part)) for edges in _dimensions(graph, part)]
    known = [factor for factor in factors if factor is not None]
    if len(known) < 2 or len(known) < len(factors):
        return None
    if prod(size for _, size in known) != len(part):
        return None
    return _named(known, len(part))


def _named(factors: list[tuple[str, int]], switches: int) -> Recognised:
    pairs = sum(size == 2 for _, size in factors)
    kinds = {kind for kind, size in factors if size > 3} | {
        kind for kind, size in factors if size == 3 and kind == "line"
    }
    sizes = sorted((size for _, size in factors if size > 2), reverse=True)
    if pairs == len(factors):
        shown = f"{pairs} dimensions of 2"
        return Recognised("hypercube", (f"{switches} switches are the corners of {shown}",))
    if kinds <= {"ring"}:
        # A ring of four is a product of two pairs; one that is left over is a ring of two.
        sizes = sorted(sizes + [4] * (pairs // 2) + [2] * (pairs % 2), reverse=True)
        kind, each = "torus", "ring"
    elif kinds <= {"line"}:
        sizes, kind, each = sizes + [2] * pairs, "mesh", "line"
    elif kinds == {"mesh"}:
        sizes, kind, each = sizes + [2] * pairs, "hyperx", "full mesh"
    else:
        sizes, kind, each = sizes + [2] * pairs, "mixed product", "ring, line or full mesh"
    shown = " x ".join(map(str, sizes))
    return Recognised(kind, (f"{switches} switches are {shown}, each dimension a {each}",))
