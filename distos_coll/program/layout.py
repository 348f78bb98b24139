"""The arrays of a plan: the order of ranks on rings, the domains, and two binary trees."""

from collections.abc import Mapping, Sequence

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


def arrays_of(domain_of: Sequence[int]) -> dict[Array, tuple[int, ...]]:
    """The plan's arrays. `domain_of` is as `renumbered` returns it."""
    members = members_of(domain_of)
    order = tuple(rank for ranks in members for rank in ranks)
    position = _inverse(order)
    starts = [0]
    for ranks in members:
        starts.append(starts[-1] + len(ranks))
    local_index = tuple(position[rank] - starts[domain] for rank, domain in enumerate(domain_of))
    return {
        Array.ORDER: order,
        Array.POSITION: position,
        Array.DOMAIN_OF: tuple(domain_of),
        Array.LOCAL_INDEX: local_index,
        Array.DOMAIN_START: tuple(starts),
        Array.DOMAIN_MEMBERS: order,
        **_trees(order),
    }


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
