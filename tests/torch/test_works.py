"""Asynchronous operations: waiting, futures, deadlines, aborts, death, and what an error says."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import os
import signal
import threading
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from error_page import raises
from world import run_ranks

CPU = torch.device("cpu")


def futures(rank: int, size: int) -> None:
    tensor = torch.ones(1000) * (rank + 1)
    total = size * (size + 1) / 2
    work = dist.all_reduce(tensor, async_op=True)
    future = work.get_future()
    doubled = future.then(lambda done: done.value()[0] * 2)
    assert torch.equal(doubled.wait(), torch.full((1000,), 2 * total))
    assert work.is_completed()
    assert work.is_success()
    assert torch.equal(work.result()[0], tensor)
    late = work.get_future()
    assert torch.equal(late.value()[0], tensor)

    # A callback may issue the next collective, as DDP's hooks do.
    tensor = torch.ones(10)
    first = dist.all_reduce(tensor, async_op=True).get_future()

    def again(done: Any) -> torch.Tensor:
        return dist.all_reduce(done.value()[0], async_op=True).get_future().wait()[0]

    assert torch.equal(first.then(again).wait(), torch.full((10,), float(size * size)))

    # Nobody holds the work, and the tensors live as long as the operation.
    total_kept = [torch.ones(100_000) for _ in range(8)]
    for kept in total_kept:
        dist.all_reduce(kept, async_op=True)
    dist.barrier()
    assert all(bool((kept == size).all()) for kept in total_kept)
    outcome = dist.all_reduce(tensor, async_op=True).get_future_result()
    assert outcome.wait() == 0


def sequences(rank: int, size: int) -> None:
    backend = dist.group.WORLD._get_backend(CPU)
    before = backend._get_sequence_number_for_group()
    for step in range(1, 4):
        dist.all_reduce(torch.ones(1), async_op=step % 2 == 0)
        assert backend._get_sequence_number_for_group() == before + step
    dist.barrier()


def any_source(rank: int, size: int) -> None:
    if rank == 0:
        seen = set()
        for _ in range(size - 1):
            tensor = torch.zeros(3)
            source = dist.recv(tensor, tag=7)
            assert torch.equal(tensor, torch.full((3,), float(source)))
            seen.add(source)
        assert seen == set(range(1, size))
    else:
        dist.send(torch.full((3,), float(rank)), 0, tag=7)
    # Tags keep messages apart, whatever the order of the receives.
    if rank == 0:
        # Above the eager size a send ends when its receive is posted, so both are in flight.
        sends = [dist.isend(torch.full((20_000,), float(tag)), 1, tag=tag) for tag in (1, 2)]
        for work in sends:
            work.wait()
    elif rank == 1:
        for tag in (2, 1):
            tensor = torch.zeros(20_000)
            assert dist.recv(tensor, 0, tag=tag) == 0
            assert bool((tensor == tag).all())
    dist.barrier()
    # Non-contiguous and other dtypes, both ways at once.
    peer = rank ^ 1
    if peer < size:
        got = torch.zeros(40, 50, dtype=torch.int16).t()
        operations = [
            dist.P2POp(dist.isend, torch.full((40, 50), rank, dtype=torch.int16).t(), peer),
            dist.P2POp(dist.irecv, got, peer),
        ]
        for work in dist.batch_isend_irecv(operations):
            work.wait()
        assert bool((got == peer).all())
    dist.barrier()


def ring_batch(rank: int, size: int) -> None:
    for count in (1, 10_000, 700_000):
        got = torch.zeros(count)
        operations = [
            dist.P2POp(dist.irecv, got, (rank - 1) % size),
            dist.P2POp(dist.isend, torch.full((count,), float(rank)), (rank + 1) % size),
        ]
        works = dist.batch_isend_irecv(operations)
        assert len(works) == 1
        for work in works:
            work.wait()
        assert bool((got == (rank - 1) % size).all())


def short_waits(rank: int, size: int) -> None:
    """A wait that is too short raises, and the operation goes on."""
    tensor = torch.ones(4)
    if rank == 0:
        work = dist.all_reduce(tensor, async_op=True)
        with raises("torch-wait-timeout", "all_reduce.* waiting 50ms", torch=True):
            work.wait(timedelta(milliseconds=50))
        assert not work.is_completed()
        dist.distributed_c10d._get_default_store().set("go", "1")
        assert work.wait()
    else:
        dist.distributed_c10d._get_default_store().wait(["go"], timedelta(seconds=30))
        dist.all_reduce(tensor)
    assert torch.equal(tensor, torch.full((4,), float(size)))


def deadlines(rank: int, size: int) -> None:
    group = dist.new_group(timeout=timedelta(seconds=60))
    assert group._get_backend(CPU).options._timeout == timedelta(seconds=60)
    # Not before all have joined it.
    group._get_backend(CPU).set_timeout(timedelta(milliseconds=300))
    store = dist.distributed_c10d._get_default_store()
    if rank == 0:
        with raises("operation-timeout", "Timed out waiting 300ms", torch=True) as caught:
            dist.all_reduce(torch.ones(1), group=group)
        for absent in range(1, size):
            assert f"{absent}" in str(caught.value)
        store.set("timed-out", "1")
    else:
        store.wait(["timed-out"], timedelta(seconds=30))
    other = dist.new_group(timeout=timedelta(seconds=60))
    other._get_backend(CPU).set_timeout(timedelta(milliseconds=200))
    if rank == 1:
        work = dist.barrier(group=other, async_op=True)
        with pytest.raises(dist.DistBackendError, match=r"barrier.* Timed out waiting 200ms"):
            work.wait()
        assert work.is_completed()
        assert not work.is_success()
        assert work.exception() is not None
    dist.barrier()  # other groups are unharmed


def monitored(rank: int, size: int) -> None:
    group = dist.group.WORLD
    group.monitored_barrier(timedelta(seconds=30))
    group.monitored_barrier(timedelta(seconds=30), wait_all_ranks=True)
    store = dist.distributed_c10d._get_default_store()
    lonely = dist.new_group()
    if rank == 0:
        with raises("barrier-timeout", torch=True) as caught:
            lonely.monitored_barrier(timedelta(milliseconds=300), wait_all_ranks=True)
        for absent in range(1, size):
            assert str(absent) in str(caught.value)
        store.set("reported", "1")
    else:
        store.wait(["reported"], timedelta(seconds=30))


def aborted(rank: int, size: int) -> None:
    group = dist.new_group()
    store = dist.distributed_c10d._get_default_store()
    if rank == 0:
        store.wait([f"waiting{r}" for r in range(1, size)], timedelta(seconds=30))
        group._get_backend(CPU).abort()
        with raises("group-aborted", torch=True):
            dist.all_reduce(torch.ones(1), group=group)
    else:
        work = dist.all_reduce(torch.ones(1), group=group, async_op=True)
        store.set(f"waiting{rank}", "1")
        with raises("group-aborted", "rank 0 aborted", torch=True):
            work.wait()
        future = work.get_future()
        with pytest.raises(RuntimeError, match="abort"):
            future.wait()
    dist.barrier()


def closed(rank: int, size: int) -> None:
    group = dist.new_group()
    backend = group._get_backend(CPU)
    tensor = torch.ones(5)
    work = dist.all_reduce(tensor, group=group, async_op=True)
    backend.shutdown()
    assert work.wait()  # close waits for what is in flight
    with raises("torch-closed", torch=True):
        dist.all_reduce(tensor, group=group)
    with raises("torch-closed", torch=True):
        dist.all_reduce(tensor, group=group, async_op=True)
    group._wait_for_pending_works()  # what was refused is not waited for
    backend.shutdown()
    dist.barrier()


def crossed(rank: int, size: int) -> None:
    """A then B here, B then A there."""
    groups = [dist.new_group() for _ in range(2)]
    order = groups if rank % 2 == 0 else groups[::-1]
    tensors = {group: torch.ones(50_000) for group in groups}
    works = [dist.all_reduce(tensors[group], group=group, async_op=True) for group in order]
    for work in works:
        work.wait()
    assert all(bool((tensor == size).all()) for tensor in tensors.values())
    # Blocking, from threads.
    failures: list[BaseException] = []

    def blocking(group: Any) -> None:
        try:
            for _ in range(50):
                tensor = torch.ones(100)
                dist.all_reduce(tensor, group=group)
                assert bool((tensor == size).all())
        except BaseException as error:  # noqa: BLE001  reported below
            failures.append(error)

    threads = [threading.Thread(target=blocking, args=(group,)) for group in order]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures


def hooked(rank: int, size: int) -> None:
    group = dist.new_group()
    seen: list[Any] = []
    group._get_backend(CPU)
    if not hasattr(group, "_register_on_completion_hook"):
        return
    group._register_on_completion_hook(seen.append)
    dist.all_reduce(torch.ones(1), group=group)
    dist.all_reduce(torch.ones(1), group=group, async_op=True).wait()
    group._wait_for_pending_works()
    assert [info.op_type.name for info in seen] == ["ALLREDUCE"] * 2
    assert [info.seq for info in seen] == [1, 2]
    dist.barrier()


@pytest.mark.parametrize(
    "scenario",
    [
        futures,
        sequences,
        any_source,
        ring_batch,
        short_waits,
        deadlines,
        monitored,
        aborted,
        closed,
        crossed,
        hooked,
    ],
)
def test_works(scenario: Any) -> None:
    run_ranks(scenario, 3)


def dying(rank: int, size: int, victim: int, kind: str) -> str:
    calls: dict[str, Any] = {
        "all_reduce": lambda: dist.all_reduce(torch.ones(1 << 20)),
        "broadcast": lambda: dist.broadcast(torch.ones(1 << 20), src=victim),
        "all_gather": lambda: dist.all_gather(
            [torch.ones(1 << 18) for _ in range(size)], torch.ones(1 << 18)
        ),
        "all_to_all": lambda: dist.all_to_all_single(
            torch.ones(size << 18), torch.ones(size << 18)
        ),
        "barrier": lambda: dist.barrier(),
        "recv": lambda: dist.recv(torch.ones(1 << 20), victim),
        "async": lambda: dist.all_reduce(torch.ones(1 << 20), async_op=True).wait(),
    }
    # A collective with memory behind it, so that all are connected in every way.
    dist.all_reduce(torch.ones(100))
    if rank == victim:
        os.kill(os.getpid(), signal.SIGKILL)
    try:
        while True:
            calls[kind]()
    except RuntimeError as error:
        return str(error)


@pytest.mark.parametrize("victim", [0, 2])
@pytest.mark.parametrize(
    "kind", ["all_reduce", "broadcast", "all_gather", "all_to_all", "barrier", "recv", "async"]
)
def test_a_killed_rank_is_named(kind: str, victim: int) -> None:
    answers = run_ranks(dying, 3, victim, kind, timeout=60, may_die=frozenset({victim}))
    for rank, answer in enumerate(answers):
        if rank != victim:
            assert f"rank {victim}" in answer, answer
