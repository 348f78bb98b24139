"""The double binary trees: small ones written out, and what holds for 1 to 1,024 nodes."""

import pytest

from distos_coll.program.double_tree import NONE, Links, double_tree, links

SIZES = range(1, 1025)


def tree_of(tree: int, n: int) -> list[Links]:
    return [links(tree, node, n) for node in range(n)]


def children_of(nodes: list[Links]) -> dict[int, tuple[int, ...]]:
    return {node: link.children for node, link in enumerate(nodes) if link.children}


def test_one_two_and_three_nodes() -> None:
    assert double_tree(0, 1) == (Links(NONE, NONE, NONE), Links(NONE, NONE, NONE))
    # 0 - 1, and its mirror image 1 - 0.
    assert [double_tree(node, 2) for node in range(2)] == [
        (Links(NONE, NONE, 1), Links(1, NONE, NONE)),
        (Links(0, NONE, NONE), Links(NONE, NONE, 0)),
    ]
    # 0 - 2 - 1, shifted by one: 1 - 0 - 2.
    assert [double_tree(node, 3) for node in range(3)] == [
        (Links(NONE, NONE, 2), Links(1, 2, NONE)),
        (Links(2, NONE, NONE), Links(NONE, NONE, 0)),
        (Links(0, 1, NONE), Links(0, NONE, NONE)),
    ]


def test_twelve_nodes_mirrored() -> None:
    first, second = (children_of(tree_of(tree, 12)) for tree in range(2))
    assert first == {0: (8,), 8: (4, 10), 4: (2, 6), 2: (1, 3), 6: (5, 7), 10: (9, 11)}
    # Each number is 11 less the first tree's.
    assert second == {11: (3,), 3: (7, 1), 7: (9, 5), 9: (10, 8), 5: (6, 4), 1: (2, 0)}


def test_thirteen_nodes_shifted() -> None:
    first, second = (children_of(tree_of(tree, 13)) for tree in range(2))
    # 12 is too far right for a second child with a subtree of its own: 12 + 2, + 1 are no nodes.
    assert first == {0: (8,), 8: (4, 12), 4: (2, 6), 2: (1, 3), 6: (5, 7), 12: (10,), 10: (9, 11)}
    # Each number is one more than the first tree's; 12 becomes 0.
    assert second == {
        1: (9,),
        9: (5, 0),
        5: (3, 7),
        3: (2, 4),
        7: (6, 8),
        0: (11,),
        11: (10, 12),
    }


def test_a_subtree_that_is_cut_off_hangs_on_a_lower_one() -> None:
    # Of 14 nodes 12 has 10 and, as 14 is none, 13; 13's parent would be 14, so it is 12.
    assert links(0, 12, 14) == (8, 10, 13)
    assert links(0, 13, 14) == (12, NONE, NONE)


def depths(nodes: list[Links], root: int) -> dict[int, int]:
    """From the root downwards; a node that is reached twice would be counted twice."""
    found = {root: 0}
    level, depth = [root], 0
    while level:
        depth += 1
        level = [child for node in level for child in nodes[node].children]
        assert found.keys().isdisjoint(level)
        assert len(set(level)) == len(level)
        found.update(dict.fromkeys(level, depth))
    return found


@pytest.mark.parametrize("tree", range(2))
def test_they_span_all_nodes_from_a_root_with_one_child(tree: int) -> None:
    for n in SIZES:
        nodes = tree_of(tree, n)
        (root,) = (node for node, link in enumerate(nodes) if link.parent == NONE)
        assert root == (0 if tree == 0 or n == 1 else n - 1 if n % 2 == 0 else 1)
        assert len(nodes[root].children) == (n > 1)
        depth = depths(nodes, root)
        assert depth.keys() == set(range(n)), n
        # The root, then a tree whose heights are bits: no deeper than log2(n), rounded up.
        assert max(depth.values()) <= (n - 1).bit_length()
        for node, link in enumerate(nodes):
            for child in link.children:
                assert nodes[child].parent == node


def test_who_is_inner_in_one_is_a_leaf_in_the_other() -> None:
    for n in SIZES[1:]:
        inner = [{v for v, link in enumerate(tree_of(t, n)) if link.children} for t in range(2)]
        # Shifted by one, the last node comes to lie on node 0, which is inner in both.
        assert inner[0] & inner[1] == (set() if n % 2 == 0 else {0}), n
        assert inner[0] | inner[1] == set(range(n)), n
