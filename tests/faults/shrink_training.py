"""One rank of a training in which a rank goes and the others shrink and go on.

Killed: the victim dies in the middle of epoch LOST_EPOCH; the others go back to where that epoch
began. Leaves: it ends just before that epoch, which is what a training by the others from its start
is.
"""

from __future__ import annotations

import copy
import faulthandler
import hashlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

import distos_coll
from distos_coll.cli.demo_worker import load_digits
from distos_coll.errors import PeerDied

SIZE = 4
EPOCHS = 6
LOST_EPOCH = 3
LOST_STEP = 7
BATCH = 48  # a multiple of 4 and of 3
DEADLINE_S = 120
DIGITS = load_digits()


@dataclass(frozen=True)
class Job:
    door: str  # array or torch
    how: str  # killed or leaves
    victim: int
    meet: str


class ArrayDoor:
    """Gradients are averaged by hand."""

    def __init__(self, rank: int, meet: str) -> None:
        self.group = distos_coll.init(rank=rank, size=SIZE, rendezvous=meet, timeout=60)

    def wrapped(self, network: nn.Module) -> nn.Module:
        for parameter in network.parameters():
            self.group.broadcast(parameter.detach())
        return network

    def average(self, network: nn.Module) -> None:
        for parameter in network.parameters():
            self.group.all_reduce(parameter.grad, "average")

    @property
    def place(self) -> tuple[int, int]:
        return self.group.rank, self.group.size

    def shrink(self, victim: int, *, lives: bool) -> None:
        before = self.group
        # Who is dead needs not be said.
        self.group = before.shrink([victim] if lives else [])
        before.close()

    def end(self) -> None:
        self.group.close()


class TorchDoor:
    """DistributedDataParallel."""

    def __init__(self, rank: int, meet: str) -> None:
        store = dist.TCPStore("127.0.0.1", int(meet), SIZE, is_master=False)  # type: ignore[attr-defined]
        deadline = timedelta(seconds=60)
        dist.init_process_group("distos", store=store, rank=rank, world_size=SIZE, timeout=deadline)

    def wrapped(self, network: nn.Module) -> nn.Module:
        return DistributedDataParallel(network)

    def average(self, network: nn.Module) -> None:
        """DDP has done it in the backward pass."""

    @property
    def place(self) -> tuple[int, int]:
        return dist.get_rank(), dist.get_world_size()

    def shrink(self, victim: int, *, lives: bool) -> None:
        dist.shrink_group([victim])

    def end(self) -> None:
        dist.destroy_process_group()


class Training:
    def __init__(self, door: ArrayDoor | TorchDoor) -> None:
        self.door = door
        torch.manual_seed(3)
        self.network = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)

    def epoch(self, number: int, before_step: Callable[[int], None]) -> None:
        rank, size = self.door.place
        model = self.door.wrapped(self.network)
        images, labels = DIGITS.images, DIGITS.labels
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(number))
        share = BATCH // size
        for step in range(len(images) // BATCH):
            before_step(step)
            first = step * BATCH + rank * share
            mine = order[first : first + share]
            self.optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(images[mine]), labels[mine])
            loss.backward()  # type: ignore[no-untyped-call]
            self.door.average(self.network)
            self.optimizer.step()

    def state(self) -> Any:
        return copy.deepcopy((self.network.state_dict(), self.optimizer.state_dict()))

    def restore(self, state: Any) -> None:
        self.network.load_state_dict(state[0])
        self.optimizer.load_state_dict(state[1])

    def result(self) -> dict[str, Any]:
        with torch.no_grad():
            guesses = self.network(DIGITS.test_images).argmax(1)
        digest = hashlib.sha256()
        for parameter in self.network.parameters():
            digest.update(parameter.detach().numpy().tobytes())
        correct = int((guesses == DIGITS.test_labels).sum())
        return {"size": self.door.place[1], "correct": correct, "parameters": digest.hexdigest()}


def run(job: Job, rank: int, pipe: Connection) -> None:
    """Send {"size", "correct", "parameters"} when all epochs are done."""
    faulthandler.dump_traceback_later(DEADLINE_S, exit=True)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    door = (ArrayDoor if job.door == "array" else TorchDoor)(rank, job.meet)
    training = Training(door)
    dies = job.how == "killed"
    victim = job.victim == rank

    def die(step: int) -> None:
        if step == LOST_STEP:
            os.kill(os.getpid(), signal.SIGKILL)

    for number in range(EPOCHS):
        state = training.state()
        if number == LOST_EPOCH and not dies:
            if victim:
                os._exit(0)
            door.shrink(job.victim, lives=True)
        try:
            training.epoch(number, die if victim and number == LOST_EPOCH else lambda _: None)
        except (PeerDied, dist.DistNetworkError):
            door.shrink(job.victim, lives=False)
            training.restore(state)
            training.epoch(number, lambda _: None)
    pipe.send(training.result())
    door.end()
