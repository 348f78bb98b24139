"""A layout as NCCL's cost model sees it and as NCCL's graph file; and beside NCCL's own graphs."""

import pytest
from error_page import raises
from layouts import is_as_good, laid
from machines import MACHINES, full_mesh, nvswitch_200g, nvswitch_400g, trays
from nccl_jobs import MANY_NODES, MIB, ONE_NODE, TWO_NODES
from topologies import read_own, read_text

from distos_coll.api import Collective, Cpu, Job, NcclGraphs, Operation, PathType, Pattern, cheapest
from distos_coll.costs.nccl.model import predict
from distos_coll.layout.nccl_view import (
    Machine,
    job_of,
    nccl_graphs,
    nccl_view,
    view_of_graphs,
)
from distos_coll.sources import nccl_graph


@pytest.mark.parametrize(
    ("copies", "theirs"), [(1, ONE_NODE), (2, TWO_NODES), (32, MANY_NODES)], ids=str
)
def test_beside_what_nccl_lays_over_eight_h100(copies: int, theirs: Job) -> None:
    """12 channels of 30 GB/s on one node; 8 of 40 between nodes."""
    is_as_good(job_of(laid(nvswitch_400g(), copies)), theirs)


def test_the_view_says_what_the_machine_is() -> None:
    view = nccl_view(laid(nvswitch_400g(), 2))
    assert (view.compute_capability, view.cpu, view.nvswitch) == (90, Cpu.INTEL, True)
    assert view.ring is not None
    assert view.ring.pattern is Pattern.RING
    assert view.ring.type_intra is PathType.NVL
    assert view.tree is not None
    assert view.tree.pattern is Pattern.BALANCED_TREE
    assert view.nvls is not None
    assert view.nvls.channels == 8
    amd = nccl_view(laid(nvswitch_200g()))
    assert (amd.cpu, amd.nvls) == (Cpu.AMD, None)
    assert job_of(laid(trays(2))).ranks_of_nodes == (8,)


def test_what_a_topology_does_not_say_must_be_told() -> None:
    layout = laid(full_mesh())
    with raises("layout-capability"):
        nccl_view(layout)
    assert nccl_view(layout, Machine(80)).compute_capability == 80
    with raises("layout-graphs"):
        view_of_graphs(NcclGraphs(), Machine())


def test_settings_reach_the_model() -> None:
    job = job_of(laid(nvswitch_400g()), Machine(settings={"algo": "ring"}))
    best = cheapest(predict(job, Operation(Collective.ALL_REDUCE, MIB)))
    assert best.algorithm == "ring"


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("name", MACHINES)
def test_graphs_that_are_written_are_read_again(name: str, copies: int) -> None:
    layout = laid(MACHINES[name](), copies)
    graphs = nccl_graphs(layout)
    text = nccl_graph.write(graphs)
    reading = read_text(text)
    assert not reading.warnings
    assert isinstance(reading.found.content, NcclGraphs)
    assert nccl_graph.write(reading.found.content) == text
    ring, tree = graphs.graphs
    assert (ring.id, tree.id) == (0, 1)
    assert {s.rank for s in ring.channels[0] if s.kind == "gpu"} == set(layout.nodes[0].ranks)
    nets = [stop for stop in ring.channels[0] if stop.kind == "net"]
    assert len(nets) == (0 if copies == 1 or name == "bridged pairs" else 2)
    own = nccl_view(layout, Machine(80))
    again = view_of_graphs(reading.found.content, Machine(80))
    assert again.ring is not None
    assert own.ring is not None
    assert (again.ring.channels, again.ring.same_channels) == (
        own.ring.channels,
        own.ring.same_channels,
    )
    assert again.ring.gbps_intra == pytest.approx(own.ring.gbps_intra, rel=1e-3)


def test_a_file_of_ours_becomes_a_view() -> None:
    found = read_own("graph-ring-and-tree.xml").found.content
    assert isinstance(found, NcclGraphs)
    view = view_of_graphs(found, Machine(90))
    assert view.ring is not None
    assert view.ring.channels == len(found.graphs[0].channels)
