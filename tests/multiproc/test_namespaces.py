"""Two network namespaces as two hosts, with unequal numbers of ranks, over IPv4 and over IPv6."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the ranks use the torch backend")

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


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=20)


@pytest.fixture(params=[4, 6], ids=["ipv4", "ipv6"])
def hosts(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a veth pair; yields their addresses."""
    first, second, bits = ADDRESSES[request.param]
    for name in NAMES:
        subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)
    try:
        for name in NAMES:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", NAMES[0], "link", "add", "veth0", "type", "veth", "peer", "veth0", "netns", NAMES[1])
        for name, address in zip(NAMES, (first, second), strict=True):
            ip("-n", name, "addr", "add", f"{address}/{bits}", "dev", "veth0", *(["nodad"] if bits == 64 else []))
            ip("-n", name, "link", "set", "veth0", "up")
        yield first, second
    finally:
        for name in NAMES:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True, timeout=20)


def test_every_algorithm_between_two_hosts(hosts: tuple[str, str]) -> None:
    placement = [NAMES[0], NAMES[0], NAMES[1]]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DISTOS_COLL_", "NCCL_"))}
    processes = [
        subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, str(WORKER), str(rank), "3", hosts[0], "29611"],
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
                assert report["found"][name] == name, report
            assert not report["found"][""].startswith("wrong"), report
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.communicate()
