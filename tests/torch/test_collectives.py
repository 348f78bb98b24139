"""Every collective, dtype and reduction against what one process computes from all inputs."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import functools
from typing import Any

import pytest
import torch
import torch.distributed as dist
from world import run_ranks

Op = dist.ReduceOp
INTEGERS = (torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64)
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COMPLEX = (torch.complex64, torch.complex128)
MOVED = (
    *INTEGERS,
    *FLOATS,
    *COMPLEX,
    torch.bool,
    torch.uint16,
    torch.uint32,
    torch.float8_e4m3fn,
)
SIZES = (2, 3, 4)


def data(rank: int, count: int, dtype: torch.dtype, salt: int = 0) -> torch.Tensor:
    """Small whole numbers, so that every dtype adds them up exactly; the same on every caller."""
    made = torch.Generator().manual_seed(1000 * salt + rank)
    whole = torch.randint(0, 4, (count,), generator=made)
    if dtype.is_complex:
        return torch.complex(whole.double(), whole.flip(0).double()).to(dtype)
    return (whole % 2 == 0) if dtype is torch.bool else whole.to(dtype)


def wide(dtype: torch.dtype) -> torch.dtype:
    return (
        torch.complex128
        if dtype.is_complex
        else torch.float64
        if dtype.is_floating_point
        else torch.int64
    )


def oracle(inputs: list[torch.Tensor], op: Any) -> torch.Tensor:
    dtype = inputs[0].dtype
    if dtype is torch.bool:
        every = op in (Op.PRODUCT, Op.MIN, Op.BAND)
        step = (
            torch.logical_xor if op == Op.BXOR else torch.logical_and if every else torch.logical_or
        )
        return functools.reduce(step, inputs)
    values = [tensor.to(wide(dtype)) for tensor in inputs]
    if op in (Op.SUM, Op.AVG):
        total = functools.reduce(torch.add, values)
        if op == Op.AVG:
            count = len(values)
            total = (
                total / count
                if wide(dtype) != torch.int64
                else torch.div(total, count, rounding_mode="trunc")
            )
        return total.to(dtype)
    steps = {
        Op.PRODUCT: torch.mul,
        Op.MIN: torch.minimum,
        Op.MAX: torch.maximum,
        Op.BAND: torch.bitwise_and,
        Op.BOR: torch.bitwise_or,
        Op.BXOR: torch.bitwise_xor,
    }
    return functools.reduce(steps[op], values).to(dtype)


def check(got: torch.Tensor, wanted: torch.Tensor, what: str) -> None:
    same = (
        torch.equal(got.view(torch.uint8), wanted.contiguous().view(torch.uint8))
        if got.is_contiguous()
        else False
    )
    if not same and not torch.allclose(
        got.to(wide(got.dtype)), wanted.to(wide(got.dtype)), rtol=1e-2, atol=0
    ):
        raise AssertionError(f"{what}: got {got}, wanted {wanted}")


def reductions(dtype: torch.dtype) -> list[Any]:
    if dtype.is_complex:
        return [Op.SUM, Op.AVG]
    ops = [Op.SUM, Op.PRODUCT, Op.MIN, Op.MAX]
    if dtype is not torch.bool:
        ops.append(Op.AVG)
    if not dtype.is_floating_point:
        ops += [Op.BAND, Op.BOR, Op.BXOR]
    return ops


def reducing(rank: int, size: int) -> None:
    for dtype in (*INTEGERS, *FLOATS, *COMPLEX, torch.bool):
        for op in reductions(dtype):
            for count in (1, 37, 3000):
                what = f"{dtype} {op} {count}"
                wanted = oracle([data(r, count, dtype) for r in range(size)], op)
                tensor = data(rank, count, dtype)
                dist.all_reduce(tensor, op=op)
                check(tensor, wanted, f"all_reduce {what}")
                root = count % size
                tensor = data(rank, count, dtype)
                dist.reduce(tensor, dst=root, op=op)
                check(
                    tensor, wanted if rank == root else data(rank, count, dtype), f"reduce {what}"
                )
                whole = data(rank, count * size, dtype)
                part = torch.zeros(count, dtype=dtype)
                wanted = oracle([data(r, count * size, dtype) for r in range(size)], op)
                dist.reduce_scatter_tensor(part, whole, op=op)
                check(part, wanted.chunk(size)[rank], f"reduce_scatter_tensor {what}")
                pieces = [piece.clone() for piece in whole.chunk(size)]
                dist.reduce_scatter(part.zero_(), pieces, op=op)
                check(part, wanted.chunk(size)[rank], f"reduce_scatter {what}")


def moving(rank: int, size: int) -> None:
    for dtype in MOVED:
        for count in (1, 37, 3000):
            what = f"{dtype} {count}"
            every = [data(r, count, dtype) for r in range(size)]
            own = every[rank]
            for root in range(size):
                tensor = own.clone() if rank == root else torch.zeros_like(own)
                dist.broadcast(tensor, src=root)
                check(tensor, every[root], f"broadcast {what}")
                into = [torch.zeros_like(own) for _ in range(size)] if rank == root else None
                dist.gather(own, into, dst=root)
                for got, wanted in zip(into or [], every, strict=False):
                    check(got, wanted, f"gather {what}")
                got = torch.zeros_like(own)
                dist.scatter(got, every if rank == root else None, src=root)
                check(got, own, f"scatter {what}")
            lists = [torch.zeros_like(own) for _ in range(size)]
            dist.all_gather(lists, own)
            for got, wanted in zip(lists, every, strict=True):
                check(got, wanted, f"all_gather {what}")
            flat = torch.zeros(count * size, dtype=dtype)
            dist.all_gather_into_tensor(flat, own)
            for got, wanted in zip(flat.chunk(size), every, strict=True):
                check(got, wanted, f"all_gather_into_tensor {what}")
            send = torch.cat(
                [data(rank, count, dtype, salt=1 + r).view(torch.uint8) for r in range(size)]
            ).view(dtype)
            got = torch.zeros_like(send)
            dist.all_to_all_single(got, send)
            for r, piece in enumerate(got.chunk(size)):
                check(piece, data(r, count, dtype, salt=1 + rank), f"all_to_all_single {what}")


def uneven(rank: int, size: int) -> None:
    for dtype in (torch.float32, torch.int16, torch.complex64, torch.uint8):
        counts = [5 * (r + 1) % 7 for r in range(size)]  # one may be 0
        every = [data(r, counts[r], dtype) for r in range(size)]
        lists = [torch.zeros(count, dtype=dtype) for count in counts]
        dist.all_gather(lists, every[rank])
        for got, wanted in zip(lists, every, strict=True):
            check(got, wanted, f"all_gather uneven {dtype}")
        part = torch.zeros(counts[rank], dtype=dtype)
        inputs = [[data(r, counts[to], dtype, salt=to) for to in range(size)] for r in range(size)]
        dist.reduce_scatter(part, inputs[rank])
        check(
            part,
            oracle([inputs[r][rank] for r in range(size)], Op.SUM),
            f"reduce_scatter uneven {dtype}",
        )

        rows = [[(r + 2 * to) % 4 for to in range(size)] for r in range(size)]
        send = [data(rank, 3 * rows[rank][to], dtype, salt=to).view(-1, 3) for to in range(size)]
        output = torch.zeros(sum(rows[r][rank] for r in range(size)), 3, dtype=dtype)
        dist.all_to_all_single(
            output, torch.cat(send), [rows[r][rank] for r in range(size)], rows[rank]
        )
        wanted = torch.cat(
            [data(r, 3 * rows[r][rank], dtype, salt=rank).view(-1, 3) for r in range(size)]
        )
        check(output, wanted, f"all_to_all_single uneven {dtype}")
        outputs = [torch.zeros(rows[r][rank], 3, dtype=dtype) for r in range(size)]
        dist.all_to_all(outputs, send)
        check(torch.cat(outputs), wanted, f"all_to_all uneven {dtype}")

    # Rank 0 has even shares and does not say so; it cannot know that the others have not.
    rows = [[1 if 0 in (r, to) else (r + 2 * to) % 4 for to in range(size)] for r in range(size)]
    rows_out = torch.cat([data(rank, rows[rank][to], torch.int64, salt=to) for to in range(size)])
    output = torch.zeros(sum(rows[r][rank] for r in range(size)), dtype=torch.int64)
    splits = (None, None) if rank == 0 else ([rows[r][rank] for r in range(size)], rows[rank])
    dist.all_to_all_single(output, rows_out, *splits)
    wanted = torch.cat([data(r, rows[r][rank], torch.int64, salt=rank) for r in range(size)])
    check(output, wanted, "all_to_all_single even here, uneven there")


def strided(rank: int, size: int) -> None:
    """Non-contiguous in and out, views into one buffer, conjugated, transposed, zero-size."""
    every = [data(r, 24, torch.float32).view(4, 6) for r in range(size)]
    total = oracle(every, Op.SUM)
    for work_of in (False, True):
        tensor = every[rank].t().contiguous().t()
        assert not tensor.is_contiguous()
        work = dist.all_reduce(tensor, async_op=work_of)
        if work_of:
            work.wait()
        assert torch.equal(tensor, total)
    holder = torch.zeros(8, 6)
    holder[::2] = every[rank]
    dist.broadcast(holder[::2], src=1)
    assert torch.equal(holder[::2], every[1])
    assert not holder[1::2].any()
    outputs = [torch.zeros(6, 4).t() for _ in range(size)]
    dist.all_gather(outputs, every[rank].t().contiguous().t())
    assert all(torch.equal(got, wanted) for got, wanted in zip(outputs, every, strict=True))
    buffer = torch.zeros(size, 4, 6)
    dist.all_gather(list(buffer.unbind(0)), every[rank])
    assert torch.equal(buffer, torch.stack(every))
    part = torch.zeros(6, 4).t()
    dist.reduce_scatter(part, [every[rank].t().contiguous().t() for _ in range(size)])
    assert torch.equal(part, total)
    conjugated = torch.complex(every[rank], every[rank]).conj()
    # dist.broadcast() refuses what it cannot view as real, torch's dispatcher hands over a copy.
    dist.group.WORLD._get_backend(torch.device("cpu")).broadcast([conjugated], _root(0)).wait()
    assert torch.equal(conjugated, torch.complex(every[0], -every[0]))
    # A contiguous view that does not start its storage, in place within the gathered tensor.
    flat = torch.zeros(size * 24)
    mine = flat.narrow(0, rank * 24, 24)
    mine.copy_(every[rank].view(-1))
    dist.all_gather_into_tensor(flat, mine)
    assert torch.equal(flat.view(size, 4, 6), torch.stack(every))
    empty = torch.zeros(0, 3)
    dist.all_reduce(empty)
    dist.broadcast(empty, src=0)
    dist.all_gather([torch.zeros(0) for _ in range(size)], torch.zeros(0))
    dist.all_to_all_single(torch.zeros(0), torch.zeros(0))
    scalar = torch.tensor(rank + 1.0)
    dist.all_reduce(scalar)
    assert scalar.item() == size * (size + 1) / 2
    leaf = torch.ones(3, requires_grad=True)
    with torch.no_grad():
        dist.all_reduce(leaf)
    assert torch.equal(leaf.detach(), torch.full((3,), float(size)))


def coalesced(rank: int, size: int) -> None:
    shapes = (3, 500, 1, 70)
    tensors = [data(rank, count, torch.float32) for count in shapes]
    with dist._coalescing_manager(async_ops=True) as manager:
        for tensor in tensors:
            dist.all_reduce(tensor)
    manager.wait()
    for tensor, count in zip(tensors, shapes, strict=True):
        check(
            tensor,
            oracle([data(r, count, torch.float32) for r in range(size)], Op.SUM),
            "coalescing",
        )
    outputs = [torch.zeros(count * size) for count in shapes]
    with dist._coalescing_manager():
        for output, count in zip(outputs, shapes, strict=True):
            dist.all_gather_into_tensor(output, data(rank, count, torch.float32))
    for output, count in zip(outputs, shapes, strict=True):
        check(output, torch.cat([data(r, count, torch.float32) for r in range(size)]), "coalescing")
    # One whose body raised was never ended, and does not keep the next from starting.
    backend = dist.group.WORLD._get_backend(torch.device("cpu"))
    backend._start_coalescing()
    parts = [torch.zeros(count) for count in shapes]
    with dist._coalescing_manager():
        for part, count in zip(parts, shapes, strict=True):
            dist.reduce_scatter_tensor(part, data(rank, count * size, torch.float32))
    for part, count in zip(parts, shapes, strict=True):
        whole = oracle([data(r, count * size, torch.float32) for r in range(size)], Op.SUM)
        check(part, whole.chunk(size)[rank], "coalescing")


def scaled(rank: int, size: int) -> None:
    for dtype in (*FLOATS, torch.complex64):
        own = data(rank, 50, dtype)
        wanted = oracle([data(r, 50, dtype) for r in range(size)], Op.SUM) * 0.5
        for factor in (0.5, torch.tensor([0.5])):
            op = dist._make_nccl_premul_sum(factor)
            tensor = own.clone()
            dist.all_reduce(tensor, op=op)
            check(tensor, wanted, f"premul_sum all_reduce {dtype}")
            part = torch.zeros(50, dtype=dtype)
            dist.reduce_scatter_tensor(part, own.repeat(size), op=op)
            check(part, wanted, f"premul_sum reduce_scatter {dtype}")


def sparse(rank: int, size: int) -> None:
    for entries, values in ((5, ()), (0, ()), (3 * rank, (4,)), (7, (2, 3))):
        made = [
            _coo(r, 3 * r if entries == 3 * rank and values == (4,) else entries, values)
            for r in range(size)
        ]
        tensor = made[rank].clone()
        work = dist.all_reduce(tensor, async_op=True)
        work.wait()
        dense = functools.reduce(torch.add, [each.to_dense() for each in made])
        assert tensor.is_sparse
        assert torch.equal(tensor.to_dense(), dense)


def _coo(rank: int, entries: int, values: tuple[int, ...]) -> torch.Tensor:
    made = torch.Generator().manual_seed(rank)
    indices = torch.randint(0, 6, (2, entries), generator=made)
    return torch.sparse_coo_tensor(
        indices, torch.ones(entries, *values) * (rank + 1), (6, 6, *values), check_invariants=True
    )


def _root(root: int) -> Any:
    options = dist.BroadcastOptions()
    options.rootRank = root
    return options


def unsigned(rank: int, size: int) -> None:
    for dtype in (torch.uint16, torch.uint32, torch.uint64):
        tensor = torch.full((5,), 2 + rank, dtype=torch.int64).to(dtype)
        dist.all_reduce(tensor)
        assert tensor.to(torch.int64).tolist() == [2 * size + sum(range(size))] * 5


def large(rank: int, size: int) -> None:
    """Several segments of every program, sizes that do not divide."""
    for count in (100_003, 1_000_001):
        tensor = torch.full((count,), float(rank + 1))
        dist.all_reduce(tensor)
        assert bool((tensor == size * (size + 1) / 2).all())
        tensor = torch.arange(count, dtype=torch.float32) if rank == 1 else torch.zeros(count)
        dist.broadcast(tensor, src=1)
        assert torch.equal(tensor, torch.arange(count, dtype=torch.float32))
        flat = torch.zeros(count * size)
        dist.all_gather_into_tensor(flat, torch.full((count,), float(rank)))
        assert torch.equal(flat.view(size, count)[:, 0], torch.arange(size, dtype=torch.float32))
        part = torch.zeros(count)
        dist.reduce_scatter_tensor(part, torch.ones(count * size))
        assert bool((part == size).all())


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "scenario",
    [reducing, moving, uneven, strided, coalesced, scaled, sparse, unsigned, large],
)
def test_against_oracle(scenario: Any, size: int) -> None:
    run_ranks(scenario, size)


@pytest.mark.parametrize("scenario", [reducing, moving, uneven, coalesced])
def test_with_several_domains(scenario: Any) -> None:
    """Two ranks a domain, so that the message links and the hierarchical programs work too."""
    run_ranks(scenario, 3, environment={"DISTOS_COLL_DOMAIN_LIMIT": "2"})
