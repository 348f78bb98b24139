"""Network namespaces as hosts, of which every pair has a link of its own; for bench/mesh.py.

Each host has one address, on all its links, and a route to each other host over their own link: so
nothing is shared, and one link can be made slow without touching any other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from itertools import combinations
from typing import final

_SECONDS = 20
_OURS = ("DISTOS_COLL_", "NCCL_")


def missing() -> str:
    """What this machine lacks; empty if nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for command in ("ip", "tc"):
        if shutil.which(command) is None:
            return f"there is no {command} (apt-get install iproute2)"
    return ""


@final
class Mesh:
    """The namespaces and their links, for as long as the context is open."""

    def __init__(
        self, prefix: str, hosts: int, rate: str, slow: Mapping[tuple[int, int], str]
    ) -> None:
        self.names = [f"{prefix}{host}" for host in range(hosts)]
        self.addresses = [f"10.217.15.{host + 1}" for host in range(hosts)]
        self._rate = rate
        self._slow = dict(slow)

    def __str__(self) -> str:
        slow = ", ".join(f"{a} - {b} {rate}" for (a, b), rate in self._slow.items())
        return f"{self._rate} each way" + (f", but {slow}" if slow else "")

    def __enter__(self) -> Mesh:
        self._remove()
        try:
            for name in self.names:
                _run(f"ip netns add {name}")
                _run(f"ip -n {name} link set lo up")
            for a, b in combinations(range(len(self.names)), 2):
                self._join(a, b)
            self._wait()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()

    def _remove(self) -> None:
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _join(self, a: int, b: int) -> None:
        names, rate = self.names, self._slow.get((a, b), self._rate)
        _run(f"ip -n {names[a]} link add to{b} type veth peer to{a} netns {names[b]}")
        for here, there in ((a, b), (b, a)):
            _run(f"ip -n {names[here]} addr add {self.addresses[here]}/32 dev to{there}")
            _run(f"ip -n {names[here]} link set to{there} up")
            route = f"{self.addresses[there]}/32 dev to{there} src {self.addresses[here]}"
            _run(f"ip -n {names[here]} route add {route}")
            tc = f"tc -n {names[here]}"
            _run(f"{tc} qdisc add dev to{there} root handle 1: htb default 1")
            # Bursts of 128 KB, or the shaper would cut up packets of 64 KiB.
            shape = f"htb rate {rate} burst 128kb cburst 128kb quantum 60000"
            _run(f"{tc} class add dev to{there} parent 1: classid 1:1 {shape}")

    def _wait(self) -> None:
        """The kernel says that a link is up a moment after it is."""
        deadline = time.monotonic() + _SECONDS
        for name in self.names:
            show = ["ip", "-n", name, "-br", "link"]
            while "NO-CARRIER" in subprocess.check_output(show, text=True):
                if time.monotonic() > deadline:
                    raise SystemExit(f"a link of {name} has no carrier")
                time.sleep(0.05)

    def start(self, host: int, command: list[str], env: Mapping[str, str]) -> subprocess.Popen[str]:
        """Start a rank on a host, as torchrun would, one a host. Hosts are called as namespaces."""
        names = {k: v for k, v in os.environ.items() if not k.startswith(_OURS)}
        launched = {
            "RANK": str(host),
            "WORLD_SIZE": str(len(self.names)),
            "LOCAL_RANK": "0",
            "LOCAL_WORLD_SIZE": "1",
            "MASTER_ADDR": self.addresses[0],
            "MASTER_PORT": "29750",
            "DISTOS_COLL_HOST_ID": self.names[host],
        }
        return subprocess.Popen(
            ["ip", "netns", "exec", self.names[host], *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**names, **launched, **env},
        )


def _run(command: str) -> None:
    subprocess.run(command.split(), check=True, timeout=_SECONDS)
