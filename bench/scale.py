"""What plans, verification and models of large clusters cost: seconds and memory.

    python bench/scale.py [--only plan,verify,reports] [--ranks 1024] [--reference 128] [--json]

* plan: the whole PlanTable of one rank of 16,384, all collectives, in three partitions
* verify: ring, tree and hierarchical all-reduce of --ranks ranks, each with its typical calls in
  both extremes; with --reference N the reference in Python, too, with so many ranks
* reports: the model of 16,384 GPUs from the reports of 2,048 hosts, joined and as documents

Each measurement has a process of its own. Seconds are the processor's, which on an idle core are
those of the clock; medians, the first one apart where it makes what later ones find. Memory is what
Python allocated (tracemalloc, in a run of its own) and the most that the process had, all libraries
included.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

RANKS, HOSTS = 16_384, 2_048
PARTITIONS = {
    "one domain": (0,) * RANKS,
    "2,048 domains of 8": tuple(rank // 8 for rank in range(RANKS)),
    "16,384 domains of 1": tuple(range(RANKS)),
}
VERIFIED = {"ring": 1, "tree": 1, "hier": 8}
"""Ranks in a domain."""
Figures = dict[str, Any]


def seconds(work: Callable[[], Any], times: int) -> list[float]:
    found = []
    for _ in range(times):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return found


def python_mib(work: Callable[[], Any]) -> float:
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / (1 << 20)


def process_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def of_plan(name: str) -> Figures:
    from distos_coll.planner import ClusterView, plan

    def whole() -> bytes:
        return plan(ClusterView(RANKS, PARTITIONS[name])).encode()

    first, *rest = seconds(whole, 8)
    most = process_mib()
    return {
        "seconds": statistics.median(rest),
        "first_seconds": first,
        "bytes": len(whole()),
        "python_mib": python_mib(whole),
        "process_mib": most,
    }


def of_programs() -> Figures:
    from distos_coll.plugins.manager import built_in_registry
    from distos_coll.program.encode import encode_program

    registry = built_in_registry()
    sizes = [len(encode_program(registry.program(each))) for each in registry.algorithms]
    return {"count": len(sizes), "bytes_median": statistics.median(sizes), "bytes_most": max(sizes)}


def of_verify(name: str, ranks: int, engine: str) -> Figures:
    from distos_coll.plugins.manager import built_in_registry
    from distos_coll.program.native import Native
    from distos_coll.program.reference import Reference
    from distos_coll.program.verify import Collective, verify

    registry = built_in_registry()
    algorithm = next(each for each in registry.of(Collective.ALL_REDUCE) if each.spec.key == name)
    domain_of = tuple(rank // VERIFIED[name] for rank in range(ranks))
    start = time.process_time()
    found = verify(
        registry.program(algorithm),
        ranks,
        domain_of=domain_of,
        engine=Native if engine == "core" else Reference,
    )
    took = time.process_time() - start
    return {"seconds": took, "steps": found.steps, "process_mib": process_mib()}


def of_reports(how: str) -> Figures:
    import topology as clusters

    from distos_coll.topology import report
    from distos_coll.topology.exports import build_topology
    from distos_coll.topology.merge import Part, merge
    from distos_coll.topology.source import Document

    packed = [report.pack(build_topology([clusters.host(h)])) for h in range(HOSTS)]

    def joined() -> Any:
        return report.unpack(Document("job", b"".join(packed)))[0]

    def documents() -> Any:
        parts = (
            Part(f"host {h}", report.unpack(Document(f"host {h}", data))[0])
            for h, data in enumerate(packed)
        )
        return merge(parts).topology

    work = joined if how == "joined" else documents
    took = seconds(work, 3)
    topology = work()
    return {
        "seconds": statistics.median(took),
        "bytes": sum(map(len, packed)),
        "gpus": sum(len(host.gpus) for host in topology.hosts),
        "templates": len(topology.templates),
        "process_mib": process_mib(),
    }


def measurements(only: set[str], ranks: int, reference: int) -> list[tuple[str, list[str]]]:
    found = []
    if "plan" in only:
        found += [(f"plan of {RANKS:,} ranks, {name}", ["plan", name]) for name in PARTITIONS]
        found.append(("programs", ["programs"]))
    if "verify" in only:
        for name in VERIFIED:
            engines = [("core", ranks)] + ([("reference", reference)] if reference else [])
            found += [
                (f"{name} of {n:,} ranks, {engine}", ["verify", name, str(n), engine])
                for engine, n in engines
            ]
    if "reports" in only:
        found += [(f"{HOSTS:,} reports, {how}", ["reports", how]) for how in ("joined", "apart")]
    return found


def measure(what: list[str]) -> Figures:
    kind, *rest = what
    if kind == "plan":
        return of_plan(rest[0])
    if kind == "programs":
        return of_programs()
    if kind == "verify":
        return of_verify(rest[0], int(rest[1]), rest[2])
    return of_reports(rest[0])


def in_words(figures: Figures) -> str:
    units = {"seconds": "s", "mib": "MiB"}
    parts = []
    for name, value in figures.items():
        head, _, last = name.rpartition("_")
        unit = units.get(last or name)
        label = head if unit and head else "" if unit else name.replace("_", " ")
        text = f"{value:,.3f}" if unit == "s" else f"{value:,.0f}"
        parts.append(" ".join(filter(None, (label, text, unit))))
    return ", ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="plan,verify,reports")
    parser.add_argument("--ranks", type=int, default=1024, help="of what is verified")
    parser.add_argument("--reference", type=int, default=0, help="ranks for the reference")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    found = {}
    only = set(arguments.only.split(","))
    for name, what in measurements(only, arguments.ranks, arguments.reference):
        command = [sys.executable, __file__, "--measure", *what]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = json.loads(done.stdout)
        if not arguments.json:
            print(f"{name:<44} {in_words(found[name])}", flush=True)
    if arguments.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
