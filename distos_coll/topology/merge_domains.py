"""NVLink domains of GPUs that several documents speak of.

A domain is a text that GPUs have in common. One that only a document calls so, because it has
nothing better, gives way to clusterUuid and cliqueId, on all GPUs that it joins.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from distos_coll.topology.merge_conflicts import Conflicts
from distos_coll.topology.merge_fields import Conflict, Voice
from distos_coll.topology.model import GpuId, Host
from distos_coll.topology.nvlink import Sets, is_local_name


class Domains:
    def __init__(self) -> None:
        self._said: dict[tuple[str, int], dict[str, list[Voice]]] = {}

    def add(self, host: str, gpu: int, said: Sequence[tuple[Voice, GpuId]]) -> None:
        """Take down what is said of the domain of a host's GPU, by its number."""
        names: dict[str, list[Voice]] = {}
        for voice, own in said:
            if own.nvlink_domain is not None:
                names.setdefault(own.nvlink_domain, []).append(voice)
        if names:
            self._said[host, gpu] = names

    def settled(self, hosts: list[Host], conflicts: Conflicts) -> list[Host]:
        """Give every GPU the one name of its domain."""
        if not self._said:
            return hosts
        better = self._better()
        found = []
        for host in hosts:
            gpus = list(host.gpus)
            for i, own in enumerate(gpus):
                names = self._said.get((host.name, i))
                domain = own.nvlink_domain
                if names is not None:
                    domain = min(names, key=_rank)
                    self._contradict(
                        host, i, {n: v for n, v in names.items() if not is_local_name(n)}, conflicts
                    )
                domain = better.get(domain or "", domain)
                if domain != own.nvlink_domain:
                    gpus[i] = replace(own, nvlink_domain=domain)
            found.append(replace(host, gpus=tuple(gpus)))
        return found

    def _contradict(
        self, host: Host, gpu: int, names: dict[str, list[Voice]], conflicts: Conflicts
    ) -> None:
        if len(names) > 1:
            said = tuple((name, tuple(names[name])) for name in sorted(names))
            place = host.template.bus_id_of(host.template.gpus[gpu]) or f"GPU {gpu}"
            conflicts.add(host.name, Conflict(place, "nvlink_domain", said, min(names)))

    def _better(self) -> dict[str, str]:
        """What to call a domain that has a document's own name, where others know one."""
        sets: Sets[_Rank] = Sets()
        seen: set[_Rank] = set()
        for names in self._said.values():
            ranks = sorted(map(_rank, names))
            for own in ranks:
                # Two that others know stay two.
                if own.local and (sets.find(ranks[0]).local or sets.find(own).local):
                    sets.join(ranks[0], own)
                    seen |= {ranks[0], own}
        return {own.name: sets.find(own).name for own in seen}


class _Rank(NamedTuple):
    """Names that others know come first."""

    local: bool
    name: str


def _rank(name: str) -> _Rank:
    return _Rank(is_local_name(name), name)
