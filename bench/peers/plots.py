"""Pictures of a run: time over size, and the ratio to the limit; one of each per situation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.peers.results import Measured, Results
from bench.peers.stats import ratio

Value = Callable[[Measured, str], "float | None"]


def _time_us(cell: Measured, peer: str) -> float | None:
    entry = cell.entry(peer)
    time = entry.median() if entry is not None else None
    return None if time is None else time * 1e6


def _to_limit(cell: Measured, peer: str) -> float | None:
    found = ratio(cell.entry(peer), cell.entry("limit"))
    return None if found is None else found.median


PICTURES: dict[str, tuple[Value, str, str]] = {
    "time": (_time_us, "same", "us"),
    "to-limit": (_to_limit, "fresh", "times the limit"),
}
"""What is drawn, of which calls, in which unit."""


def draw(results: Results, folder: Path) -> list[Path]:
    """Write the pictures as PNG; ImportError without matplotlib."""
    import matplotlib as mpl

    mpl.use("Agg")
    written = []
    for ranks, load in dict.fromkeys((cell.ranks, cell.load) for cell in results.cells):
        for name, (value, mode, unit) in PICTURES.items():
            wanted = (ranks, load, mode)
            cells = [c for c in results.cells if (c.ranks, c.load, c.mode) == wanted and c.elements]
            file = folder / f"{name}-{ranks}-ranks-load-{load}.png"
            if _picture(cells, value, unit, f"{ranks} ranks, {load} busy loops beside", file):
                written.append(file)
    return written


def _curves(cells: list[Measured], value: Value) -> Iterator[tuple[str, list[int], list[float]]]:
    for peer in dict.fromkeys(entry.peer for cell in cells for entry in cell.entries):
        points = [(cell.nbytes, y) for cell in cells if (y := value(cell, peer)) is not None]
        if points:
            yield peer, [x for x, _ in points], [y for _, y in points]


def _picture(cells: list[Measured], value: Value, unit: str, title: str, file: Path) -> bool:
    from matplotlib import pyplot as plt

    names = list(dict.fromkeys(cell.collective for cell in cells))
    curves = {
        name: list(_curves([cell for cell in cells if cell.collective == name], value))
        for name in names
    }
    if not any(curves.values()):
        return False
    across = min(3, len(names))
    down = -(-len(names) // across)
    figure, axes = plt.subplots(
        down, across, figsize=(5 * across, 4 * down), squeeze=False, layout="constrained"
    )
    figure.suptitle(f"{title}: {unit} over bytes (float32)")
    for name, axis in zip(names, axes.flat, strict=False):
        _fill(axis, name, curves[name])
    for axis in list(axes.flat)[len(names) :]:
        axis.remove()
    figure.savefig(file, dpi=110)
    plt.close(figure)
    return True


def _fill(axis: Any, name: str, curves: list[tuple[str, list[int], list[float]]]) -> None:
    for number, (peer, xs, ys) in enumerate(curves):
        style = "k--" if peer == "limit" else f"C{number}-"
        axis.plot(xs, ys, style, marker=".", linewidth=1, label=peer)
    axis.set(title=name, xscale="log", yscale="log")
    axis.set_xscale("log", base=2)
    axis.grid(visible=True, alpha=0.3)
    axis.legend(fontsize="x-small")
