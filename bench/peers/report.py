"""The Markdown of a run: what was measured where, what is promised, and a table per situation."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator

from bench.peers import must_show
from bench.peers.grid import DTYPES, size_text
from bench.peers.must_show import Check, Line, Promise
from bench.peers.results import Measured, Results
from bench.peers.stats import Ratio, best, ratio

RATIOS = ("distos / best MPI", "distos / limit", "gloo / distos-torch")


def markdown(results: Results) -> str:
    evaluated = must_show.evaluate(results)
    parts = [
        "# distos beside its peers and the machine's limits",
        *_where(results),
        "## What is promised, and what this run shows",
        *_promises(evaluated),
        *_apart(evaluated),
    ]
    for ranks, load in dict.fromkeys((cell.ranks, cell.load) for cell in results.cells):
        parts += [f"## {ranks} ranks, {load} busy loops beside", *situation(results, ranks, load)]
    return "\n\n".join(parts) + "\n"


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _where(results: Results) -> Iterator[str]:
    m, s = results.machine, results.settings
    if m:
        versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items())
        yield (
            f"{m['date']}, commit {m['commit']}. {m['cpu']}, {m['cores']} cores, "
            f"{m['memory_gib']} GiB, Linux {m['kernel']}, Python {m['python']}, {versions}. "
            f"Load before: {m['load_before']:.1f}."
        )
    if s:
        yield (
            f"{s['repeats']} repeats, all peers back to back in each, in changing order; a repeat "
            f"takes {s['burst']:g} s of a peer's calls, {s['window']:g} s where busy loops run "
            "beside it. Calls: "
            "same: calls one after the other; fresh: each rank writes its input before each."
        )
    flags = [
        f"{key}: {statistics.median(values) * 1e9:.0f} ns one way"
        for key, values in results.flag_s.items()
    ]
    if flags:
        yield "Raw flag latency. " + "; ".join(flags) + "."
    if results.peers:
        yield "\n".join(f"- {name}: `{title}`" for name, title in results.peers.items())
    if results.skipped:
        yield "Without:"
        yield "\n".join(f"- {name}: {why}" for name, why in results.skipped.items())


def _figure(value: float, unit: str = "x") -> str:
    return f"{value:.3g}{unit}"


def _bound(check: Check) -> str:
    return f"{'>=' if check.least else '<='} {_figure(check.bound, check.unit)}"


def _row(promise: Promise, line: Line) -> list[str]:
    what = "; ".join(check.what for check in line.checks)
    figures = "; ".join(_figure(check.figure, check.unit) for check in line.checks)
    bounds = " or ".join(_bound(check) for check in line.checks)
    return [promise.item, f"{line.cell}: {what}", figures, bounds, "yes" if line.met else "NO"]


def _promises(evaluated: list[tuple[Promise, list[Line]]]) -> Iterator[str]:
    short = []
    for promise, lines in evaluated:
        met = sum(line.met for line in lines)
        verdict = f"{met} of {len(lines)}" if lines else "not measured"
        short.append([promise.item, promise.text, verdict])
    yield table(("item", "promise", "cells that meet it"), short)
    steady = [(promise, line) for promise, lines in evaluated for line in lines if not line.spreads]
    if steady:
        heads = ("item", "cell", "figure", "bound", "met")
        yield table(heads, [_row(promise, line) for promise, line in steady])


def _apart(evaluated: list[tuple[Promise, list[Line]]]) -> Iterator[str]:
    """Yield the lines that say less, because the repeats differ."""
    apart, total = must_show.spreading(evaluated)
    if not total:
        return
    yield "### Cells whose quartiles spread by more than 10 %"
    most = must_show.SHARE_OF_SPREADING
    verdict = "met" if apart <= most * total else "NOT met"
    yield f"{apart} of {total}, {apart / total:.0%}; at most {most:.0%}: {verdict}."
    rows = [
        [*_row(promise, line), "; ".join(f"{check.spread:.0%}" for check in line.checks)]
        for promise, lines in evaluated
        for line in lines
        if line.spreads
    ]
    if rows:
        yield table(("item", "cell", "figure", "bound", "met", "spread"), rows)


def _ratios(cell: Measured) -> list[Ratio | None]:
    mpi = best(cell, must_show.MPIS)
    return [
        ratio(cell.entry("distos"), mpi),
        ratio(cell.entry("distos"), cell.entry("limit")),
        ratio(cell.entry("gloo"), cell.entry("distos-torch")),
    ]


def _ratio_text(found: Ratio | None) -> str:
    if found is None:
        return ""
    return f"{found.median:.2f}{' (spread)' if found.spreads else ''}"


def _time_text(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1e6:.{2 if seconds < 1e-4 else 0}f}"


def situation(results: Results, ranks: int, load: int) -> Iterator[str]:
    """Yield the tables of one number of ranks and of busy loops: times in us, ratios, waits."""
    cells = [cell for cell in results.cells if (cell.ranks, cell.load) == (ranks, load)]
    peers = list(dict.fromkeys(entry.peer for cell in cells for entry in cell.entries))
    rows = []
    for cell in cells:
        for dtype in dict.fromkeys(entry.dtype for entry in cell.entries):
            times = [
                _time_text(entry.median() if (entry := cell.entry(peer, dtype)) else None)
                for peer in peers
            ]
            size = size_text(cell.elements * DTYPES[dtype]) if cell.elements else ""
            found = _ratios(cell) if dtype == "float32" else [None] * len(RATIOS)
            ratios = [_ratio_text(one) for one in found]
            rows.append([cell.collective, cell.mode, dtype, size, *times, *ratios])
    yield "Microseconds of a call: the median of the repeats, each of which is a mean."
    yield table(("collective", "calls", "type", "size", *peers, *RATIOS), rows)
    waits = [
        [wait.peer, f"{wait.absent_s * 1e3:g} ms", f"{statistics.median(wait.shares):.1%}"]
        for wait in results.waits
        if (wait.ranks, wait.load) == (ranks, load)
    ]
    if waits:
        yield "What a rank that waits takes of a core, while another is late by so much."
        yield table(("peer", "late by", "share of a core"), waits)
    refused = dict.fromkeys(
        f"- {entry.label}, {cell.collective}: {entry.refused}"
        for cell in cells
        for entry in cell.entries
        if entry.refused
    )
    if refused:
        yield "Not measured:"
        yield "\n".join(refused)
