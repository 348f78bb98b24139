"""A trace of torch's profiler shows the backend's calls with their names, shapes and types."""

# mypy: disable-error-code="no-untyped-call"

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from world import run_ranks

CALLS: dict[str, tuple[Any, list[int], str]] = {
    "distos:all_reduce": (lambda n: dist.all_reduce(torch.ones(1000)), [1000], "float"),
    "distos:broadcast": (
        lambda n: dist.broadcast(torch.ones(3, 4, dtype=torch.bfloat16), 0),
        [3, 4],
        "c10::BFloat16",
    ),
    "distos:_all_gather_base": (
        lambda n: dist.all_gather_into_tensor(
            torch.ones(5 * n, dtype=torch.int64), torch.ones(5, dtype=torch.int64)
        ),
        [5],
        "long int",
    ),
    "distos:all_to_all": (
        lambda n: dist.all_to_all_single(torch.ones(n, 2), torch.ones(n, 2)),
        [2, 2],
        "float",
    ),
}
"""The name in the profile: a call, the shape and the type of its input."""


def profiled(rank: int, size: int) -> None:
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
        for call, _, _ in CALLS.values():
            call(size)
        dist.all_reduce(torch.ones(1000), async_op=True).wait()
        dist.barrier()
    with tempfile.TemporaryDirectory() as folder:
        profiler.export_chrome_trace(f"{folder}/trace.json")
        trace = json.loads(Path(folder, "trace.json").read_text(encoding="utf-8"))
    events = [e for e in trace["traceEvents"] if e.get("name", "").startswith("distos:")]
    names = [event["name"] for event in events]
    assert sorted(names) == sorted([*CALLS, "distos:all_reduce", "distos:barrier"])
    for event in events:
        if event["name"] != "distos:barrier":
            _, shape, dtype = CALLS[event["name"]]
            assert event["args"]["Input Dims"] == [shape], event
            assert event["args"]["Input type"] == [dtype], event


def test_names_and_sizes() -> None:
    run_ranks(profiled, 2)
