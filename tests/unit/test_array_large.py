"""Calls that outgrow the last cache: their copies go past it (cpp/core/streaming_copy.h)."""

from typing import Any

import numpy as np

from distos_coll import Communicator, run_threads

# Two ranks that write so much outgrow 64 MiB; odd, so that no part begins where a line does.
COUNT = (34 << 20) + 6
PART = COUNT // 2


def numbers(seed: int, n: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, n, np.uint8)


def exchange(c: Communicator) -> None:
    mine, others = numbers(c.rank, COUNT), numbers(1 - c.rank, COUNT)
    halves = [mine[:PART], others[:PART]] if c.rank == 0 else [others[:PART], mine[:PART]]

    out = np.empty(COUNT, np.uint8)
    assert np.array_equal(c.all_gather(mine[:PART], out=out), np.concatenate(halves))
    c.all_to_all(mine, out=out)
    own = slice(c.rank * PART, (c.rank + 1) * PART)
    other = slice((1 - c.rank) * PART, (2 - c.rank) * PART)
    assert np.array_equal(out[own], mine[own])
    assert np.array_equal(out[other], others[own])
    buffer = mine.copy()
    c.broadcast(buffer, root=1)
    assert np.array_equal(buffer, numbers(1, COUNT))
    c.all_reduce(mine)
    assert np.array_equal(mine, numbers(0, COUNT) + numbers(1, COUNT))


def test_large_calls() -> None:
    run_threads(2, exchange)


def test_large_calls_by_windows_only(monkeypatch: Any) -> None:
    monkeypatch.setenv("DISTOS_COLL_SINGLE_COPY", "0")
    monkeypatch.setenv("DISTOS_COLL_ALGO", "direct1")
    run_threads(2, exchange)
