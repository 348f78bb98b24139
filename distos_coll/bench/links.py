"""Measures the links between hosts, all pairs in rounds in which every host has one partner.

One rank a host does it, the first; the others wait. Pairs of one round run at the same time: what
they share in the network shows, as it does in a ring. Afterwards each host in turn takes in from,
and sends to, all others at once, to each as much as their links take in the same time: what it gets
is its port's.
"""

import time
from collections.abc import Callable, Iterator

import numpy as np

from distos_coll.bench.elements import Array
from distos_coll.communicator import Communicator
from distos_coll.errors import InvalidArgument
from distos_coll.planner.links import LinkClass, Links, classed

SMALL_BYTES = 8
TRIPS = 50
REPEATS = 5
"""Of latencies the best counts, for whatever else runs makes them worse; of rates the median,
because some links let a burst through faster than they can go on.
"""
FIRST_BYTES = 256 << 10
"""What a link's rate is first guessed from."""
TARGET_US = 100_000.0
"""Then so much is sent that it takes about as long: slow links take no longer than others."""
MOST_BYTES = 64 << 20

Remark = Callable[[str], None]


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def probe_links(group: Communicator, remark: Remark) -> Links | None:
    """Measure between the domains of a group; all its ranks call it and get the same. None where
    there is one domain, or where their hosts cannot be told apart.
    """
    view = group._plan.view  # noqa: SLF001  hidden from users, not from here
    hosts = view.hosts
    if len(view.members) < 2 or not hosts:
        return None
    if len(set(hosts)) < len(hosts):
        remark(
            "# links between hosts are not kept, for two are called the same; "
            "set DISTOS_COLL_HOST_ID to what tells them apart"
        )
        return None
    firsts = [ranks[0] for ranks in view.members]
    part = group.split(0 if group.rank in firsts else None)
    # Rows: nanoseconds one way, bytes a second from a to b, and of a host's port in [a, a].
    found = np.zeros((2, len(hosts), len(hosts)))
    if part is not None:
        with part:
            _Pairs(part, found).measure()
    group.all_reduce(found)
    ns, rate = found
    ports = [float(rate[a, a]) / 1e9 for a in range(len(hosts))]

    def of_pair(a: int, b: int) -> LinkClass:
        return LinkClass(float(ns[a, b]) / 1000, float(rate[a, b]) / 1e9)

    try:
        return classed(hosts, of_pair, f"measured {now()}", ports=ports)
    except InvalidArgument as error:
        remark(f"# links between hosts are not kept: {error}")
        return None


def rounds(n: int) -> Iterator[list[tuple[int, int]]]:
    """Every pair of n once, in rounds of disjoint pairs: the circle method."""
    # Of an odd number one pauses in each round.
    places = [*range(n), *([-1] if n % 2 else [])]
    for _ in range(len(places) - 1):
        half = len(places) // 2
        pairs = zip(places[:half], reversed(places[half:]), strict=True)
        yield [(min(a, b), max(a, b)) for a, b in pairs if -1 not in {a, b}]
        places = [places[0], places[-1], *places[1:-1]]


class _Pairs:
    """In a group of one rank a host; each writes what it has timed into `found`."""

    def __init__(self, group: Communicator, found: Array) -> None:
        self._group, self._found = group, found
        self._rank = group.rank
        self._data = np.zeros(MOST_BYTES, np.uint8)
        self._note = np.zeros(1, np.int64)
        self._way_us = 0.0

    def measure(self) -> None:
        for pairs in rounds(self._group.size):
            self._group.barrier()
            mine = next((pair for pair in pairs if self._rank in pair), None)
            if mine is not None:
                self._pair(*mine)
        known = self._found.copy()
        self._group.all_reduce(known)
        for host in range(self._group.size):
            self._port(host, known[1])

    def _pair(self, a: int, b: int) -> None:
        trips = [self._trip_us(a, b) for _ in range(REPEATS)]
        self._way_us = min(trips) / 2
        if self._rank == a:
            self._found[0, a, b] = self._found[0, b, a] = 1000 * self._way_us
        for source, target in ((a, b), (b, a)):
            nbytes = FIRST_BYTES
            self._sent_us(source, target, nbytes)
            first = self._sent_us(source, target, nbytes)
            nbytes = self._agreed(source, target, int(nbytes * TARGET_US / first))
            times = [self._sent_us(source, target, nbytes) for _ in range(REPEATS)]
            if self._rank == source:
                self._found[1, source, target] = nbytes / float(np.median(times)) * 1e6

    def _agreed(self, source: int, target: int, nbytes: int) -> int:
        self._note[0] = min(max(nbytes, FIRST_BYTES), MOST_BYTES)
        if self._rank == source:
            self._group.send(self._note, target)
        else:
            self._group.recv(self._note, source)
        return int(self._note[0])

    def _trip_us(self, a: int, b: int) -> float:
        """There and back, of a few bytes: the median of many."""
        data = self._data[:SMALL_BYTES]
        times = [time.perf_counter()]
        for _ in range(TRIPS):
            if self._rank == a:
                self._group.send(data, b)
                self._group.recv(data, b)
            else:
                self._group.recv(data, a)
                self._group.send(data, a)
            times.append(time.perf_counter())
        return float(np.median(np.diff(times))) * 1e6

    def _sent_us(self, source: int, target: int, nbytes: int) -> float:
        """Until the receiver has said that it has all, less the way of that."""
        data, few = self._data[:nbytes], self._data[:SMALL_BYTES]
        started = time.perf_counter()
        if self._rank == source:
            self._group.send(data, target)
            self._group.recv(few, target)
        else:
            self._group.recv(data, source)
            self._group.send(few, source)
        took = (time.perf_counter() - started) * 1e6
        return max(took - self._way_us, took / 2)

    def _port(self, host: int, rate: Array) -> None:
        """What `host` takes in and sends at once; the smaller counts."""
        ways = []
        for inward in (True, False):
            times = []
            for _ in range(REPEATS):
                self._group.barrier()
                started = time.perf_counter()
                self._exchange(host, rate, inward=inward)
                self._group.barrier()
                times.append(time.perf_counter() - started)
            total = sum(self._share(rate, host, other, inward) for other in self._others(host))
            ways.append(total / float(np.median(times)))
        if self._rank == host:
            self._found[1, host, host] = min(ways)

    def _others(self, host: int) -> list[int]:
        return [other for other in range(self._group.size) if other != host]

    @staticmethod
    def _share(rate: Array, host: int, other: int, inward: bool) -> int:
        per_second = rate[other, host] if inward else rate[host, other]
        return min(MOST_BYTES, max(SMALL_BYTES, int(per_second * TARGET_US / 1e6)))

    def _exchange(self, host: int, rate: Array, *, inward: bool) -> None:
        if self._rank == host:
            works = []
            for other in self._others(host):
                # What arrives is not looked at, so one place serves all.
                data = self._data[: self._share(rate, host, other, inward)]
                call = self._group.recv if inward else self._group.send
                works.append(call(data, other, async_op=True))
            for work in works:
                work.wait()
            return
        data = self._data[: self._share(rate, host, self._rank, inward)]
        if inward:
            self._group.send(data, host)
        else:
            self._group.recv(data, host)
