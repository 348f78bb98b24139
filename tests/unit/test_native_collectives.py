"""Every collective and algorithm of the native core against numpy: ranks are threads, links are
real.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from error_page import says
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distos_coll import _native
from distos_coll._vocabulary import Collective, ReduceOp
from distos_coll.errors import DistosError, InvalidArgument, Mismatch, TimeoutExpired
from distos_coll.testing import LocalWorld, Rank
from distos_coll.testing.ranks import Array, check

ALGORITHMS = {
    Collective.ALL_REDUCE: ["ring", "tree", "rhd", "direct1", "direct2", "hier"],
    Collective.REDUCE: ["binomial", "direct1", "direct2", "hier"],
    Collective.BROADCAST: ["binomial", "direct1", "hier"],
    Collective.ALL_GATHER: ["ring", "direct1"],
    Collective.REDUCE_SCATTER: ["ring", "direct1", "pairwise"],
    Collective.ALL_TO_ALL: ["pairwise", "direct1"],
    Collective.GATHER: ["binomial", "direct1"],
    Collective.SCATTER: ["binomial", "direct1"],
    Collective.ALL_GATHER_V: ["ring", "direct1"],
    Collective.REDUCE_SCATTER_V: ["ring", "direct1", "pairwise"],
    Collective.ALL_TO_ALL_V: ["pairwise"],
}
ONE_DOMAIN_ONLY = {"direct1"}
NUMPY_OPS: dict[ReduceOp, Any] = {
    ReduceOp.SUM: np.add.reduce,
    ReduceOp.PRODUCT: np.multiply.reduce,
    ReduceOp.MIN: np.minimum.reduce,
    ReduceOp.MAX: np.maximum.reduce,
    ReduceOp.BAND: np.bitwise_and.reduce,
    ReduceOp.BOR: np.bitwise_or.reduce,
    ReduceOp.BXOR: np.bitwise_xor.reduce,
}
# Small on purpose: a few hundred elements then cross many segments, rounds and credits.
SLOT_BYTES, SEGMENT_BYTES = 512, 128
TINY = "stream_credit=4096\nring_bytes=65536\neager_credit=4096\neager_bytes=512"

_worlds: dict[tuple[Any, ...], LocalWorld] = {}


@pytest.fixture(scope="module", autouse=True)
def close_worlds() -> Iterator[None]:
    yield
    for world in _worlds.values():
        world.close()
    _worlds.clear()


def world(size: int, algo: str, domain_limit: int, shm: bool = True) -> LocalWorld:
    """Worlds are kept: setting one up takes longer than a hundred operations on it."""
    key = (size, algo, domain_limit, shm)
    if key not in _worlds:
        _worlds[key] = LocalWorld(
            size,
            algo=algo,
            settings=f"domain_limit={domain_limit}\nshm={int(shm)}\n{TINY}",
            slot_bytes=SLOT_BYTES,
            segment_bytes=SEGMENT_BYTES,
        )
    return _worlds[key]


def values(rng: np.random.Generator, count: int, dtype: str) -> Array:
    # Small integers: every order of summation gives the same exact result.
    return rng.integers(0, 5, count).astype(dtype)


def offsets(counts: list[int]) -> list[int]:
    return [int(x) for x in np.concatenate([[0], np.cumsum(counts)[:-1]])] if counts else []


def v_of(world_size: int, rng: np.random.Generator, count: int) -> list[int]:
    return [int(x) for x in rng.integers(0, count + 1, world_size)]


class Case:
    """One collective call on all ranks: inputs, what each rank passes, and what numpy says comes
    out.
    """

    def __init__(
        self,
        collective: Collective,
        n: int,
        count: int,
        dtype: str,
        op: ReduceOp,
        root: int,
        seed: int,
    ):
        rng = np.random.default_rng(seed)
        self.collective, self.n, self.op, self.root = collective, n, op, root
        self.count = count
        self.sizes = v_of(n, rng, count)
        self.matrix = rng.integers(0, count + 1, (n, n))
        self.inputs = [values(rng, self._input_count(r, count), dtype) for r in range(n)]
        self.dtype = dtype
        self.algorithms: set[str] = set()
        """What ran it, filled in by run()."""

    def _input_count(self, r: int, count: int) -> int:
        c = Collective
        if self.collective in (c.REDUCE_SCATTER, c.ALL_TO_ALL):
            return count * self.n
        if self.collective is c.SCATTER:
            return count * self.n if r == self.root else 0
        if self.collective is c.ALL_GATHER_V:
            return self.sizes[r]
        if self.collective is c.REDUCE_SCATTER_V:
            return sum(self.sizes)
        if self.collective is c.ALL_TO_ALL_V:
            return int(self.matrix[r].sum())
        return count

    def reduced(self, arrays: list[Array]) -> Array:
        stacked = np.stack(arrays)
        if self.op is ReduceOp.AVERAGE:
            total = np.asarray(np.add.reduce(stacked, dtype=self.dtype))
            if np.issubdtype(total.dtype, np.integer):
                return np.trunc(total / self.n).astype(self.dtype)
            return (total / self.n).astype(self.dtype)
        # numpy adds small integers in a wider type unless told.
        widened = self.op in (ReduceOp.SUM, ReduceOp.PRODUCT)
        options = {"dtype": self.dtype} if widened else {}
        return np.asarray(NUMPY_OPS[self.op](stacked, **options))

    def expected(self, r: int) -> Array | None:
        c, x, count = Collective, self.inputs, self.count
        match self.collective:
            case c.ALL_REDUCE:
                return self.reduced(x)
            case c.REDUCE:
                return self.reduced(x) if r == self.root else None
            case c.BROADCAST:
                return x[self.root]
            case c.ALL_GATHER | c.ALL_GATHER_V:
                return np.concatenate(x)
            case c.GATHER:
                return np.concatenate(x) if r == self.root else None
            case c.SCATTER:
                return x[self.root][r * count : (r + 1) * count]
            case c.REDUCE_SCATTER:
                return self.reduced([a[r * count : (r + 1) * count] for a in x])
            case c.REDUCE_SCATTER_V:
                start = offsets(self.sizes)[r]
                return self.reduced([a[start : start + self.sizes[r]] for a in x])
            case c.ALL_TO_ALL:
                return np.concatenate([a[r * count : (r + 1) * count] for a in x])
            case _:
                parts = []
                for s in range(self.n):
                    start = int(self.matrix[s][:r].sum())
                    parts.append(x[s][start : start + int(self.matrix[s][r])])
                return np.concatenate(parts)

    def largest(self) -> int:
        """The bytes that the plan goes by."""
        results = [self.expected(r) for r in range(self.n)]
        return max(x.nbytes for x in (*self.inputs, *results) if x is not None)

    def vectors(self, r: int) -> dict[str, list[int]]:
        c = Collective
        if self.collective is c.ALL_GATHER_V:
            return {"recv_counts": self.sizes, "recv_offsets": offsets(self.sizes)}
        if self.collective is c.REDUCE_SCATTER_V:
            return {"send_counts": self.sizes, "send_offsets": offsets(self.sizes)}
        if self.collective is c.ALL_TO_ALL_V:
            send = [int(v) for v in self.matrix[r]]
            recv = [int(v) for v in self.matrix[:, r]]
            return {
                "send_counts": send,
                "send_offsets": offsets(send),
                "recv_counts": recv,
                "recv_offsets": offsets(recv),
            }
        return {}

    def run(
        self, rank: Rank, in_place: bool, place: Callable[[Array], Array] = np.copy
    ) -> Array | None:
        """`place` makes the copies of arrays that the call gets."""
        r = rank.rank
        expected = self.expected(r)
        source: Array | None = place(self.inputs[r])
        output = None if expected is None else place(np.full_like(expected, 77))
        if self.collective is Collective.BROADCAST:
            source = output = source if r == self.root else output
        elif (
            in_place
            and self.collective in (Collective.ALL_REDUCE, Collective.REDUCE)
            and output is not None
        ):
            output = source
        elif in_place and self.collective is Collective.ALL_GATHER and output is not None:
            output[r * self.count : (r + 1) * self.count] = source
            source = output[r * self.count : (r + 1) * self.count]
        work = rank.call(
            self.collective,
            source,
            output,
            self.count,
            op=self.op,
            root=self.root,
            vectors=self.vectors(r),
        )
        self.algorithms.add(work.algorithm)
        return output


def compare(case: Case, results: list[Array | None]) -> None:
    for r in range(case.n):
        expected = case.expected(r)
        if expected is None:
            continue
        result = results[r]
        assert result is not None
        np.testing.assert_array_equal(result, expected, err_msg=f"rank {r}")


REDUCING = {
    Collective.ALL_REDUCE,
    Collective.REDUCE,
    Collective.REDUCE_SCATTER,
    Collective.REDUCE_SCATTER_V,
}


@given(data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_every_collective_equals_numpy(data: st.DataObject) -> None:
    collective = data.draw(st.sampled_from(sorted(ALGORITHMS)))
    name = data.draw(st.sampled_from(ALGORITHMS[collective]))
    n = data.draw(st.sampled_from([2, 3, 4, 5, 8]))
    one_domain = name in ONE_DOMAIN_ONLY
    limit = 0 if one_domain else data.draw(st.sampled_from([0, 2, 3]))
    count = data.draw(st.sampled_from([0, 1, 2, 7, 31, 64, 100, 257, 700]))
    dtype, op = "uint8", ReduceOp.SUM
    if collective in REDUCING:
        dtype = data.draw(
            st.sampled_from(["int8", "uint8", "int16", "int32", "int64", "float32", "float64"])
        )
        ops = [
            o
            for o in ReduceOp
            if "float" not in dtype or o not in (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)
        ]
        op = data.draw(st.sampled_from(ops))
    case = Case(
        collective,
        n,
        count,
        dtype,
        op,
        data.draw(st.integers(0, n - 1)),
        data.draw(st.integers(0, 2**20)),
    )
    in_place = data.draw(st.booleans())
    compare(case, world(n, name, limit).run(lambda rank: case.run(rank, in_place)))


@pytest.mark.parametrize("name", ALGORITHMS[Collective.ALL_REDUCE])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_results_are_bit_identical_on_every_rank(name: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    inputs = [(rng.standard_normal(900) * 10).astype(dtype) for _ in range(5)]
    outputs = world(5, name, 0).run(lambda rank: _reduced_copy(rank, inputs[rank.rank]))
    for output in outputs[1:]:
        assert output.tobytes() == outputs[0].tobytes()


def _reduced_copy(rank: Rank, x: Array, **options: Any) -> Array:
    out: Array = x.copy()
    rank.all_reduce(out, **options)
    return out


def rounded_once(exact: Array, inputs: list[Array]) -> Array:
    """The most by which a half-precision sum may differ: u_half |result| + (n - 1) u_32 sum |x|, of
    docs/decisions/0003.
    """
    total = np.sum(np.abs(inputs), axis=0, dtype=np.float64)
    bound = 2.0**-11 * np.abs(exact) + (len(inputs) - 1) * 2.0**-24 * total + 2.0**-25
    return np.asarray(bound * 1.001)


@pytest.mark.parametrize("name", ALGORITHMS[Collective.ALL_REDUCE])
def test_a_half_sum_inside_a_domain_is_rounded_once(name: str) -> None:
    rng = np.random.default_rng(3)
    inputs = [(rng.standard_normal(501) * 100).astype(np.float16) for _ in range(5)]
    outputs = world(5, name, 0).run(lambda rank: _reduced_copy(rank, inputs[rank.rank]))
    exact = np.sum([x.astype(np.float64) for x in inputs], axis=0)
    assert np.all(np.abs(outputs[0].astype(np.float64) - exact) <= rounded_once(exact, inputs))


def test_float32_on_the_wire_rounds_once_between_domains_too() -> None:
    rng = np.random.default_rng(3)
    inputs = [(rng.standard_normal(501) * 100).astype(np.float16) for _ in range(5)]
    outputs = world(5, "hier", 2).run(
        lambda rank: _reduced_copy(rank, inputs[rank.rank], wide=True)
    )
    exact = np.sum([x.astype(np.float64) for x in inputs], axis=0)
    assert np.all(np.abs(outputs[0].astype(np.float64) - exact) <= rounded_once(exact, inputs))


@pytest.mark.parametrize("shm", [True, False])
@pytest.mark.parametrize("size", [0, 1, 300, 513, 5000, 200_000])
def test_point_to_point_delivers_in_order(shm: bool, size: int) -> None:
    payloads = [np.full(size, i, np.uint8) for i in range(6)]

    def exchange(rank: Rank) -> list[Array]:
        peer = 1 - rank.rank
        received = [np.zeros(size, np.uint8) for _ in payloads]
        works = [
            rank.native.send(p.ctypes.data, size, peer, tag=i % 2, blocking=False)
            for i, p in enumerate(payloads)
        ]
        works += [
            rank.native.receive(r.ctypes.data, size, peer, tag=i % 2, blocking=False)
            for i, r in enumerate(received)
        ]
        for work in works:
            work.wait()
            check(work)
        return received

    for received in world(2, "", 0, shm).run(exchange):
        for i, array in enumerate(received):
            assert np.all(array == i)


def test_any_source_receives_from_everyone_and_names_them() -> None:
    def exchange(rank: Rank) -> list[tuple[int, int]]:
        if rank.rank != 0:
            x = np.full(1, rank.rank, np.int64)
            check(rank.native.send(x.ctypes.data, 8, 0, tag=9))
            return []
        got = []
        for _ in range(rank.size - 1):
            x = np.zeros(1, np.int64)
            work = rank.native.receive(x.ctypes.data, 8, -1, tag=9)
            check(work)
            got.append((work.source, int(x[0])))
        return got

    got = world(5, "", 2).run(exchange)[0]
    assert sorted(got) == [(r, r) for r in range(1, 5)]


def test_asynchronous_operations_finish_in_any_order_of_waiting() -> None:
    def many(rank: Rank) -> list[Array]:
        arrays = [np.full(50 + i, rank.rank + i, np.float32) for i in range(20)]
        works = [rank.all_reduce(a, blocking=False) for a in arrays]
        for work in reversed(works):
            work.wait()
            check(work)
        return arrays

    for arrays in world(4, "", 2).run(many):
        for i, array in enumerate(arrays):
            assert np.all(array == sum(r + i for r in range(4)))


def test_a_mismatch_is_named_on_every_rank() -> None:
    with LocalWorld(2) as local:

        def differ(rank: Rank) -> str:
            with pytest.raises(Mismatch) as caught:
                rank.all_reduce(np.zeros(4 + rank.rank, np.float32))
            return str(caught.value)

        for text in local.run(differ):
            assert "all_reduce of 4 float32" in text
            assert "all_reduce of 5 float32" in text


def test_an_absent_rank_is_named_at_the_deadline() -> None:
    with LocalWorld(3) as local:

        def absent(rank: Rank) -> str:
            if rank.rank == 2:
                return ""
            with pytest.raises(TimeoutExpired) as caught:
                rank.all_reduce(np.zeros(4, np.float32), timeout_ms=300)
            return str(caught.value)

        # On a busy machine one of the two may be late, and is then named as well.
        texts = local.run(absent)
        assert any(re.search(r"waits for rank (\d, )?2\b", text) for text in texts), texts


def test_wrong_arguments_are_refused_before_anything_is_sent() -> None:
    def refuse(rank: Rank) -> None:
        with pytest.raises(InvalidArgument, match="band has no meaning for float32"):
            rank.all_reduce(np.zeros(4, np.float32), op=ReduceOp.BAND)
        with pytest.raises(InvalidArgument, match="root 9 is not in the group of 2"):
            rank.call(Collective.BROADCAST, np.zeros(4), np.zeros(4), 4, root=9)
        with pytest.raises(InvalidArgument, match="a buffer is missing"):
            rank.call(Collective.ALL_REDUCE, np.zeros(4), None, 4)

    world(2, "", 0).run(refuse)


def test_the_monitored_barrier_names_who_is_missing() -> None:
    with LocalWorld(4) as local:
        local.run(lambda rank: rank.native.monitored_barrier(10_000, True))

        def barrier(rank: Rank) -> str:
            if rank.rank in (1, 3):
                return ""
            # Rank 0's limit is the one that expires; it tells those that have come.
            with pytest.raises(Exception, match=r"failed to pass|did not answer") as caught:
                rank.native.monitored_barrier(300 if rank.rank == 0 else 10_000, True)
            return str(caught.value)

        texts = local.run(barrier)
        assert "rank 1" in texts[0]
        assert "rank 3" in texts[0]
        # On a busy machine rank 2 may come too late itself.
        assert texts[2] == texts[0] or "rank 2" in texts[0]


def test_messages_that_finish_during_a_collective_are_told_at_once() -> None:
    """A thread that waits for a message must not wait for another thread's barrier, too."""

    def barrier_beside_messages(rank: Rank) -> None:
        peer = 1 - rank.rank
        token = np.zeros(8, np.uint8)
        if rank.rank == 1:
            check(rank.native.send(token.ctypes.data, 8, peer))
            check(rank.native.receive(token.ctypes.data, 8, peer))
            rank.barrier()
            return

        def messages() -> None:
            check(rank.native.receive(token.ctypes.data, 8, peer))
            check(rank.native.send(token.ctypes.data, 8, peer))

        beside = threading.Thread(target=messages)
        beside.start()
        rank.barrier()
        beside.join()

    with LocalWorld(2, timeout_ms=10_000) as local:
        local.run(barrier_beside_messages)


def test_thousands_of_unexpected_requests_wait_at_the_sender() -> None:
    size, many = 600, 5000  # larger than an eager message

    def flood(rank: Rank) -> None:
        data = np.full(size, 7, np.uint8)
        if rank.rank == 0:
            works = [
                rank.native.send(data.ctypes.data, size, 1, blocking=False) for _ in range(many)
            ]
            rank.barrier()
            for work in works:
                work.wait()
                check(work)
        else:
            rank.barrier()
            for _ in range(many):
                got = np.zeros(size, np.uint8)
                check(rank.native.receive(got.ctypes.data, size, 0))
                assert got[0] == got[-1] == 7

    world(2, "", 0).run(flood)


def test_sizes_that_differ_in_all_to_all_v_are_named() -> None:
    with LocalWorld(2) as local:

        def differ(rank: Rank) -> str:
            counts = [4, 4] if rank.rank == 0 else [6, 4]
            vectors = {
                "send_counts": [4, 4],
                "send_offsets": [0, 4],
                "recv_counts": counts,
                "recv_offsets": [0, counts[0]],
            }
            data, out = np.zeros(8, np.uint8), np.zeros(10, np.uint8)
            try:
                rank.call(Collective.ALL_TO_ALL_V, data, out, 0, vectors=vectors)
            except DistosError as error:
                return str(error)
            return ""

        # Rank 0 got what it expected; only rank 1 can know.
        assert says("mismatch-sizes", local.run(differ)[1])


def test_an_own_block_of_two_sizes_is_refused() -> None:
    def refuse(rank: Rank) -> None:
        vectors = {
            "send_counts": [4, 4],
            "send_offsets": [0, 4],
            "recv_counts": [2, 2],
            "recv_offsets": [0, 2],
        }
        with pytest.raises(InvalidArgument, match="sends itself 4 elements but expects 2"):
            rank.call(
                Collective.ALL_TO_ALL_V,
                np.zeros(8, np.uint8),
                np.zeros(4, np.uint8),
                0,
                vectors=vectors,
            )

    world(2, "", 0).run(refuse)


def test_half_parts_of_a_reduce_scatter_v_may_lie_apart() -> None:
    """A float32 copy is made of the parts alone, not of the gaps between them."""
    far = 1 << 22

    def scatter(rank: Rank) -> np.ndarray:
        x = np.ones(far + 3, np.float16)
        out = np.zeros(3, np.float16)
        rank.call(
            Collective.REDUCE_SCATTER_V,
            x,
            out,
            0,
            vectors={"send_counts": [3, 3], "send_offsets": [0, far]},
        )
        return out

    for out in world(2, "ring", 0).run(scatter):
        assert np.all(out == 2)


def test_a_group_without_a_plan_says_so() -> None:
    store, runtime = _native.MemoryStore(), _native.Runtime("")
    group = _native.Communicator(runtime, store, 0, 1, 5000, "bare")
    with pytest.raises(_native.NativeError, match="no plan"):
        group.ready(store)
    with pytest.raises(_native.NativeError) as caught:
        group.choice(0, 4)
    assert says("plan-missing", str(caught.value))
    group.close()
    runtime.shutdown()


def test_the_next_monitored_barrier_is_not_passed_by_a_late_comer() -> None:
    with LocalWorld(2) as local:
        late = threading.Event()

        def twice(rank: Rank) -> None:
            if rank.rank == 1:
                late.wait(20)
                with pytest.raises(_native.NativeError):
                    rank.native.monitored_barrier(300, True)
                return
            for _ in range(2):
                with pytest.raises(_native.NativeError, match="failed to pass"):
                    rank.native.monitored_barrier(300, True)
                late.set()

        local.run(twice)
