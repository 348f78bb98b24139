"""Two network namespaces as two hosts, with unequal numbers of ranks, over IPv4 and over IPv6."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from distos_coll.bench.collectives import COLLECTIVES

NAMES = ("distos_test_a", "distos_test_b")
ADDRESSES = {4: ("10.217.13.1", "10.217.13.2", 24), 6: ("fd7a:217:13::1", "fd7a:217:13::2", 64)}
BENCH = "all -b 8 -e 32K -f 4096 -d all -o all -c 1 -n 1 -w 0 --json"
WORKER = Path(__file__).with_name("host_worker.py")

pytestmark = [
    pytest.mark.netns,
    pytest.mark.skipif(
        os.geteuid() != 0 or shutil.which("ip") is None,
        reason="network namespaces need root and iproute2 (apt-get install iproute2)",
    ),
]


def ip(command: str) -> None:
    subprocess.run(["ip", *command.split()], check=True, timeout=20)


def delete_namespaces() -> None:
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)


def wait_for_carrier(name: str) -> None:
    """The kernel says that a link is up a moment after it is."""
    deadline = time.monotonic() + 20
    while "LOWER_UP" not in subprocess.check_output(
        ["ip", "-n", name, "link", "show", "veth0"], text=True, timeout=20
    ):
        assert time.monotonic() < deadline, f"veth0 of {name} has no carrier"


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def hosts(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair; yields their addresses."""
    first, second, bits = ADDRESSES[request.param]
    delete_namespaces()
    try:
        for name in NAMES:
            ip(f"netns add {name}")
            ip(f"-n {name} link set lo up")
        ip(f"-n {NAMES[0]} link add veth0 type veth peer veth0 netns {NAMES[1]}")
        # Without duplicate address detection an IPv6 address may be used at once.
        at_once = "nodad" if bits == 64 else ""
        for name, address in zip(NAMES, (first, second), strict=True):
            ip(f"-n {name} addr add {address}/{bits} dev veth0 {at_once}")
            ip(f"-n {name} link set veth0 up")
        for name in NAMES:
            wait_for_carrier(name)
        yield first, second
    finally:
        delete_namespaces()


def started(namespace: str, command: list[str]) -> subprocess.Popen[str]:
    ours = ("DISTOS_COLL_", "NCCL_")
    return subprocess.Popen(
        ["ip", "netns", "exec", namespace, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={k: v for k, v in os.environ.items() if not k.startswith(ours)},
    )


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What they wrote; all must end well."""
    texts = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=250)
            assert process.returncode == 0, f"{out}\n{err}"
            texts.append(out)
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
    return texts


ARRAY_RANK = """
import json, sys
import numpy, distos_coll
rank, place = int(sys.argv[1]), sys.argv[2]
with distos_coll.init(rank=rank, size=2, rendezvous=place, timeout=60) as group:
    total = group.all_reduce(numpy.arange(100_000))
    print(json.dumps([group.domains, int(total.sum()), group.describe()]))
"""


def test_the_array_door_between_two_hosts(hosts: tuple[str, str]) -> None:
    place = f"[{hosts[0]}]:29612" if ":" in hosts[0] else f"{hosts[0]}:29612"
    python = [sys.executable, "-c", ARRAY_RANK]
    ranks = [started(name, [*python, str(rank), place]) for rank, name in enumerate(NAMES)]
    for rank, out in enumerate(outputs(ranks)):
        domains, total, links = json.loads(out)
        assert domains == [0, 1]
        assert total == 2 * sum(range(100_000))
        assert hosts[1 - rank] in links


def test_the_bench_is_exact_under_torchrun_on_two_hosts(hosts: tuple[str, str]) -> None:
    pytest.importorskip("torch", reason="torchrun comes with it")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2"]
    torchrun += ["--nproc-per-node", "2", "--master-addr", hosts[0], "--master-port", "29617"]
    script = ["--no-python", sys.executable, "-c", "from distos_coll.cli.app import main; main()"]
    texts = outputs(
        [
            started(
                namespace, [*torchrun, "--node-rank", str(node), *script, "bench", *BENCH.split()]
            )
            for node, namespace in enumerate(NAMES)
        ]
    )
    found = json.loads(texts[0])
    assert found["out_of_bounds"] == {"count": 0, "okay": "true"}
    assert {each["experiment_name"] for each in found["results"]} == set(COLLECTIVES)


def test_every_algorithm_between_two_hosts(hosts: tuple[str, str]) -> None:
    pytest.importorskip("torch", reason="the ranks use the torch backend")
    placement = [NAMES[0], NAMES[0], NAMES[1]]
    worker = [sys.executable, str(WORKER)]
    ranks = [
        started(namespace, [*worker, str(rank), "3", hosts[0], "29611"])
        for rank, namespace in enumerate(placement)
    ]
    for out in outputs(ranks):
        report = json.loads(out.strip().splitlines()[-1])
        assert report["domains"] == [0, 0, 1]
        # A namespace of the network has the machine's name.
        assert report["hosts"] == [os.uname().nodename] * 3
        for name in ("ring", "tree", "rhd", "hier", "direct2"):
            assert report["found"][name].partition("/")[0] == name, report
        assert not report["found"][""].startswith("wrong"), report
