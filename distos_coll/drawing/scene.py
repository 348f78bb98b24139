"""What a picture consists of, in pixels from its upper left corner."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

CHARACTER = 0.6
"""Width of a character, of the height of its font: all fonts here are monospaced."""
SMALL, NORMAL, LARGE = 9, 11, 14

Point: TypeAlias = tuple[float, float]

# Okabe and Ito's colours, which those who see colours differently can tell apart, and lighter ones.
RAILS = (
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#8b6f00",
    "#6a4c93",
)
INK, FAINT, PAPER = "#1a1a1a", "#8a8a8a", "#ffffff"


@dataclass(frozen=True, slots=True)
class Box:
    x: float
    y: float
    width: float
    height: float
    fill: str = PAPER
    stroke: str = INK
    title: str = ""
    """What is told of it where there is no room: shown under the pointer, in SVG."""
    rounded: float = 3.0


@dataclass(frozen=True, slots=True)
class Line:
    points: tuple[Point, ...]
    colour: str = INK
    width: float = 1.0
    title: str = ""
    curved: bool = False
    """Three points: the second pulls the line towards it."""


@dataclass(frozen=True, slots=True)
class Words:
    x: float
    y: float
    """Of the baseline."""
    text: str
    size: int = NORMAL
    colour: str = INK
    anchor: str = "middle"
    """"start", "middle", "end"."""
    bold: bool = False


Shape: TypeAlias = Box | Line | Words


@dataclass
class Scene:
    """Shapes, those behind first."""

    width: float = 0
    height: float = 0
    shapes: list[Shape] = field(default_factory=list)

    def add(self, shape: Shape) -> None:
        self.shapes.append(shape)

    def label(self, box: Box, lines: Iterable[str], size: int = SMALL, colour: str = INK) -> None:
        """Write lines into the middle of a box, cut to its width."""
        found = [fitting(line, box.width - 4, size) for line in lines if line]
        pitch = size * 1.25
        first = box.y + (box.height - pitch * len(found)) / 2 + size
        for i, line in enumerate(found):
            middle = box.x + box.width / 2
            self.add(
                Words(middle, first + i * pitch, line, size, colour, bold=i == 0 < len(found) - 1)
            )


def text_width(text: str, size: int) -> float:
    return len(text) * size * CHARACTER


def fitting(text: str, width: float, size: int) -> str:
    """The text, or as much of it as there is room for."""
    most = int(width / (size * CHARACTER))
    return text if len(text) <= most else text[: max(most - 1, 0)] + "\N{HORIZONTAL ELLIPSIS}"
