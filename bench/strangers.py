"""What strangers at the ports cost: all_reduce between two processes over TCP, without strangers,
with a thousand connections a second at every port of the two, and with as many at the port of
somebody else, which shows what the knocking itself takes from shared cores.

    python bench/strangers.py [--per-second 1000] [--bytes 65536] [--repeats 9]

The three take turns, a second each. Prints medians of calls a second and of the ratios to calm.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

import distos_coll
from distos_coll.testing.strangers import Strangers

SECONDS = 1.0
CALLS_A_LOOK = 20


def run_rank(options: argparse.Namespace) -> None:
    """Write the ports; then, for each line that comes, how many calls a second there were."""
    with distos_coll.init(rank=options.rank, size=2, rendezvous=options.rendezvous) as group:
        own = group.describe().splitlines()[0]
        print(json.dumps(re.findall(r"\S+ (\S+) port (\d+)", own)), flush=True)
        data = np.zeros(options.bytes // 4, np.float32)
        while sys.stdin.readline().strip():
            start, calls, goes_on = time.monotonic(), 0, True
            while goes_on:
                for _ in range(CALLS_A_LOOK):
                    group.all_reduce(data)
                calls += CALLS_A_LOOK
                late = np.array([time.monotonic() - start >= SECONDS], np.uint8)
                goes_on = not group.all_reduce(late, "max")[0]
            print(json.dumps(calls / (time.monotonic() - start)), flush=True)


def knock(options: argparse.Namespace) -> None:
    """Read places, knock there until the input ends, and write how many connections there were."""
    places = json.loads(sys.stdin.readline())
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    strangers = Strangers([(ip, int(port)) for ip, port in places], options.per_second)
    strangers.knock_until(over.is_set)
    print(json.dumps(sum(strangers.sent)), flush=True)


def child(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # ten lines a second about strangers
        text=True,
        env={**os.environ, "DISTOS_COLL_SHM": "0"},
    )


def said(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


def tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    print(line, file=process.stdin, flush=True)


def one_second(ranks: list[subprocess.Popen[str]], places: list[Any] | None) -> tuple[float, int]:
    """Calls a second while strangers are at these places; and how many there were."""
    strangers = child("--knock") if places is not None else None
    if strangers is not None:
        tell(strangers, json.dumps(places))
        time.sleep(0.5)  # they come on
    for rank in ranks:
        tell(rank, "go")
    rate, _ = (float(said(rank)) for rank in ranks)
    if strangers is None:
        return rate, 0
    return rate, int(json.loads(strangers.communicate()[0]))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--per-second", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=65536)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--rank", type=int, default=-1, help=argparse.SUPPRESS)
    parser.add_argument("--knock", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rendezvous", default=f"unix:st{os.getpid()}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.knock:
        knock(options)
        return 0
    if options.rank >= 0:
        run_rank(options)
        return 0
    ranks = [child("--rendezvous", options.rendezvous, "--rank", str(rank)) for rank in range(2)]
    ours = [place for rank in ranks for place in said(rank)]
    sink = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=drop_all, args=(sink,), daemon=True).start()
    situations = {"calm": None, "at our ports": ours, "at another port": [sink.getsockname()]}
    rates: dict[str, list[float]] = {name: [] for name in situations}
    came = 0
    for _ in range(options.repeats):
        for name, places in situations.items():
            rate, strangers = one_second(ranks, places)
            rates[name].append(rate)
            came += strangers if name == "at our ports" else 0
    for rank in ranks:
        rank.communicate("\n")
    for name, values in rates.items():
        ratios = [value / calm for value, calm in zip(values, rates["calm"], strict=True)]
        print(
            f"{name}: {statistics.median(values):.0f} calls/s, {statistics.median(ratios):.2f} of "
            f"calm ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    print(f"{came} strangers at {len(ours)} ports of ours")
    return 0


def drop_all(sink: socket.socket) -> None:
    while True:
        sink.accept()[0].close()


if __name__ == "__main__":
    sys.exit(main())
