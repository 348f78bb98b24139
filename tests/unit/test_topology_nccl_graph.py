"""NCCL's graph XML."""

import xml.etree.ElementTree as ET

import pytest
from error_page import raises
from hypothesis import given
from hypothesis import strategies as st
from topologies import OWN, read_own, read_text

from distos_coll.api import NcclGraphs, Stop
from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology.reading import Reading
from distos_coll.topology.summary import summary

FILE = "graph-ring-and-tree.xml"


def graphs_of(reading: Reading) -> NcclGraphs:
    assert isinstance(reading.found.content, NcclGraphs)
    return reading.found.content


def written(content: NcclGraphs) -> bytes:
    write = next(source.write for source in default_sources() if source.name == "nccl-graph")
    assert write is not None
    return write(content)


def canonical(element: ET.Element) -> object:
    return element.tag, element.attrib, [canonical(child) for child in element]


def test_rings_and_trees() -> None:
    ring, tree = graphs_of(read_own(FILE)).graphs
    assert (ring.id, ring.pattern, ring.cross_nic, ring.channel_count) == (0, 4, 2, 2)
    assert (ring.gbps_intra, ring.gbps_inter, ring.type_intra) == (20.0, 17.5, "NVL")
    assert (tree.latency_inter_us, tree.same_channels, tree.type_inter) == (1.5, True, "PIX")
    assert ring.channels[0][0] == Stop("net", 0)
    assert ring.channels[0][4] == Stop("gpu", (1 << 56) + 10, 3)
    assert [str(stop) for stop in ring.channels[0]] == [
        "net 0",
        "gpu 0",
        "gpu 1",
        "gpu 1/0",
        "gpu 1/10",
        "net 10",
    ]


def test_figures() -> None:
    found = summary(read_own(FILE))
    assert (found["format"], found["gpus"], found["net_ports"], found["warnings"]) == (
        ("nccl-graph", 4, 2, [])
    )
    assert (found["hosts"], found["numa_nodes"], found["nvlink_pairs"]) == (None, None, None)
    assert [graph["pattern_name"] for graph in found["graphs"]] == ["ring", "tree"]


def test_what_is_written_is_what_was_read() -> None:
    reading = read_own(FILE)
    again = written(graphs_of(reading))
    assert canonical(ET.fromstring(again)) == canonical(ET.parse(OWN / FILE).getroot())
    assert read_text(again).found.content == reading.found.content


def graph(inside: str, more: str = "") -> str:
    return f'<graphs version="1"><graph id="0" {more}>{inside}</graph></graphs>'


def codes(text: str) -> list[str]:
    return [finding.code for finding in read_text(text).warnings]


def test_contradictions() -> None:
    one = '<channel><gpu dev="0"/></channel>'
    two = '<channel><gpu dev="0"/><gpu dev="1"/></channel>'
    twice = '<channel><gpu dev="0"/><gpu dev="0"/></channel>'
    assert codes(graph(one + one, 'nchannels="2" typeintra="NVL" typeinter="SYS"')) == []
    assert codes(graph(one, 'nchannels="2"')) == ["channel-count"]
    assert codes(graph(one, 'typeintra="FAST"')) == ["path-type"]
    assert codes(graph(one + two)) == ["channel-gpus"]
    assert codes(graph(twice)) == ["channel-gpus"]
    assert codes(graph("<ring/><channel><gpu><x/></gpu></channel>")) == ["unknown-element"] * 2


@pytest.mark.parametrize(
    ("row", "text", "match"),
    [
        ("graphs-empty", '<graphs version="1"/>', "a.xml:1: <graphs"),
        ("nccl-missing", "<graphs>\n<graph/></graphs>", "a.xml:2: <graph>: it has no id"),
        ("nccl-value", graph('<channel><gpu dev="xyz"/></channel>'), "a hexadecimal number"),
        ("nccl-value", graph("", 'speedintra="fast"'), "expected a number"),
        ("xml-broken", "<graphs><graph>", "is not XML"),
    ],
)
def test_refused(row: str, text: str, match: str) -> None:
    with raises(row, match):
        read_text(text)


@given(
    st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 30), st.binary(max_size=8)),
        min_size=1,
        max_size=6,
    )
)
def test_a_damaged_file_is_read_or_refused(cuts: list[tuple[float, int, bytes]]) -> None:
    data = (OWN / FILE).read_bytes()
    for where, length, put in cuts:
        at = int(where * len(data))
        data = data[:at] + put + data[at + length :]
    try:
        reading = read_text(data)
    except TopologyError:
        return
    summary(reading)
    if isinstance(reading.found.content, NcclGraphs):
        again = written(reading.found.content)
        assert read_text(again).found.content == reading.found.content
