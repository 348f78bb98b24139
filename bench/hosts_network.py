"""Two network namespaces as two hosts, and the link between them; for bench/hosts.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import final

HOSTS = ("distos_bench_a", "distos_bench_b")
_SECONDS = 120
_FLOWS = 256
# Classic BPF: class 1:n with n = 1 + (source port ^ destination port) % 256, so that each
# connection has, nearly always, a class of its own. Offsets count from the IP header.
_CLASS_BY_PORTS = ",".join(
    (
        "8",
        f"40 0 0 {0xFFF00000 + 20}",  # ldh source port
        "7 0 0 0",  # tax
        f"40 0 0 {0xFFF00000 + 22}",  # ldh destination port
        "172 0 0 0",  # xor x
        f"84 0 0 {_FLOWS - 1}",  # and
        "4 0 0 1",  # add
        f"68 0 0 {0x10000}",  # or
        "22 0 0 0",  # ret a
    )
)


def missing(delayed: bool) -> str:
    """What this machine lacks for the measurement; empty if nothing."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for command, package in (("ip", "iproute2"), ("tc", "iproute2"), ("iperf3", "iperf3")):
        if shutil.which(command) is None:
            return f"there is no {command} (apt-get install {package})"
    if shutil.which("c++") is None:
        return "there is no C++ compiler (apt-get install g++)"
    if delayed and not Path("/dev/net/tun").exists():
        return "a delay needs TUN devices, and there is no /dev/net/tun (modprobe tun)"
    return ""


def build(name: str, folder: Path) -> Path:
    """Compile a program that lies beside this file."""
    program = folder / name
    source = Path(__file__).with_name(f"{name}.cc")
    subprocess.run(["c++", "-O2", "-std=c++20", "-o", program, source], check=True)
    return program


def start_in(
    host: str, command: list[str], env: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["ip", "netns", "exec", host, *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=env,
    )


def run_in(host: str, command: list[str]) -> str:
    """What the command wrote; it must end well."""
    full = ["ip", "netns", "exec", host, *command]
    return subprocess.run(
        full, check=True, stdout=subprocess.PIPE, text=True, timeout=_SECONDS
    ).stdout


@final
class Network:
    """The namespaces and their link, for as long as the context is open."""

    addresses = ("10.217.14.1", "10.217.14.2")

    def __init__(self, rate: str, flow_rate: str, delay_ms: float) -> None:
        self._rate = "" if rate == "none" else rate
        self._flow_rate = flow_rate
        self._delay_ms = delay_ms
        self._relay: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="distos_hosts_")
        self.folder = Path(self._folder.name)

    def __str__(self) -> str:
        text = f"{self._rate or 'unlimited'} each way"
        if self._flow_rate:
            text += f", {self._flow_rate} a connection"
        return text + (f", {self._delay_ms:g} ms one way" if self._delay_ms else "")

    def __enter__(self) -> Network:
        self._remove()
        try:
            for host in HOSTS:
                _ip(f"netns add {host}")
                _ip(f"-n {host} link set lo up")
            self._join()
            for host, address in zip(HOSTS, self.addresses, strict=True):
                _ip(f"-n {host} addr add {address}/24 dev link0")
                _ip(f"-n {host} link set link0 up")
                self._shape(host)
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._relay is not None:
            self._relay.kill()
            self._relay.wait()
        self._remove()
        self._folder.cleanup()

    def _remove(self) -> None:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], check=False, capture_output=True)

    def _join(self) -> None:
        if self._delay_ms == 0:
            _ip(f"-n {HOSTS[0]} link add link0 type veth peer link0 netns {HOSTS[1]}")
            return
        relay = [str(build("delay_link", self.folder)), *HOSTS, "link0", str(self._delay_ms)]
        self._relay = subprocess.Popen(relay, stdout=subprocess.PIPE, text=True)
        assert self._relay.stdout is not None
        if self._relay.stdout.readline() != "ready\n":
            raise SystemExit("the relay of the delayed link did not start; what it said is above")

    def _shape(self, host: str) -> None:
        # Bursts of 256 KB, or the shaper would cut up packets of 64 KiB.
        shape = f"tc -n {host} qdisc add dev link0 root"
        if not self._flow_rate:
            if self._rate:
                _run(f"{shape} tbf rate {self._rate} burst 256kb latency 50ms")
            return
        _run(f"{shape} handle 1: htb")
        add = "class add dev link0 parent"
        whole = self._rate or "100gbit"
        classes = f"{add} 1: classid 1:ffff htb rate {whole} quantum 64000"
        for flow in range(_FLOWS):
            classes += f"\n{add} 1:ffff classid 1:{flow + 1:x} htb rate 1mbit "
            classes += f"ceil {self._flow_rate} burst 256kb cburst 256kb quantum 64000"
        subprocess.run(["tc", "-n", host, "-b", "-"], input=classes, text=True, check=True)
        _run(f"tc -n {host} filter add dev link0 parent 1: bpf bytecode", _CLASS_BY_PORTS)

    def _wait(self) -> None:
        """The kernel says that a link is up a moment after it is."""
        deadline = time.monotonic() + 20
        for host in HOSTS:
            show = ["ip", "-n", host, "link", "show", "link0"]
            while "LOWER_UP" not in subprocess.check_output(show, text=True):
                if time.monotonic() > deadline:
                    raise SystemExit(f"the link of {host} has no carrier")
                time.sleep(0.05)


def _run(command: str, *more: str) -> None:
    subprocess.run([*command.split(), *more], check=True)


def _ip(command: str) -> None:
    _run(f"ip {command}")
