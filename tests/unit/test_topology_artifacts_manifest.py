"""Other people's files of every format pass through our own model, merging, comparing, drawing."""

from xml.etree import ElementTree as ET

import pytest
from topologies import Entry, entries

from distos_coll.drawing import svg
from distos_coll.drawing.topology import picture
from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import reading
from distos_coll.topology.artifacts import artifacts
from distos_coll.topology.diff import diff
from distos_coll.topology.merge import Part, merge
from distos_coll.topology.model import Topology
from distos_coll.topology.source import Document, Found

KINDS = (
    *("nccl-xml", "rccl-xml", "nvidia-smi-topo", "nvidia-smi-xml", "hwloc-xml", "sysfs"),
    *("ibnetdiscover", "ibsim-net", "opensm", "lldp", "netq", "slurm", "topograph-model"),
)


def topologies() -> list[Entry]:
    """Those that say something of hosts or networks, as their own tests find out."""
    found = []
    for entry in entries(*KINDS):
        try:
            content = reading.read(entry.path, default_sources()).found.content
        except TopologyError:
            continue
        if isinstance(content, Topology):
            found.append(entry)
    return found


ENTRIES = topologies()


def test_most_of_them_are_topologies() -> None:
    assert len(ENTRIES) > 140
    assert {entry.kind for entry in ENTRIES} == set(KINDS)


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
def test_nothing_is_lost(entry: Entry) -> None:
    read = reading.read(entry.path, default_sources())
    whole = read.found.content
    assert isinstance(whole, Topology)
    for name, data in artifacts(whole, read.warnings, default_sources()).items():
        source, found = reading.understood(Document(name, data), default_sources())
        assert f"{source.name}.json" == name
        if name.startswith("cluster"):
            assert found == Found(whole, read.warnings)
    merged = merge([Part("a", whole)]).topology
    assert diff(whole, merged) == ()
    assert merge([Part("a", whole), Part("b", merged)]).topology == merged
    ET.fromstring(svg.render(picture(merged, str(entry))))
