"""Four network namespaces, a link for each pair, one of them slow: it is measured, and then
avoided. What passes over it is counted; only the rates that the library measures are compared,
with a fivefold margin.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.mesh_network import Mesh, missing

pytestmark = [pytest.mark.netns, pytest.mark.skipif(bool(missing()), reason=missing() or "-")]

HOSTS = 4
NBYTES = 4 << 20
CALIBRATE = "bench all_reduce --calibrate -b 8 -e 8 -n 1 --json"
RANK = f"""
import json, os
import numpy, distos_coll
with distos_coll.init(timeout=100) as group:
    data = numpy.ones({NBYTES} // 4, numpy.float32)
    group.all_reduce(data)
    assert (data == group.size).all()
    layout = group._plan.view.layout
    print(json.dumps([layout.orders.ring, layout.orders.trees, layout.lines]))
"""


@pytest.fixture(scope="module")
def mesh() -> Iterator[Mesh]:
    with Mesh("distos_test_m", HOSTS, "1gbit", {(0, 1): "100mbit"}) as made:
        yield made


def outputs(mesh: Mesh, command: list[str], env: dict[str, str]) -> list[str]:
    """What a rank on each host wrote; all must end well."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")])
    ranks = [mesh.start(host, command, {"PYTHONPATH": path, **env}) for host in range(HOSTS)]
    texts = []
    try:
        for rank in ranks:
            out, err = rank.communicate(timeout=200)
            assert rank.returncode == 0, f"{out}\n{err}"
            texts.append(out)
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
                rank.communicate()
    return texts


def sent(mesh: Mesh, host: int, to: int) -> int:
    """Bytes that left a host over one of its links."""
    show = ["ip", "-n", mesh.names[host], "-s", "-j", "link", "show", f"to{to}"]
    (link,) = json.loads(subprocess.check_output(show, text=True, timeout=20))
    return int(link["stats64"]["tx"]["bytes"])


@pytest.fixture(scope="module")
def profile(mesh: Mesh, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("mesh") / "profile.json"
    command = [sys.executable, "-m", "distos_coll", *CALIBRATE.split()]
    outputs(mesh, command, {"DISTOS_COLL_PROFILE": str(path)})
    return path


def test_the_slow_link_is_measured(mesh: Mesh, profile: Path) -> None:
    (links,) = json.loads(profile.read_text(encoding="utf-8"))["profile"]["links"]
    assert links["hosts"] == mesh.names
    gbps = [[links["classes"][k]["gbps"] for k in bytes.fromhex(row)] for row in links["rows"]]
    others = [gbps[a][b] for a in range(HOSTS) for b in range(HOSTS) if a != b and {a, b} != {0, 1}]
    # Tokens and a busy machine blur them; tenfold is the difference that was made.
    assert max(gbps[0][1], gbps[1][0]) < min(others) / 2


@pytest.mark.parametrize("algorithm", ["ring", "tree", "hier"])
def test_what_is_planned_avoids_it(mesh: Mesh, profile: Path, algorithm: str) -> None:
    env = {
        "DISTOS_COLL_PROFILE": str(profile),
        "DISTOS_COLL_ALGO": f"allreduce:{algorithm}",
    }
    before = sent(mesh, 0, 1) + sent(mesh, 1, 0)
    told = [json.loads(text) for text in outputs(mesh, [sys.executable, "-c", RANK], env)]
    passed = sent(mesh, 0, 1) + sent(mesh, 1, 0) - before
    assert all(each == told[0] for each in told)
    ring, trees, lines = told[0]
    around = {frozenset(pair) for pair in zip(ring, [*ring[1:], ring[0]], strict=True)}
    assert frozenset({0, 1}) not in around
    # Four places of a double tree have links between all but the first and the last.
    assert {trees[0], trees[-1]} == {0, 1}
    assert lines[0].startswith(f"links between {HOSTS} domains: measured ")
    # Set-up, heartbeats and a barrier still pass.
    assert passed < NBYTES / 20


def test_in_the_order_of_ranks_it_is_used(mesh: Mesh) -> None:
    env = {"DISTOS_COLL_PROFILE": "none", "DISTOS_COLL_ALGO": "allreduce:ring"}
    before = sent(mesh, 0, 1)
    told = outputs(mesh, [sys.executable, "-c", RANK], env)
    assert json.loads(told[0]) == [[], [], []]
    assert sent(mesh, 0, 1) - before > NBYTES
