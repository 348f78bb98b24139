"""Random collectives over random subgroups for a long time: no wrong result, no growth.

    python bench/soak.py [--ranks 4] [--minutes 30] [--seed 1]

Each rank is a process. All draw the same numbers, so all know who is in which group and what is
called next; every element of every result is compared. Groups come and go. Memory and descriptors
are read every few seconds: what they grow by between the second quarter of the run and its end is
the verdict. Exit code 1 if a result was wrong, a rank failed, or something grew.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

import distos_coll
from distos_coll.bench import data
from distos_coll.bench.collectives import COLLECTIVES, Place
from distos_coll.bench.doors import ArrayDoor, Case
from distos_coll.bench.elements import ELEMENTS, Element

GROUPS = 6
CALLS_PER_ROUND = 200
LARGEST_BYTES = 4 << 20
ALLOWED_MIB = 4
NO_OP = data.NO_OP


@dataclass
class Sample:
    """What a process held at one time."""

    seconds: float
    resident_mib: float
    descriptors: int
    threads: int


@dataclass
class Outcome:
    rank: int
    calls: int = 0
    wrong: int = 0
    samples: list[Sample] = field(default_factory=list)


def sample(start: float) -> Sample:
    # What is free already and only kept for reuse is no growth.
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    lines = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Sample(
        time.monotonic() - start,
        int(lines["VmRSS"].split()[0]) / 1024,
        sum(1 for _ in Path("/proc/self/fd").iterdir()),
        int(lines["Threads"]),
    )


def draw_case(draw: random.Random, ranks: int) -> tuple[str, Element, str, int, int]:
    name = draw.choice(sorted(COLLECTIVES))
    element = draw.choice(ELEMENTS)
    ops = [op for op in data.OPS if data.defined(element, op)]
    op = draw.choice(ops) if COLLECTIVES[name].reduces else NO_OP
    root = draw.randrange(ranks) if COLLECTIVES[name].rooted else 0
    # As many small ones as large ones, by their logarithm.
    nbytes = int(2 ** draw.uniform(0, np.log2(LARGEST_BYTES)))
    return name, element, op, root, nbytes // element.nbytes


def call_once(door: ArrayDoor, draw: random.Random, seed: int) -> int:
    """Run one random call on the group; return how many elements were wrong."""
    name, element, op, root, count = draw_case(draw, door.ranks)
    collective = COLLECTIVES[name]
    place = Place(door.rank, door.ranks, root)
    case = Case(collective, element, op, collective.shape(place, count), place)
    if door.refusal(case) or not door.forms(collective)[0]:
        return 0
    pattern = data.Pattern(element, op, door.ranks, seed)
    x = np.empty(case.shape.send, element.storage)
    out = np.empty(case.shape.recv, element.storage)
    out.view(np.uint8)[:] = 0xA5
    data.write(x, pattern, door.rank)
    door.bind(case, x, out)()
    return data.count_wrong(out, pattern, case.shape.expected)


def run_round(world: distos_coll.Communicator, number: int, outcome: Outcome, seed: int) -> None:
    """Make groups, call on them in an order that all ranks know, close them."""
    common = random.Random(f"{seed}/{number}")
    parts = []
    for _ in range(GROUPS):
        color = [common.randrange(3) for _ in range(world.size)][world.rank]
        part = world.split(color)
        assert part is not None
        parts.append(part)
    doors = [ArrayDoor(part) for part in parts]
    order = [common.randrange(GROUPS) for _ in range(CALLS_PER_ROUND)]
    for step, which in enumerate(order):
        # Drawn by everybody, members of this rank's part of the group or not.
        draw = random.Random(f"{seed}/{number}/{step}")
        outcome.wrong += call_once(doors[which], draw, number * CALLS_PER_ROUND + step)
        outcome.calls += 1
    for part in parts:
        part.close()


def run_rank(options: argparse.Namespace) -> None:
    outcome = Outcome(options.rank)
    start = time.monotonic()
    with distos_coll.init(
        rank=options.rank, size=options.ranks, rendezvous=options.rendezvous, timeout=120
    ) as world:
        goes_on, number, next_sample = True, 0, 0.0
        while goes_on:
            run_round(world, number, outcome, options.seed)
            number += 1
            now = time.monotonic() - start
            if now >= next_sample:
                outcome.samples.append(sample(start))
                next_sample = now + max(1.0, options.minutes * 60 / 200)
            late = np.array([now >= options.minutes * 60], dtype=np.uint8)
            goes_on = not bool(world.all_reduce(late, "max")[0])
    print(json.dumps(outcome, default=vars), flush=True)


def growth(samples: list[Sample], name: str) -> float:
    """Return by how much the last eighth lies above the second quarter (medians)."""
    n = len(samples)
    values = [float(getattr(each, name)) for each in samples]
    early = values[n // 4 : max(n // 2, n // 4 + 1)]
    late = values[-max(n // 8, 1) :]
    return statistics.median(late) - statistics.median(early)


def verdict(outcomes: list[Outcome]) -> bool:
    good = True
    for each in outcomes:
        mib, descriptors, threads = (
            growth(each.samples, name) for name in ("resident_mib", "descriptors", "threads")
        )
        last = each.samples[-1]
        grown = mib > ALLOWED_MIB or descriptors > 2 or threads > 0
        good = good and not grown and each.wrong == 0
        print(
            f"rank {each.rank}: {each.calls} calls, {each.wrong} wrong elements; "
            f"{last.resident_mib:.0f} MiB ({mib:+.1f}), {last.descriptors} descriptors "
            f"({descriptors:+.0f}), {last.threads} threads ({threads:+.0f})"
        )
    print("well" if good else "NOT well")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rank", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--rendezvous", default=f"unix:soak{os.getpid()}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rank >= 0:
        run_rank(options)
        return 0
    # An attempt to fill all memory ends the run, not the machine.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    command = [sys.executable, __file__, *sys.argv[1:], "--rendezvous", options.rendezvous]
    ranks = [
        subprocess.Popen([*command, "--rank", str(rank)], stdout=subprocess.PIPE, text=True)
        for rank in range(options.ranks)
    ]
    try:
        outputs = [rank.communicate(timeout=options.minutes * 60 + 600)[0] for rank in ranks]
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.wait()
    if any(rank.returncode for rank in ranks):
        print("ranks ended with", [rank.returncode for rank in ranks])
        return 1
    outcomes = []
    for text in outputs:
        raw = json.loads(text)
        raw["samples"] = [Sample(**each) for each in raw["samples"]]
        outcomes.append(Outcome(**raw))
    return 0 if verdict(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
