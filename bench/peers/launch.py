"""Which peers there are, how the ranks of each are started, and why one cannot be."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Unavailable(Exception):
    """A peer cannot take part; the text says why and what would change that."""


@dataclass(frozen=True)
class Places:
    """Where things are that Python does not import."""

    openmpi: str
    mpich: str
    build: Path


@dataclass(frozen=True)
class Job:
    """One peer's ranks, about to be started."""

    peer: str
    ranks: int
    folder: Path  # for this peer alone: its socket, its store, what it says
    places: Places

    @property
    def socket(self) -> str:
        return str(self.folder / "s")


@dataclass(frozen=True)
class Launch:
    commands: list[list[str]]
    connections: int
    environment: dict[str, str] = field(default_factory=dict)


def default_places(openmpi: str, mpich: str, build: str) -> Places:
    """Fill in what `make` installs: Open MPI beside this Python, MPICH in a folder of its own."""
    beside = Path(sys.executable).with_name("mpiexec")
    apart = Path(sys.prefix) / "mpich/bin/mpiexec"
    return Places(
        openmpi or (str(beside) if beside.exists() else shutil.which("mpiexec.openmpi") or ""),
        mpich or (str(apart) if apart.exists() else shutil.which("mpiexec.mpich") or ""),
        Path(build),
    )


def _rank_command(job: Job, door: str, *more: str) -> list[str]:
    command = [sys.executable, "-m", "bench.peers.rank", "--door", door, "--conductor", job.socket]
    return [*command, "--ranks", str(job.ranks), *more]


def _processes(job: Job, door: str, *more: str) -> Launch:
    one = _rank_command(job, door, *more)
    return Launch([[*one, "--rank", str(rank)] for rank in range(job.ranks)], job.ranks)


def _numpy(job: Job, backend: str) -> Launch:
    # Names of this kind are the host's, not the file system's.
    meet = f"unix:peers-{os.getpid()}-{job.peer}-{job.ranks}"
    return _processes(job, "numpy", "--backend", backend, "--meet", meet)


def _torch(job: Job, backend: str, *more: str) -> Launch:
    if importlib.util.find_spec("torch") is None:
        raise Unavailable("torch is not installed")
    store = str(job.folder / "store")
    return _processes(job, "torch", "--backend", backend, "--meet", store, *more)


def _noop(job: Job) -> Launch:
    built = sorted(job.places.build.glob("noop_backend*.so"))
    if not built:
        raise Unavailable(
            f"there is no noop_backend in {job.places.build}; `make peers` builds it, or cmake "
            "--build of that folder with --target peers"
        )
    return _torch(job, "noop", "--noop", str(built[0].resolve()))


def _commux(job: Job) -> Launch:
    if importlib.util.find_spec("commux") is None:
        raise Unavailable("commux is not installed: pip install commux")
    return _torch(job, "commux")


def _ucc(job: Job) -> Launch:
    if importlib.util.find_spec("torch") is None:
        raise Unavailable("torch is not installed")
    import torch.distributed as dist

    if not dist.is_ucc_available():
        raise Unavailable("this torch was built without UCC")
    return _torch(job, "ucc")


def _mpi(job: Job, launcher: str, option: str, *more: str) -> Launch:
    if importlib.util.find_spec("mpi4py") is None:
        raise Unavailable("mpi4py is not installed: pip install mpi4py")
    if not launcher or not Path(launcher).exists():
        raise Unavailable(
            f"there is no mpiexec {launcher or 'of it'}; `make peers` installs one, or pass "
            f"{option} PATH"
        )
    command = [launcher, *more, "-n", str(job.ranks), *_rank_command(job, "mpi")]
    found = sorted(Path(launcher).absolute().parents[1].glob("lib/libmpi.so.*"))
    return Launch([command], job.ranks, {"MPI4PY_LIBMPI": str(found[0])} if found else {})


def _open_mpi(job: Job, *more: str) -> Launch:
    options = list(more)
    if os.geteuid() == 0:
        options.append("--allow-run-as-root")
    if job.ranks > len(os.sched_getaffinity(0)):
        # Without it Open MPI refuses; with it, it yields where it would spin.
        options.append("--oversubscribe")
    return _mpi(job, job.places.openmpi, "--openmpi", *options)


def _limit(job: Job) -> Launch:
    program = job.places.build / "limits"
    if not program.exists():
        raise Unavailable(
            f"there is no {program}; `make peers` builds it, or cmake --build of that folder with "
            "--target peers"
        )
    return Launch([[str(program), str(job.ranks), job.socket]], 1)


# Open MPI takes UCX by itself only where there is a fast network.
_UCX = ("--mca", "pml", "ucx", "--mca", "pml_ucx_tls", "any", "--mca", "pml_ucx_devices", "any")

PEERS: dict[str, Callable[[Job], Launch]] = {
    "distos": lambda job: _numpy(job, "private"),
    "distos-registered": lambda job: _numpy(job, "registered"),
    "distos-torch": lambda job: _torch(job, "distos"),
    "gloo": lambda job: _torch(job, "gloo"),
    "noop": _noop,
    "openmpi": _open_mpi,
    "openmpi-ucx": lambda job: _open_mpi(job, *_UCX),
    "mpich": lambda job: _mpi(job, job.places.mpich, "--mpich"),
    "ucc": _ucc,
    "commux": _commux,
    "limit": _limit,
}
"""In the order of the tables. The last is the machine's limit: threads of one address space."""


def environment(more: dict[str, str]) -> dict[str, str]:
    """Return what every peer's processes see: one thread for computing, this host only."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        **more,
    }


def new_folder() -> tempfile.TemporaryDirectory[str]:
    # Short: the path of a Unix socket has at most 107 bytes.
    return tempfile.TemporaryDirectory(prefix="peers-", dir="/tmp")
