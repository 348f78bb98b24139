"""Binomial trees: log2(n) steps to or from a root.

Ranks are renumbered so that the root is 0 ("v"). A rank with lowest set bit b is the child of v - b
and the root of the subtree [v, v + b).
"""

from distos_coll.api import (
    AlgorithmSpec,
    Build,
    Collective,
    Cost,
    CostInput,
    Over,
    Program,
    ProgramBuilder,
    Value,
    ceil_div,
    floor_log2,
    hookimpl,
    log2_ceil,
    minimum,
    pieces,
    select,
)
from distos_coll.schedules.parts import piece

_C = Collective
_SEGMENT = 1 << 17


def levels(n: Value) -> Value:
    """log2 of n, rounded up."""
    return floor_log2(2 * n - 1)


class _Tree:
    def __init__(self, p: ProgramBuilder) -> None:
        self.p = p
        self.v = (p.rank - p.root) % p.size
        self.levels = levels(p.size)
        # Of the root, v = 0, this is 0.
        low_bit = self.v & (0 - self.v)
        self.subtree = minimum(low_bit, p.size - self.v)

    def child(self, bit: Value) -> Value:
        """The child that joins at this bit, or -1."""
        mine = (self.v % (2 * bit)).eq(0) * (self.v + bit < self.p.size)
        return select(mine, (self.p.rank + bit) % self.p.size, -1)

    def parent(self, bit: Value) -> Value:
        """The parent, if this is the bit at which this rank joins it, or -1."""
        mine = (self.v % (2 * bit)).eq(bit)
        return select(mine, (self.p.rank - bit) % self.p.size, -1)

    def child_subtree(self, bit: Value) -> Value:
        return minimum(bit, self.p.size - self.v - bit)


def broadcast() -> Program:
    p = ProgramBuilder("binomial", _C.BROADCAST)
    tree = _Tree(p)
    for k in p.loop(0, ceil_div(p.count, p.segment)):
        for j in p.loop(0, tree.levels):
            bit = 1 << (tree.levels - 1 - j)
            p.recv(tree.parent(bit), p.output, *piece(p.count, p.segment, k))
            p.send(tree.child(bit), p.output, *piece(p.count, p.segment, k))
    return p.build()


def reduce() -> Program:
    p = ProgramBuilder("binomial", _C.REDUCE)
    tree = _Tree(p)
    at_root = p.rank.eq(p.root)
    # Whoever has a child has one at bit 1.
    leaf = tree.child(p.symbol(1)) < 0
    p.use_scratch(select(leaf + at_root, 0, minimum(p.segment, p.count)))
    p.copy((p.output, 0), (p.input, 0), select(p.size.eq(1), p.count, 0))
    for k in p.loop(0, ceil_div(p.count, p.segment)):
        off, n = piece(p.count, p.segment, k)
        for j in p.loop(0, tree.levels):
            bit = 1 << j
            child, parent = tree.child(bit), tree.parent(bit)
            first = j.eq(0)
            for cond, dst in ((at_root, (p.output, off)), (1 - at_root, (p.scratch, p.symbol(0)))):
                p.recv_reduce(select(cond * first, child, -1), dst, (p.input, off), n)
                p.recv_reduce(select(cond * (1 - first), child, -1), dst, dst, n)
            p.send(select(leaf, parent, -1), p.input, off, n)
            p.send(select(leaf, -1, parent), p.scratch, 0, n)
    p.finalize(p.output, 0, select(at_root, p.count, 0))
    return p.build()


def _split(p: ProgramBuilder, rank: Value, blocks: Value) -> tuple[Value, Value]:
    """A subtree is contiguous in v, so in rank order it may wrap: elements before and after the
    wrap.
    """
    before = minimum(blocks, p.size - rank)
    return before * p.count, (blocks - before) * p.count


def gather() -> Program:
    p = ProgramBuilder("binomial", _C.GATHER)
    tree = _Tree(p)
    at_root = p.rank.eq(p.root)
    inner = tree.subtree > 1
    p.use_scratch(select(inner, tree.subtree * p.count, 0))
    p.copy((p.output, p.rank * p.count), (p.input, 0), select(at_root, p.count, 0))
    p.copy((p.scratch, 0), (p.input, 0), select(inner, p.count, 0))
    for j in p.loop(0, tree.levels):
        bit = 1 << j
        child, parent = tree.child(bit), tree.parent(bit)
        before, after = _split(p, (p.rank + bit) % p.size, tree.child_subtree(bit))
        to_output = select(at_root, child, -1)
        to_scratch = select(at_root, -1, child)
        p.recv(to_output, p.output, (p.rank + bit) % p.size * p.count, before)
        p.recv(to_output, p.output, 0, after)
        p.recv(to_scratch, p.scratch, bit * p.count, before)
        p.recv(to_scratch, p.scratch, bit * p.count + before, after)
        before, after = _split(p, p.rank, tree.subtree)
        p.send(select(inner, -1, parent), p.input, 0, p.count)
        p.send(select(inner, parent, -1), p.scratch, 0, before)
        p.send(select(inner, parent, -1), p.scratch, before, after)
    return p.build()


def scatter() -> Program:
    p = ProgramBuilder("binomial", _C.SCATTER)
    tree = _Tree(p)
    at_root = p.rank.eq(p.root)
    inner = tree.subtree > 1
    p.use_scratch(select(inner, tree.subtree * p.count, 0))
    for j in p.loop(0, tree.levels):
        bit = 1 << (tree.levels - 1 - j)
        child, parent = tree.child(bit), tree.parent(bit)
        before, after = _split(p, p.rank, tree.subtree)
        p.recv(select(inner, -1, parent), p.output, 0, p.count)
        p.recv(select(inner, parent, -1), p.scratch, 0, before)
        p.recv(select(inner, parent, -1), p.scratch, before, after)
        before, after = _split(p, (p.rank + bit) % p.size, tree.child_subtree(bit))
        from_input = select(at_root, child, -1)
        from_scratch = select(at_root, -1, child)
        p.send(from_input, p.input, (p.rank + bit) % p.size * p.count, before)
        p.send(from_input, p.input, 0, after)
        p.send(from_scratch, p.scratch, bit * p.count, before)
        p.send(from_scratch, p.scratch, bit * p.count + before, after)
    p.copy((p.output, 0), (p.input, p.rank * p.count), select(at_root, p.count, 0))
    p.copy((p.output, 0), (p.scratch, 0), select(inner, p.count, 0))
    return p.build()


def _steps_us(c: CostInput) -> float:
    """Latency of the deepest path; ranks are not in the plan's order, so every hop may leave a
    domain.
    """
    return log2_ceil(c.size) * c.hop_us(0, Over.BINOMIAL)


def _pipeline_us(c: CostInput) -> float:
    """The root feeds log2(n) children with every segment."""
    n = pieces(c.bytes, c.segment)
    body = c.hop_us(c.bytes / n, Over.BINOMIAL) - c.hop_us(0, Over.BINOMIAL)
    width = log2_ceil(c.size)
    return _steps_us(c) + (n * width + width - 1) * body


def _rooted_us(c: CostInput) -> float:
    """All data pass the root's links once, and half of them an inner node's before."""
    moved = c.hop_us(c.bytes, Over.BINOMIAL) - c.hop_us(0, Over.BINOMIAL)
    return _steps_us(c) + moved * 1.5


@hookimpl
def distos_coll_algorithms() -> list[AlgorithmSpec]:
    table: list[tuple[Collective, Build, Cost]] = [
        (_C.BROADCAST, broadcast, _pipeline_us),
        (_C.REDUCE, reduce, _pipeline_us),
        (_C.GATHER, gather, _rooted_us),
        (_C.SCATTER, scatter, _rooted_us),
    ]
    return [
        AlgorithmSpec(
            "binomial", collective, build, cost, doc="a binomial tree", segments=(_SEGMENT,)
        )
        for collective, build, cost in table
    ]
