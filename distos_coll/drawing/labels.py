"""Words beside lines, so that each can be read: on paper of their own, and none upon another."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from distos_coll.drawing.scene import FAINT, PAPER, SMALL, Box, Scene, Words, text_width
from distos_coll.topology.names import ranges

Place: TypeAlias = tuple[float, float, str]
"""Of a baseline: x, y and the anchor."""


def ranges_within(names: Sequence[str], most: int, width: float, size: int) -> str:
    """As many ranges of names as there is room for, and how many more there are."""
    for count in range(most, 1, -1):
        text = ranges(names, count)
        if text_width(text, size) <= width:
            return text
    return ranges(names, 1)


class Labels:
    """To be drawn when all lines are: their paper hides what lies behind."""

    def __init__(self, scene: Scene, taken: Sequence[Box]) -> None:
        self.scene = scene
        self.taken = list(taken)
        self.found: list[tuple[Box, Words]] = []

    def add(self, text: str, places: Iterable[Place]) -> None:
        """Put it at the first place that is free. Without one it is only told under the pointer."""
        width = text_width(text, SMALL)
        for x, y, anchor in places:
            left = x - {"start": 0.0, "middle": width / 2, "end": width}[anchor]
            paper = Box(left - 1, y - SMALL, width + 2, SMALL + 3, PAPER, PAPER, rounded=0)
            inside = paper.x >= 0 and paper.x + paper.width <= self.scene.width
            if inside and not any(_touch(paper, other) for other in self.taken):
                self.taken.append(paper)
                self.found.append((paper, Words(x, y, text, SMALL, FAINT, anchor)))
                return

    def draw(self) -> None:
        for paper, words in self.found:
            self.scene.add(paper)
            self.scene.add(words)


def _touch(a: Box, b: Box) -> bool:
    return (
        a.x < b.x + b.width
        and b.x < a.x + a.width
        and a.y < b.y + b.height
        and b.y < a.y + a.height
    )
