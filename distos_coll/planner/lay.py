"""The layout of a group over unequal links: its orders, and what each kind of program gets."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import mean

from distos_coll.planner.edges import Edge, Pairs, binomial, halving, ring_edges, tree_edges
from distos_coll.planner.links import Links
from distos_coll.planner.orders import Order, Table, ring_order, tree_order
from distos_coll.plugins.costs import LinkCost, Over
from distos_coll.program.layout import Orders

_MOST_NAMES = 8


@dataclass(frozen=True)
class Layout:
    orders: Orders
    remote: tuple[LinkCost, ...]
    """By Over."""
    lines: tuple[str, ...]
    """For people: where the links come from, the orders, and what limits them."""


def laid(
    links: Links,
    domain_of: Sequence[int],
    sizes: Sequence[int],
    tcp: LinkCost,
    *,
    planned: bool = True,
) -> Layout:
    """Lay a group over its links; `tcp` is what holds where nobody says what a link gives.

    Unless `planned` every order is that of ranks, for comparisons.
    """
    table = Table(links.rows, links.costs(tcp))
    ring = trees = tuple(range(table.n))
    if planned:
        ring = ring_order(table)
        trees = tree_order(table, sizes, ring)
    places = _Places(links, table, ring, trees, domain_of, sizes)
    remote = tuple(places.cost(over) for over in Over) if table.n > 1 else ()
    return Layout(Orders(ring, trees), remote, tuple(_lines(places)))


@dataclass(frozen=True)
class _Places:
    links: Links
    table: Table
    ring: Order
    trees: Order
    domain_of: Sequence[int]
    sizes: Sequence[int]

    def cost(self, over: Over) -> LinkCost:
        """What a message costs on the links that such a program uses."""
        n = self.table.n
        if over is Over.RING:
            return self._ring()
        if over is Over.TREE:
            return self._tree()
        if over is Over.IN_TURN:
            return self._in_turn()
        if over is Over.BINOMIAL:
            return self._worst(binomial(self.domain_of))
        if over is Over.DOMAIN_BINOMIAL:
            return self._worst(binomial(range(n)))
        if over is Over.HALVING:
            on_ring = [domain for domain in self.ring for _ in range(self.sizes[domain])]
            return self._worst(halving(on_ring))
        return self._any()

    def _worst(self, pairs: Pairs) -> LinkCost:
        us = max(self.table.ns(a, b) for a, b in pairs) / 1000
        return LinkCost(us, min(self.table.gbps(a, b) for a, b in pairs))

    def _ring(self) -> LinkCost:
        """A lap is as slow as its narrowest link, and waits for every link once."""
        pairs = [(self.ring[a], self.ring[b]) for a, b, _ in ring_edges(self.table.n)]
        us = mean(self.table.ns(a, b) for a, b in pairs) / 1000
        return LinkCost(us, min(self.table.gbps(a, b) for a, b in pairs))

    def _tree(self) -> LinkCost:
        """What limits is a link and what passes there, or a domain's port and all that it takes
        in.
        """
        edges = self.edges_of_trees(self.trees)
        taken = [0.0] * self.table.n
        for _, b, share in edges:
            taken[b] += share
        us = max(self.table.ns(a, b) for a, b, _ in edges) / 1000
        slowest = max(share / self.table.gbps(a, b) for a, b, share in edges)
        ports = [
            share / self.links.port_gbps(domain, self.table.costs)
            for domain, share in enumerate(taken)
        ]
        return LinkCost(us, 1 / max(slowest, *ports))

    def edges_of_trees(self, order: Order) -> list[Edge]:
        """Between domains."""
        edges = tree_edges([self.sizes[domain] for domain in order])
        return [(order[a], order[b], share) for a, b, share in edges]

    def edges_of_ring(self, order: Order) -> list[Edge]:
        return [(order[a], order[b], share) for a, b, share in ring_edges(self.table.n)]

    def _any(self) -> LinkCost:
        costs = [self.table.costs[k] for row in _others(self.table.rows) for k in set(row)]
        return LinkCost(max(c.alpha_us for c in costs), min(c.gbps for c in costs))

    def _in_turn(self) -> LinkCost:
        """The slowest domain's: it sends, or receives, so much over each of its links."""
        columns = [bytes(column) for column in zip(*self.table.rows, strict=True)]
        costs = self.table.costs
        us, slowness = [], []
        for row in (*_others(self.table.rows), *_others(columns)):
            count = Counter(row)
            us.append(sum(n * costs[k].alpha_us for k, n in count.items()) / len(row))
            slowness.append(sum(n / costs[k].gbps for k, n in count.items()) / len(row))
        return LinkCost(max(us), 1 / max(slowness))


def _others(rows: Sequence[bytes]) -> Iterator[bytes]:
    """Each row without what a domain has of itself."""
    for a, row in enumerate(rows):
        yield row[:a] + row[a + 1 :]


# ---- for people


def _lines(places: _Places) -> Iterator[str]:
    links, table, natural = places.links, places.table, tuple(range(places.table.n))
    kinds = len(set().union(*map(set, _others(links.rows))))
    yield f"links between {table.n} domains: {links.source}; {kinds} kind{'s' if kinds > 1 else ''}"
    for name, order, edges in (
        ("ring", places.ring, places.edges_of_ring),
        ("trees", places.trees, places.edges_of_trees),
    ):
        if table.n < 2:
            continue
        narrowest = _narrowest(links, table, edges(order))
        text = f"{name} over {_names(links, order)}: narrowest link {narrowest}"
        if order != natural:
            text += f"; in the order of ranks {_narrowest(links, table, edges(natural))}"
        yield text


def _names(links: Links, order: Order) -> str:
    shown = ", ".join(links.hosts[domain] for domain in order[:_MOST_NAMES])
    return shown + (f" and {len(order) - _MOST_NAMES} more" if len(order) > _MOST_NAMES else "")


def _narrowest(links: Links, table: Table, edges: Sequence[Edge]) -> str:
    a, b, _ = min(edges, key=lambda edge: table.gbps(edge[0], edge[1]))
    return f"{table.gbps(a, b):.4g} GB/s ({links.hosts[a]} to {links.hosts[b]})"
