"""What people run: DDP and its hooks, FSDP2, ZeRO, tensor parallelism, checkpoints, compilation."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks, powerSGD_hook
from torch.distributed.algorithms.join import Join
from torch.nn.parallel import DistributedDataParallel
from world import run_ranks


class Net(nn.Module):
    def __init__(self, unused: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(20, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 5)
        )
        self.spare = nn.Linear(4, 4) if unused else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layers(x)
        return out


def batch(rank: int, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    made = torch.Generator().manual_seed(100 * step + rank)
    return torch.randn(8, 20, generator=made), torch.randn(8, 5, generator=made)


def train(model: nn.Module, optimizer: Any, rank: int, steps: int = 4) -> None:
    for step in range(steps):
        x, y = batch(rank, step)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()


def reference(size: int, steps: int = 4) -> list[torch.Tensor]:
    """The same training in one process on the ranks' batches together."""
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for step in range(steps):
        batches = [batch(rank, step) for rank in range(size)]
        optimizer.zero_grad()
        nn.functional.mse_loss(
            model(torch.cat([x for x, _ in batches])), torch.cat([y for _, y in batches])
        ).backward()
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()]


def compare(parameters: Any, wanted: list[torch.Tensor], tolerance: float = 1e-5) -> None:
    for got, expected in zip(parameters, wanted, strict=True):
        torch.testing.assert_close(got.detach(), expected, rtol=tolerance, atol=tolerance)


def data_parallel(rank: int, size: int) -> None:
    wanted = reference(size)
    for options in (
        {},
        {"static_graph": True},
        {"gradient_as_bucket_view": True, "bucket_cap_mb": 0.01},
    ):
        model = DistributedDataParallel(Net(), **options)
        train(model, torch.optim.SGD(model.parameters(), lr=0.05), rank)
        compare(model.parameters(), wanted)
    model = DistributedDataParallel(Net(unused=True), find_unused_parameters=True)
    train(model, torch.optim.SGD(model.parameters(), lr=0.05), rank)
    compare(model.module.layers.parameters(), wanted)


def hooks(rank: int, size: int) -> None:
    wanted = reference(size)
    group = dist.group.WORLD

    def state() -> powerSGD_hook.PowerSGDState:
        return powerSGD_hook.PowerSGDState(
            group, matrix_approximation_rank=2, start_powerSGD_iter=2
        )

    for hook_state, hook, tolerance in (
        (group, default_hooks.allreduce_hook, 1e-5),
        (group, default_hooks.fp16_compress_hook, 1e-2),
        (state(), powerSGD_hook.powerSGD_hook, 1.0),
    ):
        # One bucket: PowerSGD issues collectives from callbacks, and with several buckets in flight
        # their order is a rank's own affair on any backend that runs them asynchronously.
        model = DistributedDataParallel(Net())
        model.register_comm_hook(hook_state, hook)
        train(model, torch.optim.SGD(model.parameters(), lr=0.05), rank)
        compare(model.parameters(), wanted, tolerance)
        digest = torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
        every = [torch.empty_like(digest) for _ in range(size)]
        dist.all_gather(every, digest)
        assert all(torch.equal(each, digest) for each in every)


def joined(rank: int, size: int) -> None:
    """Uneven inputs: rank r has r + 2 batches."""
    model = DistributedDataParallel(Net())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    steps = 0
    with Join([model]):
        for step in range(rank + 2):
            x, y = batch(rank, step)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
            steps += 1
    assert steps == rank + 2
    digest = next(model.parameters()).detach().clone()
    other = digest.clone()
    dist.broadcast(other, src=size - 1)
    assert torch.equal(other, digest)


def zero(rank: int, size: int) -> None:
    from torch.distributed.optim import ZeroRedundancyOptimizer

    model = DistributedDataParallel(Net())
    optimizer = ZeroRedundancyOptimizer(model.parameters(), torch.optim.SGD, lr=0.05)
    train(model, optimizer, rank)
    compare(model.parameters(), reference(size))


def sharded(rank: int, size: int) -> None:
    from torch.distributed.fsdp import fully_shard

    mesh = dist.device_mesh.init_device_mesh("cpu", (size,))
    model = Net()
    for layer in model.layers:
        if isinstance(layer, nn.Linear):
            fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    train(model, torch.optim.SGD(model.parameters(), lr=0.05), rank)
    compare([parameter.full_tensor() for parameter in model.parameters()], reference(size), 1e-4)


def tensor_parallel(rank: int, size: int) -> None:
    from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        RowwiseParallel,
        parallelize_module,
    )

    mesh = dist.device_mesh.init_device_mesh("cpu", (size,))
    model = Net()
    whole = copy.deepcopy(model)
    parallelize_module(model.layers, mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    x, y = batch(0, 0)
    for net in (model, whole):
        nn.functional.mse_loss(net(x), y).backward()
    for got, wanted in zip(model.parameters(), whole.parameters(), strict=True):
        gradient = got.grad.full_tensor() if isinstance(got.grad, DTensor) else got.grad
        torch.testing.assert_close(gradient, wanted.grad, rtol=1e-4, atol=1e-5)
    tensor = torch.arange(float(7 * size)).view(size, 7)
    split = distribute_tensor(tensor, mesh, [Shard(1)])
    assert torch.equal(split.redistribute(mesh, [Replicate()]).to_local(), tensor)
    assert torch.equal(split.redistribute(mesh, [Shard(0)]).to_local(), tensor[rank : rank + 1])


def checkpoint(rank: int, size: int, folder: str) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.fsdp import fully_shard

    mesh = dist.device_mesh.init_device_mesh("cpu", (size,))
    model = fully_shard(Net(), mesh=mesh)
    train(model, torch.optim.SGD(model.parameters(), lr=0.05), rank, steps=1)
    saving = dcp.async_save(model.state_dict(), checkpoint_id=folder)
    train(model, torch.optim.SGD(model.parameters(), lr=0.05), rank, steps=1)  # beside it
    saving.result(timeout=60)
    other = fully_shard(Net(), mesh=mesh)
    state = other.state_dict()
    dcp.load(state, checkpoint_id=folder)
    other.load_state_dict(state)
    compare(
        [parameter.full_tensor() for parameter in other.parameters()],
        reference(size, steps=1),
        1e-4,
    )


def compiled(rank: int, size: int) -> None:
    from torch.distributed import _functional_collectives as funcol

    def step(x: torch.Tensor) -> torch.Tensor:
        return funcol.all_reduce(x * 2, "sum", dist.group.WORLD) + 1

    # aot_eager: the graph is captured and functionalised; no compiler is asked for.
    got = torch.compile(step, backend="aot_eager", fullgraph=True)(torch.ones(6))
    assert got.tolist() == [2.0 * size + 1] * 6


class Numbers(torch.utils.data.Dataset[torch.Tensor]):
    def __len__(self) -> int:
        return 64

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.full((20,), float(index))


def loaded(rank: int, size: int) -> None:
    """Forked DataLoader workers live beside the ranks, which communicate while they work."""
    dist.all_reduce(torch.ones(1))
    loader = torch.utils.data.DataLoader(
        Numbers(),
        batch_size=8,
        num_workers=2,
        multiprocessing_context="fork",
        persistent_workers=True,
    )
    for _ in range(2):
        seen = torch.zeros(1)
        for item in loader:
            seen += item[:, 0].sum()
            dist.all_reduce(torch.ones(50_000), async_op=True).wait()
        assert seen.item() == sum(range(64))
    dist.barrier()


@pytest.mark.parametrize(
    "scenario", [data_parallel, hooks, joined, zero, sharded, tensor_parallel, compiled, loaded]
)
def test_training(scenario: Any) -> None:
    run_ranks(scenario, 2, timeout=150, group_timeout=120)


def test_checkpoint(tmp_path: Path) -> None:
    run_ranks(checkpoint, 2, str(tmp_path / "saved"), timeout=150, group_timeout=120)
