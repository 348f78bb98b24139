"""Every call of the array door against numpy: any type, shape and layout, with out or in place."""

import os
from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import distos_coll

Array = npt.NDArray[Any]

INTEGERS = ["int8", "uint8", "int16", "int32", "int64"]
UNSIGNED = ["uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]
ONLY_MOVED = ["complex64", "datetime64[s]", "S3", "longdouble"]
NUMPY_OPS: dict[str, Any] = {
    "sum": np.add,
    "product": np.multiply,
    "prod": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "band": np.bitwise_and,
    "bor": np.bitwise_or,
    "bxor": np.bitwise_xor,
}
# docs/decisions/0003: for bool "sum" is or, "product" is and.
BOOL_OPS: dict[str, Any] = {
    **dict.fromkeys(("sum", "max", "bor"), np.logical_or),
    **dict.fromkeys(("product", "prod", "min", "band"), np.logical_and),
    "bxor": np.logical_xor,
}
REDUCING = ["all_reduce", "reduce", "reduce_scatter", "reduce_scatter_v"]
MOVING = ["broadcast", "all_gather", "all_gather_v", "all_to_all", "all_to_all_v", "gather"]
NAMES = [*REDUCING, *MOVING, "scatter"]


def reduced(arrays: list[Array], op: str) -> Array:
    dtype, n = arrays[0].dtype, len(arrays)
    if op in ("average", "avg"):
        total = np.asarray(np.add.reduce(np.stack(arrays), dtype=dtype))
        if dtype.kind == "i" or dtype.kind == "u":
            return np.asarray(np.trunc(total / n).astype(dtype))
        return np.asarray((total / n).astype(dtype))
    function = (BOOL_OPS if dtype == np.bool_ else NUMPY_OPS)[op]
    result = arrays[0]
    for other in arrays[1:]:
        result = function(result, other)
    return np.asarray(result, dtype=dtype)


def ops_of(dtype: str) -> list[str]:
    if dtype in UNSIGNED:
        return ["sum", "product", "prod", "band", "bor", "bxor"]
    if dtype in FLOATS:
        return ["sum", "product", "prod", "min", "max", "average", "avg"]
    return [*NUMPY_OPS] if dtype == "bool" else [*NUMPY_OPS, "average", "avg"]


def laid_out(x: Array, strided: bool) -> Array:
    """The same values, in memory that is not contiguous if there is a dimension to stretch."""
    if not strided or x.ndim == 0:
        return np.array(x)
    wide: Array = np.zeros((*x.shape[:-1], 2 * x.shape[-1]), x.dtype)[..., ::2]
    wide[...] = x
    return wide


class Case:
    """One call on all ranks: what each passes, and what numpy says comes out."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.name: str = draw(st.sampled_from(NAMES))
        self.size: int = draw(st.integers(1, 5))
        kinds = [*INTEGERS, *UNSIGNED, *FLOATS, "bool"]
        self.reduces = self.name in REDUCING
        self.dtype: str = draw(st.sampled_from(kinds if self.reduces else [*kinds, *ONLY_MOVED]))
        self.op: str = draw(st.sampled_from(ops_of(self.dtype))) if self.reduces else ""
        self.root: int = draw(st.integers(0, self.size - 1))
        self.tail: tuple[int, ...] = draw(st.sampled_from([(), (1,), (3,), (2, 2), (0,), (700,)]))
        self.rows: int = draw(st.sampled_from([0, 1, 2, 5, 40]))
        self.scalar = self.name not in ("scatter",) and draw(st.integers(0, 9)) == 0
        self.strided: bool = draw(st.booleans())
        self.with_out: bool = draw(st.booleans())
        self.async_op: bool = draw(st.booleans())
        self.domain_limit: int = draw(st.sampled_from([0, 0, 2]))
        rng = np.random.default_rng(draw(st.integers(0, 2**20)))
        self.counts = [int(n) for n in rng.integers(0, 4, self.size)]
        self.matrix = rng.integers(0, 4, (self.size, self.size))
        # Small numbers: every order of a sum gives the same exact result.
        self.inputs = [
            rng.integers(0, 5, self.input_shape(r)).astype("int64").astype(self.dtype)
            for r in range(self.size)
        ]

    def __repr__(self) -> str:
        return f"Case({vars(self)})"

    def input_shape(self, r: int) -> tuple[int, ...]:
        if self.name in ("reduce_scatter", "all_to_all", "scatter"):
            return (self.size * self.rows, *self.tail)
        if self.name == "reduce_scatter_v":
            return (sum(self.counts), *self.tail)
        if self.name == "all_gather_v":
            return (self.counts[r], *self.tail)
        if self.name == "all_to_all_v":
            return (int(self.matrix[r].sum()), *self.tail)
        return () if self.scalar else (self.rows, *self.tail)

    def expected(self, r: int) -> Array | None:
        x, rows = self.inputs, self.rows
        if self.name in ("reduce", "gather") and r != self.root:
            return None
        if self.name in ("all_reduce", "reduce"):
            return reduced(x, self.op)
        if self.name == "broadcast":
            return x[self.root]
        if self.name in ("all_gather", "gather"):
            return np.stack(x)
        if self.name == "all_gather_v":
            return np.concatenate(x)
        if self.name == "scatter":
            return x[self.root][r * rows : (r + 1) * rows]
        if self.name == "all_to_all":
            return np.concatenate([a[r * rows : (r + 1) * rows] for a in x])
        if self.name == "reduce_scatter":
            part = reduced([a[r * rows : (r + 1) * rows] for a in x], self.op)
            return part[0] if rows == 1 else part
        if self.name == "reduce_scatter_v":
            start = sum(self.counts[:r])
            return reduced([a[start : start + self.counts[r]] for a in x], self.op)
        starts = [int(self.matrix[s][:r].sum()) for s in range(self.size)]
        return np.concatenate(
            [a[i : i + self.matrix[s][r]] for s, (a, i) in enumerate(zip(x, starts, strict=True))]
        )

    def run(self, c: distos_coll.Communicator) -> None:
        x = laid_out(self.inputs[c.rank], self.strided)
        expected = self.expected(c.rank)
        out = None
        wanted = self.name == "scatter" or (self.with_out and self.name != "broadcast")
        if expected is not None and wanted:
            out = laid_out(np.zeros_like(expected), self.strided)
        arguments: list[Any] = [x]
        keywords: dict[str, Any] = {"async_op": self.async_op}
        if self.name == "reduce_scatter_v" or self.name == "all_gather_v":
            arguments.append(self.counts)
        if self.name == "all_to_all_v":
            arguments += [[int(n) for n in self.matrix[c.rank]], self.matrix[:, c.rank]]
        if self.reduces:
            keywords["op"] = self.op
        if self.name in ("reduce", "broadcast", "gather", "scatter"):
            keywords["root"] = self.root
        if self.name == "scatter":
            arguments = [x if c.rank == self.root else None]
        if self.name != "broadcast":
            keywords["out"] = out
        result = getattr(c, self.name)(*arguments, **keywords)
        if self.async_op:
            result = result.wait()
        self.check(c.rank, x, out, result, expected)

    def check(
        self, rank: int, x: Array, out: Array | None, result: Any, expected: Array | None
    ) -> None:
        in_place = self.name == "broadcast" or (
            self.name in ("all_reduce", "reduce") and out is None and expected is not None
        )
        if expected is None:
            assert result is None
        else:
            assert result.shape == expected.shape
            assert result.dtype == expected.dtype
            np.testing.assert_array_equal(result, expected)
            assert out is None or result is out
        if in_place:
            assert result is x
        else:
            np.testing.assert_array_equal(x, self.inputs[rank])


@given(data=st.data())
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_every_call_equals_numpy(data: st.DataObject) -> None:
    case = Case(data.draw)
    limit = {"DISTOS_COLL_DOMAIN_LIMIT": str(case.domain_limit)}
    with mock.patch.dict(os.environ, limit):
        distos_coll.run_threads(case.size, case.run, timeout=30)


COUNT = 100_000  # large enough for every way of moving data


@pytest.mark.parametrize(
    "call",
    [
        lambda c, x: c.all_to_all(x, out=x),
        lambda c, x: c.reduce_scatter(x, out=x[: len(x) // c.size]),
        lambda c, x: c.all_reduce(x[:-1], out=x[1:]),
        lambda c, x: c.all_reduce(x, out=x[:]),
        lambda c, x: c.all_gather(x[: COUNT // 4], out=x[: COUNT // 4 * c.size]),
        lambda c, x: c.all_gather(
            x[c.rank * COUNT // 4 : (c.rank + 1) * COUNT // 4], out=x[: COUNT // 4 * c.size]
        ),
        lambda c, x: c.gather(x[:10], out=x[: 10 * c.size] if c.rank == 0 else None),
        lambda c, x: c.scatter(x, out=x[len(x) // c.size : 2 * len(x) // c.size]),
    ],
)
def test_out_may_overlap_the_input(call: Callable[[Any, Array], Array | None]) -> None:
    def compare(c: distos_coll.Communicator) -> None:
        x = np.arange(COUNT, dtype=np.int64) * (c.rank + 1)
        apart = _Apart(c)
        expected = call(apart, x.copy())
        result = call(c, x)
        if expected is not None:
            np.testing.assert_array_equal(result, expected)

    distos_coll.run_threads(4, compare, timeout=30)


class _Apart:
    """The same calls, but their input is a copy of its own."""

    def __init__(self, c: distos_coll.Communicator) -> None:
        self.rank, self.size = c.rank, c.size
        self._c = c

    def __getattr__(self, name: str) -> Callable[[Array, Array], Array | None]:
        return lambda x, out: getattr(self._c, name)(x.copy(), out=out)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32"])
def test_torch_tensors_are_reduced_and_moved(dtype: str) -> None:
    torch = pytest.importorskip("torch")

    def both(c: distos_coll.Communicator) -> None:
        x = torch.arange(600, dtype=getattr(torch, dtype)).reshape(200, 3).T
        total = c.all_reduce(x.clone())
        assert torch.equal(total, x * c.size)
        gathered = c.all_gather(x)
        assert gathered.dtype == x.dtype
        assert torch.equal(gathered, torch.stack([x] * c.size))
        # In place, through a view that is not contiguous.
        assert c.broadcast(x, root=1) is x

    distos_coll.run_threads(3, both, timeout=30)


def test_types_that_cannot_be_reduced_are_moved() -> None:
    torch = pytest.importorskip("torch")

    def gather(c: distos_coll.Communicator) -> None:
        x = torch.full((5,), c.rank + 1.0).to(torch.float8_e4m3fn)
        gathered = c.all_gather(x)
        assert gathered.dtype == x.dtype
        assert gathered.float()[:, 0].tolist() == [1, 2]

    distos_coll.run_threads(2, gather, timeout=30)
