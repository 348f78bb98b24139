"""The grammar of DISTOS_COLL_ALGO."""

import pytest
from error_page import raises

from distos_coll._vocabulary import Collective
from distos_coll.planner import ClusterView, plan
from distos_coll.planner.algo import collective_named, parse
from distos_coll.plugins.manager import built_in_registry

REGISTRY = built_in_registry()
C = Collective
TWO_HOSTS = ClusterView(4, (0, 0, 1, 1))


def chosen(algo: str, view: ClusterView = TWO_HOSTS) -> dict[Collective, set[str]]:
    found: dict[Collective, set[str]] = {}
    for row in plan(view, algo, registry=REGISTRY).rows:
        found.setdefault(row.collective, set()).add(row.candidate.algorithm.spec.name)
    return found


def test_a_list_holds_where_it_can() -> None:
    rows = chosen("ring,tree")
    assert rows[C.ALL_REDUCE] <= {"ring", "tree"}
    assert rows[C.BROADCAST] == {"ring"}
    # all_to_all has neither, so the list says nothing about it.
    assert rows[C.ALL_TO_ALL] == {"pairwise"}


@pytest.mark.parametrize("name", ["ring", "tree", "rhd", "hier"])
def test_each_can_be_forced(name: str) -> None:
    assert chosen(name)[C.ALL_REDUCE] == {name}


@pytest.mark.parametrize("name", ["direct1", "direct2"])
def test_direct_can_be_forced_in_a_domain(name: str) -> None:
    assert chosen(name, ClusterView.one_domain(3))[C.ALL_REDUCE] == {name}


def test_exclusion() -> None:
    rows = chosen("^hier,ring")
    assert not {"hier", "ring"} & set().union(*rows.values())
    assert rows[C.ALL_GATHER] == {"pairwise"}


def test_per_collective() -> None:
    rows = chosen("allreduce:ring;broadcast:binomial")
    assert rows[C.ALL_REDUCE] == {"ring"}
    assert rows[C.BROADCAST] == {"binomial"}
    assert rows[C.REDUCE] == chosen("")[C.REDUCE]


def test_a_default_and_an_exception() -> None:
    rows = chosen("ring;AllReduce:^ring,hier")
    assert rows[C.BROADCAST] == {"ring"}
    assert rows[C.ALL_REDUCE] <= {"tree", "rhd", "direct1", "direct2"}


def test_spaces_and_case_do_not_matter() -> None:
    assert chosen(" Ring , TREE ; all_gather : Pairwise ") == chosen("ring,tree;allgather:pairwise")


@pytest.mark.parametrize(
    ("text", "collective"),
    [
        ("allreduce", C.ALL_REDUCE),
        ("AllReduce", C.ALL_REDUCE),
        ("all_reduce", C.ALL_REDUCE),
        ("ReduceScatter", C.REDUCE_SCATTER),
        ("alltoall", C.ALL_TO_ALL),
        ("all-gather-v", C.ALL_GATHER_V),
        ("Broadcast", C.BROADCAST),
    ],
)
def test_spellings(text: str, collective: Collective) -> None:
    assert collective_named(text) is collective


@pytest.mark.parametrize(
    ("text", "row", "message"),
    [
        ("rign", "algo-unknown", "'rign', did you mean 'ring'"),
        ("nvls", "algo-unknown", "an NCCL algorithm that means nothing here"),
        ("ring,,tree", "algo-empty", ""),
        ("^", "algo-empty", ""),
        ("allreduce:", "algo-empty", ""),
        ("alreduce:ring", "collective-unknown", "'alreduce', did you mean 'allreduce'"),
        ("ring;tree", "algo-two-defaults", ""),
        ("allreduce:ring;all_reduce:tree", "algo-twice", "'all_reduce'"),
    ],
)
def test_mistakes(text: str, row: str, message: str) -> None:
    with raises(row, message):
        parse(text, REGISTRY.names)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("direct1", "leaves no algorithm for broadcast"),
        ("^pairwise", "leaves no algorithm for all_to_all"),
        ("allgather:tree", "leaves no algorithm for all_gather.*ring: left out by"),
    ],
)
def test_unsatisfiable_lists_are_errors(text: str, message: str) -> None:
    with raises("nothing-left", message):
        chosen(text)
