"""What a project that tests with pytest-mpi writes; test_launchers.py runs this file by mpirun."""

from collections.abc import Iterator

import numpy as np
import pytest

import distos_coll

pytest.importorskip("pytest_mpi")


@pytest.fixture
def communicator() -> Iterator[distos_coll.Communicator]:
    with distos_coll.init(timeout=60) as c:
        yield c


@pytest.mark.mpi(min_size=2)
def test_ranks_are_those_of_mpi(communicator: distos_coll.Communicator) -> None:
    from mpi4py import MPI

    world = MPI.COMM_WORLD
    assert (communicator.rank, communicator.size) == (world.Get_rank(), world.Get_size())


@pytest.mark.mpi(min_size=2)
def test_results_are_those_of_mpi(communicator: distos_coll.Communicator) -> None:
    from mpi4py import MPI

    x = np.arange(1000, dtype=np.float64) * (communicator.rank + 1)
    theirs = np.empty_like(x)
    MPI.COMM_WORLD.Allreduce(x, theirs, MPI.SUM)
    np.testing.assert_array_equal(communicator.all_reduce(x), theirs)
