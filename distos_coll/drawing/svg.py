"""A scene as SVG: text, the same bytes for the same scene, and no font or program is needed."""

from distos_coll.drawing.scene import Box, Line, Point, Scene, Shape, Words
from distos_coll.topology.findings import shown
from distos_coll.topology.xml_text import escaped

_FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"


def render(scene: Scene) -> bytes:
    size = f'width="{scene.width:g}" height="{scene.height:g}"'
    view = f'viewBox="0 0 {scene.width:g} {scene.height:g}"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} {view} font-family="{_FONT}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *map(_shape, scene.shapes),
        "</svg>",
    ]
    return ("\n".join(lines) + "\n").encode()


def _shape(shape: Shape) -> str:
    if isinstance(shape, Box):
        place = f'x="{_n(shape.x)}" y="{_n(shape.y)}" rx="{_n(shape.rounded)}"'
        size = f'width="{_n(shape.width)}" height="{_n(shape.height)}"'
        return _titled(
            "rect", f'{place} {size} fill="{shape.fill}" stroke="{shape.stroke}"', shape.title
        )
    if isinstance(shape, Line):
        style = f'fill="none" stroke="{shape.colour}" stroke-width="{_n(shape.width)}"'
        return _titled("path", f'd="{_path(shape)}" {style}', shape.title)
    return _words(shape)


def _path(line: Line) -> str:
    if line.curved and len(line.points) == 3:
        first, middle, last = map(_point, line.points)
        return f"M{first}Q{middle} {last}"
    return "M" + "L".join(map(_point, line.points))


def _words(words: Words) -> str:
    bold = ' font-weight="bold"' if words.bold else ""
    place = f'x="{_n(words.x)}" y="{_n(words.y)}" font-size="{words.size}"'
    style = f'fill="{words.colour}" text-anchor="{words.anchor}"{bold}'
    return f"<text {place} {style}>{escaped(shown(words.text))}</text>"


def _titled(tag: str, attributes: str, title: str) -> str:
    if not title:
        return f"<{tag} {attributes}/>"
    return f"<{tag} {attributes}><title>{escaped(shown(title))}</title></{tag}>"


def _point(point: Point) -> str:
    return f"{_n(point[0])} {_n(point[1])}"


def _n(value: float) -> str:
    return f"{round(value, 2):g}"
