"""Double binary tree: each of two trees carries half of the data, up and then down, one segment
after the other.

A rank that is inner in one tree is (but for the ends) a leaf in the other, so that nobody's links
carry more than twice the data, and the latency grows with log2(n). The trees are arrays of the plan
(program/layout.py).
"""

from distos_coll.api import (
    TREE_HALVES,
    AlgorithmSpec,
    Collective,
    CostInput,
    Over,
    Program,
    ProgramBuilder,
    Value,
    ceil_div,
    hookimpl,
    pieces,
    select,
)
from distos_coll.schedules.parts import Span


def all_reduce() -> Program:
    p = ProgramBuilder("tree", Collective.ALL_REDUCE)
    half = ceil_div(p.count, 2)
    for tree, (base, total) in enumerate(((p.symbol(0), half), (half, p.count - half))):
        _one_tree(p, tree, (base, total))
    return p.build()


def _one_tree(p: ProgramBuilder, tree: int, part: Span) -> None:
    """Lane 2 * tree carries it up, lane 2 * tree + 1 down, a segment at a time, when it has left
    or, at the root, is complete.
    """
    base, total = part
    me = tree * p.size + p.rank
    parent, child0, child1 = p.tree_parent[me], p.tree_child0[me], p.tree_child1[me]
    leaf, at_root = child0 < 0, parent < 0
    segments = ceil_div(total, p.segment)
    risen = p.event()

    def piece(k: Value) -> Span:
        return base + k * p.segment, select(
            total - k * p.segment < p.segment, total - k * p.segment, p.segment
        )

    with p.lane(2 * tree):
        for k in p.loop(0, segments):
            off, n = piece(k)
            dst = (p.output, off)
            p.copy(dst, (p.input, off), select(leaf * at_root, n, 0))
            p.recv_reduce(child0, dst, (p.input, off), n)
            p.recv_reduce(child1, dst, dst, n)
            p.send(select(leaf, parent, -1), p.input, off, n)
            p.send(select(leaf, -1, parent), p.output, off, n)
            p.finalize(p.output, off, select(at_root, n, 0))
            p.signal(risen)
    with p.lane(2 * tree + 1):
        for k in p.loop(0, segments):
            off, n = piece(k)
            p.wait(risen, k + 1)
            p.recv(parent, p.output, off, n)
            with p.group():
                p.send(child0, p.output, off, n)
                p.send(child1, p.output, off, n)


def _cost_us(c: CostInput) -> float:
    if c.size == 1:
        return c.copy_us(c.bytes)
    half = c.bytes / 2
    n = pieces(int(half), c.segment)
    moved = c.hop_us(half / n, Over.TREE) - c.hop_us(0, Over.TREE)
    body = moved * TREE_HALVES / 2 + c.reduce_us(4 * half / n)
    depth = 2 * (c.size - 1).bit_length()
    return 2 * c.tree_alpha_us() + (2 * n + depth) * body


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    return [
        AlgorithmSpec(
            "tree",
            Collective.ALL_REDUCE,
            all_reduce,
            _cost_us,
            doc="two binary trees, half of the data each",
            segments=(1 << 14, 1 << 16, 1 << 18),
        )
    ]
