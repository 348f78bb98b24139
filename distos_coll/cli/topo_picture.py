"""`distos-coll topo show --picture`: a file's name says whether it is SVG or PNG."""

from pathlib import Path

import typer

from distos_coll.drawing import png, svg
from distos_coll.drawing.topology import picture
from distos_coll.errors import SystemFailure, TopologyError
from distos_coll.topology.model import Topology
from distos_coll.topology.reading import Reading

_KINDS = {".svg": svg.render, ".png": png.render}


def draw(reading: Reading, path: Path) -> None:
    render = _KINDS.get(path.suffix.lower())
    if render is None:
        raise typer.BadParameter(
            f"{path.name}: pictures are .svg or .png files", param_hint="--picture"
        )
    content = reading.found.content
    if not isinstance(content, Topology):
        raise TopologyError(f"{reading.name}: {reading.format} has no hosts or switches to draw")
    data = render(picture(content, Path(reading.name).name))
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SystemFailure(f"{path}: cannot be written: {error}") from None
