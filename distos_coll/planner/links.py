"""What messages between hosts cost, where links are not alike: a few classes, and a table of them.

Pure. Links are known under hosts' names; a group's domains take theirs by name (`among`), and only
if every one of them was measured or told of.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

from distos_coll.errors import InvalidArgument
from distos_coll.plugins.costs import LinkCost

MOST_CLASSES = 255
"""A class is a byte of the table."""
_SAME_RATE = 1.15
_SAME_LATENCY = 1.5
"""Two measurements of one link differ by less."""


@dataclass(frozen=True)
class LinkClass:
    """None: whoever told of the link does not say."""

    us: float | None
    gbps: float | None

    def cost(self, otherwise: LinkCost, *, most_gbps: float = float("inf")) -> LinkCost:
        """What the planner counts with."""
        us = otherwise.alpha_us if self.us is None else self.us
        return LinkCost(us, otherwise.gbps if self.gbps is None else min(self.gbps, most_gbps))


@dataclass(frozen=True)
class Links:
    hosts: tuple[str, ...]
    classes: tuple[LinkClass, ...]
    rows: tuple[bytes, ...]
    """rows[a][b]: the class of what goes from host a to host b. Of a host to itself: anything."""
    source: str
    """Who says so, for people."""
    measured: bool = True
    """By this library's own messages. Else a rate is a wire's, of which they may get less."""
    ports: tuple[float | None, ...] = ()
    """For each host, what it exchanges with all others at once, gigabytes a second one way; None,
    or no entry: its links share a port that is as fast as the fastest of them.
    """

    def __post_init__(self) -> None:
        n = len(self.hosts)
        if n < 1:
            raise InvalidArgument("links between no hosts; name at least one")
        if len(self.rows) != n or any(len(row) != n for row in self.rows):
            raise InvalidArgument(f"links of {n} hosts need a table of {n} rows and columns")
        if len(self.ports) not in (0, n):
            raise InvalidArgument(f"links of {n} hosts with {len(self.ports)} ports")
        if len(set(self.hosts)) != n:
            raise InvalidArgument("links between hosts of which two have one name")
        if not 1 <= len(self.classes) <= MOST_CLASSES or max(map(max, self.rows)) >= len(
            self.classes
        ):
            raise InvalidArgument(
                f"a table of links has numbers beyond {len(self.classes)} classes"
            )

    def among(self, hosts: Sequence[str]) -> "Links | None":
        """The links of these hosts, in their order; None unless all are known, and differ."""
        place = {name: i for i, name in enumerate(self.hosts)}
        wanted = [place.get(name, -1) for name in hosts]
        if len(set(wanted)) != len(wanted) or -1 in wanted:
            return None
        if tuple(hosts) == self.hosts:
            return self
        rows = tuple(bytes(self.rows[a][b] for b in wanted) for a in wanted)
        ports = tuple(self.ports[a] for a in wanted) if self.ports else ()
        return replace(self, hosts=tuple(hosts), rows=rows, ports=ports)

    @cached_property
    def digest(self) -> str:
        """Equal for groups whose links are: a measured table of candidates holds for these only."""
        used = [sorted({*row[:a], *row[a + 1 :]}) for a, row in enumerate(self.rows)]
        kinds = {k: [self.classes[k].us, self.classes[k].gbps] for row in used for k in row}
        rows = [row[:a].hex() + "--" + row[a + 1 :].hex() for a, row in enumerate(self.rows)]
        text = json.dumps([sorted(kinds.items()), rows, self.ports])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def port_gbps(self, host: int, costs: Sequence[LinkCost]) -> float:
        """What a host exchanges with all others at once; `costs` are those of the classes."""
        row = self.rows[host]
        widest: float = max(costs[k].gbps for k in {*row[:host], *row[host + 1 :]})
        told = self.ports[host] if self.ports else None
        return max(widest, told or 0.0)

    def costs(self, otherwise: LinkCost) -> tuple[LinkCost, ...]:
        """Of each class."""
        most = float("inf") if self.measured else otherwise.gbps
        return tuple(each.cost(otherwise, most_gbps=most) for each in self.classes)


def classed(
    hosts: Sequence[str],
    of_pair: Callable[[int, int], LinkClass],
    source: str,
    *,
    measured: bool = True,
    ports: Sequence[float | None] = (),
) -> Links:
    """Make links of a figure for each ordered pair; figures that are nearly equal become one."""
    n = len(hosts)
    pairs = {(a, b): of_pair(a, b) for a in range(n) for b in range(n) if a != b}
    rates = _steps([link.gbps for link in pairs.values()], _SAME_RATE)
    latencies = _steps([link.us for link in pairs.values()], _SAME_LATENCY)
    near = {pair: LinkClass(latencies[link.us], rates[link.gbps]) for pair, link in pairs.items()}
    # The most usual first, so that tables compress.
    count: dict[LinkClass, int] = {}
    for link in near.values():
        count[link] = count.get(link, 0) + 1
    classes = sorted(count, key=lambda link: (-count[link], link.gbps or 0, link.us or 0))
    if len(classes) > MOST_CLASSES:
        raise InvalidArgument(
            f"links between {n} hosts are of {len(classes)} kinds, more than {MOST_CLASSES}"
        )
    number = {link: k for k, link in enumerate(classes)}
    rows = tuple(bytes(number[near[a, b]] if a != b else 0 for b in range(n)) for a in range(n))
    known = tuple(classes) or (LinkClass(None, None),)
    near_ports = _steps(ports, _SAME_RATE)
    every = tuple(near_ports[gbps] for gbps in ports)
    return Links(tuple(hosts), known, rows, source, measured, every)


def _steps(values: Sequence[float | None], same: float) -> dict[float | None, float | None]:
    """For each value the median of those that are as good as equal, to four digits."""
    found: dict[float | None, float | None] = {None: None}
    group: list[float] = []

    def close() -> None:
        found.update(dict.fromkeys(group, float(f"{median(group):.4g}") if group else None))
        group.clear()

    # The median counts every pair, the step from the least one on.
    for value in sorted(value for value in values if value is not None):
        if group and value > same * group[0]:
            close()
        group.append(value)
    close()
    return found
