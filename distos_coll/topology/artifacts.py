"""The three documents for schedulers, written together."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from distos_coll.errors import SystemFailure, TopologyError
from distos_coll.topology.findings import Finding
from distos_coll.topology.model import Topology
from distos_coll.topology.source import Found, TopologySource

ARTIFACTS = ("cluster-topology-model", "nvlink-domain-map", "ib-rail-assignments")
"""Formats; the files are called so, with .json."""


def artifacts(
    topology: Topology, findings: Sequence[Finding], sources: Sequence[TopologySource]
) -> dict[str, bytes]:
    """Return the contents of the three files by their names."""
    known = {source.name: source for source in sources}
    found = Found(topology, tuple(findings))
    return {f"{name}.json": export(found, known[name]) for name in ARTIFACTS}


def export(found: Found, source: TopologySource) -> bytes:
    """Write what a document says in another format."""
    if source.write is None:
        raise TopologyError(f"{source.name} can be read, but not written")
    if Found in source.writes and isinstance(found.content, Topology):
        return source.write(found)
    if not isinstance(found.content, source.writes):
        raise TopologyError(
            f"{source.name} cannot say what is in this document, which is no topology of hosts"
        )
    return source.write(found.content)


def save(files: Mapping[str, bytes], folder: Path) -> list[Path]:
    """Write files into a folder, each at once: who reads meanwhile has the old or the new."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [_save(folder / name, data) for name, data in files.items()]
    except OSError as error:
        raise SystemFailure(f"{folder}: cannot be written: {error}") from None


def _save(path: Path, data: bytes) -> Path:
    own = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        own.write_bytes(data)
        own.replace(path)
    finally:
        own.unlink(missing_ok=True)
    return path
