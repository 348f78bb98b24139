"""Rings and trees over unequal links: exact where they shall be, never worse than rank order."""

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distos_coll._vocabulary import Array, Collective
from distos_coll.planner import ClusterView, Profile, plan
from distos_coll.planner.edges import binomial, halving, ring_edges, tree_edges
from distos_coll.planner.lay import laid
from distos_coll.planner.links import LinkClass, Links, classed
from distos_coll.planner.orders import EXACT_RING, Table, ring_order, tree_order
from distos_coll.plugins.costs import LinkCost, Over
from distos_coll.program.layout import Orders, arrays_of

TCP = LinkCost(25.0, 2.5)


def table_of(n: int, classes: list[LinkCost], seed: int) -> Table:
    picked = random.Random(seed)
    rows = [bytes(picked.randrange(len(classes)) for _ in range(n)) for _ in range(n)]
    return Table(rows, classes)


def mesh(n: int, slow: set[tuple[int, int]]) -> Links:
    def of_pair(a: int, b: int) -> LinkClass:
        return LinkClass(50.0, 0.01 if (min(a, b), max(a, b)) in slow else 0.1)

    return classed([f"h{i}" for i in range(n)], of_pair, "a test")


def view(links: Links, per_host: int = 1) -> ClusterView:
    n = len(links.hosts)
    domain_of = tuple(domain for domain in range(n) for _ in range(per_host))
    return ClusterView(n * per_host, domain_of, profile=Profile(links=(links,)), hosts=links.hosts)


CLASSES = st.lists(
    st.builds(LinkCost, st.sampled_from([10.0, 20.0, 55.5]), st.sampled_from([0.1, 0.5, 1.0])),
    min_size=1,
    max_size=5,
)


@given(n=st.integers(3, 6), classes=CLASSES, seed=st.integers(0, 1 << 20))
def test_the_ring_is_the_best_of_all(n: int, classes: list[LinkCost], seed: int) -> None:
    table, edges = table_of(n, classes, seed), ring_edges(n)
    best = max(table.worth((0, *rest), edges) for rest in permutations(range(1, n)))
    assert table.worth(ring_order(table), edges) == best


@given(n=st.integers(2, 5), classes=CLASSES, seed=st.integers(0, 1 << 20), data=st.data())
def test_the_trees_are_the_best_of_all(
    n: int, classes: list[LinkCost], seed: int, data: st.DataObject
) -> None:
    table = table_of(n, classes, seed)
    sizes = data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n))

    def worth(order: tuple[int, ...]) -> tuple[float, int]:
        return table.worth(order, tree_edges([sizes[domain] for domain in order]))

    found = tree_order(table, sizes, ring_order(table))
    assert worth(found) == max(map(worth, permutations(range(n))))


@given(n=st.integers(7, 40), classes=CLASSES, seed=st.integers(0, 1 << 20))
def test_many_domains_never_fare_worse_than_in_the_order_of_ranks(
    n: int, classes: list[LinkCost], seed: int
) -> None:
    table = table_of(n, classes, seed)
    natural, ring = tuple(range(n)), ring_order(table)
    assert sorted(ring) == list(natural)
    assert table.worth(ring, ring_edges(n)) >= table.worth(natural, ring_edges(n))
    sizes = [1 + i % 2 for i in natural]
    trees = tree_order(table, sizes, ring)
    assert sorted(trees) == list(natural)

    def worth(order: tuple[int, ...]) -> tuple[float, int]:
        return table.worth(order, tree_edges([sizes[domain] for domain in order]))

    assert worth(trees) >= worth(natural)


@pytest.mark.parametrize("n", [4, 8, EXACT_RING, EXACT_RING + 1, 16, 48])
def test_one_slow_link_is_avoided(n: int) -> None:
    layout = view(mesh(n, {(0, 1)})).layout
    for over in (Over.RING, Over.TREE):
        assert layout.remote[over].gbps >= 0.1
    assert layout.remote[Over.ANY].gbps == 0.01
    assert "in the order of ranks 0.01 GB/s (h0 to h1)" in layout.lines[1]


def test_more_domains_than_can_be_inserted() -> None:
    """The budget is left for repairing the order of ranks."""
    n = 512
    layout = view(mesh(n, {(i, i + 1) for i in range(0, n - 1, 7)})).layout
    assert layout.remote[Over.RING].gbps == 0.1
    assert layout.remote[Over.TREE].gbps >= 0.1


@pytest.mark.parametrize("n", [12, 24])
def test_two_islands_are_crossed_twice(n: int) -> None:
    """Hosts of odd numbers are far from those of even ones: the ring goes through each at once."""

    def of_pair(a: int, b: int) -> LinkClass:
        return LinkClass(10.0 if a % 2 == b % 2 else 500.0, 1.0)

    ring = view(classed([f"h{i}" for i in range(n)], of_pair, "a test")).layout.orders.ring
    assert sum(a % 2 != b % 2 for a, b in zip(ring, [*ring[1:], ring[0]], strict=True)) == 2


def test_a_slow_host_cannot_be_avoided_and_nothing_changes() -> None:
    layout = view(mesh(5, {(0, other) for other in range(1, 5)})).layout
    assert layout.orders.ring == (0, 1, 2, 3, 4)
    assert layout.remote[Over.RING].gbps == 0.01


def test_equal_links_leave_the_order_of_ranks() -> None:
    assert view(mesh(6, set())).layout.orders == Orders((0, 1, 2, 3, 4, 5), (0, 1, 2, 3, 4, 5))


def test_every_rank_finds_the_same() -> None:
    links = mesh(20, {(i, i + 1) for i in range(0, 19, 2)})
    first, second = (plan(view(links)).encode() for _ in range(2))
    assert first == second
    assert first != plan(view(mesh(20, set()))).encode()


# ---- arrays


def test_the_arrays_follow_the_orders_and_keep_domains_together() -> None:
    arrays = arrays_of((0, 1, 0, 2, 1), Orders((0, 2, 1), (2, 1, 0)))
    assert arrays[Array.ORDER] == (0, 2, 3, 1, 4)
    assert arrays[Array.POSITION] == (0, 3, 1, 2, 4)
    assert arrays[Array.DOMAIN_MEMBERS] == (0, 2, 1, 4, 3)
    assert arrays[Array.DOMAIN_START] == (0, 2, 4, 5)
    assert arrays[Array.LOCAL_INDEX] == (0, 0, 1, 0, 1)
    assert arrays[Array.DOMAIN_RING] == (0, 2, 1)
    assert arrays[Array.DOMAIN_PLACE] == (0, 2, 1)
    # The trees are laid over 3, 1, 4, 0, 2, whose first is the root of the first.
    assert [r for r in range(5) if arrays[Array.TREE_PARENT][r] == -1] == [3]


# ---- what programs use


def test_the_edges_of_trees_count_both_trees() -> None:
    # Four ranks: 0 - 2, 2 - 1 and 2 - 3; mirrored 3 - 1, 1 - 2 and 1 - 0.
    found = {(a, b): round(share * 4.6) for a, b, share in tree_edges([1, 1, 1, 1])}
    once = {(0, 2): 1, (2, 3): 1, (1, 3): 1, (0, 1): 1, (1, 2): 2}
    assert found == once | {(b, a): halves for (a, b), halves in once.items()}


def test_pairs_of_binomial_and_halving() -> None:
    assert (0, 3) not in binomial([0, 1, 2, 3, 4, 5, 6, 7])
    assert (0, 7) in binomial([0, 1, 2, 3, 4, 5, 6, 7])  # from root 7 on
    assert halving([0, 1, 2, 3]) == {(a, b) for a in range(4) for b in range(4) if a ^ b in {1, 2}}
    # Three: the first two are one, then it and the last.
    assert halving([0, 1, 2]) == {(0, 1), (1, 0), (1, 2), (2, 1)}


def test_costs_take_the_links_that_the_layout_uses() -> None:
    links = mesh(4, {(0, 1)})
    planned = laid(links, (0, 1, 2, 3), (1, 1, 1, 1), TCP)
    ranks = laid(links, (0, 1, 2, 3), (1, 1, 1, 1), TCP, planned=False)
    assert planned.remote[Over.RING].gbps == 10 * ranks.remote[Over.RING].gbps
    # Of the trees in rank order half of the data passes 0 - 1; of the planned ones nothing, but a
    # link carries both halves.
    assert ranks.remote[Over.TREE].gbps == pytest.approx(0.01 * 4.6)
    assert planned.remote[Over.TREE].gbps == pytest.approx(0.1 * 4.6 / 4)
    in_turn = planned.remote[Over.IN_TURN]
    assert in_turn.gbps == pytest.approx(3 / (1 / 0.01 + 2 / 0.1))


def test_a_port_of_its_own_for_each_link_lets_trees_through() -> None:
    links = mesh(4, {(0, 1)})
    wide = Links(links.hosts, links.classes, links.rows, "a test", ports=(0.3,) * 4)
    found = laid(wide, (0, 1, 2, 3), (1, 1, 1, 1), TCP).remote[Over.TREE].gbps
    assert found == pytest.approx(0.1 * 4.6 / 2)


def test_the_choice_knows_the_slow_link() -> None:
    table = plan(view(mesh(4, {(0, 1)}), per_host=2), collectives=[Collective.ALL_REDUCE])
    explained = table.explain("all_reduce", 64 << 20)
    assert explained.winner.algorithm in {"ring", "hier"}
    assert explained.as_dict()["layout"] == list(explained.layout)
    assert "links between 4 domains: a test; 2 kinds" in str(explained)
    best = {v.algorithm: v.model_us for v in reversed(explained.verdicts) if v.model_us}
    assert best["rhd"] > 5 * best["ring"]
