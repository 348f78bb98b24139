"""Which GPUs reach each other over NVLink or xGMI, for schedulers: nvlink-domain-map.json."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from distos_coll.topology import nvlink
from distos_coll.topology.model import Gpu, Host, HostTemplate, LinkKind, Topology


@dataclass(frozen=True, slots=True)
class DomainGpu:
    gpu: str
    """Its PCI address, or GPU0 where that is not known; with the host's name it is unique."""
    dev: int | None = None
    """The driver's number on its host."""
    uuid: str | None = None


@dataclass(frozen=True, slots=True)
class DomainHost:
    host: str
    gpus: tuple[DomainGpu, ...]


@dataclass(frozen=True, slots=True)
class NvlinkDomain:
    id: str
    """clusterUuid and cliqueId, where they are known; else the host's name."""
    links: str
    """"nvlink", "xgmi"."""
    complete: bool
    """Each of its GPUs reaches each other directly or over switches, without a GPU between them."""
    hosts: tuple[DomainHost, ...]

    @property
    def gpus(self) -> int:
        return sum(len(host.gpus) for host in self.hosts)


@dataclass(frozen=True, slots=True)
class NvlinkDomainMap:
    domains: tuple[NvlinkDomain, ...] = ()
    alone: tuple[DomainHost, ...] = ()
    """GPUs without such links, or with links that lead nowhere."""

    def facts(self) -> Mapping[str, Any]:
        everybody = [host for domain in self.domains for host in domain.hosts] + list(self.alone)
        return {
            "hosts": len({host.host for host in everybody}),
            "gpus": sum(len(host.gpus) for host in everybody),
            "nvlink_domains": [
                [f"{host.host}/{gpu.gpu}" for host in domain.hosts for gpu in host.gpus]
                for domain in self.domains
            ],
        }


def domain_map(topology: Topology) -> NvlinkDomainMap:
    """Read the domains off a topology; what is one device is listed once."""
    inside = {id(template): nvlink.inside(template) for template in topology.templates}

    @cache
    def joins_all(template: int, gpus: tuple[int, ...]) -> bool:
        return inside[template].joins_all(gpus)

    domains = []
    taken: set[nvlink.Device] = set()
    of_host: dict[str, int] = {}
    for group in nvlink.domains(topology):
        taken.update(group)
        members: dict[int, list[int]] = {}
        for h, gpu in group:
            members.setdefault(h, []).append(gpu)
        names = {_domain(topology.hosts[h], gpu) for h, gpu in group} - {None}
        first = topology.hosts[group[0][0]]
        # A name that only one document calls a domain says nothing to anybody else.
        known = [name for name in names if name and not nvlink.is_local_name(name)]
        own = min(known, default="")
        if not own:
            number = of_host[first.name] = of_host.get(first.name, -1) + 1
            own = f"{first.name}/{number}" if number else first.name
        complete = len(names) == 1 and all(_domain(topology.hosts[h], g) for h, g in group)
        if len(members) == 1 and not complete:
            complete = joins_all(id(first.template), tuple(members[group[0][0]]))
        hosts = tuple(_listed(topology.hosts[h], gpus) for h, gpus in members.items())
        domains.append(NvlinkDomain(own, _links(first.template), complete, hosts))
    alone = []
    for h, host in enumerate(topology.hosts):
        left = [gpu for gpu in host.template.devices if (h, gpu) not in taken]
        if left:
            alone.append(_listed(host, left))
    return NvlinkDomainMap(tuple(domains), tuple(alone))


def _domain(host: Host, gpu: int) -> str | None:
    return host.gpus[host.template.gpu_number[gpu]].nvlink_domain


def _links(template: HostTemplate) -> str:
    kinds = {link.kind for link in template.links}
    return LinkKind.XGMI.value if LinkKind.XGMI in kinds else LinkKind.NVLINK.value


def _listed(host: Host, gpus: Iterable[int]) -> DomainHost:
    return DomainHost(host.name, tuple(_gpu(host, gpu) for gpu in gpus))


def _gpu(host: Host, gpu: int) -> DomainGpu:
    node = host.template.nodes[gpu]
    own = host.gpus[host.template.gpu_number[gpu]]
    name = host.gpu_name(gpu).removeprefix(f"{host.name}/")
    return DomainGpu(name, node.dev if isinstance(node, Gpu) else None, own.uuid)
