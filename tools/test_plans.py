"""Writes the plans that the C++ tests run: `python tools/test_plans.py FOLDER`.

One file per group size, domain limit and algorithm, named `<size>_<limit>_<algo>.plan`; an empty
algorithm leaves the choice to the planner.
"""

from __future__ import annotations

import sys
from pathlib import Path

from distos_coll.planner import ClusterView, plan

GROUPS = [(2, 0), (3, 0), (4, 0), (3, 2), (4, 2), (5, 2)]
ALGORITHMS = ["", "ring", "tree", "rhd", "hier", "direct1", "direct2"]


def view_of(size: int, limit: int, slot_bytes: int) -> ClusterView:
    domains = tuple(rank // limit if limit else 0 for rank in range(size))
    return ClusterView(size, domains, (True,) * (max(domains) + 1), slot_bytes=slot_bytes)


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for size, limit in GROUPS:
        for name in ALGORITHMS:
            if limit and name == "direct1":
                continue
            algo = f"allreduce:{name}" if name else ""
            chosen = plan(view_of(size, limit, slot_bytes=4096), algo=algo)
            small = chosen.with_segment_bytes(1024)
            (folder / f"{size}_{limit}_{name}.plan").write_bytes(small.encode())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
