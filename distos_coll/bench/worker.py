"""Runs a rank: of a launcher's job, a thread, or one of the processes that local.py started."""

import ctypes
import faulthandler
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distos_coll.bench.doors import ArrayDoor, Door
from distos_coll.bench.findings import CALIBRATE, run_purpose
from distos_coll.bench.options import Options
from distos_coll.bench.report import Report, free_name
from distos_coll.bench.run import Listener, bench
from distos_coll.bench.table import Table
from distos_coll.communicator import Communicator
from distos_coll.errors import DistosError
from distos_coll.settings import NO_PROFILE, variable_of
from distos_coll.start import init, run_threads

WRONG = 3
"""The exit code of a worker whose run had wrong results; anything else but 0 is a failure."""
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Task:
    """What a started process is told."""

    options: dict[str, Any]
    rank: int
    ranks: int
    folder: str
    """A new one, for the ranks to meet."""
    parent: int
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that it gets besides the starting process's."""


def _run_group(group: Communicator, options: Options) -> bool:
    if options.purpose:
        return run_purpose(group, options, _say)
    return run_door(ArrayDoor(group), options)


def run_door(door: Door, options: Options) -> bool:
    """Measure, report on rank 0, and return whether every result was right."""
    listeners: list[Listener] = []
    if door.rank == 0:
        if options.json_only:
            listeners.append(Report(_say))
        else:
            listeners.append(Table(_say))
        if options.json_file:
            path = free_name(options.json_file)
            if not options.json_only:
                _say(f"# Writing JSON output to {path}")
            listeners.append(Report(_writer(path)))
    return bench(door, options, listeners).out_of_bounds == 0


def run_threaded(options: Options) -> bool:
    """Run with this process's threads as ranks."""
    every = run_threads(
        options.threads, lambda group: _run_group(group, options), **_limit(options)
    )
    return all(every)


def run_launched(options: Options) -> bool:
    """Run as one of a launcher's processes."""
    if options.backend:
        return _run_torch(options)
    if options.purpose == CALIBRATE:
        # One that is there already, perhaps a stale one, has no say in what is measured.
        os.environ[variable_of("profile")] = NO_PROFILE
    with init(**_limit(options)) as group:
        return _run_group(group, options)


def _run_task(task: Task) -> bool:
    options = Options.from_dict(task.options)
    if options.backend:
        store = f"file://{task.folder}/store"
        return _run_torch(options, init_method=store, rank=task.rank, world_size=task.ranks)
    with _joined(task, options) as group:
        return _run_group(group, options)


def _joined(task: Task, options: Options) -> Communicator:
    # The folder's name is unique on this host.
    place = f"unix:{task.folder}"
    return init(rank=task.rank, size=task.ranks, rendezvous=place, **_limit(options))


def _run_torch(options: Options, **meeting: Any) -> bool:
    try:
        import torch
        import torch.distributed as dist
    except ImportError:
        raise DistosError(
            f"--backend {options.backend} needs torch; run: pip install 'distos-coll[torch]'"
        ) from None
    from datetime import timedelta

    from distos_coll.bench.torch_door import TorchDoor

    torch.set_num_threads(1)
    if options.timeout:
        meeting["timeout"] = timedelta(seconds=options.timeout)
    try:
        dist.init_process_group(options.backend, **meeting)
    except (AssertionError, RuntimeError, ValueError) as error:
        raise DistosError(f"torch could not join with backend {options.backend}: {error}") from None
    try:
        return run_door(TorchDoor(options.backend), options)
    finally:
        dist.destroy_process_group()


def _limit(options: Options) -> dict[str, Any]:
    return {"timeout": options.timeout} if options.timeout else {}


def _say(text: str) -> None:
    # At once, so that a run can be watched through a pipe.
    print(text, flush=True)


def _writer(path: Path) -> Callable[[str], None]:
    def write(text: str) -> None:
        path.write_text(text + "\n", encoding="utf-8")

    return write


def _end_with(parent: int) -> None:
    """Let this process end when the one that started it is killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit("the starting process has ended")


def main() -> None:
    faulthandler.enable()
    task = Task(**json.loads(sys.argv[1]))
    _end_with(task.parent)
    try:
        right = _run_task(task)
    except DistosError as error:
        sys.exit(f"distos-coll: {error}")
    sys.exit(0 if right else WRONG)


if __name__ == "__main__":
    main()
