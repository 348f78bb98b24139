"""One model of what several documents say: of many hosts, and of one host in several ways.

Hosts are the same if they have a name or NCCL's hash in common; where templates differ they are
fused (`merge_template`), once for all hosts that look alike. Nothing depends on the order of the
documents, and merging what was merged adds nothing. What documents say differently is told with the
names of those who say it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from distos_coll.topology import identity, merge_network
from distos_coll.topology.builder import bounded
from distos_coll.topology.findings import Finding
from distos_coll.topology.merge_conflicts import Conflicts
from distos_coll.topology.merge_domains import Domains
from distos_coll.topology.merge_fields import Conflict, Voice, merge_fields
from distos_coll.topology.merge_same import Labels
from distos_coll.topology.merge_template import Fused, fuse
from distos_coll.topology.model import GpuId, Host, HostTemplate, PortId, Topology
from distos_coll.topology.names import listed, natural

Told: TypeAlias = tuple[str, Host]
"""A document's name, and a host in it."""
_Id = TypeVar("_Id", GpuId, PortId)


@dataclass(frozen=True)
class Part:
    """A document that is merged."""

    name: str
    """As findings call it."""
    topology: Topology


@dataclass(frozen=True)
class Merged:
    topology: Topology
    findings: tuple[Finding, ...] = ()


def merge(parts: Iterable[Part]) -> Merged:
    """Merge documents; they are taken one by one, and equal templates are kept once."""
    return _Merger(parts).merged()


class _Merger:
    def __init__(self, parts: Iterable[Part]) -> None:
        self.shared: dict[HostTemplate, HostTemplate] = {}
        self.hosts: list[Told] = []
        self.networks: list[merge_network.Network] = []
        self.about: list[tuple[Voice, Topology]] = []
        self.conflicts = Conflicts()
        self.domains = Domains()
        self._fused: dict[tuple[tuple[int, ...], Labels], Fused] = {}
        for part in parts:
            self._add(part)
        self.hosts.sort(key=lambda told: (natural(told[1].name), natural(told[0])))

    def _add(self, part: Part) -> None:
        topology = part.topology
        interned = {id(own): self.shared.setdefault(own, own) for own in topology.templates}
        for host in topology.hosts:
            template = interned[id(host.template)]
            own = host if host.template is template else replace(host, template=template)
            self.hosts.append((part.name, own))
        self.networks.append(merge_network.Network(part.name, topology.fabric, topology.blocks))
        self.about.append((part.name, Topology(extra=topology.extra)))

    def merged(self) -> Merged:
        hosts = [self._host(told) for told in _of_one_host(self.hosts)]
        hosts = self.domains.settled(hosts, self.conflicts)
        hosts.sort(key=lambda host: natural(host.name))
        fabric, blocks = merge_network.merge(self.networks, self.conflicts)
        # What documents say of themselves cannot contradict each other.
        about = merge_fields(self.about)[0]["extra"] if self.about else ()
        findings = (*self.conflicts.findings(), *_alike(hosts))
        return Merged(Topology(tuple(hosts), fabric, blocks, about), findings)

    def _host(self, told: Sequence[Told]) -> Host:
        first = told[0][1]
        if all(host == first for _, host in told):
            return first
        name, aliases, host_hash = self._names(told)
        # Of a network's file a host is a name without an inside.
        described = [(voice, host) for voice, host in told if host.template != HostTemplate()]
        templates = list(
            {id(host.template): host.template for _, host in described or told}.values()
        )
        said_by = [[(v, host) for v, host in told if host.template is each] for each in templates]
        fused = self._template(name, templates, _labels(templates, said_by))
        for conflict in fused.conflicts:
            self.conflicts.add(name, conflict, [[voice for voice, _ in said] for said in said_by])
        gpus: list[GpuId] = []
        ports: list[PortId] = []
        for members, node in zip(fused.gpus, fused.template.gpus, strict=True):
            ids = [(v, host.gpus[at]) for t, at in members for v, host in said_by[t]]
            self.domains.add(name, len(gpus), ids)
            gpus.append(self._id(ids, name, fused.template.bus_id_of(node), "nvlink_domain"))
        for members, node in zip(fused.ports, fused.template.ports, strict=True):
            ports_said = [(v, host.ports[at]) for t, at in members for v, host in said_by[t]]
            ports.append(self._id(ports_said, name, _port_name(fused.template, node)))
        made_up = all(host.made_up for _, host in told)
        return Host(name, fused.template, tuple(gpus), tuple(ports), host_hash, aliases, made_up)

    def _id(self, said: Sequence[tuple[str, _Id]], host: str, place: str, *skip: str) -> _Id:
        first = said[0][1]
        if all(own == first for _, own in said):
            return first
        values, conflicts = merge_fields(said, frozenset(skip), place)
        for conflict in conflicts:
            self.conflicts.add(host, conflict)
        return type(first)(**values)

    def _template(self, host: str, templates: list[HostTemplate], labels: Labels) -> Fused:
        key = (tuple(map(id, templates)), labels)
        if key not in self._fused:
            if len(templates) == 1:
                gpus = tuple(((0, i),) for i in range(len(templates[0].gpus)))
                ports = tuple(((0, i),) for i in range(len(templates[0].ports)))
                self._fused[key] = Fused(templates[0], gpus, ports, ())
            else:
                fused = fuse(templates, labels)
                bounded(host, fused.template.nodes)
                own = self.shared.setdefault(fused.template, fused.template)
                self._fused[key] = replace(fused, template=own)
        return self._fused[key]

    def _names(self, told: Sequence[Told]) -> tuple[str, tuple[str, ...], str | None]:
        """The name, all others, and NCCL's hash."""
        names = {name for _, host in told for name in (host.name, *host.aliases)}
        hashes = sorted({host.host_hash for _, host in told if host.host_hash is not None})
        # A hash is a name where there is no other.
        name = min(names, key=lambda name: (name.startswith("0x"), natural(name)))
        for field, kept, values in (
            ("name", name, [(voice, host.name) for voice, host in told]),
            ("host_hash", "".join(hashes[:1]), [(voice, host.host_hash) for voice, host in told]),
        ):
            by_value: dict[str, list[Voice]] = {}
            for voice, value in values:
                if value and (field == "host_hash" or value not in hashes):
                    by_value.setdefault(value, []).append(voice)
            if len(by_value) > 1:
                said = tuple((value, tuple(by_value[value])) for value in sorted(by_value))
                self.conflicts.add(name, Conflict("", field, said, kept))
        others = (names | set(hashes)) - {name, *hashes[:1]}
        return name, tuple(sorted(others, key=natural)), hashes[0] if hashes else None


def _labels(templates: Sequence[HostTemplate], said_by: Sequence[Sequence[Told]]) -> Labels:
    """Number a host's UUIDs, where a GPU is known by its number alone: hosts that look alike get
    the same numbers, and are fused once.
    """
    if len(templates) < 2 or not any(map(identity.has_numbers_alone, templates)):
        return ()
    numbers: dict[str, int] = {}
    return tuple(
        tuple(
            frozenset(
                numbers.setdefault(uuid, len(numbers))
                for _, host in said
                if (uuid := host.gpus[at].uuid) is not None
            )
            for at in range(len(template.gpus))
        )
        for template, said in zip(templates, said_by, strict=True)
    )


def _port_name(template: HostTemplate, node: int) -> str:
    port = template.nodes[node]
    return getattr(port, "name", "")


def _alike(hosts: Sequence[Host]) -> tuple[Finding, ...]:
    """Names with and without a domain: of one host, most likely, but nobody says so."""
    names = {host.name for host in hosts}
    both = [name for name in names if "." in name and name.partition(".")[0] in names]
    if not both:
        return ()
    shown = listed(f"{name.partition('.')[0]} and {name}" for name in sorted(both, key=natural))
    return (Finding("hosts-alike", f"may be one host each, and are kept apart: {shown}"),)


def _of_one_host(hosts: Sequence[Told]) -> list[list[Told]]:
    """Put together what is said of each host, in the order of names."""
    above = list(range(len(hosts)))

    def find(i: int) -> int:
        while above[i] != i:
            above[i] = above[above[i]]
            i = above[i]
        return i

    known: dict[str, int] = {}
    for i, (_, host) in enumerate(hosts):
        for name in (host.name, *host.aliases, host.host_hash):
            if name is not None:
                a, b = sorted((find(i), find(known.setdefault(name, i))))
                above[b] = a
    found: dict[int, list[Told]] = {}
    for i, told in enumerate(hosts):
        found.setdefault(find(i), []).append(told)
    return list(found.values())
