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

NAMES = ("distos_test_a", "distos_test_b")
ADDRESSES = {4: ("10.217.13.1", "10.217.13.2", 24), 6: ("fd7a:217:13::1", "fd7a:217:13::2", 64)}
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


ARRAY_RANK = """
import json, sys
import numpy, distos_coll
rank, place = int(sys.argv[1]), sys.argv[2]
with distos_coll.init(rank=rank, size=2, rendezvous=place, timeout=60) as group:
    total = group.all_reduce(numpy.arange(100_000))
    print(json.dumps([group.domains, int(total.sum()), group.describe()]))
"""


def test_the_array_door_between_two_hosts(hosts: tuple[str, str]) -> None:
    first = f"[{hosts[0]}]" if ":" in hosts[0] else hosts[0]
    python = [sys.executable, "-c", ARRAY_RANK]
    ranks = [
        subprocess.Popen(
            ["ip", "netns", "exec", name, *python, str(rank), f"{first}:29612"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        for rank, name in enumerate(NAMES)
    ]
    try:
        for rank, process in enumerate(ranks):
            out, err = process.communicate(timeout=100)
            assert process.returncode == 0, err
            domains, total, links = json.loads(out)
            assert domains == [0, 1]
            assert total == 2 * sum(range(100_000))
            assert hosts[1 - rank] in links
    finally:
        for process in ranks:
            if process.poll() is None:
                process.kill()
                process.communicate()


def test_every_algorithm_between_two_hosts(hosts: tuple[str, str]) -> None:
    pytest.importorskip("torch", reason="the ranks use the torch backend")
    placement = [NAMES[0], NAMES[0], NAMES[1]]
    ours = ("DISTOS_COLL_", "NCCL_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
    worker = [sys.executable, str(WORKER)]
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", namespace, *worker, str(rank), "3", hosts[0], "29611"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for rank, namespace in enumerate(placement)
    ]
    try:
        for process in processes:
            out, err = process.communicate(timeout=200)
            assert process.returncode == 0, err
            report = json.loads(out.strip().splitlines()[-1])
            assert report["domains"] == [0, 0, 1]
            for name in ("ring", "tree", "rhd", "hier", "direct2"):
                assert report["found"][name].partition("/")[0] == name, report
            assert not report["found"][""].startswith("wrong"), report
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
