"""What every layout must be, whatever it was laid over."""

from nccl_jobs import ask

from distos_coll.api import Collective, Job, cheapest
from distos_coll.layout.inside import Solver
from distos_coll.layout.lay import BUDGET, lay_out
from distos_coll.layout.ledger import Sort
from distos_coll.layout.placement import JobShape, place, repeated
from distos_coll.layout.policy import DEFAULT, Policy
from distos_coll.layout.result import Layout, Use
from distos_coll.program.double_tree import NONE
from distos_coll.topology.model import Topology

COLLECTIVES = (Collective.ALL_REDUCE, Collective.ALL_GATHER, Collective.REDUCE_SCATTER)
SIZES = [1 << shift for shift in range(10, 31, 2)]


def laid(
    topology: Topology, copies: int = 1, policy: Policy = DEFAULT, budget: int = BUDGET
) -> Layout:
    """Over all GPUs of a topology's hosts, or of so many copies of them."""
    whole = topology if copies == 1 else repeated(topology, copies)
    return lay_out(whole, place(whole, JobShape()), policy, budget)


def uses(layout: Layout, sort: Sort) -> list[Use]:
    return [use for kind in layout.uses for use in kind if use.sort is sort]


def idle(layout: Layout, sort: Sort) -> list[str]:
    """Links of a kind that neither rings nor trees use."""
    return [use.name for use in uses(layout, sort) if not use.rings and not use.trees]


def check(layout: Layout, budget: int = BUDGET) -> None:
    """Raise AssertionError if it is no layout."""
    everybody = list(range(layout.placement.size))
    assert layout.visited <= budget
    for kind in layout.uses:
        for use in kind:
            assert use.rings <= use.gbps * 1.0001, use
            assert use.trees <= use.gbps * 1.0001, use
    assert all(len(each) == layout.channels for each in layout.stretches)
    for channel in range(layout.channels):
        assert sorted(layout.ring(channel)) == everybody
        for which in (0, 1):
            check_tree(layout, channel, which)


def check_tree(layout: Layout, channel: int, which: int) -> None:
    """One root, and whoever is somebody's child has that parent; all hang together."""
    tree = layout.tree(channel, which)
    roots = [rank for rank, at in enumerate(tree) if at.parent == NONE]
    assert len(roots) == 1
    reached, waiting = set(), roots
    while waiting:
        rank = waiting.pop()
        reached.add(rank)
        for child in (tree[rank].child0, tree[rank].child1):
            if child != NONE:
                assert tree[child].parent == rank
                assert child not in reached
                waiting.append(child)
        assert tree[rank].child0 != NONE or tree[rank].child1 == NONE
    assert len(reached) == len(tree)


def fallback_gbps(layout: Layout) -> float:
    """What one channel in the order of the bus gets, on the slowest kind of node."""
    found = [Solver(kind, 0).fallback for kind in layout.kinds]
    return min(each.total for each in found if each is not None)


def is_as_good(ours: Job, theirs: Job) -> None:
    """Every ring and tree of ours has the bandwidth of theirs, and no size takes longer."""
    for size in SIZES:
        for collective in COLLECTIVES:
            mine, other = ask(ours, size, collective), ask(theirs, size, collective)
            for name, estimate in other.items():
                if estimate.gbps is not None and name.startswith(("ring", "tree")):
                    assert (mine[name].gbps or 0) >= estimate.gbps * 0.999, (name, size)
            best = cheapest(mine.values()).time_us
            known = {name: each for name, each in other.items() if name in mine}
            assert (best or 0) <= (cheapest(known.values()).time_us or 0) * 1.001, (
                size,
                collective,
            )
