"""torch's allocator hooks: DDP's buckets and FSDP2's buffers in registered memory, and in use."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,operator,union-attr"

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from world import run_ranks

import distos_coll
from distos_coll.flight import dump

WIDE = 400
"""Of the layers, whose gradients are large enough for registered memory."""
STEPS_AFTER = 3


def net() -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(WIDE, WIDE), nn.ReLU(), nn.Linear(WIDE, WIDE), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDE, 8))


def batch(rank: int, step: int) -> torch.Tensor:
    made = torch.Generator().manual_seed(100 * step + rank)
    return torch.randn(4, WIDE, generator=made)


def train(model: nn.Module, batches: Callable[[int], torch.Tensor], steps: range) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in steps:
        optimizer.zero_grad()
        model(batches(step)).square().mean().backward()
        optimizer.step()


def newest(collective: str) -> str:
    """The program of the newest large call of this collective; the same on all ranks."""
    with tempfile.TemporaryDirectory() as folder:
        (path,) = distos_coll.dump_flight_record(folder + "/")
        calls = [call for view in dump.read(Path(path)).views for call in view.calls]
    large = [
        c for c in calls if c.call.startswith(collective) and int(c.call.split()[2]) >= WIDE**2 // 2
    ]
    return large[-1].algorithm if large else ""


def train_until(model: nn.Module, rank: int, wanted: dict[str, str]) -> int:
    """Train until each collective has run its wanted program, then a few steps more.

    The first buffers take the other ranks a moment to map.
    """
    step = 0
    while any(newest(collective) != program for collective, program in wanted.items()):
        train(model, lambda s: batch(rank, s), range(step, step + 1))
        step += 1
    train(model, lambda s: batch(rank, s), range(step, step + STEPS_AFTER))
    assert all(newest(collective) == program for collective, program in wanted.items())
    return step + STEPS_AFTER


def check_against_one_process(parameters: list[torch.Tensor], size: int, steps: int) -> None:
    model = net()
    train(model, lambda s: torch.cat([batch(rank, s) for rank in range(size)]), range(steps))
    for mine, other in zip(parameters, model.parameters(), strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=1e-4, atol=1e-6)


def ddp(rank: int, size: int, as_view: bool) -> None:
    model = DistributedDataParallel(net(), gradient_as_bucket_view=as_view)
    steps = train_until(model, rank, {"all_reduce": "direct2/registered"})
    check_against_one_process([p.detach() for p in model.parameters()], size, steps)


@pytest.mark.parametrize("as_view", [False, True])
def test_ddp_reduces_its_buckets_in_place(as_view: bool) -> None:
    run_ranks(ddp, 2, as_view, environment={"DDP_DISABLE_COMM_MEM": "0"})


def ddp_by_default(rank: int, _size: int) -> None:
    model = DistributedDataParallel(net())
    train(model, lambda s: batch(rank, s), range(4))
    assert newest("all_reduce") not in ("", "direct2/registered")


def test_ddp_has_ordinary_buckets_unless_told() -> None:
    run_ranks(ddp_by_default, 2)


def fsdp(rank: int, size: int) -> None:
    from torch.distributed.fsdp import fully_shard

    mesh = dist.init_device_mesh("cpu", (size,))
    model = net()
    for layer in [*(m for m in model if isinstance(m, nn.Linear)), model]:
        fully_shard(layer, mesh=mesh)
        layer.set_allocate_memory_from_process_group_for_comm(True)
    program = "direct1/registered"
    steps = train_until(model, rank, {"all_gather": program, "reduce_scatter": program})
    whole = [p.full_tensor().detach() for p in model.parameters()]
    check_against_one_process(whole, size, steps)


def test_fsdp2_gathers_and_scatters_in_place() -> None:
    run_ranks(fsdp, 2)


def tensors(rank: int, size: int) -> None:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    assert backend.supports_tensor_alloc(torch.device("cpu"))
    x = backend.allocate_tensor(1 << 18, dtype=torch.float64, device=torch.device("cpu"))
    assert x.shape == (1 << 18,)
    assert x.dtype == torch.float64
    assert x.data_ptr() % 4096 == 0
    for _ in range(20):
        x.fill_(rank + 1)
        dist.all_reduce(x)
        assert (x == size * (size + 1) / 2).all()
    assert backend.allocate_tensor(0, dtype=torch.int8, device=torch.device("cpu")).numel() == 0
    indexed = backend.allocate_tensor(1 << 18, dtype=torch.int8, device=torch.device("cpu", 0))
    assert indexed.device == torch.empty(0, device=torch.device("cpu", 0)).device
    part = x[10:20]
    dist.destroy_process_group()
    del x
    gc.collect()
    part.fill_(1)
    with pytest.raises(RuntimeError, match="shut down"):
        backend.allocate_tensor(1 << 18, dtype=torch.float64, device=torch.device("cpu"))


def test_tensors_outlive_the_group() -> None:
    run_ranks(tensors, 2)


def alone(_rank: int, _size: int) -> None:
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    assert not backend.supports_tensor_alloc(torch.device("cpu"))


def test_ranks_that_share_no_memory_are_not_offered_any() -> None:
    run_ranks(alone, 2, environment={"DISTOS_COLL_SHM": "0"})
    run_ranks(alone, 1)
