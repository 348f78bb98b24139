"""What `bench --calibrate` and `--check-plan` measure in a group, and what they make of it.

A job's ranks do one purpose and leave what they found in a file, for the process that started them
(calibrate.py). Of a launcher's job rank 0 concludes itself.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from distos_coll import profiles
from distos_coll.bench.links import now, probe_links
from distos_coll.bench.options import Options
from distos_coll.bench.probes import Measured, probe
from distos_coll.bench.sweep import Effort, sweep
from distos_coll.communicator import Communicator
from distos_coll.errors import InvalidArgument
from distos_coll.planner import Plan
from distos_coll.planner.links import Links
from distos_coll.planner.profile import BUILT_IN, Profile, Table
from distos_coll.planner.profile_text import as_dict, from_dict
from distos_coll.plugins.costs import Figures, LinkCost
from distos_coll.profiles import Stored

PROBE, SWEEP, CALIBRATE, CHECK = "probe", "sweep", "calibrate", "check"
"""Links and kernels; candidates; both, and the profile; candidates against the plan."""
REPEATS = 7
"""Of each time, where -n does not say."""
NEAR_ENOUGH = 1.1
"""The chosen candidate's time over the fastest one's."""
ENOUGH = 0.9
"""Of the cells."""
Say = Callable[[str], None]
_SOME = 3
"""Pairs of hosts that are named."""


@dataclass(frozen=True)
class Cell:
    """What the plan chose for a size, what was fastest, and the times that they took."""

    ranks: int
    kind: str
    bytes: int
    chosen: str
    chosen_us: float
    fastest: str
    fastest_us: float

    @property
    def good(self) -> bool:
        return self.chosen_us <= NEAR_ENOUGH * self.fastest_us


@dataclass(frozen=True)
class Found:
    """What a job measured."""

    figures: Measured
    tables: tuple[Table, ...] = ()
    cells: tuple[Cell, ...] = ()
    basis: str = ""
    links: Links | None = None

    def as_dict(self) -> dict[str, Any]:
        links = (self.links,) if self.links else ()
        profile = Profile(replace(Figures(), **self.figures), self.tables, links)
        return {
            "measured": list(self.figures),
            "profile": as_dict(profile),
            "cells": [asdict(cell) for cell in self.cells],
            "basis": self.basis,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> "Found":
        profile = from_dict(value["profile"])
        figures = {name: getattr(profile.figures, name) for name in value["measured"]}
        cells = tuple(Cell(**cell) for cell in value["cells"])
        links = next(iter(profile.links), None)
        return cls(figures, profile.tables, cells, value["basis"], links)


# ---- in the ranks


def run_purpose(group: Communicator, options: Options, say: Say) -> bool:
    """Do a job's purpose; rank 0 leaves or reports what was found."""
    effort = Effort(options.sizes, options.iterations, options.collectives)
    figures: Measured = {}
    tables: list[Table] = []
    cells: list[Cell] = []
    links: Links | None = None
    plan = group._plan  # noqa: SLF001  hidden from users, not from here
    if options.purpose in {PROBE, CALIBRATE}:
        figures = probe(group)
        links = probe_links(group, _remark(group, say))
    if options.purpose == CALIBRATE and links is not None:
        # The candidates are those of groups that will know these links.
        known = replace(plan.view.profile, links=(links,))
        plan = replace(plan, view=replace(plan.view, profile=known))
    if options.purpose != PROBE:
        tables = [sweep(group, plan, effort)]
    if options.purpose == CHECK:
        cells = [cell for table in tables for cell in cells_of(plan, table)]
    if group.rank != 0:
        return True
    found = Found(figures, tuple(tables), tuple(cells), plan.basis, links)
    if not options.result_file:
        return conclude([found], options, say)
    Path(options.result_file).write_text(json.dumps(found.as_dict()), encoding="utf-8")
    return True


def _remark(group: Communicator, say: Say) -> Say:
    """Say it once."""
    return say if group.rank == 0 else lambda _: None


def cells_of(plan: Plan, table: Table) -> Iterator[Cell]:
    """Compare what a plan chooses with times that it does not know."""
    for kind, curves in table.kinds.items():
        times: dict[int, dict[str, float]] = {}
        for name, curve in curves.items():
            for size, us in zip(curve.sizes, curve.us, strict=True):
                times.setdefault(size, {})[name] = us
        for size, us_of in times.items():
            row = plan.choice(kind.collective, size, halves=kind.halves)
            chosen, fastest = row.candidate.name, min(us_of, key=us_of.__getitem__)
            yield Cell(
                plan.view.size, kind.text, size, chosen, us_of[chosen], fastest, us_of[fastest]
            )


# ---- what comes of it


def conclude(found: Sequence[Found], options: Options, say: Say) -> bool:
    """Store the profile, or judge the plans; return whether all is well."""
    if options.purpose == CHECK:
        return _judge(found, options, say)
    path = Path(options.profile_file)
    stored = together(_known(path), found)
    profiles.save(stored, path)
    if options.json_only:
        say(profiles.as_text(stored).rstrip())
        return True
    for line in figure_lines(stored.profile.figures):
        say(line)
    for links in stored.profile.links:
        for line in link_lines(links):
            say(line)
    for table in stored.profile.tables:
        times = sum(len(curve.us) for curves in table.kinds.values() for curve in curves.values())
        say(f"# {sum(table.shape.domains)} ranks: {times} times, {table.shape}")
    say(f"# written to {path}")
    return True


def _known(path: Path) -> Profile:
    """Return what was measured before of this very machine and build."""
    try:
        return profiles.load(path).profile
    except (OSError, ValueError, RuntimeError):
        return BUILT_IN


def together(known: Profile, found: Sequence[Found]) -> Stored:
    """Return the profile with what was found in place of what was known."""
    figures: Measured = {}
    kinds = {table.shape: table.kinds for table in known.tables}
    for each in found:
        figures |= each.figures
        for table in each.tables:
            kinds[table.shape] = {**kinds.get(table.shape, {}), **table.kinds}
    tables = tuple(Table(shape, each) for shape, each in kinds.items())
    measured = next((each.links for each in found if each.links is not None), None)
    links = known.links if measured is None else (measured,)
    profile = Profile(replace(known.figures, **figures), tables, links)
    return Stored(profiles.own_key(), now(), profile)


def figure_lines(figures: Figures) -> Iterator[str]:
    yield f"# {'':12} {'latency':>12} {'bandwidth':>14} {'from memory':>14}"
    for name, value in vars(figures).items():
        if isinstance(value, LinkCost):
            far = f"{value.far_gbps:.2f} GB/s" if value.far_gbps else ""
            yield f"# {name:12} {value.alpha_us:9.2f} us {value.gbps:9.2f} GB/s {far:>14}"
        else:
            yield f"# {name:12} {value:12.6g}"


def link_lines(links: Links) -> Iterator[str]:
    """Each class of links, and how many pairs of hosts have it."""
    yield f"# links between {len(links.hosts)} hosts"
    for number, each in enumerate(links.classes):
        pairs = [
            (links.hosts[a], links.hosts[b])
            for a, row in enumerate(links.rows)
            for b, k in enumerate(row)
            if k == number and a != b
        ]
        cost = each.cost(LinkCost(0.0, 0.0))
        some = ", ".join(f"{a} to {b}" for a, b in pairs[:_SOME])
        yield (
            f"# {len(pairs):12} {cost.alpha_us:9.2f} us {cost.gbps:9.4f} GB/s  {some}"
            + (", ..." if len(pairs) > _SOME else "")
        )
    ports = [gbps for gbps in links.ports if gbps is not None]
    if ports:
        yield f"# {'ports':>12} {min(ports):.4f} to {max(ports):.4f} GB/s with all others at once"


def _judge(found: Sequence[Found], options: Options, say: Say) -> bool:
    cells = [cell for each in found for cell in each.cells]
    if not cells:
        why = "the sizes leave ranks nothing"
        raise InvalidArgument(f"nothing was measured: {why}")
    bad = [cell for cell in cells if not cell.good]
    share = 1 - len(bad) / len(cells)
    if options.json_only:
        say(json.dumps({"good": share, "cells": [asdict(cell) for cell in cells]}))
        return share >= ENOUGH
    for each in {each.basis: each for each in found}.values():
        say(f"# predicted by {each.basis}")
    for cell in bad:
        say(
            f"{cell.ranks} ranks, {cell.kind} of {cell.bytes} bytes: chose {cell.chosen}, "
            f"{cell.chosen_us:.1f} us; {cell.fastest} took {cell.fastest_us:.1f} us"
        )
    say(
        f"# {len(cells) - len(bad)} of {len(cells)} choices ({share:.1%}) were the fastest, or "
        f"within {NEAR_ENOUGH - 1:.0%} of it; {ENOUGH:.0%} are needed"
    )
    return share >= ENOUGH
