"""What each launcher leaves in the environment, as a Launch; no process is started here."""

from collections.abc import Mapping
from typing import Any

import pytest
from error_page import raises

from distos_coll.launch import Launch, detect, explicit, first_host, parse_address

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "3",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29500",
    "TORCHELASTIC_RUN_ID": "none",
    "TORCHELASTIC_RESTART_COUNT": "0",
}
OPEN_MPI = {
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-node0-1234@1",
}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}
SLURM = {
    "SLURM_JOB_ID": "77",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_STEP_NUM_TASKS": "8",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NODELIST": "n[07-08]",
}
LAUNCHERS = {"torchrun": TORCHRUN, "Open MPI": OPEN_MPI, "MPICH": MPICH, "Slurm": SLURM}


def changed(environ: Mapping[str, str], **values: str | None) -> dict[str, str]:
    merged = {**environ, **values}
    return {name: value for name, value in merged.items() if value is not None}


def test_no_launcher_makes_a_job_of_one_rank() -> None:
    found = detect({"PATH": "/bin"})
    assert (found.rank, found.size) == (0, 1)
    assert found == explicit(0, 1)


def test_torchrun_on_one_host_meets_at_a_unix_socket() -> None:
    found = detect(TORCHRUN)
    assert (found.launcher, found.rank, found.size) == ("torchrun", 3, 4)
    assert (found.local_rank, found.local_size) == (3, 4)
    assert found.unix_name.startswith("distos_coll.job.")
    assert (found.host, found.ports) == ("", ())


def test_torchrun_on_several_hosts_meets_at_ports_of_the_master() -> None:
    found = detect(changed(TORCHRUN, RANK="5", WORLD_SIZE="8", LOCAL_RANK="1"))
    assert (found.rank, found.size, found.host, found.unix_name) == (5, 8, "node0", "")
    assert len(set(found.ports)) == 8
    assert all(20_000 <= port < 32_000 for port in found.ports)


def test_ports_are_the_same_for_all_ranks_and_differ_between_jobs() -> None:
    def ports(**values: str) -> tuple[int, ...]:
        return detect(changed(TORCHRUN, WORLD_SIZE="8", **values)).ports

    assert ports(RANK="0", LOCAL_RANK="0") == ports(RANK="7", LOCAL_RANK="3")
    assert len({ports(MASTER_PORT=str(port)) for port in range(29_500, 29_550)}) > 45
    for port in range(1, 500):
        assert all(20_000 <= p <= 31_999 for p in ports(MASTER_PORT=str(port)))


@pytest.mark.parametrize("size", ["4", "8"])
@pytest.mark.parametrize(
    "change",
    [
        {"TORCHELASTIC_RESTART_COUNT": "1"},
        {"TORCHELASTIC_RUN_ID": "other"},
        {"MASTER_ADDR": "node1"},
        {"MASTER_PORT": "29501"},
    ],
)
def test_another_run_is_another_job(size: str, change: dict[str, str]) -> None:
    one = detect(changed(TORCHRUN, WORLD_SIZE=size))
    other = detect(changed(TORCHRUN, WORLD_SIZE=size, **change))
    assert one.job != other.job
    assert (one.unix_name, one.ports) != (other.unix_name, other.ports)


def test_a_hand_written_environment_for_torch_is_enough() -> None:
    few = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29500"}
    found = detect(few)
    assert (found.rank, found.size, found.host, found.one_host) == (1, 2, "10.0.0.1", False)


def test_open_mpi() -> None:
    found = detect(OPEN_MPI)
    assert (found.launcher, found.rank, found.size, found.local_rank) == ("Open MPI", 1, 2, 1)
    assert found.unix_name
    assert found.unix_name != detect(changed(OPEN_MPI, PMIX_NAMESPACE="prterun-2")).unix_name
    older = changed(OPEN_MPI, PMIX_NAMESPACE=None, OMPI_MCA_ess_base_jobid="99")
    assert detect(older).job == "openmpi/99"
    # Without a name of the run, the launcher's process names it.
    assert detect(changed(OPEN_MPI, PMIX_NAMESPACE=None)).job.startswith("openmpi/")


def test_mpich() -> None:
    found = detect(MPICH)
    assert (found.launcher, found.rank, found.size, found.local_rank) == ("MPICH", 1, 2, 1)
    assert found.unix_name == detect(changed(MPICH, PMI_RANK="0", MPI_LOCALRANKID="0")).unix_name


@pytest.mark.parametrize(
    ("environ", "size"), [(OPEN_MPI, "OMPI_COMM_WORLD_SIZE"), (MPICH, "PMI_SIZE")]
)
def test_mpi_on_several_hosts_leaves_the_place_to_mpi(environ: dict[str, str], size: str) -> None:
    found = detect(changed(environ, **{size: "4"}))
    assert (found.unix_name, found.host, found.ports) == ("", "", ())


def test_a_slurm_step_on_two_hosts_meets_at_the_first() -> None:
    found = detect(SLURM)
    assert (found.launcher, found.rank, found.size, found.local_rank) == ("Slurm", 5, 8, 1)
    assert (found.host, found.job, found.unix_name) == ("n07", "slurm/77.0", "")
    assert len(found.ports) == 8


def test_a_slurm_step_on_one_host_meets_at_a_unix_socket() -> None:
    found = detect(changed(SLURM, SLURM_STEP_NUM_NODES="1"))
    assert found.unix_name
    assert (found.host, found.ports) == ("", ())


def test_slurm_by_its_older_names() -> None:
    older = {
        "SLURM_STEP_ID": "3",
        "SLURM_PROCID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_NNODES": "2",
        "SLURM_NODELIST": "a,b",
    }
    found = detect(older)
    assert (found.rank, found.size, found.host) == (0, 2, "a")


def test_in_a_slurm_batch_script_there_is_one_rank() -> None:
    assert detect(changed(SLURM, SLURM_STEP_ID=None, SLURM_PROCID="0")).size == 1


def test_steps_of_one_slurm_job_are_different_jobs() -> None:
    assert detect(SLURM).job != detect(changed(SLURM, SLURM_STEP_ID="1")).job


@pytest.mark.parametrize(
    ("environ", "launcher"),
    [
        ({**SLURM, **MPICH, **OPEN_MPI, **TORCHRUN}, "torchrun"),
        ({**SLURM, **MPICH, **OPEN_MPI}, "Open MPI"),
        ({**SLURM, **MPICH}, "MPICH"),
        # srun --mpi=pmi2: the same ranks by two names, and Slurm knows the hosts.
        ({**SLURM, "PMI_RANK": "5", "PMI_SIZE": "8"}, "Slurm"),
        ({**SLURM}, "Slurm"),
    ],
)
def test_the_innermost_launcher_counts(environ: dict[str, str], launcher: str) -> None:
    assert detect(environ).launcher == launcher


@pytest.mark.parametrize(
    ("launcher", "change", "row", "message"),
    [
        ("torchrun", {"RANK": "4"}, "launcher-contradiction", "RANK=4 and WORLD_SIZE=4"),
        ("torchrun", {"RANK": "-1"}, "launcher-number", "RANK='-1'"),
        ("torchrun", {"RANK": "²"}, "launcher-number", "RANK='²'"),
        ("torchrun", {"WORLD_SIZE": "many"}, "launcher-number", "WORLD_SIZE='many'"),
        ("torchrun", {"WORLD_SIZE": ""}, "launcher-unset", "WORLD_SIZE"),
        ("torchrun", {"RANK": None}, "launcher-half", "only WORLD_SIZE"),
        ("torchrun", {"WORLD_SIZE": None}, "launcher-half", "only RANK"),
        ("torchrun", {"LOCAL_RANK": "4"}, "launcher-contradiction", "LOCAL_RANK=4"),
        ("torchrun", {"LOCAL_WORLD_SIZE": "5"}, "launcher-contradiction", "LOCAL_WORLD_SIZE=5"),
        ("Open MPI", {"OMPI_COMM_WORLD_SIZE": None}, "launcher-unset", "OMPI_COMM_WORLD_SIZE"),
        ("Open MPI", {"OMPI_COMM_WORLD_SIZE": "1"}, "launcher-contradiction", "RANK=1"),
        ("Open MPI", {"OMPI_COMM_WORLD_LOCAL_SIZE": "x"}, "launcher-number", "LOCAL_SIZE='x'"),
        ("MPICH", {"PMI_SIZE": "0"}, "launcher-contradiction", "PMI_RANK=1 and PMI_SIZE=0"),
        ("MPICH", {"PMI_SIZE": None}, "launcher-half", "only PMI_RANK"),
        ("MPICH", {"MPI_LOCALNRANKS": "3"}, "launcher-contradiction", "MPI_LOCALNRANKS=3"),
        ("Slurm", {"SLURM_PROCID": "8"}, "launcher-contradiction", "SLURM_PROCID=8"),
        ("Slurm", {"SLURM_STEP_NUM_TASKS": None}, "launcher-unset", "SLURM_NTASKS"),
        ("Slurm", {"SLURM_STEP_NUM_NODES": "two"}, "launcher-number", "SLURM_STEP_NUM_NODES='two'"),
    ],
)
def test_variables_that_are_wrong_are_named(
    launcher: str, change: dict[str, Any], row: str, message: str
) -> None:
    with raises(row, message):
        detect(changed(LAUNCHERS[launcher], **change))


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("n07", "n07"),
        ("n07,n08", "n07"),
        ("n[07-09,12],x", "n07"),
        ("n[3]", "n3"),
        ("n[3,5-6]-ib0,m1", "n3-ib0"),
        ("rack[1-2]n[04-05]", "rack1n04"),
        ("", ""),
    ],
)
def test_the_first_host_of_a_node_list(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("node0:29500", ("node0", 29500)),
        (" 10.0.0.1:1 ", ("10.0.0.1", 1)),
        ("[fd00::1]:65535", ("fd00::1", 65535)),
        ("[::1]:29500", ("::1", 29500)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "node0",
        "node0:",
        ":29500",
        "node0:0",
        "node0:65536",
        "fd00::1:29500",
        "[fd00::1]",
        "a:b",
    ],
)
def test_what_is_not_an_address(text: str) -> None:
    with raises("not-an-address"):
        parse_address(text)


@pytest.mark.parametrize(("rank", "size"), [(-1, 2), (2, 2), (0, 0)])
def test_ranks_out_of_range(rank: int, size: int) -> None:
    with raises("rank-range", f"rank {rank} of {size}: ranks run from 0"):
        explicit(rank, size)


def test_arguments_name_their_meeting_point() -> None:
    def at(rendezvous: str) -> Launch:
        return explicit(1, 2).meeting_at(rendezvous)

    assert (at("node0:5").host, at("node0:5").ports, at("node0:5").unix_name) == ("node0", (5,), "")
    assert at("[fd00::1]:5").host == "fd00::1"
    assert at("unix:a").unix_name != at("unix:b").unix_name
    assert (at("unix:a").host, at("unix:a").ports) == ("", ())
    assert at("unix:a").unix_name == explicit(0, 2).meeting_at("unix:a").unix_name
    with raises("not-an-address", "'unix:' is not an address"):
        at("unix:")


def test_a_meeting_point_replaces_the_launchers() -> None:
    found = detect(TORCHRUN).meeting_at("other:7")
    assert (found.rank, found.host, found.ports, found.unix_name) == (3, "other", (7,), "")
