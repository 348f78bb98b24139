"""The tables of NCCL's tuning, cell by cell as published, so that no figure is mistyped."""

import pytest

from distos_coll.api import DType
from distos_coll.costs.nccl import tables
from distos_coll.costs.nccl.tables import Algorithm, Hardware, Protocol

# LL / LL128 / Simple of Tree, Ring, CollNetDirect, CollNetChain, NVLS, NVLSTree, PAT; "-": unused.
LATENCIES = {
    None: "6.8/14/8.4 6.6/14/8.4 -/-/0 -/-/0 -/-/0 -/-/0 -/-/8",
    Hardware.NVLINK: "0.6/1.25/4.0 0.6/1.9/3.4 -/-/3.7 -/-/2.8 -/-/25 -/-/25 -/-/4.0",
    Hardware.PCI: "1.0/1.9/4.0 1.0/2.5/5.7 -/-/3.7 -/-/2.8 -/-/0 -/-/0 -/-/4.0",
    Hardware.NET: "5.0/8.5/14 2.7/4.0/14 -/-/31 -/-/30 -/-/18 -/-/20.9 -/-/14",
}
# One, two, more nodes; Volta, Ampere, Hopper, Blackwell.
CAPS = {
    "LL_GBPS": "39/39/20.4 87.7/22.5/19 141/45/35 282/90/70",
    "RING_LL128_GBPS": "20/20/20 20/20/20 36.7/36.7/36.7 40/40/40",
    "TREE_LL128_GBPS": "20/20/20 20/20/20 36.7/36.7/29 55.6/31.67/20",
    "TREE_GBPS": "26.5/18.5/10 24/23.6/17.8 38.7/41.4/36 70/42.8/24",
    "NVLS_TREE_GBPS": "26.5/18.5/10 24/23.6/17.8 0/57.7/45.5 0/96/80",
}
CORRECTION = {
    Protocol.LL: "1 1 1 1 .9 .8 .7 .7 .7 .7 .6 .5 .4 .4 .5 .6 .7 .8 .9 1 1 1 1 1",
    Protocol.LL128: "1 1 1 1 1 .9 .8 .8 .8 .7 .6 .6 .6 .6 .6 .6 .8 .9 .9 .9 .9 1 1 1",
    Protocol.SIMPLE: ".9 .9 .9 .9 .9 .9 .9 .8 .7 .6 .6 .5 .5 .5 .5 .6 .7 .8 .7 .7 .8 .9 .9 .9",
}


@pytest.mark.parametrize("hardware", LATENCIES)
def test_latencies(hardware: Hardware | None) -> None:
    table = tables.BASE_US if hardware is None else tables.HARDWARE_US[hardware]
    for algorithm, cell in zip(Algorithm, LATENCIES[hardware].split(), strict=True):
        expected = [None if text == "-" else float(text) for text in cell.split("/")]
        used = [None if us == float("inf") else us for us in table[algorithm]]
        assert used == expected, algorithm


@pytest.mark.parametrize("name", CAPS)
def test_bandwidths(name: str) -> None:
    rows = [tuple(map(float, row.split("/"))) for row in CAPS[name].split()]
    assert list(getattr(tables, name)) == rows
    assert len(rows) == len(tables.Generation)


def test_efficiencies_and_corrections() -> None:
    assert tables.NVLS_EFFICIENCY == (0.0, 0.0, 0.85, 0.74)
    for protocol, row in CORRECTION.items():
        assert tables.TREE_CORRECTION[protocol] == tuple(map(float, row.split()))
        assert len(tables.TREE_CORRECTION[protocol]) == tables.CORRECTED_NVLS_TREE_SIZES


def test_elements() -> None:
    for dtype, size in tables.ELEMENT_BYTES.items():
        bits = int("".join(c for c in dtype.name.partition("_")[0] if c.isdigit()))
        assert 8 * size == bits, dtype
    assert DType.INT16 not in tables.ELEMENT_BYTES


def test_names() -> None:
    assert [a.text for a in Algorithm] == [
        "tree",
        "ring",
        "collnetdirect",
        "collnetchain",
        "nvls",
        "nvlstree",
        "pat",
    ]
    assert [int(a) for a in Algorithm] == list(range(7))
