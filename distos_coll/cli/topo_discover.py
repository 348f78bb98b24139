"""`distos-coll topo discover`: what this machine is, or all nodes of a launcher's job."""

import json
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from distos_coll import launch
from distos_coll.cli import topo_tree
from distos_coll.discovery import Discovered, job, machine
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import artifacts
from distos_coll.topology.reading import Reading
from distos_coll.topology.source import Found
from distos_coll.topology.summary import summary


def discover(
    output: Annotated[
        Path | None,
        typer.Option("--output", "--out", "-o", help="Folder for the three files; else none."),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(help="Where / of the machine is, in a container perhaps /host."),
    ] = None,
    timeout: Annotated[
        float, typer.Option(min=1, help="Seconds for all nodes of a job to report.")
    ] = 300,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask this machine what it has; under torchrun, mpirun or srun all nodes of the job.

    In a job each node reports for itself; rank 0 prints and writes what they are together, and
    tells what they say differently.
    """
    found: Discovered | None
    if launch.detect(os.environ).size == 1:
        found = machine(root)
    else:
        found = _in_job(root, timeout)
    if found is not None:
        _tell(found, output, as_json)


def _in_job(root: Path | None, timeout: float) -> Discovered | None:
    """Return what rank 0 prints."""
    from distos_coll.start import init

    with init(timeout=timeout) as group:
        found = job(group, root)
        return found if group.rank == 0 else None


def _tell(found: Discovered, output: Path | None, as_json: bool) -> None:
    paths = []
    if output is not None:
        sources = default_sources()
        paths = artifacts.save(artifacts.artifacts(found.topology, found.findings, sources), output)
    name = "this machine" if len(found.nodes) == 1 else f"{len(found.nodes)} nodes"
    read = Reading("discovered", name, Found(found.topology, found.findings), found.findings)
    facts = summary(read)
    if as_json:
        nodes = {who: list(hosts) for who, hosts in found.nodes}
        more = {"nodes": nodes, "files": [str(path) for path in paths]}
        print(json.dumps(facts | more, indent=2))
        return
    topo_tree.show(Console(), read, facts)
    for path in paths:
        Console().print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
