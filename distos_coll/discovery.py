"""Nodes say what they are, and all of a job learn it: `distos-coll topo discover`.

Every source that can ask the running machine is asked, and what they say is merged. In a job the
first rank of each domain reports (topology/report.py), the reports are gathered over the job's own
links, and every rank that wants it merges them: nothing depends on their order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from distos_coll.errors import DistosError, TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import checks, reading, report
from distos_coll.topology.findings import Finding, shown, summed_up
from distos_coll.topology.merge import Part, merge
from distos_coll.topology.model import Topology
from distos_coll.topology.source import Document, Found, TopologySource

if TYPE_CHECKING:
    from distos_coll.communicator import Communicator

_GOOD, _FAILED = b"+", b"!"


@dataclass(frozen=True)
class Discovered:
    topology: Topology
    findings: tuple[Finding, ...]
    nodes: tuple[tuple[str, tuple[str, ...]], ...]
    """Who reported, and the hosts that it told of."""


def machine(
    root: Path | None = None, sources: Sequence[TopologySource] | None = None
) -> Discovered:
    """Ask the running machine; with `root` read what lies there in its place, such as the host's
    own / in a container. TopologyError says what is wrong.
    """
    known = default_sources() if sources is None else sources
    if root is not None:
        if not root.is_dir():
            raise TopologyError(f"{root}: is no directory; --root names the / of a machine")
        source, found = reading.understood(Document(str(root), root=root), known)
        told = [(source.name, found)]
    else:
        told = [(each.name, each.discover()) for each in known if each.discover is not None]
    return _together([(name, _hosts(name, found)) for name, found in told])


def _hosts(name: str, found: Found) -> Found:
    if not isinstance(found.content, Topology):
        raise TopologyError(f"{name} says nothing of hosts")
    return found


def _together(told: Sequence[tuple[str, Found]]) -> Discovered:
    parts: list[Part] = []
    findings: list[Finding] = []
    nodes: list[tuple[str, tuple[str, ...]]] = []
    for name, found in told:
        assert isinstance(found.content, Topology)  # noqa: S101  _hosts() and unpack() see to it
        parts.append(Part(name, found.content))
        findings += found.warnings
        nodes.append((name, tuple(host.name for host in found.content.hosts)))
    merged = merge(parts)
    findings += [*merged.findings, *checks.contradictions(merged.topology)]
    return Discovered(merged.topology, summed_up(findings), tuple(nodes))


# ---- in a job


def job(group: "Communicator", root: Path | None = None) -> Discovered:
    """Ask every node of a group; all its ranks call it and get the same. TopologyError names the
    ranks that could not say what their node is.
    """
    own = _reported(root) if group.domains.index(group.domains[group.rank]) == group.rank else b""
    told = {rank: text for rank, text in enumerate(gathered(group, own)) if text}
    bad = [
        f"rank {rank}: {text[1:].decode(errors='replace')}"
        for rank, text in told.items()
        if not text.startswith(_GOOD)
    ]
    if bad:
        raise TopologyError(shown("; ".join(bad)))
    found = []
    for rank, text in told.items():
        name = f"rank {rank}"
        topology, findings = report.unpack(Document(name, text[1:]))
        # All nodes have a /sys; of whose a finding is, only the reader of the report knows.
        host = topology.hosts[0].name if topology.hosts else name
        placed = [
            replace(each, where=f"{host}: {each.where}" if each.where else host)
            for each in findings
        ]
        found.append((name, Found(topology, tuple(placed))))
    return _together(found)


def _reported(root: Path | None) -> bytes:
    """Make this node's report, or say why there is none: the others wait for either."""
    try:
        found = machine(root)
        return _GOOD + report.pack(found.topology, found.findings)
    except DistosError as error:
        return _FAILED + str(error).encode()
    except Exception as error:  # noqa: BLE001  told to all instead
        return _FAILED + f"{type(error).__name__}: {error}".encode()


def gathered(group: "Communicator", own: bytes) -> list[bytes]:
    """Give every rank what each has brought."""
    import numpy as np

    counts = group.all_gather(np.array([len(own)], np.int64)).ravel().tolist()
    data = np.frombuffer(own, np.uint8)
    every = group.all_gather_v(data, counts).tobytes()
    ends = np.cumsum(counts).tolist()
    return [every[end - count : end] for end, count in zip(ends, counts, strict=True)]
