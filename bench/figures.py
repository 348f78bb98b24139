"""How well the planner's built-in figures choose among candidates as they were measured.

    distos-coll bench --calibrate        # once for each group; DISTOS_COLL_PROFILE names the file
    python bench/figures.py PROFILE ...

For every cell of the profiles' tables: the candidate that the model chooses with the figures alone,
and how much longer it took than the fastest. docs/results/figures.md has a run.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from distos_coll._vocabulary import Collective
from distos_coll.bench.findings import NEAR_ENOUGH
from distos_coll.planner import ClusterView, Figures, Profile
from distos_coll.planner.algo import AlgoFilter
from distos_coll.planner.choose import Candidate, candidates, for_halves
from distos_coll.planner.profile import Table
from distos_coll.planner.profile_text import from_dict
from distos_coll.plugins.manager import built_in_registry


@dataclass(frozen=True)
class Cell:
    kind: str
    bytes: int
    chosen: str
    best: str
    ratio: float
    """The chosen candidate's measured time over the best one's."""


def cells(table: Table, figures: Figures) -> Iterator[Cell]:
    registry = built_in_registry()
    view = _view(table, figures)
    able: dict[Collective, list[Candidate]] = {}
    for kind, curves in table.kinds.items():
        if kind.collective not in able:
            able[kind.collective] = candidates(view, kind.collective, registry, AlgoFilter())[0]
        every = able[kind.collective]
        every = for_halves(view, registry, every) if kind.halves else every
        measured = [candidate for candidate in every if candidate.name in curves]
        for i, size in enumerate(curves[measured[0].name].sizes):
            took = {candidate.name: curves[candidate.name].us[i] for candidate in measured}
            chosen = min(measured, key=lambda candidate: candidate.model(size)).name
            best = min(took, key=lambda name: took[name])
            yield Cell(kind.text, size, chosen, best, took[chosen] / took[best])


def _view(table: Table, figures: Figures) -> ClusterView:
    shape = table.shape
    domains = tuple(i for i, ranks in enumerate(shape.domains) for _ in range(ranks))
    cores = tuple(round(ranks / shape.sharing) for ranks in shape.domains)
    alike = (shape.single_copy,) * len(shape.domains)
    profile = Profile(figures, ())
    return ClusterView(len(domains), domains, alike, cores, shape.slot_bytes, profile)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="+", type=Path, metavar="PROFILE")
    parser.add_argument("--worst", type=int, default=10, help="cells to show of each table")
    given = parser.parse_args()
    for file in given.profiles:
        for table in from_dict(json.loads(file.read_text())["profile"]).tables:
            found = sorted(cells(table, Figures()), key=lambda cell: -cell.ratio)
            good = sum(cell.ratio <= NEAR_ENOUGH for cell in found)
            mean = math.exp(sum(math.log(cell.ratio) for cell in found) / len(found))
            print(f"{file}: ranks {table.shape.domains}, {good} of {len(found)} cells within 10 %")
            print(f"    ({good / len(found):.1%}), on average {mean:.3f} times the fastest's time")
            for cell in found[: given.worst]:
                what = f"{cell.kind} of {cell.bytes} bytes"
                print(f"    {cell.ratio:.2f} {what}: {cell.chosen}; best {cell.best}")


if __name__ == "__main__":
    main()
