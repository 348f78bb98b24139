"""Matrices in hwloc's XML: latencies between NUMA nodes, bandwidths of NVLink and xGMI."""

import re

from distos_coll.api import (
    Distances,
    Element,
    Gpu,
    HostBuilder,
    Link,
    LinkKind,
    Numa,
    NvSwitch,
)
from distos_coll.sources.hwloc_devices import Devices
from distos_coll.sources.hwloc_reader import Reader, objects

_LINKS = {"NVLinkBandwidth": LinkKind.NVLINK, "XGMIBandwidth": LinkKind.XGMI}
_MOST = 1024
"""Objects in a matrix."""
_LONGEST = 24
"""Characters of a number with the blank after it."""


class Matrices:
    """Adds them, and the links that they tell of, to a host."""

    def __init__(self, reader: Reader, host: HostBuilder, devices: Devices) -> None:
        self.reader = reader
        self.host = host
        self.devices = devices
        self.names: dict[str, str] = {}
        """Of objects, by gp_index."""

    def read(self, machine: Element, beside: list[Element]) -> None:
        numa_nodes = sum(isinstance(node, Numa) for node in self.host.nodes)
        for element in objects(machine, "OSDev", "PCIDev", "NUMANode"):
            told = element.attributes
            name = told.get("name") or told.get("pci_busid") or told.get("os_index")
            if name and (index := told.get("gp_index")):
                self.names[index] = name
        for element in machine.walk():
            if element.tag == "distances":
                self.first_version(element, numa_nodes)
        for element in beside:
            self.later_versions(element)

    def size(self, element: Element) -> int:
        size = self.reader.integer(element, "nbobjs")
        if size is None or not 0 < size <= _MOST:
            raise self.reader.error(f"nbobjs: expected a number from 1 to {_MOST:,}", element)
        return size

    def first_version(self, element: Element, numa_nodes: int) -> None:
        """Latencies as multiples of a base, between objects of one depth, in order."""
        size = self.size(element)
        base = _number(element.attributes.get("latency_base", "1"))
        values = [_number(child.attributes.get("value", "")) for child in element.of("latency")]
        if base is None or None in values or len(values) != size * size:
            raise self.reader.error(f"expected {size * size:,} numbers, of {size} objects", element)
        depth = element.attributes.get("relative_depth", "")
        of_nodes = size == numa_nodes
        nodes = [node.id for node in self.host.nodes if isinstance(node, Numa)]
        names = nodes if of_nodes else [f"{depth}:{i}" for i in range(size)]
        self.host.distances.append(
            Distances(
                "NUMALatency" if of_nodes else "Latency",
                tuple(map(str, names)),
                tuple(base * value for value in values if value is not None),
            )
        )

    def later_versions(self, element: Element) -> None:
        size = self.size(element)
        indexes = self.words(element, "indexes", size)
        values = self.words(element, "u64values", size * size)
        numbers = [_number(word) for word in values]
        if len(indexes) != size or len(numbers) != size * size or None in numbers:
            raise self.reader.error(
                f"expected {size} indexes and {size * size:,} numbers between them", element
            )
        kind = element.attributes.get("type")
        by_gp = element.attributes.get("indexing") != "os"
        name = element.attributes.get("name", kind or "")
        names = tuple(self.called(index, kind, by_gp=by_gp) for index in indexes)
        matrix = [float(number) for number in numbers if number is not None]
        self.host.distances.append(Distances(name, names, tuple(matrix)))
        if name in _LINKS:
            self.links(_LINKS[name], [index.rpartition(":")[2] for index in indexes], matrix)

    def words(self, element: Element, tag: str, most: int) -> list[str]:
        """So many words, or some more; not all of a text that has far more."""
        found: list[str] = []
        for child in element.of(tag):
            found += child.text[: _LONGEST * (most + 1)].split()
            if len(found) > most:
                break
        return found

    def called(self, index: str, kind: str | None, *, by_gp: bool) -> str:
        own, _, number = index.rpartition(":")
        known = self.names.get(number) if by_gp else None
        if kind == "NUMANode" and not by_gp:
            known = number
        return known or f"{own or kind}:{number}"

    def links(self, kind: LinkKind, indexes: list[str], matrix: list[float]) -> None:
        """What GPUs say of the links between them and to switches: how fast, not how many."""
        nodes = [self.devices.node_of.get(index) for index in indexes]
        for i, source in enumerate(nodes):
            if source is None or not isinstance(self.host.nodes[source], Gpu):
                continue
            for j, target in enumerate(nodes):
                megabytes = matrix[i * len(nodes) + j]
                if target is None or i == j or not megabytes:
                    continue
                if isinstance(self.host.nodes[target], Gpu | NvSwitch):
                    named = self.names.get(indexes[j], indexes[j])
                    gbps = megabytes / 1000
                    self.host.link(Link(kind, source, target, gbps=gbps, named=named))


def _number(text: str) -> float | None:
    return float(text) if re.fullmatch(r"\d{1,20}(\.\d{1,9})?", text) else None
