"""Runs a function as N ranks, each a process of its own, and never outlives its deadline."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import atexit
import contextlib
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fork_server import spawner

Rank = Callable[..., Any]


def run_ranks(
    function: Rank,
    size: int,
    *args: Any,
    timeout: float = 90,
    backend: str = "distos",
    group_timeout: float = 60,
    environment: Mapping[str, str] | None = None,
    may_die: frozenset[int] = frozenset(),
) -> list[Any]:
    """Call function(rank, size, *args) in a group of `size` ranks and return what each returned.

    Raises AssertionError with every rank's traceback and output if one fails, or when the deadline
    passes. Ranks in `may_die` may end without an answer.
    """
    context = spawner()
    with tempfile.TemporaryDirectory(prefix="distos-test-") as folder:
        ranks = []
        for rank in range(size):
            here, there = context.Pipe(duplex=False)
            log = Path(folder) / f"rank{rank}.log"
            process = context.Process(
                target=_enter,
                args=(there, str(log), dict(environment or {}), function, rank, size),
                kwargs={
                    "store": folder + "/store",
                    "backend": backend,
                    "args": args,
                    "seconds": group_timeout,
                },
            )
            process.start()
            there.close()
            ranks.append((process, here, log))
        deadline = time.monotonic() + timeout
        answers: list[Any] = []
        troubles: list[str] = []
        for rank, (_process, pipe, log) in enumerate(ranks):
            answer, trouble = _answer(pipe, max(deadline - time.monotonic(), 0.0))
            answers.append(answer)
            if trouble and rank not in may_die:
                troubles.append(f"rank {rank}: {trouble}\n{_tail(log)}")
        for process, pipe, _log in ranks:
            process.join(5 if not troubles else 0.5)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        if troubles:
            raise AssertionError("\n".join(troubles))
        return answers


def _answer(pipe: Connection, seconds: float) -> tuple[Any, str]:
    try:
        if not pipe.poll(seconds):
            return None, "no answer before the deadline"
        good, value = pipe.recv()
    except EOFError:
        return None, "ended without an answer"
    return (value, "") if good else (None, value)


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text(encoding="utf-8", errors="replace")[-3000:]
    return ""


def _enter(
    pipe: Connection,
    log: str,
    environment: dict[str, str],
    function: Rank,
    rank: int,
    size: int,
    *,
    store: str,
    backend: str,
    args: tuple[Any, ...],
    seconds: float,
) -> None:
    import faulthandler

    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment)
    faulthandler.dump_traceback_later(max(seconds - 1, 1), exit=False)
    import torch
    import torch.distributed as dist

    torch.set_num_threads(1)
    torch.manual_seed(rank)
    if environment.get("TORCH_DISTRIBUTED_DEBUG"):
        # Read from the environment when torch was imported, which the server did.
        dist.set_debug_level_from_env()
    try:
        if backend:
            dist.init_process_group(
                backend,
                store=dist.FileStore(store, size),
                rank=rank,
                world_size=size,
                timeout=timedelta(seconds=seconds),
            )
        value = function(rank, size, *args)
        if dist.is_initialized():
            dist.destroy_process_group()
    except BaseException:  # noqa: BLE001  the parent raises it
        pipe.send((False, traceback.format_exc()))
    else:
        pipe.send((True, value))
    finally:
        # multiprocessing leaves forked children by os._exit(), without this.
        atexit._run_exitfuncs()
        faulthandler.cancel_dump_traceback_later()
        sys.stderr.flush()
