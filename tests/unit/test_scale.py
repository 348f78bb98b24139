"""What large groups cost, counted instead of timed; bench/scale.py times it."""

import pytest

from distos_coll.planner import ClusterView, plan
from distos_coll.planner.choose import Costs
from distos_coll.plugins.costs import CostInput

PARTITIONS = {
    "one": lambda rank: 0,
    "of 8": lambda rank: rank // 8,
    "of 1": lambda rank: rank,
}


def view(size: int, partition: str) -> ClusterView:
    return ClusterView(size, tuple(map(PARTITIONS[partition], range(size))))


@pytest.mark.parametrize("partition", PARTITIONS)
def test_a_plan_grows_by_its_arrays_alone(partition: str) -> None:
    """Orders, positions, domains, members, two trees: less than fourteen words a rank."""
    size = 4096
    found = plan(view(size, partition))
    assert len(found.encode()) < 14 * 8 * size + (1 << 16)
    # Rows say what to do from one size of message on; programs are those of small groups.
    assert len(found.rows) < 150


@pytest.mark.parametrize("partition", PARTITIONS)
def test_choosing_looks_no_longer_for_more_ranks(
    partition: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0
    at = Costs.at

    def counted(self: Costs, size: int, segment: int) -> CostInput:
        nonlocal asked
        asked += 1
        return at(self, size, segment)

    monkeypatch.setattr(Costs, "at", counted)
    counts = []
    for size in (64, 4096):
        asked = 0
        plan(view(size, partition))
        counts.append(asked)
    assert counts[1] < 4 * counts[0] < 100_000
