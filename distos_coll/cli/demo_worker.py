"""One rank of the demo: a small classifier, trained with DDP on scikit-learn's handwritten digits.

Started by demo_run.py as `python -m distos_coll.cli.demo_worker JOB`. Writes JSON lines to standard
output: {"steps": n} as it goes (rank 0), and one {"results": [...]} at the end; rank 0 adds how the
group's all-reduces are chosen.

The backends take turns, an epoch each, so that whatever else the machine does meets them alike.
"""

import faulthandler
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from typing import Any

from distos_coll._vocabulary import Collective

BATCH = 64  # over all ranks
HIDDEN = 256
SAMPLES = 1797  # in load_digits
TEST_SAMPLES = 360
STEPS_PER_EPOCH = (SAMPLES - TEST_SAMPLES) // BATCH  # what is left of an epoch is not used
SEED = 20


@dataclass(frozen=True)
class Job:
    """What one rank needs to know."""

    backends: tuple[str, ...]  # the first is the default group's
    rank: int
    size: int
    epochs: int
    port: int
    listen_fd: int  # the store's socket, on rank 0; -1 elsewhere
    timeout_s: int


@dataclass
class Result:
    """What one rank found out about one backend."""

    backend: str
    losses: list[str] = field(default_factory=list)  # of this rank's batches, exact (float.hex)
    step_us: float = 0.0
    correct: int = 0
    gradient_bytes: int = 0
    choices: list[dict[str, Any]] = field(default_factory=list)  # for all_reduce, of rank 0


@dataclass(frozen=True)
class Digits:
    images: Any
    labels: Any
    test_images: Any
    test_labels: Any


def load_digits() -> Digits:
    import torch
    from sklearn import datasets

    digits = datasets.load_digits()
    order = torch.randperm(SAMPLES, generator=torch.Generator().manual_seed(SEED))
    images = (torch.tensor(digits.data, dtype=torch.float32) / 16)[order]
    labels = torch.tensor(digits.target, dtype=torch.int64)[order]
    cut = SAMPLES - TEST_SAMPLES
    return Digits(images[:cut], labels[:cut], images[cut:], labels[cut:])


def _join(job: Job) -> list[Any]:
    """Make the default group and one more for each further backend."""
    import torch.distributed as dist

    deadline = timedelta(seconds=job.timeout_s)
    store = dist.TCPStore(  # type: ignore[attr-defined]
        "127.0.0.1",
        job.port,
        job.size,
        is_master=job.listen_fd >= 0,
        timeout=deadline,
        master_listen_fd=job.listen_fd if job.listen_fd >= 0 else None,
    )
    dist.init_process_group(
        job.backends[0], store=store, rank=job.rank, world_size=job.size, timeout=deadline
    )
    others = [dist.new_group(backend=name, timeout=deadline) for name in job.backends[1:]]
    return [dist.group.WORLD, *others]


def _epochs(job: Job, group: Any, digits: Digits, result: Result) -> Iterator[None]:
    """Train one epoch per `next`, then fill in the result."""
    import torch
    from torch import nn
    from torch.nn.parallel import DistributedDataParallel

    torch.manual_seed(SEED)
    network = nn.Sequential(
        nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU(),
        nn.Linear(HIDDEN, 10),
    )  # fmt: skip
    model = DistributedDataParallel(network, process_group=group)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    shuffle = torch.Generator().manual_seed(SEED)
    share = BATCH // job.size
    times: list[float] = []
    for epoch in range(job.epochs):
        order = torch.randperm(len(digits.images), generator=shuffle)
        for step in range(STEPS_PER_EPOCH):
            first = step * BATCH + job.rank * share
            mine = order[first : first + share]
            began = time.perf_counter()
            optimizer.zero_grad()
            loss = criterion(model(digits.images[mine]), digits.labels[mine])
            loss.backward()
            optimizer.step()
            # In the first epoch DDP arranges its buckets and memory is touched for the first time.
            if epoch > 0 or job.epochs == 1:
                times.append(time.perf_counter() - began)
            result.losses.append(loss.item().hex())
        yield
    with torch.no_grad():
        guesses = network(digits.test_images).argmax(1)
    result.correct = int((guesses == digits.test_labels).sum())
    result.step_us = statistics.median(times) * 1e6
    result.gradient_bytes = sum(p.numel() * p.element_size() for p in model.parameters())


def _say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def _train(job: Job, groups: list[Any]) -> list[Result]:
    digits = load_digits()
    results = [Result(name) for name in job.backends]
    trainings = [
        _epochs(job, group, digits, result) for group, result in zip(groups, results, strict=True)
    ]
    done = 0
    for _ in range(job.epochs):
        for training in trainings:
            next(training)
            done += STEPS_PER_EPOCH
            if job.rank == 0:
                _say(steps=done)
    for training in trainings:
        next(training, None)
    return results


def _choices(group: Any) -> list[dict[str, Any]]:
    """Return the plan that the group runs, if its backend is ours."""
    import torch

    backend = group._get_backend(torch.device("cpu"))  # noqa: SLF001 - torch has no other way
    if not hasattr(backend, "topology"):
        return []
    from distos_coll import settings
    from distos_coll.cli import choices
    from distos_coll.group_plan import Found, plan_for

    plan = plan_for(settings.load(), Found(*backend.topology[1:]))
    return choices.rows(plan, Collective.ALL_REDUCE)


def main() -> None:
    faulthandler.enable()  # a crash of native code says where
    job = Job(**json.loads(sys.argv[1]))
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    groups = _join(job)
    try:
        results = _train(job, groups)
        if job.rank == 0:
            for result, group in zip(results, groups, strict=True):
                result.choices = _choices(group)
    finally:
        dist.destroy_process_group()
    _say(results=[asdict(result) for result in results])


if __name__ == "__main__":
    main()
