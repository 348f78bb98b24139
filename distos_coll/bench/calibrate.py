"""Starts the jobs of `bench --calibrate` and `--check-plan` on this host, one after the other."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from distos_coll import profiles
from distos_coll.bench.findings import CHECK, PROBE, SWEEP, Found, conclude
from distos_coll.bench.local import run_local
from distos_coll.bench.options import Options
from distos_coll.settings import NO_PROFILE, variable_of

MOST_CORES = 16
"""That are used without being asked for: a group of each core of a large machine takes long."""


def run_here(options: Options, ranks: int, say: Callable[[str], None]) -> bool:
    """Measure groups of `ranks`, or where it is 0 of two, of one for each core and of two for each.

    Return whether all is well.
    """
    if options.purpose != CHECK:
        profiles.prepare(Path(options.profile_file))
    busy, cores = os.getloadavg()[0], os.cpu_count() or 1
    if busy > cores / 2 and not options.json_only:
        say(f"# this machine is busy (load {busy:.1f} on {cores} cores); measure when it is idle")
    started = time.monotonic()
    found = []
    for purpose, size, changed in _jobs(options, ranks):
        environment = {variable_of(name): value for name, value in changed.items()}
        found.append(_done(replace(options, purpose=purpose), size, environment))
        if not options.json_only:
            what = " ".join([f"{purpose} of {size} ranks", *map("=".join, environment.items())])
            say(f"# {time.monotonic() - started:6.1f} s: {what}")
    return conclude(found, options, say)


def _jobs(options: Options, ranks: int) -> list[tuple[str, int, dict[str, str]]]:
    """Return (purpose, number of ranks, changed settings)."""
    cores = min(len(os.sched_getaffinity(0)), MOST_CORES)
    groups = [ranks] if ranks else sorted({2, max(cores, 2), 2 * cores})
    if options.purpose == CHECK:
        return [(CHECK, size, {}) for size in groups]
    # A profile that is there already, perhaps a stale one, has no say in what is measured.
    none = {"profile": NO_PROFILE}
    return [
        (PROBE, 2, none),
        (PROBE, 2, {**none, "single_copy": "0"}),
        (PROBE, 2, {**none, "shm": "0"}),
        (PROBE, 2 * cores, none),
        *((SWEEP, size, none) for size in groups),
    ]


def _done(options: Options, ranks: int, environment: Mapping[str, str]) -> Found:
    with tempfile.TemporaryDirectory(prefix="distos_coll.calibrate.") as folder:
        file = Path(folder) / "found.json"
        run_local(replace(options, result_file=str(file)), ranks, environment)
        return Found.from_dict(json.loads(file.read_text(encoding="utf-8")))
