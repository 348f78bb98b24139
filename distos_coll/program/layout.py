"""The arrays of a plan: the order of ranks on rings, the domains, and two binary trees."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distos_coll._vocabulary import Array
from distos_coll.program.double_tree import links


def renumbered(domain_of: Sequence[int]) -> tuple[int, ...]:
    """The same domains, numbered in the order of their smallest rank."""
    first_seen: dict[int, int] = {}
    for label in domain_of:
        first_seen.setdefault(label, len(first_seen))
    return tuple(first_seen[label] for label in domain_of)


def members_of(domain_of: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """The ranks of each domain, ascending. `domain_of` is as `renumbered` returns it."""
    domains: list[list[int]] = [[] for _ in range(max(domain_of) + 1)]
    for rank, domain in enumerate(domain_of):
        domains[domain].append(rank)
    return tuple(tuple(ranks) for ranks in domains)


@dataclass(frozen=True)
class Orders:
    """In which order domains follow each other; empty: as they are numbered."""

    ring: tuple[int, ...] = ()
    trees: tuple[int, ...] = ()
    """Of the positions over which the double tree is laid."""


def arrays_of(
    domain_of: Sequence[int], orders: Orders | None = None
) -> dict[Array, tuple[int, ...]]:
    """The plan's arrays. `domain_of` is as `renumbered` returns it."""
    members = members_of(domain_of)
    orders = orders or Orders()
    ring = orders.ring or tuple(range(len(members)))
    order = _laid(members, ring)
    starts = [0]
    for ranks in members:
        starts.append(starts[-1] + len(ranks))
    listed = _laid(members, range(len(members)))
    index = _inverse(listed)
    local_index = tuple(index[rank] - starts[domain] for rank, domain in enumerate(domain_of))
    return {
        Array.ORDER: order,
        Array.POSITION: _inverse(order),
        Array.DOMAIN_OF: tuple(domain_of),
        Array.LOCAL_INDEX: local_index,
        Array.DOMAIN_START: tuple(starts),
        Array.DOMAIN_MEMBERS: listed,
        **_trees(_laid(members, orders.trees or ring)),
        Array.DOMAIN_RING: ring,
        Array.DOMAIN_PLACE: _inverse(ring),
    }


def _laid(members: Sequence[Sequence[int]], order: Sequence[int]) -> tuple[int, ...]:
    """The ranks, domain by domain."""
    return tuple(rank for domain in order for rank in members[domain])


def _inverse(order: Sequence[int]) -> tuple[int, ...]:
    position = [0] * len(order)
    for index, rank in enumerate(order):
        position[rank] = index
    return tuple(position)


def _trees(order: Sequence[int]) -> Mapping[Array, tuple[int, ...]]:
    """A double binary tree over positions, so that subtrees are runs of neighbours."""
    n = len(order)
    parent, child0, child1 = [-1] * (2 * n), [-1] * (2 * n), [-1] * (2 * n)
    for tree in range(2):
        for place, rank in enumerate(order):
            up, low, high = (-1 if other < 0 else order[other] for other in links(tree, place, n))
            # Programs take "no first child" for "no child".
            if low < 0:
                low, high = high, low
            index = tree * n + rank
            parent[index], child0[index], child1[index] = up, low, high
    return {
        Array.TREE_PARENT: tuple(parent),
        Array.TREE_CHILD0: tuple(child0),
        Array.TREE_CHILD1: tuple(child1),
    }
