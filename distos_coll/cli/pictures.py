"""Pictures into files, whose names say whether they are SVG or PNG."""

from pathlib import Path

import typer

from distos_coll.drawing import png, svg
from distos_coll.drawing.scene import Scene
from distos_coll.errors import SystemFailure

_KINDS = {".svg": svg.render, ".png": png.render}


def check(path: Path | None, option: str) -> None:
    """Refuse other names before anything is computed."""
    if path is not None and path.suffix.lower() not in _KINDS:
        raise typer.BadParameter(f"{path.name}: pictures are .svg or .png files", param_hint=option)


def save(scene: Scene, path: Path, option: str) -> None:
    check(path, option)
    data = _KINDS[path.suffix.lower()](scene)
    try:
        path.write_bytes(data)
    except OSError as error:
        raise SystemFailure(f"{path}: cannot be written: {error}") from None
