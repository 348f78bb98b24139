"""all_reduce between two hosts against what their link gives: the rate of iperf3 for large sizes,
half the round trip of a TCP ping-pong for 8 bytes.

    sudo python bench/hosts.py [--rate 1gbit] [--repeats 7] [--json FILE]

The hosts are two network namespaces joined by a veth pair. Everything takes turns, so that all see
the same machine: in each repeat iperf3 in one direction, iperf3 in both at once, distos at each
size, then for each way of waiting the ping-pong and distos. Figures are medians over the repeats,
ratios the medians of the repeats' ratios.

--flow-rate limits what one connection gets, as many clouds do; --delay takes packets the long way,
through a relay that holds them (bench/delay_link.cc). --base runs the library of another tree in
turn with this one's; --sockets the same library with other numbers of sockets a peer.

Of 8 bytes also the exchange is measured: both send, then both receive, which is the least that an
all_reduce of one step consists of; it takes longer than one way, because each side both sends and
receives. Times of 8 bytes are medians of calls.

Needs root, iproute2, iperf3 and a C++ compiler. Ctrl-C removes the namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from hosts_network import HOSTS, Network, build, missing, run_in, start_in

from distos_coll.settings_text import parse_bytes

TREE = Path(__file__).parents[1]
PORT = 29740
# How a rank waits: DISTOS_COLL_SPIN_US and DISTOS_COLL_YIELD_US.
WAITS = {"spin": (1_000_000, 0), "default": (5, 200), "sleep": (0, 0)}
SMALL_BYTES = 8
SMALL_CALLS = 1000


@dataclass(frozen=True)
class Variant:
    """One library, as its ranks are started."""

    name: str
    tree: Path = TREE
    env: dict[str, str] = field(default_factory=dict, hash=False)


class Group:
    """Ranks of one variant, half of them on each host, who wait for orders."""

    ports = iter(range(PORT + 1, PORT + 100))

    def __init__(self, network: Network, variant: Variant, per_host: int) -> None:
        self.variant = variant
        size = 2 * per_host
        rendezvous = f"{network.addresses[0]}:{next(self.ports)}"
        ours = ("DISTOS_COLL_", "NCCL_")
        env = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        env |= {"PYTHONPATH": str(variant.tree), **variant.env}
        self.ranks = [
            start_in(
                HOSTS[rank // per_host],
                [sys.executable, __file__, "--rank", str(rank), str(size), rendezvous],
                env,
            )
            for rank in range(size)
        ]
        self.answers()

    def answers(self) -> list[dict[str, Any]]:
        lines = [rank.stdout.readline() if rank.stdout else "" for rank in self.ranks]
        if "" in lines:
            raise SystemExit(f"a rank of {self.variant.name} ended early; what it said is above")
        return [json.loads(line) for line in lines]

    def all_reduce(self, nbytes: int, calls: int) -> dict[str, Any]:
        """Rank 0's seconds of a call (the mean, of small ones the median), and the algorithm."""
        for rank in self.ranks:
            print(nbytes, calls, file=rank.stdin, flush=True)
        return self.answers()[0]

    def stop(self) -> None:
        for rank in self.ranks:
            if rank.stdin:
                rank.stdin.close()
        for rank in self.ranks:
            rank.wait(timeout=60)


def run_rank(rank: int, size: int, rendezvous: str) -> None:
    """Times what the lines of standard input ask for: bytes and calls."""
    import numpy as np

    import distos_coll

    with distos_coll.init(rank=rank, size=size, rendezvous=rendezvous, timeout=120) as group:
        print(json.dumps(group.domains), flush=True)
        for line in sys.stdin:
            nbytes, calls = map(int, line.split())
            data = np.zeros(nbytes // 4, np.float32)
            for _ in range(max(calls // 10, 1)):
                group.all_reduce(data)
            group.barrier()
            times = [time.perf_counter()]
            for _ in range(calls):
                group.all_reduce(data)
                times.append(time.perf_counter())
            each = [after - before for before, after in pairwise(times)]
            seconds = statistics.median(each) if nbytes == SMALL_BYTES else statistics.mean(each)
            winner = group.explain("all_reduce", nbytes).winner
            algorithm = "/".join(filter(None, (winner.algorithm, winner.variant)))
            print(json.dumps({"seconds": seconds, "algorithm": algorithm}), flush=True)


# ---- what distos is compared with


def iperf(network: Network, *options: str) -> float:
    """Bytes a second of one direction; of two at once the slower one's."""
    server = start_in(HOSTS[1], ["iperf3", "-s", "-1", "-p", str(PORT), "--forceflush"])
    try:
        assert server.stdout is not None
        while "listening" not in server.stdout.readline():
            pass
        client = ["iperf3", "-c", network.addresses[1], "-p", str(PORT), "-J", "-O", "0.5"]
        report = json.loads(run_in(HOSTS[0], [*client, "-t", "1.5", *options]))
        ends = report["end"]
        received = [ends[name] for name in ends if name.startswith("sum_received")]
        return min(each["bits_per_second"] for each in received) / 8
    finally:
        server.kill()
        server.wait()


def ping_pong(network: Network, program: Path, wait: str) -> tuple[float, float]:
    """Microseconds of one way, and of an exchange, in which both send and then receive."""
    limits = [str(us) for us in WAITS[wait]]
    server = start_in(HOSTS[1], [str(program), "serve", str(PORT), *limits])
    try:
        assert server.stdout is not None
        server.stdout.readline()
        client = [str(program), network.addresses[1], str(PORT), *limits, str(SMALL_CALLS)]
        one_way, exchange = map(float, run_in(HOSTS[0], client).split())
        return one_way, exchange
    finally:
        server.kill()
        server.wait()


# ---- the measurement


def calls_for(nbytes: int, rate: float) -> int:
    """About a third of a second's worth."""
    return max(1, min(100, int(rate / 3 / nbytes)))


def measure_rates(
    network: Network, variants: list[Variant], options: argparse.Namespace
) -> list[dict[str, Any]]:
    groups = [Group(network, variant, options.per_host) for variant in variants]
    cells: dict[tuple[str, int], dict[str, Any]] = {}
    for repeat in range(options.repeats):
        one_way = iperf(network)
        both = iperf(network, "--bidir")
        for nbytes in options.sizes:
            for group in groups if repeat % 2 else reversed(groups):
                answer = group.all_reduce(nbytes, calls_for(nbytes, one_way))
                cell = cells.setdefault(
                    (group.variant.name, nbytes),
                    {"algorithm": answer["algorithm"], "rate": [], "one_way": [], "both": []},
                )
                # Whatever the ranks of a host do among themselves, a host's sum must go out and the
                # other's must come in.
                cell["rate"].append(nbytes / answer["seconds"])
                cell["one_way"].append(one_way)
                cell["both"].append(both)
        print(f"# rates: repeat {repeat + 1} of {options.repeats}", file=sys.stderr)
    for group in groups:
        group.stop()
    return [
        {"variant": name, "bytes": nbytes, "algorithm": cell["algorithm"]}
        | {key: statistics.median(cell[key]) for key in ("rate", "one_way", "both")}
        | {f"to_{key}": ratio(cell["rate"], cell[key]) for key in ("one_way", "both")}
        | {"spread": spread(cell["rate"], cell["one_way"])}
        for (name, nbytes), cell in cells.items()
    ]


def measure_latencies(
    network: Network, variants: list[Variant], options: argparse.Namespace, program: Path
) -> list[dict[str, Any]]:
    rows = []
    for wait, (spin_us, yield_us) in WAITS.items():
        waiting = {"DISTOS_COLL_SPIN_US": str(spin_us), "DISTOS_COLL_YIELD_US": str(yield_us)}
        groups = [
            Group(network, Variant(v.name, v.tree, v.env | waiting), options.per_host)
            for v in variants
        ]
        ways: list[float] = []
        exchanges: list[float] = []
        times: list[list[float]] = [[] for _ in groups]
        algorithms = ["" for _ in groups]
        for _ in range(options.repeats):
            one_way, exchange = ping_pong(network, program, wait)
            ways.append(one_way)
            exchanges.append(exchange)
            for i, group in enumerate(groups):
                answer = group.all_reduce(SMALL_BYTES, SMALL_CALLS)
                times[i].append(answer["seconds"] * 1e6)
                algorithms[i] = answer["algorithm"]
        for group in groups:
            group.stop()
        for variant, taken, algorithm in zip(variants, times, algorithms, strict=True):
            row = {"variant": variant.name, "wait": wait, "algorithm": algorithm}
            row |= {"us": statistics.median(taken), "one_way_us": statistics.median(ways)}
            row |= {"exchange_us": statistics.median(exchanges), "spread": spread(taken, ways)}
            row |= {"to_one_way": ratio(taken, ways), "to_exchange": ratio(taken, exchanges)}
            rows.append(row)
        print(f"# latencies: {wait}", file=sys.stderr)
    return rows


def ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


def spread(ours: list[float], theirs: list[float]) -> float:
    """Between the quartiles of the ratios, as a part of their median."""
    ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
    if len(ratios) < 2:
        return 0.0
    low, middle, high = statistics.quantiles(ratios, n=4)
    return (high - low) / middle


# ---- the report


def table(found: dict[str, Any]) -> str:
    lines = []
    if found["rates"]:
        lines += [
            "| library | bytes | algorithm | MB/s | iperf3 MB/s | ratio | iperf3 both | ratio |"
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
    for row in found["rates"]:
        mark = " (spread)" if row["spread"] > 0.1 else ""
        lines.append(
            f"| {row['variant']} | {row['bytes']} | {row['algorithm']} | {row['rate'] / 1e6:.1f} "
            f"| {row['one_way'] / 1e6:.1f} | {row['to_one_way']:.3f}{mark} "
            f"| {row['both'] / 1e6:.1f} | {row['to_both']:.3f} |"
        )
    if found["latencies"]:
        lines += [
            "",
            "| library | waiting | algorithm | 8 B, us | one way | ratio | exchange | ratio |",
        ]
        lines += ["|---|---|---|---|---|---|---|---|"]
    for row in found["latencies"]:
        mark = " (spread)" if row["spread"] > 0.1 else ""
        lines.append(
            f"| {row['variant']} | {row['wait']} | {row['algorithm']} | {row['us']:.1f} "
            f"| {row['one_way_us']:.1f} | {row['to_one_way']:.2f}{mark} "
            f"| {row['exchange_us']:.1f} | {row['to_exchange']:.2f} |"
        )
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", default="1gbit", help="of the link, as tc writes it; none: open")
    parser.add_argument("--flow-rate", default="", help="of one connection, as tc writes it")
    parser.add_argument("--delay", type=float, default=0, help="one way, milliseconds")
    parser.add_argument("--per-host", type=int, default=1, help="ranks on each host")
    parser.add_argument("--sizes", default="1M,16M,64M,256M", type=sizes)
    parser.add_argument("--sockets", default="", help="numbers of sockets to compare: 1,4")
    parser.add_argument("--base", type=Path, help="another tree, built")
    parser.add_argument("--env", action="append", default=[], help="NAME=VALUE for all ranks")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--skip", choices=["rates", "latencies"], help="what is not wanted")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def sizes(text: str) -> list[int]:
    return [parse_bytes(each) for each in text.split(",")]


def variants_of(options: argparse.Namespace) -> list[Variant]:
    env = dict(each.split("=", 1) for each in options.env)
    variants = [Variant("distos", TREE, env)]
    if options.sockets:
        variants = [
            Variant(f"distos, {n} sockets", TREE, env | {"DISTOS_COLL_SOCKETS_PER_PEER": n})
            for n in options.sockets.split(",")
        ]
    if options.base:
        variants.append(Variant("base", options.base, env))
    return variants


def main() -> None:
    options = parsed()
    if lacking := missing(options.delay > 0):
        raise SystemExit(f"skipped: {lacking}")
    variants = variants_of(options)
    with Network(options.rate, options.flow_rate, options.delay) as network:
        found: dict[str, Any] = {"rates": [], "latencies": []}
        if options.skip != "rates":
            found["rates"] = measure_rates(network, variants, options)
        if options.skip != "latencies":
            program = build("ping_pong", network.folder)
            found["latencies"] = measure_latencies(network, variants, options, program)
    machine = platform.processor() or platform.machine()
    iperf_version = subprocess.check_output(["iperf3", "--version"], text=True).split("\n")[0]
    print(f"# {2 * options.per_host} ranks on two hosts, {network}; {iperf_version}; {machine}")
    print(table(found))
    if options.json:
        setting = {k: str(v) for k, v in vars(options).items()}
        options.json.write_text(json.dumps(found | {"options": setting}, indent=1))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank"]:
        run_rank(int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
    else:
        main()
