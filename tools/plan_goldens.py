"""What plans over topologies cost by each model: winners and times, which a test compares with.

    python tools/plan_goldens.py >tests/data/plan-goldens.json

A change of the search, of a model or of figures shows as a difference, to be looked at line by
line. Topologies are those of tests/helpers/machines.py, and two groups of hosts without GPUs.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))

import machines

from distos_coll._vocabulary import Collective
from distos_coll.layout.lay import lay_out
from distos_coll.layout.placement import place, repeated
from distos_coll.layout.result import Layout
from distos_coll.planner import ClusterView, plan
from distos_coll.planner.job_plan import job_plan
from distos_coll.plugins.manager import built_in_registry, default_cost_models

SIZES = tuple(1 << power for power in (3, 10, 16, 20, 24, 28, 33))
COLLECTIVES = (Collective.ALL_REDUCE, Collective.ALL_GATHER, Collective.REDUCE_SCATTER)
MODELS = ("nccl", "pipeline", "calibrated")
JOBS = {
    "hybrid cube mesh": (machines.cube_mesh, 1),
    "NVSwitch, 400G": (machines.nvswitch_400g, 1),
    "NVSwitch, 400G, 16 hosts": (machines.nvswitch_400g, 16),
    "NVSwitch, 200G, 4 hosts": (machines.nvswitch_200g, 4),
    "two NICs, 4 hosts": (machines.two_nics, 4),
    "pairs with bridges": (machines.bridged_pairs, 1),
}
GROUPS = {
    "2 ranks, one host": ClusterView.one_domain(2),
    "8 ranks, one host": ClusterView.one_domain(8),
    "4 hosts of 2": ClusterView(8, (0, 0, 1, 1, 2, 2, 3, 3)),
    "64 hosts": ClusterView(64, tuple(range(64))),
}


def goldens() -> dict[str, dict[str, list[str]]]:
    """For each job or group and question: at each size the winner and its microseconds."""
    found: dict[str, dict[str, list[str]]] = {}
    for name, (make, copies) in JOBS.items():
        topology = repeated(make(), copies) if copies > 1 else make()
        layout = lay_out(topology, place(topology))
        found[name] = {"layout": _laid(layout), **dict(_priced(layout))}
    for name, view in GROUPS.items():
        table = plan(view, registry=built_in_registry(), collectives=COLLECTIVES)
        found[name] = {
            collective.name.lower(): [
                _line(choice.candidate.name, choice.candidate.predict(size))
                for size in SIZES
                for choice in (table.choice(collective, size),)
            ]
            for collective in COLLECTIVES
        }
    return found


def _laid(layout: Layout) -> list[str]:
    return [
        f"{kind}: {graph.channels} x {graph.gbps_intra:.4g} and {graph.gbps_inter:.4g} GB/s"
        for kind, graph in (("rings", layout.rings), ("trees", layout.trees))
    ]


def _priced(layout: Layout) -> Iterator[tuple[str, list[str]]]:
    for model in MODELS:
        for collective in COLLECTIVES:
            priced = job_plan(layout, collective, model, default_cost_models(), built_in_registry())
            best = [priced.best(size) for size in SIZES]
            lines = [_line(each.name, each.time_us or 0.0) for each in best]
            yield f"{collective.name.lower()}, {model}", lines


def _line(name: str, us: float) -> str:
    return f"{name} {us:.4g}"


def main() -> Any:
    print(json.dumps({"sizes": SIZES, "times": goldens()}, indent=1))


if __name__ == "__main__":
    main()
