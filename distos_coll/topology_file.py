"""The file that DISTOS_COLL_TOPO_FILE names, as far as it says something of links between hosts.

Rank 0 reads it, and tells the others what it says with its profile (docs/decisions/0007, 0012).
"""

import functools
from dataclasses import dataclass
from pathlib import Path

from distos_coll.errors import DistosError, InvalidArgument
from distos_coll.planner.links import Links
from distos_coll.settings import Settings


@dataclass(frozen=True)
class FileLinks:
    """What a file says, and a sentence about it for the log."""

    links: Links | None
    remark: str


def read(values: Settings) -> FileLinks | None:
    """Read the file, once a process; None where none is set. InvalidArgument says what is wrong."""
    return _read(values.topo_file) if values.topo_file else None


@functools.lru_cache(maxsize=8)
def _read(name: str) -> FileLinks:
    # Sources are plugins; only who names a file loads them.
    from distos_coll.planner.network_links import links_of
    from distos_coll.plugins.manager import default_sources
    from distos_coll.topology import reading
    from distos_coll.topology.model import Topology

    try:
        found = reading.read(Path(name).expanduser(), default_sources())
        content = found.found.content
        links = None
        if isinstance(content, Topology):
            links = links_of(content, f"{found.format} in {name}")
    except (DistosError, RuntimeError) as error:
        raise InvalidArgument(
            f"DISTOS_COLL_TOPO_FILE={name} cannot be used: {error}; name another file, or unset it"
        ) from None
    if links is None:
        return FileLinks(None, f"{name} ({found.format}) says nothing of links between hosts")
    hosts = f"{len(links.hosts):,} hosts"
    return FileLinks(links, f"{name} ({found.format}) says what links between {hosts} have")
