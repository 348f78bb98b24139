"""Time over size: a line for each candidate, and where the cheapest changes. By matplotlib."""

from pathlib import Path
from typing import Any

import typer

from distos_coll.errors import SystemFailure, Unsupported
from distos_coll.planner.job_plan import JobPlan, sizes

_LOW, _HIGH = 256, 1 << 34
_NEAR = 8.0
"""Candidates that are nowhere within so many times of the best are left out."""
_KINDS = (".svg", ".png", ".pdf")


def check(path: Path | None) -> None:
    """Refuse other names before anything is computed."""
    if path is not None and path.suffix.lower() not in _KINDS:
        raise typer.BadParameter(
            f"{path.name}: plots are {', '.join(_KINDS)} files", param_hint="--plot"
        )


def draw(plan: JobPlan, title: str, path: Path) -> None:
    check(path)
    figure = _figure()
    axes = figure.add_subplot()
    at = sizes(_LOW, _HIGH)
    curves = plan.curves(at)
    least = [min(times) for times in zip(*(_known(c) for c in curves.values()), strict=True)]
    for name, times in sorted(curves.items()):
        known = _known(times)
        if any(us <= _NEAR * best for us, best in zip(known, least, strict=True)):
            axes.plot(at, known, label=name, linewidth=1.4)
    for crossing in plan.crossings(_LOW, _HIGH):
        axes.axvline(crossing.bytes, color="0.6", linewidth=0.8, linestyle="--")
        axes.text(
            crossing.bytes,
            0.98,
            f" {crossing.after} from {_short(crossing.bytes)}",
            rotation=90,
            fontsize=7,
            va="top",
            transform=axes.get_xaxis_transform(),
        )
    axes.set(
        yscale="log",
        xlabel="bytes",
        ylabel="microseconds",
        title=f"{plan.collective.name.lower()}, {title}, by {plan.model}",
    )
    axes.set_xscale("log", base=2)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8, loc="center left")
    try:
        figure.savefig(path)
    except OSError as error:
        raise SystemFailure(f"{path}: cannot be written: {error}") from None


def _known(times: list[float | None]) -> list[float]:
    return [float("inf") if us is None else us for us in times]


def _figure() -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise Unsupported(
            "plots are drawn by matplotlib, which is not installed: pip install "
            "'distos-coll[pictures]'"
        ) from None
    figure = Figure(figsize=(9, 6), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _short(size: int) -> str:
    for unit, letter in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if size >= unit:
            return f"{size / unit:.3g} {letter}"
    return f"{size} B"
