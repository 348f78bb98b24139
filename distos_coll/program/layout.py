"""The arrays of a plan: the order of ranks on rings, the domains, and two binary trees."""

from collections.abc import Mapping, Sequence

from distos_coll._vocabulary import Array


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
    """A double binary tree over positions, so that subtrees are runs of neighbours.

    The second tree is the first one mirrored (n even) or shifted by one (n odd): a rank that is
    inner in one is a leaf in the other. Sanders, Speck, Träff: Two-tree algorithms for full
    bandwidth broadcast, reduction and scan, 2009.
    """
    n = len(order)
    parent, child0, child1 = [-1] * (2 * n), [-1] * (2 * n), [-1] * (2 * n)
    for tree in range(2):
        for node in range(n):
            rank = order[_place(tree, node, n)]
            up, *down = (
                -1 if other < 0 else order[_place(tree, other, n)] for other in _links(node, n)
            )
            parent[tree * n + rank] = up
            # Programs take "no first child" for "no child".
            child0[tree * n + rank], child1[tree * n + rank] = sorted(down, key=lambda c: c < 0)
    return {
        Array.TREE_PARENT: tuple(parent),
        Array.TREE_CHILD0: tuple(child0),
        Array.TREE_CHILD1: tuple(child1),
    }


def _place(tree: int, node: int, n: int) -> int:
    if tree == 0:
        return node
    return n - 1 - node if n % 2 == 0 else (node + 1) % n


def _links(node: int, n: int) -> tuple[int, int, int]:
    """Parent and children of a node in the in-order binary tree of n nodes whose root is node 0."""
    if node == 0:
        top = 1 << (n - 1).bit_length() - 1 if n > 1 else -1
        return -1, top, -1
    bit = node & -node
    up = (node ^ bit) | (bit << 1)
    if up >= n:
        up = node ^ bit
    if bit == 1:
        return up, -1, -1
    low, high = node - bit // 2, node + bit // 2
    step = bit // 2
    while high >= n and step > 1:
        step //= 2
        high = node + step
    return up, low, high if high < n else -1
