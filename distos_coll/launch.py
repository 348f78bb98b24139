"""Who this process is and where the ranks of its job meet, from what the launcher left in the
environment. Pure: an environment in, a Launch out.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from distos_coll.errors import InvalidArgument

# Ports that no system gives away by itself; the first free one of a few is taken, and who answers
# there for another job is told apart by the handshake.
_FIRST_PORT, _PORTS, _TRIES = 20_000, 12_000, 8


@dataclass(frozen=True)
class Launch:
    """One process of a job. Either `unix_name` or `host` says where the ranks meet."""

    launcher: str
    rank: int
    size: int
    job: str
    """Names this run; ranks of another are refused."""
    local_rank: int = 0
    local_size: int = 1
    """Ranks on this host, where the launcher says so; else 1."""
    unix_name: str = ""
    host: str = ""
    ports: tuple[int, ...] = ()

    @property
    def one_host(self) -> bool:
        return self.local_size == self.size

    def meeting_at(self, rendezvous: str) -> "Launch":
        """Return the same process meeting the others at "HOST:PORT" or "unix:NAME"."""
        if re.fullmatch("unix:.+", rendezvous):
            return replace(self, unix_name=_socket_name(rendezvous), host="", ports=())
        host, port = parse_address(rendezvous)
        return replace(self, unix_name="", host=host, ports=(port,))


def detect(environ: Mapping[str, str]) -> Launch:
    """Find the launcher: torchrun, Open MPI, MPICH, Slurm; none of them makes a job of one rank.

    InvalidArgument names the variables that are malformed or contradict each other. A launcher that
    does not say where its ranks can meet leaves `unix_name` and `host` empty.
    """
    for found in (_torchrun, _open_mpi, _hydra, _slurm):
        launch = found(environ)
        if launch is not None:
            return with_meeting_point(launch)
    for pair in (("RANK", "WORLD_SIZE"), ("PMI_RANK", "PMI_SIZE")):
        given = [name for name in pair if name in environ]
        if len(given) == 1:
            raise InvalidArgument(
                f"of {' and '.join(pair)} only {given[0]} is set; a launcher sets both"
            )
    return explicit(0, 1)


def explicit(rank: int, size: int) -> Launch:
    """Return a process whose rank and size its caller knows."""
    if size < 1 or not 0 <= rank < size:
        raise InvalidArgument(f"rank {rank} of {size}: ranks run from 0 to size - 1")
    return Launch("init(rank, size)", rank, size, f"arguments/{size}")


def parse_address(text: str) -> tuple[str, int]:
    """Read "host:port", "10.0.0.1:29500" or "[fd00::1]:29500"."""
    match = re.fullmatch(r"\[([^\]]+)\]:(\d+)|([^:\s]+):(\d+)", text.strip())
    port = int(match[2] or match[4]) if match else 0
    if match is None or not 0 < port < 65536:
        raise InvalidArgument(
            f"rendezvous {text!r} is not an address: write HOST:PORT, [IPV6]:PORT or unix:NAME"
        )
    return match[1] or match[3], port


def with_meeting_point(launch: Launch) -> Launch:
    """Fill in where the ranks meet, as far as the launcher's words allow."""
    if launch.one_host and launch.size > 1:
        return replace(launch, unix_name=_socket_name(launch.job), host="")
    if launch.host and not launch.ports:
        first = int(hashlib.sha256(launch.job.encode()).hexdigest()[:8], 16) % _PORTS
        ports = tuple(_FIRST_PORT + (first + i) % _PORTS for i in range(_TRIES))
        return replace(launch, ports=ports)
    return launch


def _socket_name(job: str) -> str:
    # The user's number, because abstract names are shared by all users of a machine.
    digest = hashlib.sha256(f"{os.getuid()}/{job}".encode()).hexdigest()
    return f"distos_coll.job.{digest[:32]}"


def _number(environ: Mapping[str, str], *names: str, default: int | None = None) -> int:
    for name in names:
        text = environ.get(name, "").strip()
        if not text:
            continue
        if not re.fullmatch("[0-9]{1,9}", text):
            raise InvalidArgument(f"{name}={text!r} is not a number of ranks or of one")
        return int(text)
    if default is None:
        raise InvalidArgument(f"the launcher did not set {' or '.join(names)}")
    return default


def _check_below(environ: Mapping[str, str], low: str, high: str, *, equal: bool = False) -> None:
    """Compare two variables where both are set."""
    if not environ.get(low, "").strip() or not environ.get(high, "").strip():
        return
    if _number(environ, low) < _number(environ, high) + equal:
        return
    raise InvalidArgument(
        f"{low}={environ[low]} and {high}={environ[high]} contradict each other: "
        + ("a host has no more ranks than the job" if equal else "ranks run from 0 to size - 1")
    )


def _torchrun(environ: Mapping[str, str]) -> Launch | None:
    if "RANK" not in environ or "WORLD_SIZE" not in environ:
        return None
    _check_below(environ, "RANK", "WORLD_SIZE")
    _check_below(environ, "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    _check_below(environ, "LOCAL_WORLD_SIZE", "WORLD_SIZE", equal=True)
    address = environ.get("MASTER_ADDR", "")
    restarts = environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    # The port is torch's own store's; with the rest it names the run.
    run = f"{environ.get('TORCHELASTIC_RUN_ID', '')}/{address}:{environ.get('MASTER_PORT', '')}"
    return Launch(
        "torchrun",
        _number(environ, "RANK"),
        size=_number(environ, "WORLD_SIZE"),
        job=f"torchrun/{run}/{restarts}",
        local_rank=_number(environ, "LOCAL_RANK", default=0),
        local_size=_number(environ, "LOCAL_WORLD_SIZE", default=1),
        host=address,
    )


def _open_mpi(environ: Mapping[str, str]) -> Launch | None:
    if "OMPI_COMM_WORLD_RANK" not in environ:
        return None
    prefix = "OMPI_COMM_WORLD_"
    _check_below(environ, prefix + "RANK", prefix + "SIZE")
    _check_below(environ, prefix + "LOCAL_RANK", prefix + "LOCAL_SIZE")
    _check_below(environ, prefix + "LOCAL_SIZE", prefix + "SIZE", equal=True)
    run = environ.get("PMIX_NAMESPACE") or environ.get("OMPI_MCA_ess_base_jobid") or _parent()
    return Launch(
        "Open MPI",
        _number(environ, prefix + "RANK"),
        size=_number(environ, prefix + "SIZE"),
        job=f"openmpi/{run}",
        local_rank=_number(environ, prefix + "LOCAL_RANK", default=0),
        local_size=_number(environ, prefix + "LOCAL_SIZE", default=1),
    )


def _hydra(environ: Mapping[str, str]) -> Launch | None:
    if "PMI_RANK" not in environ or "PMI_SIZE" not in environ:
        return None
    # srun --mpi=pmi2 sets them as well, but not how many ranks the host has.
    if "MPI_LOCALNRANKS" not in environ and _slurm(environ) is not None:
        return None
    _check_below(environ, "PMI_RANK", "PMI_SIZE")
    _check_below(environ, "MPI_LOCALRANKID", "MPI_LOCALNRANKS")
    _check_below(environ, "MPI_LOCALNRANKS", "PMI_SIZE", equal=True)
    return Launch(
        "MPICH",
        _number(environ, "PMI_RANK"),
        size=_number(environ, "PMI_SIZE"),
        job=f"mpich/{_parent()}",
        local_rank=_number(environ, "MPI_LOCALRANKID", default=0),
        local_size=_number(environ, "MPI_LOCALNRANKS", default=1),
    )


def _slurm(environ: Mapping[str, str]) -> Launch | None:
    # In the batch script itself SLURM_PROCID is set too, but there is no step.
    if "SLURM_PROCID" not in environ or "SLURM_STEP_ID" not in environ:
        return None
    nodes = environ.get("SLURM_STEP_NODELIST") or environ.get("SLURM_NODELIST", "")
    tasks = "SLURM_STEP_NUM_TASKS" if environ.get("SLURM_STEP_NUM_TASKS") else "SLURM_NTASKS"
    _check_below(environ, "SLURM_PROCID", tasks)
    size = _number(environ, tasks)
    hosts = _number(environ, "SLURM_STEP_NUM_NODES", "SLURM_NNODES", default=1)
    return Launch(
        "Slurm",
        _number(environ, "SLURM_PROCID"),
        size=size,
        job=f"slurm/{environ.get('SLURM_JOB_ID', '')}.{environ['SLURM_STEP_ID']}",
        local_rank=_number(environ, "SLURM_LOCALID", default=0),
        local_size=size if hosts == 1 else 1,
        host=first_host(nodes),
    )


def first_host(nodes: str) -> str:
    """Return the first name of a Slurm node list: "n[07-09,12],x" gives "n07"."""
    match = re.match(r"(?:[^,\[]|\[[^\]]*\])*", nodes)
    first = match[0] if match else ""
    return re.sub(r"\[(\d*)[^\]]*\]", r"\1", first)


def _parent() -> str:
    """Name the launcher's process on this host, which all ranks here have as their parent."""
    parent = os.getppid()
    try:
        stat = Path(f"/proc/{parent}/stat").read_text(encoding="utf-8")
        started = stat.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        started = ""
    return f"{parent}/{started}"
