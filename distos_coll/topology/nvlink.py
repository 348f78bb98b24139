"""Who reaches whom over NVLink or xGMI: pairs, and domains, which may span hosts."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Generic, TypeAlias, TypeVar

from distos_coll.topology.model import (
    NOWHERE,
    Gpu,
    Host,
    HostTemplate,
    LinkKind,
    NvSwitch,
    Topology,
)

Device: TypeAlias = tuple[int, int]
"""Index of the host, index of the GPU's node."""

_GPU_LINKS = (LinkKind.NVLINK, LinkKind.XGMI)
_LOCAL = "fused:"


def local_name(name: str) -> str:
    """Call a domain that a document shows without naming it."""
    return _LOCAL + name


def is_local_name(domain: str) -> bool:
    return domain.startswith(_LOCAL)


T = TypeVar("T", bound=tuple[object, ...] | str)


class Sets(Generic[T]):
    """Disjoint sets that grow together, of values that have an order."""

    def __init__(self) -> None:
        self._above: dict[T, T] = {}

    def find(self, item: T) -> T:
        path = []
        while (above := self._above.get(item, item)) != item:
            path.append(item)
            item = above
        for each in path:
            self._above[each] = item
        return item

    def join(self, a: T, b: T) -> None:
        """The smaller of the two names stands for both."""
        low, high = sorted((self.find(a), self.find(b)))
        self._above[high] = low


@dataclass(frozen=True, slots=True)
class Inside:
    """NVLink within a host."""

    direct: frozenset[tuple[int, int]]
    """Pairs of devices with a link of their own, the smaller first."""
    switched: tuple[int, ...]
    """Devices with links to switches."""
    to_itself: tuple[int, ...]

    @property
    def pairs(self) -> frozenset[tuple[int, int]]:
        return self.direct | frozenset(combinations(self.switched, 2))

    def joins_all(self, devices: Iterable[int]) -> bool:
        """Whether each two of the devices are a pair; pairs are counted, not listed."""
        members = set(devices)
        return _pairs_in([members & set(self.switched)], self._between(members)) == _two_of(members)

    def _between(self, members: set[int]) -> list[tuple[int, int]]:
        return [pair for pair in self.direct if members.issuperset(pair)]


def inside(template: HostTemplate) -> Inside:
    """What the links of a host join. Its switches count as one: they are linked among themselves,
    or every GPU has links to all, on every machine there is, and few sources tell which.
    """
    direct: set[tuple[int, int]] = set()
    itself: list[int] = []
    switched: set[int] = set()
    for link in template.links:
        if link.kind not in _GPU_LINKS or link.target == NOWHERE or link.count == 0:
            continue
        ends = [_end(template, link.source), _end(template, link.target)]
        gpus = sorted(end for end in ends if isinstance(template.nodes[end], Gpu))
        if len(gpus) == 2 and gpus[0] == gpus[1]:
            itself.append(gpus[0])
        elif len(gpus) == 2:
            direct.add((gpus[0], gpus[1]))
        elif gpus and any(isinstance(template.nodes[end], NvSwitch) for end in ends):
            switched.add(gpus[0])
    return Inside(frozenset(direct), tuple(sorted(switched)), tuple(dict.fromkeys(itself)))


def _end(template: HostTemplate, node: int) -> int:
    """Of a partition the whole device; of a function that carries a GPU, the GPU."""
    return template.device_of(node) if isinstance(template.nodes[node], Gpu) else node


def _by_domain(host: Host) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for gpu, its in zip(host.template.gpus, host.gpus, strict=True):
        if its.nvlink_domain is not None:
            found.setdefault(its.nvlink_domain, []).append(host.template.device_of(gpu))
    return {domain: list(dict.fromkeys(gpus)) for domain, gpus in found.items()}


def pairs(topology: Topology) -> int:
    """How many pairs of GPUs have an NVLink path, direct or over switches."""
    known = {id(template): inside(template) for template in topology.templates}
    # Of hosts in no wider domain once for all that look alike.
    alone = {key: _pairs_in([set(i.switched)], i.direct) for key, i in known.items()}
    total = 0
    members: dict[str, list[int]] = {}
    for host in topology.hosts:
        key = id(host.template)
        domains = _by_domain(host)
        if not domains:
            total += alone[key]
            continue
        for domain, gpus in domains.items():
            members.setdefault(domain, []).append(len(gpus))
        groups = [set(known[key].switched), *map(set, domains.values())]
        total += _pairs_in(groups, known[key].direct)
    return total + sum(_across(counts) for counts in members.values())


def _two_of(members: Collection[int]) -> int:
    return len(members) * (len(members) - 1) // 2


def _pairs_in(groups: Iterable[set[int]], direct: Iterable[tuple[int, int]]) -> int:
    """Count pairs that share a group, and direct ones of those that do not; nothing is listed, for
    a host may have half a million.
    """
    of: dict[int, int] = {}
    """A bit for each group that a device is in."""
    for bit, group in enumerate(groups):
        for device in group:
            of[device] = of.get(device, 0) | 1 << bit
    kinds = Counter(of.values())
    total = sum(count * (count - 1) // 2 for count in kinds.values())
    total += sum(kinds[a] * kinds[b] for a, b in combinations(kinds, 2) if a & b)
    return total + sum(not of.get(a, 0) & of.get(b, 0) for a, b in direct)


def _across(counts: list[int]) -> int:
    """Pairs of which each is of another host."""
    everybody = sum(counts)
    return (everybody * everybody - sum(n * n for n in counts)) // 2


def domains(topology: Topology) -> tuple[tuple[Device, ...], ...]:
    """GPUs that are joined by NVLinks, two or more, in order."""

    @cache
    def local(template: int) -> tuple[tuple[int, ...], ...]:
        return _groups(inside(by_id[template]))

    by_id = {id(template): template for template in topology.templates}
    sets: Sets[Device] = Sets()
    seen: dict[Device, None] = {}
    first: dict[str, Device] = {}
    for h, host in enumerate(topology.hosts):
        for group in local(id(host.template)):
            for gpu in group:
                seen[h, gpu] = None
                sets.join((h, group[0]), (h, gpu))
        for domain, gpus in _by_domain(host).items():
            for gpu in gpus:
                seen[h, gpu] = None
                sets.join(first.setdefault(domain, (h, gpu)), (h, gpu))
    found: dict[Device, list[Device]] = {}
    for device in sorted(seen):
        found.setdefault(sets.find(device), []).append(device)
    return tuple(tuple(group) for group in found.values() if len(group) > 1)


def _groups(links: Inside) -> tuple[tuple[int, ...], ...]:
    """Devices of a host that links join, each in one group."""
    sets: Sets[Device] = Sets()
    ways: Iterable[tuple[int, ...]] = (*links.direct, links.switched)
    for way in ways:
        for device in way:
            sets.join((0, way[0]), (0, device))
    found: dict[Device, list[int]] = {}
    for device in sorted({device for way in ways for device in way}):
        found.setdefault(sets.find((0, device)), []).append(device)
    return tuple(map(tuple, found.values()))
