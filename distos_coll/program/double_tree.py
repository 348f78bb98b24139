"""Two binary trees over n nodes, each of which carries half of the data. Both are NCCL's (2.4 on).

In the first, node 0 is the root and has one child; below it the lowest set bit of a number is its
height, and subtrees are runs of neighbours. The second is the first one mirrored (n even) or
shifted by one (n odd). So a node that is inner in one is a leaf in the other, but for node 0 of an
odd number, which is inner in both.
Sanders, Speck, Träff: Two-tree algorithms for full bandwidth broadcast, reduction and scan, 2009.
"""

from typing import NamedTuple

NONE = -1


class Links(NamedTuple):
    """Of a node in a tree; NONE where there is none."""

    parent: int
    child0: int
    child1: int

    @property
    def children(self) -> tuple[int, ...]:
        return tuple(child for child in (self.child0, self.child1) if child != NONE)


def double_tree(node: int, n: int) -> tuple[Links, Links]:
    """Return what a node of 0 to n - 1 is linked to in the first tree and in the second."""
    return links(0, node, n), links(1, node, n)


def links(tree: int, node: int, n: int) -> Links:
    """Return what a node is linked to in tree 0 or 1."""
    if tree == 0:
        return Links(*_first_tree(node, n))
    if n % 2 == 0:
        up, low, high = _first_tree(n - 1 - node, n)
        return Links(
            NONE if up < 0 else n - 1 - up,
            NONE if low < 0 else n - 1 - low,
            NONE if high < 0 else n - 1 - high,
        )
    up, low, high = _first_tree((node - 1) % n, n)
    return Links(
        NONE if up < 0 else (up + 1) % n,
        NONE if low < 0 else (low + 1) % n,
        NONE if high < 0 else (high + 1) % n,
    )


def _first_tree(node: int, n: int) -> tuple[int, int, int]:
    if node == 0:
        # The root's child is larger than it, hence the second.
        return NONE, NONE, 1 << (n - 1).bit_length() - 1 if n > 1 else NONE
    bit = node & -node
    up = (node ^ bit) | (bit << 1)
    if up >= n:
        up = node ^ bit
    if bit == 1:
        return up, NONE, NONE
    step = bit // 2
    while node + step >= n and step > 1:
        step //= 2
    return up, node - bit // 2, node + step if node + step < n else NONE
