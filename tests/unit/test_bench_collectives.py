"""Shapes of the measured calls, and nccl-tests' definitions of sizes and bandwidths."""

import numpy as np
import pytest
from error_page import raises

from distos_coll.bench.collectives import (
    COLLECTIVES,
    REDUCED,
    Collective,
    Place,
    Shape,
    collective_named,
    uneven,
)

ALL = list(COLLECTIVES.values())
RANKS = 5


def shapes(collective: Collective, count: int, root: int = 0, ranks: int = RANKS) -> list[Shape]:
    return [collective.shape(Place(rank, ranks, root), count) for rank in range(ranks)]


# nccl-tests: S in bytes over the buffer of `count` elements, and bus over algorithm bandwidth.
@pytest.mark.parametrize(
    ("name", "factor"),
    [
        ("all_reduce", lambda n: 2 * (n - 1) / n),
        ("all_gather", lambda n: (n - 1) / n),
        ("reduce_scatter", lambda n: (n - 1) / n),
        ("all_to_all", lambda n: (n - 1) / n),
        ("gather", lambda n: (n - 1) / n),
        ("scatter", lambda n: (n - 1) / n),
        ("all_to_all_v", lambda n: (n - 1) / n),
        ("broadcast", lambda n: 1),
        ("reduce", lambda n: 1),
        ("sendrecv", lambda n: 1),
    ],
)
def test_bandwidths_are_nccl_tests(name: str, factor: object) -> None:
    assert callable(factor)
    for ranks in (1, 2, 3, 8):
        algorithm, bus = COLLECTIVES[name].bandwidths(3_000_000, 0.002, ranks)
        assert algorithm == pytest.approx(1.5)
        assert bus == pytest.approx(1.5 * factor(ranks))


def test_a_clock_that_stood_still_is_no_infinity() -> None:
    assert COLLECTIVES["all_reduce"].bandwidths(8, 0.0, 2) == (0.0, 0.0)


@pytest.mark.parametrize("collective", ALL, ids=list(COLLECTIVES))
@pytest.mark.parametrize("count", [0, 1, 3, 5, 12, 1000, 1003])
@pytest.mark.parametrize("root", [0, 3])
def test_ranks_agree(collective: Collective, count: int, root: int) -> None:
    every = shapes(collective, count, root)
    assert len({(shape.elements, shape.parameter) for shape in every}) == 1
    for rank, shape in enumerate(every):
        assert sum(piece.count for piece in shape.expected) == shape.recv
        for piece in shape.expected:
            # What arrives was sent.
            senders = range(RANKS) if piece.source == REDUCED else (piece.source,)
            assert all(piece.start + piece.count <= every[s].send for s in senders)
        if shape.send_counts:
            assert sum(shape.send_counts) == shape.send
        if collective.name == "all_to_all_v":
            assert shape.recv_counts == tuple(other.send_counts[rank] for other in every)
        assert max(shape.send, shape.recv) <= shape.elements or collective.name == "barrier"


@pytest.mark.parametrize("name", ["all_gather", "reduce_scatter", "gather", "scatter"])
def test_the_smaller_buffer_in_place_is_the_ranks_part_of_the_larger(name: str) -> None:
    for rank, shape in enumerate(shapes(COLLECTIVES[name], 103, root=2)):
        rooted = COLLECTIVES[name].rooted
        at = rank * 20 if not rooted or rank == 2 else 0
        assert max(shape.send_at, shape.recv_at) == at
        ends = (shape.send_at + shape.send, shape.recv_at + shape.recv)
        assert max(ends) == (100 if not rooted or rank == 2 else 20)
        assert shape.elements == 100
        assert shape.parameter == 20


def test_uneven_parts() -> None:
    assert uneven(600, 3) == (100, 200, 300)
    assert uneven(600, 3, turn=1) == (200, 300, 100)
    assert sum(uneven(1001, 7, turn=3)) == 1001
    assert uneven(1, 3) == (0, 0, 1)


def test_all_to_all_v_counts_the_largest_rank() -> None:
    every = shapes(COLLECTIVES["all_to_all_v"], 600, ranks=3)
    matrix = np.array([shape.send_counts for shape in every])
    assert every[0].elements == max(600, matrix.sum(axis=0).max())


def test_names_as_nccl_tests_spells_them() -> None:
    assert collective_named("alltoall").name == "all_to_all"
    assert collective_named("AllReduce").name == "all_reduce"
    with raises("bench-collective", "no collective 'hypercube'; use one of all_reduce, "):
        collective_named("hypercube")
