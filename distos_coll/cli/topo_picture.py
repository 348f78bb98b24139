"""`distos-coll topo show --picture`."""

from pathlib import Path

from distos_coll.cli import pictures
from distos_coll.drawing.topology import picture
from distos_coll.errors import TopologyError
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import Reading


def draw(reading: Reading, path: Path) -> None:
    pictures.check(path, "--picture")
    content = reading.found.content
    if not isinstance(content, Topology):
        raise TopologyError(f"{reading.name}: {reading.format} has no hosts or switches to draw")
    pictures.save(picture(content, Path(reading.name).name), path, "--picture")
