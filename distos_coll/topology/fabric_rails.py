"""Rails: the switches that one and the same port of every host leads to."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from distos_coll.topology.fabric import EndKind, Rail, Recognised
from distos_coll.topology.fabric_graph import Attachment, SwitchGraph, natural
from distos_coll.topology.findings import Finding

_NEARLY_ALL = 0.9
_LEAST_HOSTS = 2
_NUMBERED = re.compile(r"(\D*)(\d{1,4})")


@dataclass(frozen=True)
class Rails:
    rails: tuple[Rail, ...]
    recognised: Recognised
    of_adapter: dict[str, int]
    """By id; adapters with ports in several rails are left out."""


def _of_hosts(graph: SwitchGraph) -> dict[str, list[Attachment]]:
    """Hosts with at least two ports. Where somebody only says who is below whom there are none."""
    found: dict[str, list[Attachment]] = {}
    kind = _technology(graph)
    for attachment in graph.attachments():
        is_port = attachment.end.kind is not EndKind.HOST or attachment.end.port is not None
        is_port = is_port and graph.switches[attachment.switch].technology == kind
        if attachment.host is not None and is_port:
            found.setdefault(attachment.host, []).append(attachment)
    return {host: ports for host, ports in found.items() if len(ports) > 1}


def _technology(graph: SwitchGraph) -> str:
    """That of most ports: Ethernet beside InfiniBand is another network, not another rail."""
    counts = Counter(graph.switches[each.switch].technology for each in graph.attachments())
    return max(counts, key=lambda kind: (counts[kind], kind), default="")


def _labels(hosts: dict[str, list[Attachment]]) -> dict[int, Counter[str]]:
    """By switch: how many of the ports of such hosts have each label."""
    found: dict[int, Counter[str]] = {}
    for ports in hosts.values():
        for port in ports:
            if port.label:
                found.setdefault(port.switch, Counter())[port.label] += 1
    return found


def find_rails(graph: SwitchGraph) -> Rails | None:
    """By the names of devices; else by networks that are not connected to each other."""
    return _by_device(graph) or _by_network(graph)


def _by_device(graph: SwitchGraph) -> Rails | None:
    hosts = _of_hosts(graph)
    labels = _labels(hosts)
    if len(hosts) < _LEAST_HOSTS or not labels:
        return None
    apart = sum(len({port.switch for port in ports}) == len(ports) for ports in hosts.values())
    total = sum(counts.total() for counts in labels.values())
    main = {switch: counts.most_common(1)[0] for switch, counts in labels.items()}
    pure = sum(count for _, count in main.values())
    order = sorted({label for label, _ in main.values()}, key=natural)
    if len(order) < 2 or apart < _NEARLY_ALL * len(hosts) or pure < _NEARLY_ALL * total:
        return None
    number = _numbers(order)
    switches = {switch: number[label] for switch, (label, _) in main.items()}
    evidence = (
        f"{apart:,} of {len(hosts):,} hosts with several ports have each at another switch",
        f"{pure:,} of {total:,} of these ports are at a switch of their rail's own",
        f"{len(switches):,} switches lead to one port of hosts each; {len(order)} rails: "
        + ", ".join(label.removeprefix("#") for label in order[:16]),
    )
    return _rails(graph, switches, evidence)


def _numbers(labels: list[str]) -> dict[str, int]:
    """Rails are called by the numbers of their devices, so that one that is gone renames no other;
    where names have no numbers that tell them apart, by their places.
    """
    found = {label: _NUMBERED.fullmatch(label) for label in labels}
    numbers = {label: int(match[2]) for label, match in found.items() if match}
    one_kind = len({match[1] for match in found.values() if match}) == 1
    if one_kind and len(set(numbers.values())) == len(labels):
        return numbers
    return {label: place for place, label in enumerate(labels)}


def _by_network(graph: SwitchGraph) -> Rails | None:
    kind = _technology(graph)
    parts = [
        part
        for part in graph.components()
        if any(graph.attached[i] and graph.switches[i].technology == kind for i in part)
    ]
    hosts = _of_hosts(graph)
    if len(parts) < 2 or len(hosts) < _LEAST_HOSTS:
        return None
    parts.sort(key=lambda part: min(natural(graph.switches[i].id) for i in part))
    switches = {switch: n for n, part in enumerate(parts) for switch in part}
    everywhere = sum(
        len({switches[p.switch] for p in ports}) == len(parts) for ports in hosts.values()
    )
    if everywhere < _NEARLY_ALL * len(hosts):
        return None
    evidence = (
        f"{len(parts)} networks that are not connected to each other",
        f"{everywhere:,} of {len(hosts):,} hosts with several ports have one in each",
    )
    return _rails(graph, switches, evidence)


def _rails(graph: SwitchGraph, switches: dict[int, int], evidence: tuple[str, ...]) -> Rails:
    found = []
    of_adapter: dict[str, set[int]] = {}
    for number in sorted(set(switches.values())):
        own = [i for i in sorted(switches) if switches[i] == number]
        members = tuple(a.end for i in own for a in graph.attached[i])
        for end in members:
            of_adapter.setdefault(end.id, set()).add(number)
        found.append(Rail(number, None, tuple(graph.switches[i].id for i in own), members))
    single = {id_: min(numbers) for id_, numbers in of_adapter.items() if len(numbers) == 1}
    return Rails(tuple(found), Recognised("rail-optimised", evidence), single)


def crossed(graph: SwitchGraph) -> Iterator[Finding]:
    """Ports at another rail's switch, of hosts that have the same ports as most: crossed cables."""
    hosts = _of_hosts(graph)
    labels = _labels(hosts)
    usual = Counter(frozenset(port.label for port in ports) for ports in hosts.values())
    rail_of = {number: rail.number for rail in graph.fabric.rails for number in rail.switches}
    main: dict[str, str] = {}
    for switch, counts in labels.items():
        label, count = counts.most_common(1)[0]
        if count > 2 and count >= _NEARLY_ALL * counts.total():
            main[graph.switches[switch].id] = label
    home = {main[id_]: number for id_, number in rail_of.items() if id_ in main}
    for host, ports in hosts.items():
        if usual[frozenset(port.label for port in ports)] * 4 < len(hosts):
            continue
        for port in ports:
            at = graph.switches[port.switch].id
            if at in main and main[at] != port.label and port.label in home:
                place = f"port {port.switch_port} of {graph.name(port.switch)}"
                yield Finding(
                    "rail-crossed",
                    f"its port {shown_label(port.label)} leads to {place}, where the other hosts "
                    f"have their {shown_label(main[at])}: cables may be crossed",
                    host,
                )


def shown_label(label: str) -> str:
    return f"number {label[1:]}" if label.startswith("#") else label
