import json
from dataclasses import replace
from typing import Any

import pytest
from error_page import raises
from hypothesis import given, settings
from hypothesis import strategies as st

from distos_coll._vocabulary import Array, Collective, Need
from distos_coll.errors import InvalidArgument
from distos_coll.planner import ClusterView, Figures, LinkCost, Plan, Profile, plan
from distos_coll.planner.choose import LARGEST, Costs, best
from distos_coll.plugins.costs import CostInput
from distos_coll.plugins.manager import built_in_registry
from distos_coll.program.encode import UNLIMITED, decode_plan

REGISTRY = built_in_registry()
C = Collective


def planned(view: ClusterView, algo: str = "") -> Plan:
    return plan(view, algo, registry=REGISTRY)


def names(view: ClusterView, collective: Collective = C.ALL_REDUCE, algo: str = "") -> set[str]:
    rows = planned(view, algo).rows
    return {r.candidate.algorithm.spec.name for r in rows if r.collective is collective}


def profile_of(**figures: LinkCost) -> Profile:
    return Profile(Figures(**figures))  # type: ignore[arg-type]


def hosts(*sizes: int, **options: object) -> ClusterView:
    domain_of = tuple(d for d, n in enumerate(sizes) for _ in range(n))
    return ClusterView(len(domain_of), domain_of, **options)  # type: ignore[arg-type]


def test_every_algorithm_is_chosen_somewhere() -> None:
    assert {"direct1", "direct2"} <= names(ClusterView.one_domain(4))
    assert "hier" in names(hosts(2, 2))
    assert "hier" in names(hosts(3, 5))
    assert {"rhd", "ring"} <= names(hosts(*[1] * 8))
    assert "hier" in names(hosts(*[8] * 8))
    assert "tree" in names(hosts(*[8] * 128))
    assert names(hosts(2, 2), C.ALL_TO_ALL) == {"pairwise"}
    assert "binomial" in names(hosts(*[1] * 8), C.BROADCAST)


@pytest.mark.parametrize("size", [1, 2, 3, 8, 64])
@pytest.mark.parametrize("single_copy", [False, True])
def test_one_domain_has_no_use_for_hier(size: int, single_copy: bool) -> None:
    view = ClusterView.one_domain(size, single_copy=single_copy)
    assert all(row.candidate.key != "hier" for row in planned(view).rows)
    assert all(row.candidate.key != "hier" for row in planned(view, "^ring").rows)
    reasons = {v.algorithm: v.reason for v in planned(view).explain("all_reduce", 4).verdicts}
    assert reasons["hier"] == "needs more than one domain, unless DISTOS_COLL_ALGO names it"
    assert names(view, C.ALL_REDUCE, "hier") == {"hier"}
    assert names(view, C.BROADCAST, "all_reduce:ring;broadcast:hier") == {"hier"}


def test_single_copy_is_used_where_it_is_and_pays() -> None:
    quick = LinkCost(alpha_us=1.5, gbps=40.0)
    with_it = planned(ClusterView(4, (0,) * 4, (True,), profile=profile_of(single_copy=quick)))
    assert any(row.candidate.key == "direct2/single_copy" for row in with_it.rows)
    without = planned(ClusterView.one_domain(4))
    assert all(Need.SINGLE_COPY not in row.candidate.algorithm.spec.needs for row in without.rows)
    # A domain of one has no pair to read.
    assert ClusterView(3, (0, 0, 1), (True, False)).all_single_copy
    assert not ClusterView(4, (0, 0, 1, 1), (True, False)).all_single_copy


views = st.builds(
    lambda sizes, copy, slot, share: hosts(
        *sizes,
        single_copy=(copy,) * len(sizes),
        slot_bytes=slot,
        cores=tuple(max(1, n // share) for n in sizes),
    ),
    st.lists(st.integers(1, 5), min_size=1, max_size=5),
    st.booleans(),
    st.sampled_from([512, 1 << 16, 1 << 20]),
    st.integers(1, 4),
)


@settings(max_examples=25)
@given(view=views)
def test_rows_are_a_sorted_cover_and_near_the_envelope(view: ClusterView) -> None:
    table = planned(view)
    for collective in Collective:
        rows = [row for row in table.rows if row.collective is collective]
        limits = [row.max_bytes for row in rows]
        assert limits == sorted(set(limits))
        assert limits[-1] == UNLIMITED
        if len(rows) == 1:
            continue
        for size in (0, 1, 7, 1000, 1 << 14, 100_000, 1 << 20, 12_345_678, 1 << 30, LARGEST):
            chosen = table.choice(collective, size).candidate
            fastest = best(table.allowed[collective], size)
            # Cut-overs are rounded, so near one of them the loser may still be chosen.
            assert chosen.predict(size) <= 1.1 * fastest.predict(size) + 1e-9, (collective, size)


@settings(max_examples=25)
@given(view=views)
def test_equal_views_give_equal_bytes(view: ClusterView) -> None:
    one = planned(view)
    other = plan(ClusterView(**vars_of(view)), registry=built_in_registry())
    assert one.encode() == other.encode()
    assert one.fingerprint == other.fingerprint
    decoded = decode_plan(one.encode())
    assert decoded.programs == one.programs
    assert {row.collective for row in decoded.choices} == set(Collective)
    order = sorted(decoded.choices, key=lambda row: (row.key, row.max_bytes))
    assert list(decoded.choices) == order
    assert all(
        decoded.programs[row.program].collective is row.collective for row in decoded.choices
    )


def vars_of(view: ClusterView) -> dict[str, Any]:
    names = ("size", "domain_of", "single_copy", "cores", "slot_bytes", "profile")
    return {name: getattr(view, name) for name in names}


def test_what_ranks_must_agree_on_is_in_the_fingerprint() -> None:
    base = planned(hosts(2, 2)).fingerprint
    assert planned(hosts(2, 2, slot_bytes=1 << 19)).fingerprint != base
    assert planned(hosts(2, 2), "ring").fingerprint != base
    assert planned(hosts(3, 1)).fingerprint != base
    assert planned(hosts(2, 2)).fingerprint == base
    context = plan(hosts(2, 2), registry=REGISTRY, context="eager_bytes=512\n")
    assert context.fingerprint != base
    assert context.encode()[24:] == planned(hosts(2, 2)).encode()[24:]


def test_faster_network_moves_the_cut_over() -> None:
    slow = hosts(*[1] * 8)
    fast = hosts(*[1] * 8, profile=profile_of(tcp=LinkCost(2.0, 20.0)))
    assert [r.max_bytes for r in planned(slow).rows] != [r.max_bytes for r in planned(fast).rows]


def test_domains_are_renumbered() -> None:
    view = ClusterView(5, (9, 4, 9, 4, 4))
    assert view.domain_of == (0, 1, 0, 1, 1)
    assert view.members == ((0, 2), (1, 3, 4))
    arrays = decode_plan(planned(view).encode()).arrays
    assert arrays[Array.ORDER] == (0, 2, 1, 3, 4)
    assert arrays[Array.POSITION] == (0, 2, 1, 3, 4)
    assert arrays[Array.LOCAL_INDEX] == (0, 0, 1, 1, 2)
    assert arrays[Array.DOMAIN_START] == (0, 2, 5)


@pytest.mark.parametrize("size", range(1, 40))
def test_trees(size: int) -> None:
    """Two trees over all ranks; who is inner in one is a leaf in the other, but for one rank."""
    arrays = decode_plan(planned(hosts(*[1] * size)).encode()).arrays
    parent, child0, child1 = (
        arrays[a] for a in (Array.TREE_PARENT, Array.TREE_CHILD0, Array.TREE_CHILD1)
    )
    inner = []
    for tree in range(2):
        at = tree * size
        children = {r: [c for c in (child0[at + r], child1[at + r]) if c >= 0] for r in range(size)}
        assert all(child0[at + r] >= 0 or child1[at + r] < 0 for r in range(size))
        seen = [c for several in children.values() for c in several]
        roots = [r for r in range(size) if parent[at + r] < 0]
        assert len(roots) == 1
        assert sorted(seen + roots) == list(range(size))
        assert all(parent[at + c] == r for r, several in children.items() for c in several)
        inner.append({r for r in range(size) if children[r]})
        depth = {roots[0]: 0}
        for r in sorted(range(size), key=lambda r: len(ancestors(parent, at, r))):
            depth[r] = len(ancestors(parent, at, r))
        assert max(depth.values()) <= (size - 1).bit_length() + 1
    assert len(inner[0] & inner[1]) <= 2


def ancestors(parent: object, at: int, rank: int) -> list[int]:
    found = []
    while (rank := parent[at + rank]) >= 0:  # type: ignore[index]
        found.append(rank)
    return found


def test_explain() -> None:
    table = planned(hosts(2, 2))
    text = table.explain("AllReduce", 1 << 20)
    assert text.winner.chosen
    assert text.winner.algorithm == "hier"
    reasons = {(v.algorithm, v.variant): v.reason for v in text.verdicts}
    assert reasons["direct1", ""] == "needs all ranks in one domain, and this group has 2"
    assert "times the winner's time" in reasons["tree", ""]
    listed = {(v.algorithm, v.variant) for v in text.verdicts}
    assert listed == {(a.spec.name, a.spec.variant) for a in REGISTRY.of(C.ALL_REDUCE)}
    times = [v.predicted_us for v in text.verdicts[1:] if v.predicted_us is not None]
    assert times == sorted(times)
    assert json.loads(json.dumps(text.as_dict()))["candidates"][0]["algorithm"] == "hier"
    head, columns, winner, *_ = str(text).splitlines()
    assert head == "all_reduce of 1048576 bytes, by built-in figures"
    assert columns.split()[:4] == ["algorithm", "segment", "predicted", "measured"]
    assert winner.startswith("* hier")


@pytest.mark.parametrize("size", [4, 1 << 14, 1 << 20, 1 << 26])
def test_segments_of_one_algorithm_are_no_rivals(size: int) -> None:
    first, *others = planned(ClusterView.one_domain(4)).explain("all_reduce", size).verdicts
    key = f"{first.algorithm}/{first.variant}".rstrip("/")
    assert f"; {key} comes next" not in first.reason
    same = [v for v in others if (v.algorithm, v.variant) == (first.algorithm, first.variant)]
    assert all(v.reason.startswith("another segment size, predicted") for v in same)
    alone = planned(ClusterView.one_domain(4), "tree").explain("all_reduce", size)
    assert alone.winner.reason == "the only candidate"


def test_explain_says_what_a_person_left_out() -> None:
    table = planned(hosts(2, 2), "^hier")
    reasons = {v.algorithm: v.reason for v in table.explain("all_reduce", 4).verdicts}
    assert reasons["hier"] == "left out by DISTOS_COLL_ALGO=^hier"


def test_slots_that_are_too_small() -> None:
    table = planned(ClusterView.one_domain(9, slot_bytes=16 * 17))
    reasons = {v.algorithm: v.reason for v in table.explain("all_reduce", 4).verdicts}
    assert reasons["direct1"] == "needs window slots of at least 288 bytes, and they have 272"
    assert "direct1" in names(ClusterView.one_domain(9, slot_bytes=16 * 18))


def test_bad_views_and_sizes() -> None:
    with pytest.raises(InvalidArgument, match="entries in domain_of"):
        ClusterView(3, (0, 0))
    with pytest.raises(InvalidArgument, match="cores has 1 entries, but there are 2"):
        ClusterView(2, (0, 1), cores=(4,))
    with raises("size-negative"):
        planned(ClusterView.one_domain(2)).choice("all_reduce", -1)
    with raises("collective-unknown", "did you mean 'allreduce'"):
        planned(ClusterView.one_domain(2)).choice("allreduced", 1)


def test_segment_override() -> None:
    table = planned(ClusterView.one_domain(3)).with_segment_bytes(64)
    assert {row.segment_bytes for row in decode_plan(table.encode()).choices} == {64}
    assert table.fingerprint != planned(ClusterView.one_domain(3)).fingerprint
    assert table.explain("all_reduce", 100).winner.chosen


@pytest.mark.parametrize("sizes", [(64,), (8,) * 8, (8,) * 128, (1,) * 1024])
def test_planning_asks_for_few_costs(
    sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planning takes as long as its predictions, some microseconds each; no clock is asked."""
    asked = 0
    at = Costs.at

    def counted(self: Costs, size: int, segment: int) -> CostInput:
        nonlocal asked
        asked += 1
        return at(self, size, segment)

    monkeypatch.setattr(Costs, "at", counted)
    planned(hosts(*sizes))
    assert asked < 10_000


def test_nothing_left_says_why() -> None:
    with raises("nothing-left") as caught:
        planned(hosts(2, 2), "broadcast:direct1")
    text = str(caught.value)
    assert "DISTOS_COLL_ALGO='direct1' leaves no algorithm for broadcast" in text
    assert "direct1: needs all ranks in one domain, and this group has 2" in text
    assert "ring: left out by DISTOS_COLL_ALGO=direct1" in text


def test_halves_avoid_programs_that_run_on_a_copy() -> None:
    # Where messages are as fast as memory.
    quick = Profile(Figures(message=LinkCost(0.1, 90.0)))
    table = planned(replace(ClusterView.one_domain(2), profile=quick))
    usual = {row.candidate.key for row in table.rows if row.collective is C.ALL_REDUCE}
    halves = {row.candidate.key for row in table.half_rows if row.collective is C.ALL_REDUCE}
    assert "ring" in usual
    assert {key.split("/")[0] for key in halves} == {"direct1", "direct2"}
    # Between domains they round at every hop instead.
    assert planned(ClusterView(4, (0, 0, 1, 1))).half_rows == ()


def test_a_forced_algorithm_is_taken_for_halves_too() -> None:
    table = planned(ClusterView.one_domain(2), "all_reduce:ring")
    rows = (*table.rows, *table.half_rows)
    assert {r.candidate.key for r in rows if r.collective is C.ALL_REDUCE} == {"ring"}
