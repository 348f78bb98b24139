"""In which order domains follow each other on rings and under trees, where links are not alike.

The ring's order is the cycle whose narrowest link is the widest, and of such cycles one with the
least latency; that of the trees likewise. Up to 12 domains the ring's is exact (dynamic programming
over sets of domains), above that domains are inserted one by one and then improved by 2-opt; trees
are exact up to 6 domains, above that domains are exchanged. The order of ranks is the fallback: any
other must beat it. The budget counts looks at links, no time, so that every rank finds the same.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import permutations

from distos_coll.planner.edges import Edge, ring_edges, tree_edges
from distos_coll.plugins.costs import LinkCost

EXACT_RING = 12
EXACT_TREES = 6
BUDGET = 60_000
"""Links that a search looks at for each threshold; thresholds are bisected."""

Order = tuple[int, ...]
Worth = tuple[float, int]
"""The narrowest link's gigabytes a second over its share of the data, and minus the nanoseconds of
all. Whole ones: sums of them do not depend on the order.
"""
Weigh = Callable[[int, int], int]


class Table:
    """What a message from one domain to another costs."""

    def __init__(self, rows: Sequence[bytes], costs: Sequence[LinkCost]) -> None:
        self.n = len(rows)
        self.rows = rows
        self.costs = costs
        self._ns = [round(cost.alpha_us * 1000) for cost in costs]
        self.rates = sorted({costs[k].gbps for row in rows for k in set(row)}, reverse=True)
        self.most_ns = max(self._ns)

    def gbps(self, a: int, b: int) -> float:
        return self.costs[self.rows[a][b]].gbps

    def ns(self, a: int, b: int) -> int:
        return self._ns[self.rows[a][b]]

    def ns_of(self, kind: int) -> int:
        return self._ns[kind]

    def worth(self, order: Sequence[int], edges: Sequence[Edge]) -> Worth:
        ends = [(order[a], order[b], share) for a, b, share in edges]
        narrowest = min(self.gbps(a, b) / share for a, b, share in ends)
        return narrowest, -sum(self.ns(a, b) for a, b, _ in ends)


class _Budget:
    def __init__(self) -> None:
        self._left = BUDGET

    def take(self, looks: int) -> bool:
        """What is refused costs nothing: something smaller may still be tried."""
        if looks > self._left:
            return False
        self._left -= looks
        return True


def ring_order(table: Table) -> Order:
    """Find the order of the ring."""
    n = table.n
    natural = tuple(range(n))
    if n < 3:
        return natural
    found = _exact_ring(table) if n <= EXACT_RING else _searched_ring(table)
    edges = ring_edges(n)
    if table.worth(found, edges) <= table.worth(natural, edges):
        return natural
    # The same cycle from its smallest domain on, and the way round that reads better.
    start = found.index(0)
    found = found[start:] + found[:start]
    other = (0, *reversed(found[1:]))
    same = table.worth(other, edges) == table.worth(found, edges)
    return min(found, other) if same else found


# ---- rings of few domains


def _exact_ring(table: Table) -> Order:
    n = table.n
    for rate in table.rates:
        into = [sum(1 << a for a in range(n) if table.gbps(a, b) >= rate) for b in range(n)]
        if _has_cycle(n, into):
            return _shortest_cycle(table, into)
    return tuple(range(n))  # the last rate admits every link


def _has_cycle(n: int, into: Sequence[int]) -> bool:
    """Whether a cycle visits all; `into` has a bit for each domain that may come before."""
    ends = [0] * (1 << n)
    ends[1] = 1
    for seen in range(3, 1 << n, 2):
        for last in range(1, n):
            bit = 1 << last
            if seen & bit and ends[seen ^ bit] & into[last] & ~bit:
                ends[seen] |= bit
    return bool(ends[-1] & into[0])


def _shortest_cycle(table: Table, into: Sequence[int]) -> Order:
    """Held and Karp: for each set of domains and last one of it the shortest way from domain 0."""
    n = table.n
    ways: list[dict[int, tuple[int, int]]] = [{} for _ in range(1 << n)]
    ways[1][0] = (0, 0)
    for seen in range(3, 1 << n, 2):
        for last in range(1, n):
            if not seen >> last & 1:
                continue
            before = ways[seen ^ 1 << last].items()
            reached = [(ns + table.ns(a, last), a) for a, (ns, _) in before if into[last] >> a & 1]
            if reached:
                ways[seen][last] = min(reached)
    seen = (1 << n) - 1
    _, last = min((ns + table.ns(a, 0), a) for a, (ns, _) in ways[seen].items() if into[0] >> a & 1)
    back = []
    while last:
        back.append(last)
        seen, last = seen ^ 1 << last, ways[seen][last][1]
    return (0, *reversed(back))


# ---- rings of many


def _searched_ring(table: Table) -> Order:
    """Links count as the worse of their directions, so that a part of the ring may be reversed."""
    edges = ring_edges(table.n)
    found = [tuple(range(table.n))]

    def reaches(rate: float) -> bool:
        budget = _Budget()
        weigh, bad = _weigh(table, rate)
        ring = _inserted(table.n, weigh, budget) or list(found[0])
        found.append(tuple(_two_opt(ring, weigh, budget)))
        return all(weigh(a, b) < bad for a, b in _around(found[-1]))

    _bisect(table.rates, reaches)
    return max(found, key=lambda order: table.worth(order, edges))


def _bisect(values: Sequence[float], reaches: Callable[[float], bool]) -> None:
    """Look for the first value, of falling ones, that is reached; trying is what counts."""
    low, high = 0, len(values) - 1
    while low < high:
        middle = (low + high) // 2
        if reaches(values[middle]):
            high = middle
        else:
            low = middle + 1
    reaches(values[low])


def _weigh(table: Table, rate: float) -> tuple[Weigh, int]:
    """A link's nanoseconds, and so much that a ring avoids it where it is narrower than `rate`."""
    bad = 1 + 2 * table.n * table.most_ns
    rows, kinds = table.rows, range(len(table.costs))
    # By the classes of both directions.
    weights = [
        [
            table.ns_of(there)
            + table.ns_of(back)
            + (bad if min(table.costs[there].gbps, table.costs[back].gbps) < rate else 0)
            for back in kinds
        ]
        for there in kinds
    ]

    def weigh(a: int, b: int) -> int:
        return weights[rows[a][b]][rows[b][a]]

    return weigh, bad


def _around(ring: Sequence[int]) -> Iterator[tuple[int, int]]:
    return zip(ring, [*ring[1:], ring[0]], strict=True)


def _inserted(n: int, weigh: Weigh, budget: _Budget) -> list[int] | None:
    """Each domain comes where it costs least; None if that is beyond the budget."""
    if not budget.take(n * n // 2):
        return None
    ring, own = [0], [0]
    for new in range(1, n):
        to_new = [weigh(a, new) for a in ring]
        added = [a + b - now for (a, b), now in zip(_around(to_new), own, strict=True)]
        place = added.index(min(added))
        own[place] = to_new[place]
        ring.insert(place + 1, new)
        own.insert(place + 1, to_new[(place + 1) % len(to_new)])
    return ring


def _two_opt(ring: list[int], weigh: Weigh, budget: _Budget) -> list[int]:
    """Reverse parts as long as that helps, where the ring's worst links are first."""
    n = len(ring)
    better = True
    while better:
        better = False
        own = [-weigh(a, b) for a, b in _around(ring)]
        for first in sorted(range(n), key=own.__getitem__):
            for other in (*range(first + 2, n), *range(first - 1)):
                if not budget.take(4):
                    return ring
                i, j = min(first, other), max(first, other)
                a, b, c, d = ring[i], ring[i + 1], ring[j], ring[(j + 1) % n]
                # Where the two links meet in a domain, this is no less.
                if weigh(a, c) + weigh(b, d) < weigh(a, b) + weigh(c, d):
                    ring[i + 1 : j + 1] = reversed(ring[i + 1 : j + 1])
                    better = True
                    break
    return ring


# ---- trees


def tree_order(table: Table, sizes: Sequence[int], ring: Order) -> Order:
    """Find the order over which the double tree is laid; `sizes` are the ranks of each domain."""
    natural = tuple(range(table.n))
    if table.n < 2:
        return natural
    if table.n <= EXACT_TREES:
        orders: list[Order] = list(permutations(natural))
    else:
        orders = [natural]
        for start in dict.fromkeys((ring, natural)):
            orders += _exchanged(table, sizes, start)

    def worth(order: Order) -> Worth:
        return table.worth(order, tree_edges([sizes[domain] for domain in order]))

    # Of equals max() takes the first, and the order of ranks comes first.
    return max(orders, key=worth)


def _exchanged(table: Table, sizes: Sequence[int], start: Order) -> list[Order]:
    """Exchange domains of equal size, which leaves the edges between places as they are."""
    edges = tree_edges([sizes[domain] for domain in start])
    values = sorted({rate / share for rate in table.rates for _, _, share in edges}, reverse=True)
    found = []

    def reaches(value: float) -> bool:
        order = list(start)
        reached = _improved(table, sizes, edges, order, value)
        found.append(tuple(order))
        return reached

    _bisect(values, reaches)
    return found


def _improved(
    table: Table,
    sizes: Sequence[int],
    edges: Sequence[Edge],
    order: list[int],
    value: float,
) -> bool:
    """Exchange in `order` as long as that helps; return whether every edge is now worth `value`."""
    at: list[list[Edge]] = [[] for _ in order]
    for edge in edges:
        at[edge[0]].append(edge)
        at[edge[1]].append(edge)
    bad = 1 + 2 * len(edges) * table.most_ns
    budget = _Budget()

    def weigh(edge: Edge) -> int:
        a, b, share = order[edge[0]], order[edge[1]], edge[2]
        return table.ns(a, b) + (bad if table.gbps(a, b) / share < value else 0)

    better = True
    while better:
        better = False
        for i in range(len(order) - 1):
            for j in range(i + 1, len(order)):
                touched = {*at[i], *at[j]}
                if sizes[order[i]] != sizes[order[j]]:
                    continue
                if not budget.take(2 * len(touched)):
                    return False
                before = sum(map(weigh, touched))
                order[i], order[j] = order[j], order[i]
                if sum(map(weigh, touched)) < before:
                    better = True
                else:
                    order[i], order[j] = order[j], order[i]
    return all(weigh(edge) < bad for edge in edges)
