"""Who reaches whom over NVLink or xGMI: pairs, and domains, which may span hosts."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import TypeAlias

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


class Sets:
    """Disjoint sets that grow together."""

    def __init__(self) -> None:
        self._above: dict[Device, Device] = {}

    def find(self, item: Device) -> Device:
        path = []
        while (above := self._above.get(item, item)) != item:
            path.append(item)
            item = above
        for each in path:
            self._above[each] = item
        return item

    def join(self, a: Device, b: Device) -> None:
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
    known = {id(template): inside(template).pairs for template in topology.templates}
    total = 0
    members: dict[str, list[int]] = {}
    for host in topology.hosts:
        mine = known[id(host.template)]
        domains = _by_domain(host)
        for domain, gpus in domains.items():
            members.setdefault(domain, []).append(len(gpus))
            mine = mine | frozenset(combinations(sorted(gpus), 2))
        total += len(mine)
    return total + sum(_across(counts) for counts in members.values())


def _across(counts: list[int]) -> int:
    """Pairs of which each is of another host."""
    everybody = sum(counts)
    return (everybody * everybody - sum(n * n for n in counts)) // 2


def domains(topology: Topology) -> tuple[tuple[Device, ...], ...]:
    """GPUs that are joined by NVLinks, two or more, in order."""

    @cache
    def local(template: int) -> tuple[tuple[int, ...], ...]:
        return tuple(_groups(inside(by_id[template])))

    by_id = {id(template): template for template in topology.templates}
    sets = Sets()
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


def _groups(links: Inside) -> Iterable[tuple[int, ...]]:
    yield from links.direct
    if links.switched:
        yield links.switched
