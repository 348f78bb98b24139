"""Four hosts of which every pair has a link of its own, one of them slow: what the planned orders
gain over the order of ranks, beside what the model says.

    sudo python bench/mesh.py [--slow-rate 100mbit] [--repeats 5] [--json FILE]

The hosts are network namespaces. First `distos-coll bench --calibrate` runs across them and writes
a profile, with the links that it found. Then ring and tree of an all_reduce are timed in the order
of ranks (the same profile without the links) and in the planned order; all take turns, so that they
see the same machine. Figures are medians of the repeats. Besides the four, what the planner chooses
by itself is timed.

Needs root and iproute2. Ctrl-C removes the namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mesh_network import Mesh, missing

from distos_coll.planner import ClusterView
from distos_coll.planner.choose import Costs
from distos_coll.planner.lay import laid
from distos_coll.planner.profile import Profile
from distos_coll.plugins.manager import default_registry
from distos_coll.profiles import load
from distos_coll.settings_text import parse_bytes

TREE = Path(__file__).parents[1]
HOSTS = 4
SLOW = (0, 1)
RANKS, PLANNED = "order of ranks", "planned order"
COLLECTIVE = "all_reduce"


@dataclass(frozen=True)
class Variant:
    algorithm: str
    """"": what the planner chooses."""
    order: str


VARIANTS = (
    Variant("ring", RANKS),
    Variant("tree", RANKS),
    Variant("ring", PLANNED),
    Variant("tree", PLANNED),
    Variant("", PLANNED),
)


def python_path() -> str:
    return os.pathsep.join(filter(None, (str(TREE), os.environ.get("PYTHONPATH"))))


class Group:
    """A rank on each host, who wait for orders."""

    def __init__(self, mesh: Mesh, variant: Variant, profile: Path, port: int) -> None:
        env = {
            "PYTHONPATH": python_path(),
            "DISTOS_COLL_PROFILE": str(profile),
            "DISTOS_COLL_ALGO": f"allreduce:{variant.algorithm}" if variant.algorithm else "",
            "DISTOS_COLL_RENDEZVOUS": f"{mesh.addresses[0]}:{port}",
        }
        command = [sys.executable, __file__, "--rank"]
        self._ranks = [mesh.start(host, command, env) for host in range(HOSTS)]
        self.layout = self._answers()[0]

    def _answers(self) -> list[Any]:
        lines = [rank.stdout.readline() if rank.stdout else "" for rank in self._ranks]
        if "" in lines:
            errors = [rank.communicate()[1] for rank in self._ranks]
            raise SystemExit("a rank ended early: " + "\n".join(errors))
        return [json.loads(line) for line in lines]

    def all_reduce(self, nbytes: int) -> dict[str, Any]:
        """Seconds of a call, the slowest rank's; algorithm and segment."""
        for rank in self._ranks:
            print(nbytes, file=rank.stdin, flush=True)
        answers: list[dict[str, Any]] = self._answers()
        return answers[0] | {"seconds": max(each["seconds"] for each in answers)}

    def stop(self) -> None:
        for rank in self._ranks:
            rank.communicate(timeout=60)


def run_rank() -> None:
    """Times what the lines of standard input ask for: bytes."""
    import numpy as np

    import distos_coll

    with distos_coll.init(timeout=120) as group:
        lines = group.explain(COLLECTIVE, 1 << 20).layout
        print(json.dumps(lines), flush=True)
        whole = np.empty(0, np.float32)
        for line in sys.stdin:
            if whole.nbytes < int(line):
                whole = np.empty(int(line) // 4, np.float32)
            data = whole[: int(line) // 4]
            # Pages that do not exist yet would cost more than the links.
            data.fill(0)
            group.all_reduce(data[: len(data) // 16])
            group.barrier()
            started = time.perf_counter()
            group.all_reduce(data)
            seconds = time.perf_counter() - started
            winner = group.explain(COLLECTIVE, data.nbytes).winner
            answer = {"algorithm": winner.algorithm, "segment": winner.segment_bytes}
            print(json.dumps(answer | {"seconds": seconds}), flush=True)


# ---- the model


def model_us(
    profile: Profile, hosts: list[str], order: str, answer: dict[str, Any], nbytes: int
) -> float:
    """What the cost function says where links are as they were measured, in either order."""
    view = ClusterView(HOSTS, tuple(range(HOSTS)), profile=profile, hosts=tuple(hosts))
    assert view.links is not None
    tcp, ones = profile.figures.tcp, (1,) * HOSTS
    layout = laid(view.links, view.domain_of, ones, tcp, planned=order == PLANNED)
    costs = replace(Costs(view).at(nbytes, answer["segment"]), remote=layout.remote)
    spec = next(
        each.spec
        for each in default_registry().algorithms
        if each.spec.key == answer["algorithm"] and each.spec.collective.name.lower() == COLLECTIVE
    )
    return spec.cost(costs)


# ---- the measurement


def calibrated(mesh: Mesh, folder: Path) -> tuple[Path, Path, str]:
    """The profile with the links, the same without, and what was printed."""
    path = folder / "links.json"
    command = [sys.executable, "-m", "distos_coll", "bench", COLLECTIVE, "--calibrate"]
    command += ["-b", "8", "-e", "8", "-n", "3"]
    env = {"PYTHONPATH": python_path(), "DISTOS_COLL_PROFILE": str(path)}
    ranks = [mesh.start(host, command, env) for host in range(HOSTS)]
    told = [rank.communicate(timeout=300) for rank in ranks]
    if any(rank.returncode for rank in ranks):
        raise SystemExit("the calibration failed: " + "\n".join(err for _, err in told))
    value = json.loads(path.read_text(encoding="utf-8"))
    # Times of 8 bytes would correct what is predicted of large sizes, too.
    value["profile"]["tables"] = []
    path.write_text(json.dumps(value), encoding="utf-8")
    value["profile"]["links"] = []
    without = folder / "none.json"
    without.write_text(json.dumps(value), encoding="utf-8")
    return path, without, told[0][0]


def measure(mesh: Mesh, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    path, without, said = calibrated(mesh, folder)
    print(said, file=sys.stderr)
    profile = load(path).profile
    groups = [
        Group(mesh, variant, path if variant.order == PLANNED else without, 29760 + i)
        for i, variant in enumerate(VARIANTS)
    ]
    seconds: dict[tuple[int, int], list[float]] = {}
    answers: dict[tuple[int, int], dict[str, Any]] = {}
    for repeat in range(options.repeats):
        for nbytes in options.sizes:
            for i in range(len(groups)) if repeat % 2 else reversed(range(len(groups))):
                answer = answers[i, nbytes] = groups[i].all_reduce(nbytes)
                seconds.setdefault((i, nbytes), []).append(answer["seconds"])
        print(f"# repeat {repeat + 1} of {options.repeats}", file=sys.stderr)
    for group in groups:
        group.stop()
    rows = []
    for nbytes in options.sizes:
        for i, variant in enumerate(VARIANTS):
            pairs = zip(seconds[0, nbytes], seconds[i, nbytes], strict=True)
            us = [
                model_us(profile, mesh.names, VARIANTS[k].order, answers[k, nbytes], nbytes)
                for k in (0, i)
            ]
            rows.append(
                {
                    "bytes": nbytes,
                    "algorithm": answers[i, nbytes]["algorithm"],
                    "chosen": not variant.algorithm,
                    "order": variant.order,
                    "segment": answers[i, nbytes]["segment"],
                    "seconds": statistics.median(seconds[i, nbytes]),
                    "least": min(seconds[i, nbytes]),
                    "most": max(seconds[i, nbytes]),
                    "model_seconds": us[1] / 1e6,
                    "gain": statistics.median(first / own for first, own in pairs),
                    "model_gain": us[0] / us[1],
                }
            )
    return {"rows": rows, "layout": groups[-1].layout, "calibration": said}


def table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| bytes | algorithm | order | seconds | by the model | gain | by the model | off by |"
    ]
    lines += ["|---|---|---|---|---|---|---|---|"]
    for row in rows:
        off = row["gain"] / row["model_gain"] - 1
        name = f"{row['algorithm']} (chosen)" if row["chosen"] else row["algorithm"]
        lines.append(
            f"| {row['bytes']:,} | {name} | {row['order']} | {row['seconds']:.3f} "
            f"| {row['model_seconds']:.3f} | {row['gain']:.2f} | {row['model_gain']:.2f} "
            f"| {off:+.0%} |"
        )
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", default="1gbit", help="of each link, as tc writes it")
    parser.add_argument("--slow-rate", default="100mbit", help="of the one between hosts 0 and 1")
    parser.add_argument("--sizes", default="4M,16M,64M", type=sizes)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def sizes(text: str) -> list[int]:
    return [parse_bytes(each) for each in text.split(",")]


def main() -> None:
    options = parsed()
    if lacking := missing():
        raise SystemExit(f"skipped: {lacking}")
    mesh = Mesh("distos_mesh_", HOSTS, options.rate, {SLOW: options.slow_rate})
    with mesh, tempfile.TemporaryDirectory(prefix="distos_mesh_") as folder:
        found = measure(mesh, options, Path(folder))
    print(f"# {HOSTS} hosts, a rank each; links: {mesh}")
    for line in found["layout"]:
        print(f"# {line}")
    print(table(found["rows"]))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        run_rank()
    else:
        main()
