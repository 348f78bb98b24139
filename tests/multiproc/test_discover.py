"""`topo discover` under mpirun: two "hosts", each with a root of its own, and this very machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from fake_machine import server

LAUNCHERS = ("DISTOS_COLL_", "NCCL_", "RANK", "WORLD_SIZE", "LOCAL_", "OMPI_", "PMI", "SLURM_")
DISCOVER = (sys.executable, "-m", "distos_coll", "topo", "discover", "--json")


def output(command: list[str]) -> dict[str, object]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(LAUNCHERS)}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=200, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_two_hosts_of_their_own_roots(open_mpi: list[str], tmp_path: Path) -> None:
    parts: list[str] = []
    for name in ("n0", "n1"):
        made = server(tmp_path / name)
        made.file("proc/sys/kernel/hostname", f"{name}\n")
        apart = ["-n", "2", "-x", f"DISTOS_COLL_HOST_ID={name}"]
        rank = [*DISCOVER, "--root", str(made.root), "-o", str(tmp_path / "out")]
        parts += [*([":"] if parts else []), *apart, *rank]
    facts = output([*open_mpi, *parts])
    assert facts["hosts"] == 2
    # Of each host the first rank reports.
    assert facts["nodes"] == {"rank 0": ["n0"], "rank 2": ["n1"]}
    warnings = facts["warnings"]
    assert isinstance(warnings, list)
    assert [text.partition(":")[0] for text in warnings] == ["n0", "n1"]
    model = json.loads((tmp_path / "out/cluster-topology-model.json").read_text(encoding="utf-8"))
    assert {"n0", "n1"} <= set(json.dumps(model).split('"'))


def test_ranks_of_this_machine_are_one_host(open_mpi: list[str]) -> None:
    facts = output([*open_mpi, "-n", "3", *DISCOVER])
    assert facts["hosts"] == 1
    assert list(facts["nodes"]) == ["rank 0"]  # type: ignore[call-overload]
