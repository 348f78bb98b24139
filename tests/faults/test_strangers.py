"""Strangers at every port during training: nothing changes, and every one of them is counted."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import os
import re
import select
import sys
import threading
import time
from pathlib import Path

import pytest

from distos_coll.testing.strangers import Strangers

sys.path.insert(0, str(Path(__file__).parents[1] / "torch"))
torch = pytest.importorskip("torch")
from world import run_ranks  # noqa: E402  after the path is known

STEPS = 150
PER_SECOND = 1000
FEWEST = 100
SECONDS = 6 if os.environ.get("DISTOS_TEST_ALL") else 3


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
    """Strangers at all ports of all ranks, once these have said which they are."""

    def __init__(self, folder: Path, ranks: int) -> None:
        super().__init__()
        self._folder, self._ranks = folder, ranks
        self.sent = [0] * ranks
        self.trouble: list[OSError] = []

    def run(self) -> None:
        owners, places = [], []
        for rank in range(self._ranks):
            file = self._folder / f"ports{rank}"
            while not file.exists():
                select.select([], [], [], 0.01)
            for ip, port in map(str.split, file.read_text().splitlines()):
                owners.append(rank)
                places.append((ip, int(port)))
        (self._folder / "flood").touch()
        strangers = Strangers(places, PER_SECOND)
        end = time.monotonic() + SECONDS
        strangers.knock_until(lambda: time.monotonic() >= end and min(strangers.sent) >= FEWEST)
        for rank, sent in zip(owners, strangers.sent, strict=True):
            self.sent[rank] += sent
        self.trouble = strangers.trouble
        temporary = self._folder / "done.tmp"
        temporary.write_text(" ".join(map(str, self.sent)))
        temporary.rename(self._folder / "done")


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
    assert min(flood.sent) >= FEWEST
