"""A scene as PNG, by matplotlib, which is no dependency of the package: `distos-coll[pictures]`."""

import io
from typing import Any

from distos_coll.drawing.scene import Box, Line, Scene, Words
from distos_coll.errors import Unsupported
from distos_coll.topology.findings import shown

_DOTS = 100
"""An inch; a scene's pixel is one."""
_POINTS = 72 / _DOTS
_LARGEST = 1 << 15
"""Pixels on a side; matplotlib draws no larger."""


def render(scene: Scene, scale: float = 2.0) -> bytes:
    """Draw it, `scale` pixels for each of the scene's, fewer where that would be too many."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise Unsupported(
            "PNG is drawn by matplotlib, which is not installed: pip install "
            "'distos-coll[pictures]', or write SVG, which needs nothing"
        ) from None
    scale = min(scale, (_LARGEST - 1) / max(scene.width, scene.height, 1))
    figure = Figure(figsize=(scene.width / _DOTS, scene.height / _DOTS), dpi=_DOTS * scale)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, scene.width), ylim=(scene.height, 0))
    axes.axis("off")
    for order, shape in enumerate(scene.shapes):
        if isinstance(shape, Box):
            _box(axes, shape, order)
        elif isinstance(shape, Line):
            _line(axes, shape, order)
        else:
            _words(axes, shape, order)
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def _box(axes: Any, box: Box, order: int) -> None:
    from matplotlib.patches import FancyBboxPatch

    style = f"round,pad=0,rounding_size={min(box.rounded, box.width / 2, box.height / 2)}"
    place = (box.x, box.y)
    axes.add_patch(
        FancyBboxPatch(
            place,
            box.width,
            box.height,
            boxstyle=style,
            facecolor=box.fill,
            edgecolor=box.stroke,
            linewidth=_POINTS,
            zorder=order,
        )
    )


def _line(axes: Any, line: Line, order: int) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    codes = [Path.MOVETO] + [Path.LINETO] * (len(line.points) - 1)
    if line.curved and len(line.points) == 3:
        codes = [Path.MOVETO, Path.CURVE3, Path.CURVE3]
    path = Path(line.points, codes)
    style = {"edgecolor": line.colour, "linewidth": line.width * _POINTS, "fill": False}
    axes.add_patch(PathPatch(path, zorder=order, **style))


def _words(axes: Any, words: Words, order: int) -> None:
    anchor = {"start": "left", "middle": "center", "end": "right"}[words.anchor]
    axes.text(
        words.x,
        words.y,
        shown(words.text),
        parse_math=False,
        fontsize=words.size * _POINTS,
        color=words.colour,
        ha=anchor,
        va="baseline",
        family="monospace",
        fontweight="bold" if words.bold else "normal",
        zorder=order,
    )
