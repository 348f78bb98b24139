"""Groups: made, nested, split, meshed, named in backend strings; and torch's layers over them."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_page import raises
from torch.distributed import _functional_collectives as funcol
from world import run_ranks

CPU = torch.device("cpu")


def subgroups(rank: int, size: int) -> None:
    evens = dist.new_group([0, 2])
    everyone = dist.new_group()
    alone = dist.new_group([rank], use_local_synchronization=True)
    tensor = torch.ones(3)
    if rank % 2 == 0:
        dist.all_reduce(tensor, group=evens)
        assert tensor.tolist() == [2.0] * 3
        assert dist.get_backend(evens) == "distos"
    dist.all_reduce(torch.ones(1), group=everyone)
    own = torch.full((2,), float(rank))
    dist.all_reduce(own, group=alone)
    dist.all_gather([own], own.clone(), group=alone)
    dist.broadcast(own, src=rank, group=alone)
    dist.barrier(group=alone)
    assert own.tolist() == [float(rank)] * 2
    for _ in range(5):
        again = dist.new_group()
        dist.all_reduce(torch.ones(1), group=again)
        dist.destroy_process_group(again)


def joined_again(rank: int, size: int) -> None:
    """Destroyed and made again, also after an abort, after a failed set-up, and with two names."""

    def join(store: Any, seconds: float = 30) -> None:
        dist.init_process_group(
            "distos",
            store=store,
            rank=rank,
            world_size=size,
            timeout=timedelta(seconds=seconds),
        )

    meeting = dist.distributed_c10d._get_default_store()
    for number in range(3):
        dist.destroy_process_group()
        join(dist.PrefixStore(f"again{number}", meeting))
        tensor = torch.ones(3)
        dist.all_reduce(tensor)
        assert tensor.tolist() == [float(size)] * 3
        meeting.set(f"through/{number}/{rank}", "")
        if number == 1 and rank == 0:
            meeting.wait([f"through/{number}/1"], timedelta(seconds=30))
            dist.group.WORLD._get_backend(CPU).abort()
    dist.destroy_process_group()
    with raises("member-absent", torch=True):
        join(dist.PrefixStore(f"lonely{rank}", meeting), seconds=0.3)
    join(dist.PrefixStore("last", meeting))
    dist.barrier()


def split(rank: int, size: int) -> None:
    world = dist.group.WORLD
    assert world._get_backend(CPU).supports_splitting
    for _ in range(2):  # the same ranks twice: the same name, other keys in the store
        half = [0, 1] if rank < 2 else [2, 3]
        child = world.split_group(half, timeout=timedelta(seconds=20), group_desc="half")
        assert child.size() == 2
        assert child.rank() == rank % 2
        tensor = torch.full((4,), float(rank))
        child.allreduce([tensor]).wait()
        assert tensor.tolist() == [float(sum(half))] * 4
        # Both device types of the group are served by one backend.
        assert child._get_backend(CPU).name() == "distos"
        child.barrier().wait()


def meshed(rank: int, size: int) -> None:
    mesh = dist.device_mesh.init_device_mesh("cpu", (2, 2), mesh_dim_names=("rows", "columns"))
    for name, wanted in (("rows", rank % 2 + (rank % 2 + 2)), ("columns", 2 * (rank // 2 * 2) + 1)):
        tensor = torch.tensor([float(rank)])
        dist.all_reduce(tensor, group=mesh.get_group(name))
        assert tensor.item() == wanted


def objects(rank: int, size: int) -> None:
    everything: list[Any] = [None] * size
    dist.all_gather_object(everything, {"rank": rank, "text": "x" * rank})
    assert everything == [{"rank": r, "text": "x" * r} for r in range(size)]
    listed = ["a", {"b": 2}, [3]] if rank == 1 else [None] * 3
    dist.broadcast_object_list(listed, src=1)
    assert listed == ["a", {"b": 2}, [3]]
    gathered = [None] * size if rank == 0 else None
    dist.gather_object(("r", rank), gathered, dst=0)
    if gathered is not None:
        assert gathered == [("r", r) for r in range(size)]
    got = [None]
    dist.scatter_object_list(got, [f"for {r}" for r in range(size)] if rank == 0 else None, src=0)
    assert got == [f"for {rank}"]


def functional(rank: int, size: int) -> None:
    group = dist.group.WORLD
    tensor = torch.full((4,), float(rank))
    total = float(sum(range(size)))
    assert funcol.all_reduce(tensor, "sum", group).tolist() == [total] * 4
    assert funcol.all_gather_tensor(tensor, 0, group).view(size, 4)[:, 0].tolist() == [
        float(r) for r in range(size)
    ]
    part = funcol.reduce_scatter_tensor(torch.arange(float(4 * size)), "sum", 0, group)
    assert part.tolist() == [size * (4.0 * rank + i) for i in range(4)]
    got = funcol.all_to_all_single(torch.full((size,), float(rank)), None, None, group)
    assert got.tolist() == [float(r) for r in range(size)]
    assert funcol.broadcast(tensor, 1, group).tolist() == [1.0] * 4
    several = funcol.all_reduce_coalesced([tensor, tensor + 1], "sum", group)
    assert [each[0].item() for each in several] == [total, total + size]
    several = funcol.all_gather_into_tensor_coalesced([tensor, tensor + 1], group)
    assert [each.numel() for each in several] == [4 * size] * 2
    shards = funcol.reduce_scatter_tensor_coalesced(
        [torch.ones(size), torch.ones(2 * size)], "sum", [0, 0], group
    )
    assert [each.tolist() for each in shards] == [[float(size)], [float(size)] * 2]
    assert (
        funcol.permute_tensor(tensor, [(r + 1) % size for r in range(size)], group)[0].item()
        == (rank - 1) % size
    )


def configured(rank: int, size: int) -> None:
    import distos_coll.torch as distos

    options = distos.options(float32_on_wire=True)
    wide = dist.new_group(pg_options=options)
    half = torch.full((1000,), 1.0, dtype=torch.bfloat16)
    dist.all_reduce(half, group=wide)
    assert half.tolist() == [float(size)] * 1000
    assert wide._get_backend(CPU).options.float32_on_wire
    assert not dist.group.WORLD._get_backend(CPU).options.float32_on_wire
    text = distos.explain(None, "all_reduce", 1024)
    assert "all_reduce of 1024 bytes" in text
    with raises("torch-explain-name", torch=True):
        distos.explain(None, "all_produce")
    with raises("torch-options", torch=True):
        dist.new_group(pg_options=dist.ProcessGroupGloo._Options())
    dist.barrier()


def routed(rank: int, size: int) -> None:
    assert dist.get_backend_config() == "cpu:distos,cuda:distos"
    tensor = torch.ones(2)
    dist.all_reduce(tensor)
    assert tensor.tolist() == [float(size)] * 2
    only_cpu = dist.new_group(backend="cpu:distos")
    dist.all_reduce(tensor, group=only_cpu)
    mixed = dist.new_group(backend="cpu:gloo,cuda:distos")
    dist.all_reduce(tensor, group=mixed)
    assert tensor.tolist() == [float(size**3)] * 2


def detailed(rank: int, size: int) -> None:
    assert dist.get_debug_level() == dist.DebugLevel.DETAIL
    tensor = torch.ones(5)
    dist.all_reduce(tensor)
    dist.all_reduce(tensor, async_op=True).wait()
    assert tensor.tolist() == [float(size * size)] * 5
    lists = [torch.zeros(2) for _ in range(size)]
    dist.all_gather(lists, torch.full((2,), float(rank)))
    dist.barrier()
    with pytest.raises(RuntimeError, match="Detected mismatch between collectives"):
        dist.all_reduce(torch.ones(5 + rank))


def mismatched(rank: int, size: int) -> None:
    """Without torch's wrapper the core itself says who did what."""
    group = dist.new_group(timeout=timedelta(seconds=20))

    def differ() -> None:
        for _ in range(3):
            dist.all_reduce(torch.ones(5 + rank), group=group)

    with raises("calls-differ", torch=True):
        differ()
    dist.barrier()


def configured_apart(rank: int, size: int) -> None:
    """Settings that all ranks must share are compared, whether the plan shows them or not."""
    os.environ["DISTOS_COLL_EAGER_BYTES"] = str(1024 * (rank + 1))
    with raises("plan-differs", torch=True):
        dist.new_group()
    del os.environ["DISTOS_COLL_EAGER_BYTES"]
    dist.barrier()


@pytest.mark.parametrize(
    ("scenario", "size", "more"),
    [
        (subgroups, 3, {}),
        (joined_again, 2, {}),
        (split, 4, {}),
        (meshed, 4, {}),
        (objects, 3, {}),
        (functional, 3, {}),
        (configured, 2, {}),
        (routed, 2, {"backend": "cpu:distos,cuda:distos"}),
        (detailed, 2, {"environment": {"TORCH_DISTRIBUTED_DEBUG": "DETAIL"}}),
        (mismatched, 2, {}),
        (configured_apart, 2, {}),
    ],
)
def test_groups(scenario: Any, size: int, more: dict[str, Any]) -> None:
    run_ranks(scenario, size, **more)


def unknown_setting(rank: int, size: int) -> None:
    with raises("setting-unknown", "did you mean DISTOS_COLL_SLOT_BYTES", torch=True):
        dist.init_process_group(
            "distos", store=dist.HashStore(), rank=0, world_size=1, timeout=timedelta(seconds=5)
        )


def absent(rank: int, size: int) -> None:
    started = dist.HashStore()
    with raises("member-absent", "rank 1", torch=True):
        dist.init_process_group(
            "distos", store=started, rank=0, world_size=2, timeout=timedelta(seconds=1)
        )


@pytest.mark.parametrize(
    ("scenario", "more"),
    [(unknown_setting, {"DISTOS_COLL_SLOT_BYTE": "1M"}), (absent, {})],
)
def test_set_up_fails_with_a_sentence(scenario: Any, more: dict[str, str]) -> None:
    run_ranks(scenario, 1, backend="", environment=more)


LEAVING = """
import sys, torch, torch.distributed as dist, distos_coll.torch
distos_coll.torch.register()
rank, path = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("distos", store=dist.FileStore(path, 2), rank=rank, world_size=2)
tensor = torch.ones(10)
if rank == 0:
    dist.all_reduce(tensor)
    print("rank 0 leaves", flush=True)
else:
    dist.all_reduce(tensor)
    try:
        dist.all_reduce(tensor)
    except dist.DistNetworkError as error:
        print(error)
"""


def test_leaving_without_goodbye(tmp_path: Path) -> None:
    """Neither rank destroys its group. The other sees a rank leave at exit, and not one die."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", LEAVING, str(rank), str(tmp_path / "store")],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    outputs = [rank.communicate(timeout=90)[0] for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    assert "rank 0" in outputs[1], outputs
    assert "left" in outputs[1], outputs
