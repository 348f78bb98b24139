"""Strangers at every port during training: nothing changes, and every one of them is counted."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import contextlib
import os
import re
import select
import socket
import struct
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "torch"))
torch = pytest.importorskip("torch")
from world import run_ranks  # noqa: E402  after the path is known

STEPS = 150
PER_SECOND = 1000
SECONDS = 6 if os.environ.get("DISTOS_TEST_ALL") else 3

# Of a hello as it was before connections proved themselves: a message of type 1 whose handshake
# says version 1.
OLD_HELLO = struct.pack("<IHHIIQQ", 0x4D434344, 1, 0, 0, 120, 0, 0) + struct.pack("<HH", 1, 2)
KINDS = (
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    os.urandom(64),
    bytes(4096),
    OLD_HELLO + bytes(116),
    OLD_HELLO[:20],
    b"",  # says nothing, and stays
)


def training(rank: int, size: int, folder: str, disturbed: bool) -> tuple[list[float], int]:
    """Return the losses, and how many connections were dropped once all were counted."""
    import torch
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    from distos_coll.torch.loader import native

    links = native().describe_links()
    ports = re.findall(r"\S+ (\S+) port (\d+)", links.splitlines()[0])
    wait_for = Path(folder, "flood")
    if disturbed:
        Path(folder, f"ports{rank}.tmp").write_text("\n".join(" ".join(p) for p in ports))
        Path(folder, f"ports{rank}.tmp").rename(Path(folder, f"ports{rank}"))
        while not wait_for.exists():
            select.select([], [], [], 0.01)
    torch.manual_seed(0)
    model = DistributedDataParallel(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    data = torch.Generator().manual_seed(rank)
    losses: list[float] = []
    done = Path(folder, "done")
    # At least as long as the strangers come; what is compared is what both runs have.
    goes_on = True
    while goes_on:
        x = torch.randn(16, 64, generator=data)
        loss = nn.functional.mse_loss(model(x), x.sum(1, keepdim=True))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        wanted = torch.tensor([len(losses) < STEPS or (disturbed and not done.exists())])
        torch.distributed.all_reduce(wanted)  # of bool: or
        goes_on = bool(wanted.item())
    dropped = 0
    if disturbed:
        sent = int(done.read_text().split()[rank])
        give_up = time.monotonic() + 60
        while dropped < sent and time.monotonic() < give_up:
            found = re.search(r"(\d+) connections were dropped", native().describe_links())
            dropped = int(found[1]) if found else 0
            select.select([], [], [], 0.05)
        # Nobody leaves while another still counts.
        torch.distributed.barrier()
    return losses[:STEPS], dropped


class Flood(threading.Thread):
    """Connects to all ports of all ranks in turn, about PER_SECOND times a second."""

    def __init__(self, folder: Path, ranks: int) -> None:
        super().__init__()
        self._folder, self._ranks = folder, ranks
        self.sent = [0] * ranks
        self.trouble: list[OSError] = []

    def run(self) -> None:
        places = []
        for rank in range(self._ranks):
            file = self._folder / f"ports{rank}"
            while not file.exists():
                select.select([], [], [], 0.01)
            lines = file.read_text().splitlines()
            places += [(rank, ip, int(port)) for ip, port in map(str.split, lines)]
        (self._folder / "flood").touch()
        start = time.monotonic()
        silent: list[socket.socket] = []
        number = 0
        while time.monotonic() < start + SECONDS:
            ahead = number / PER_SECOND - (time.monotonic() - start)
            if ahead > 0:
                select.select([], [], [], ahead)
            rank, ip, port = places[number % len(places)]
            # Not in step with the places, so that each of them sees each kind.
            self._visit(rank, (ip, port), KINDS[number // len(places) % len(KINDS)], silent)
            number += 1
        for each in silent:
            each.close()
        temporary = self._folder / "done.tmp"
        temporary.write_text(" ".join(map(str, self.sent)))
        temporary.rename(self._folder / "done")

    def _visit(self, rank: int, place: Any, says: bytes, silent: list[socket.socket]) -> None:
        try:
            caller = socket.create_connection(place, timeout=10)
        except OSError as error:
            self.trouble.append(error)
            return
        self.sent[rank] += 1
        if not says:
            silent.append(caller)
            if len(silent) > 200:
                silent.pop(0).close()
            return
        with contextlib.suppress(OSError):  # dropped before it had said all
            caller.sendall(says)
        caller.close()


def test_training_does_not_notice_strangers(tmp_path: Path) -> None:
    # Ranks that meet over TCP, so that there are ports to find.
    over_tcp = {"DISTOS_COLL_SHM": "0"}
    calm = run_ranks(training, 2, str(tmp_path), False, environment=over_tcp, timeout=200)
    flood = Flood(tmp_path, 2)
    flood.start()
    try:
        stormy = run_ranks(training, 2, str(tmp_path), True, environment=over_tcp, timeout=280)
    finally:
        flood.join()
    assert not flood.trouble, flood.trouble[:3]
    assert [losses for losses, _ in stormy] == [losses for losses, _ in calm]
    assert [dropped for _, dropped in stormy] == flood.sent
    assert min(flood.sent) > 100
