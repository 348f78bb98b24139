"""Ranks of several hosts, as threads: all lay rings and trees over the links that rank 0 knows."""

import json
import logging
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import joined
import numpy as np
import pytest
from error_page import raises
from measured import stored

from distos_coll import _native, profiles
from distos_coll.bench.links import probe_links, rounds
from distos_coll.communicator import Communicator, Home
from distos_coll.planner import Profile
from distos_coll.planner.links import LinkClass, Links, classed
from distos_coll.planner.profile import BUILT_IN
from distos_coll.settings import Settings
from distos_coll.testing.ranks import run_threads
from distos_coll.work import translated

T = TypeVar("T")
HOSTS = ("n0", "n1", "n2", "n3")
SMALL = Settings(slot_bytes=1 << 16)


def slow_between_the_first_two(a: int, b: int) -> LinkClass:
    return LinkClass(50.0, 0.01 if {a, b} == {0, 1} else 0.1)


def together(
    values: Settings, function: Callable[[Communicator], T], hosts: tuple[str, ...] = HOSTS
) -> list[T]:
    """Call it as ranks of these hosts; `values` are rank 0's, the others know nothing."""
    others = replace(values, profile="none", topo_file="")
    own = [replace(others if rank else values, host_id=host) for rank, host in enumerate(hosts)]
    return joined.together(own, function)


def saved(path: Path, links: Links) -> Settings:
    profiles.save(stored(Profile(links=(links,))), path)
    return replace(SMALL, profile=str(path))


def orders(group: Communicator) -> list[object]:
    """Run some; return what they were laid over."""
    for count in (1, 1000, 100_000):
        total = group.all_reduce(np.arange(count) + group.rank)
        assert (total == group.size * np.arange(count) + sum(range(group.size))).all()
    layout = group._plan.view.layout
    return [layout.orders, *layout.lines]


def test_all_ranks_lay_the_ring_that_rank_0_knows_links_for(tmp_path: Path) -> None:
    links = classed(HOSTS, slow_between_the_first_two, "measured by a test")
    first, *others = together(saved(tmp_path / "p.json", links), orders)
    assert all(other == first for other in others)
    assert first[0].ring == (0, 2, 1, 3)  # type: ignore[attr-defined]
    assert first[1] == "links between 4 domains: measured by a test; 2 kinds"


def test_hosts_are_known_by_name_and_not_by_rank(tmp_path: Path) -> None:
    links = classed(HOSTS, slow_between_the_first_two, "measured by a test")
    mixed = ("n1", "n3", "n0", "n2")
    first, *_ = together(saved(tmp_path / "p.json", links), orders, mixed)
    # Here the order of ranks has n1 and n0 apart.
    assert first[0].ring == (0, 1, 2, 3)  # type: ignore[attr-defined]
    assert "ring over n1, n3, n0, n2: narrowest link 0.1 GB/s" in str(first[2])


def test_links_of_other_hosts_are_not_used(tmp_path: Path) -> None:
    links = classed(HOSTS, slow_between_the_first_two, "measured by a test")
    found = together(saved(tmp_path / "p.json", links), orders, ("n0", "n1", "n2", "n9"))
    assert all(len(each) == 1 and each[0] == found[0][0] for each in found)
    assert found[0][0].ring == ()  # type: ignore[attr-defined]


def network(path: Path, mbps: dict[tuple[int, int], int]) -> str:
    """A cluster model of hosts at switches, as `topo import` writes it."""
    from distos_coll.plugins.manager import default_sources
    from distos_coll.topology.artifacts import artifacts, save
    from distos_coll.topology.fabric import Cable, End, EndKind, Fabric, Switch
    from distos_coll.topology.model import Host, Topology

    hosts = [End(EndKind.HOST, host) for host in HOSTS]
    cables = tuple(Cable(hosts[a], hosts[b], mbps=m) for (a, b), m in mbps.items())
    fabric = Fabric((Switch("s"),), cables=cables)
    found = artifacts(Topology(tuple(map(Host, HOSTS)), fabric), (), default_sources())
    return str(save(found, path)[0])


def test_a_topology_file_of_rank_0_is_everybodys(tmp_path: Path) -> None:
    pairs = {(a, b): 1000 for a in range(4) for b in range(a)}
    name = network(tmp_path, pairs | {(1, 0): 100})
    first, *others = together(replace(SMALL, profile="none", topo_file=name), orders)
    assert all(other == first for other in others)
    assert first[0].ring == (0, 2, 1, 3)  # type: ignore[attr-defined]
    assert f"links between 4 domains: cluster-topology-model in {name}; 2 kinds" == first[1]
    links = classed(HOSTS, lambda a, b: LinkClass(9.0, 1.0), "a test")
    measured = saved(tmp_path / "p.json", links)
    first, *_ = together(replace(measured, topo_file=name), orders)
    assert first[1] == "links between 4 domains: a test; 1 kind"


def test_a_topology_file_without_links_is_told_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "switches.conf"
    path.write_text("SwitchName=s0 Nodes=n[0-3]\n", encoding="utf-8")
    values = replace(SMALL, profile="none", topo_file=str(path), debug="INFO")
    with caplog.at_level(logging.INFO):
        found = together(values, lambda group: group._plan.view.profile)
    assert found == [BUILT_IN] * 4
    assert f"{path} (slurm-topology) says nothing of links between hosts" in caplog.text


def test_a_topology_file_that_cannot_be_read_is_refused_by_all(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"no": "topology"}), encoding="utf-8")

    def one(rank: int) -> None:
        with translated():
            runtime = _native.Runtime("")
        own = Settings(profile="none", topo_file=str(path) if rank == 0 else "")
        with raises("topology-file", "^rank 0: .*none of the known formats"):
            Communicator.join(Home(runtime, own, 20.0), store, rank, range(2), "world")

    store = _native.MemoryStore()
    run_threads(one, range(2))


@pytest.mark.parametrize(
    ("hosts", "picked", "fits"), [(2048, (0,), True), (1024, (0, 1, 2, 3), False)]
)
def test_what_fits_into_a_store(
    hosts: int, picked: tuple[int, ...], fits: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Links of one kind compress; tables without any order do not, and are left out."""
    draw = random.Random(3)
    rows = tuple(bytes(draw.choices(picked, k=hosts)) for _ in range(hosts))
    classes = tuple(LinkClass(1.0 + k, 1.0) for k in range(4))
    links = Links(tuple(f"n{i}" for i in range(hosts)), classes, rows, "a test")
    packed = profiles._packed(Profile(links=(links,)))
    assert len(packed) <= profiles.LARGEST_SHARED
    assert profiles.received(packed).links == ((links,) if fits else ())
    assert ("too large to share, and is not used" in caplog.text) is not fits


# ---- measuring


def test_links_are_measured_between_all_hosts() -> None:
    said: list[str] = []
    found = together(replace(SMALL, profile="none"), lambda group: probe_links(group, said.append))
    first = found[0]
    assert first is not None
    assert all(each == first for each in found)
    assert first.hosts == HOSTS
    assert all(each.us and each.gbps for each in first.classes)
    assert len(first.ports) == 4
    assert not said


def test_hosts_of_one_name_cannot_be_told_apart() -> None:
    said: list[str] = []
    values = replace(SMALL, profile="none", shm=False)
    found = together(values, lambda g: probe_links(g, said.append), ("n0", "n0"))
    assert found == [None, None]
    assert "set DISTOS_COLL_HOST_ID" in said[0]


@pytest.mark.parametrize("n", range(2, 18))
def test_rounds_have_every_pair_once(n: int) -> None:
    found = list(rounds(n))
    assert len(found) == n - 1 + n % 2
    for pairs in found:
        places = [place for pair in pairs for place in pair]
        assert len(set(places)) == len(places)
    every = [pair for pairs in found for pair in pairs]
    assert sorted(every) == [(a, b) for a in range(n) for b in range(a + 1, n)]
