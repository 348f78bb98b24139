"""DISTOS_COLL_DETERMINISTIC: the bits of one fold over ranks, whatever runs underneath."""

import os
from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import typer.testing
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

import distos_coll
from distos_coll import Communicator, settings
from distos_coll._vocabulary import Collective, Need
from distos_coll.cli.app import app
from distos_coll.errors import Mismatch, PlanError
from distos_coll.planner import ClusterView, plan
from distos_coll.plugins.manager import built_in_registry
from distos_coll.program.contract import REDUCING
from distos_coll.settings import Settings
from distos_coll.testing import LocalWorld

Array = npt.NDArray[Any]

REGISTRY = built_in_registry()
WIDENED = ("float16", "bfloat16", "float8_e4m3fn", "float8_e5m2")
DTYPES = (*WIDENED, "float32", "float64", "complex64", "int16")
LARGEST_E4M3 = 448


def dtype_of(name: str) -> np.dtype[Any]:
    return np.dtype(getattr(ml_dtypes, name, None) or name)


def step(a: Array, b: Array, op: str) -> Array:
    """One operation as docs/decisions/0003 defines it; numpy leaves zeros' signs open and may fuse
    the parts of a complex product.
    """
    if op in ("sum", "average"):
        return np.asarray(a + b)
    if op == "product" and np.iscomplexobj(a):
        result = np.empty_like(a)
        result.real = a.real * b.real - a.imag * b.imag
        result.imag = a.imag * b.real + a.real * b.imag
        return result
    if op == "product":
        return np.asarray(a * b)
    chosen = np.minimum(a, b) if op == "min" else np.maximum(a, b)
    if a.dtype.kind == "i":
        return np.asarray(chosen)
    negative = np.signbit(a) | np.signbit(b) if op == "min" else np.signbit(a) & np.signbit(b)
    return np.where((a == 0) & (b == 0), np.where(negative, -0.0, 0.0).astype(a.dtype), chosen)


def fold(inputs: list[Array], op: str) -> Array:
    """((x0 op x1) op x2) ..., in float32 for what is narrower, divided, and rounded once."""
    dtype = inputs[0].dtype
    accumulator = np.dtype(np.float32) if dtype.name in WIDENED else dtype
    with np.errstate(all="ignore"):
        result = inputs[0].astype(accumulator)
        for other in inputs[1:]:
            result = step(result, other.astype(accumulator), op)
        if op == "average":
            parts = result.view(np.float32) if dtype.kind == "c" else result
            quotient = np.trunc(parts / len(inputs)) if dtype.kind == "i" else parts / len(inputs)
            result = quotient.astype(parts.dtype).view(accumulator)
        if dtype.name == "float8_e4m3fn":
            result = np.clip(result, -LARGEST_E4M3, LARGEST_E4M3)
        return result.astype(dtype)


def bits(x: Array) -> Array:
    """Whose equality is that of every bit but a NaN's."""
    x = np.ascontiguousarray(x)
    parts = x.view(np.float32) if x.dtype == np.complex64 else x
    codes = parts.view(f"u{parts.dtype.itemsize}")
    return codes if x.dtype.kind == "i" else np.where(np.isnan(parts), codes.dtype.type(1), codes)


def scattered(rng: np.random.Generator, shape: tuple[int, ...], name: str) -> Array:
    """Magnitudes so different that every order of a sum rounds otherwise, and some specials."""
    if name == "int16":
        return rng.integers(-30000, 30000, shape).astype(np.int16)
    spread = {"float8_e4m3fn": 2, "float8_e5m2": 3, "float16": 3}.get(name, 6)
    x = rng.normal(size=shape) * 10.0 ** rng.uniform(-spread, spread, shape) / 10
    if name == "complex64":
        x = x + 1j * rng.normal(size=shape)
    special = rng.random(shape)
    for limit, value in ((0.03, np.nan), (0.06, np.inf), (0.12, -0.0), (0.18, 0.0)):
        x[(special < limit) & (special >= limit - 0.03)] = value
    with np.errstate(all="ignore"):
        return np.asarray(x.astype(dtype_of(name)))


class Case:
    """One reduction on all ranks, and what the fold says comes out."""

    def __init__(self, draw: Any) -> None:
        self.collective: Collective = draw(st.sampled_from(sorted(REDUCING)))
        self.name = self.collective.name.lower()
        self.size: int = draw(st.integers(1, 5))
        self.dtype: str = draw(st.sampled_from(DTYPES))
        orders = () if self.dtype == "complex64" else ("min", "max")
        self.op: str = draw(st.sampled_from(["sum", "average", "product", *orders]))
        self.root: int = draw(st.integers(0, self.size - 1))
        self.count: int = draw(st.sampled_from([1, 2, 7, 64, 1001, 30_000]))
        self.environment = {
            "DISTOS_COLL_DETERMINISTIC": "1",
            "DISTOS_COLL_DOMAIN_LIMIT": draw(st.sampled_from(["0", "1", "2", "3"])),
            "DISTOS_COLL_SLOT_BYTES": draw(st.sampled_from(["256", "4096", "1M"])),
            "DISTOS_COLL_SINGLE_COPY": draw(st.sampled_from(["0", "1"])),
        }
        rng = np.random.default_rng(draw(st.integers(0, 2**20)))
        self.counts = [int(n) for n in rng.integers(0, self.count + 1, self.size)]
        rows = {
            Collective.REDUCE_SCATTER: self.size * self.count,
            Collective.REDUCE_SCATTER_V: sum(self.counts),
        }.get(self.collective, self.count)
        self.inputs = [scattered(rng, (rows,), self.dtype) for _ in range(self.size)]

    def __repr__(self) -> str:
        hidden = {**vars(self), "inputs": "..."}
        return f"Case({hidden})"

    def check(self, c: Communicator) -> None:
        x = self.inputs[c.rank].copy()
        more: list[Any] = [self.counts] if self.collective is Collective.REDUCE_SCATTER_V else []
        keywords = {"root": self.root} if self.collective is Collective.REDUCE else {}
        result = getattr(c, self.name)(x, *more, op=self.op, **keywords)
        whole = fold(self.inputs, self.op)
        if self.collective is Collective.REDUCE_SCATTER:
            whole = whole[c.rank * self.count : (c.rank + 1) * self.count]
            whole = whole if self.count > 1 else whole[0]
        if self.collective is Collective.REDUCE_SCATTER_V:
            start = sum(self.counts[: c.rank])
            whole = whole[start : start + self.counts[c.rank]]
        if result is not None:
            np.testing.assert_array_equal(bits(result), bits(whole))

    def algorithms(self, domain_of: list[int]) -> list[str]:
        view = ClusterView(self.size, tuple(domain_of))
        table = plan(view, deterministic=True, registry=REGISTRY, collectives=[self.collective])
        return sorted({c.algorithm.spec.name for c in table.allowed[self.collective]})


@given(data=st.data())
@hypothesis_settings(deadline=None, suppress_health_check=list(HealthCheck), max_examples=40)
def test_every_algorithm_gives_the_bits_of_the_fold(data: st.DataObject) -> None:
    case = Case(data.draw)

    def check(c: Communicator) -> list[int]:
        case.check(c)
        return c.domains

    with mock.patch.dict(os.environ, case.environment):
        domains = distos_coll.run_threads(case.size, check, timeout=30)[0]
        for name in case.algorithms(domains):
            with mock.patch.dict(os.environ, DISTOS_COLL_ALGO=f"{case.name}:{name}"):
                distos_coll.run_threads(case.size, check, timeout=30)


@pytest.mark.parametrize("limit", ["0", "2"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_slices_give_the_bits_of_the_whole(limit: str, dtype: str) -> None:
    rng = np.random.default_rng(7)
    inputs = [scattered(rng, (5000,), dtype) for _ in range(4)]

    def check(c: Communicator) -> None:
        whole = c.all_reduce(inputs[c.rank].copy())
        sliced = inputs[c.rank].copy()
        for start, stop in ((0, 1), (1, 1300), (1300, 1337), (1337, 5000)):
            c.all_reduce(sliced[start:stop])
        np.testing.assert_array_equal(bits(whole), bits(sliced))
        np.testing.assert_array_equal(bits(whole), bits(fold(inputs, "sum")))

    environment = {"DISTOS_COLL_DETERMINISTIC": "1", "DISTOS_COLL_DOMAIN_LIMIT": limit}
    with mock.patch.dict(os.environ, environment):
        distos_coll.run_threads(4, check, timeout=30)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("algo", "limit"), [("direct1", 0), ("direct2", 0), ("direct2", 2), ("direct2", 1)]
)
def test_many_pieces_give_the_bits_of_one(algo: str, limit: int, dtype: str) -> None:
    rng = np.random.default_rng(8)
    inputs = [scattered(rng, (3000,), dtype) for _ in range(3)]
    options: dict[str, Any] = {"settings": f"domain_limit={limit}", "slot_bytes": 512}
    with LocalWorld(3, algo=algo, segment_bytes=64, **options) as world:
        mine = [x.copy() for x in inputs]
        world.run(lambda rank: rank.all_reduce(mine[rank.rank]))
    for result in mine:
        np.testing.assert_array_equal(bits(result), bits(fold(inputs, "sum")))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_without_the_setting_the_order_shows(dtype: str) -> None:
    """Else the tests above would say nothing."""
    rng = np.random.default_rng(9)
    inputs = [scattered(rng, (3000,), dtype) for _ in range(3)]

    def equal(c: Communicator) -> bool:
        result = c.all_reduce(inputs[c.rank].copy())
        return bool(np.array_equal(bits(result), bits(fold(inputs, "sum"))))

    environment = {"DISTOS_COLL_ALGO": "ring", "DISTOS_COLL_DOMAIN_LIMIT": "1"}
    with mock.patch.dict(os.environ, environment):
        assert distos_coll.run_threads(3, equal, timeout=30) == [False] * 3


def planned(view: ClusterView, algo: str = "", *, deterministic: bool = True) -> Any:
    return plan(view, algo, deterministic=deterministic, registry=REGISTRY)


@pytest.mark.parametrize("sizes", [(1,), (4,), (2, 2), (1, 1, 1), (3, 5), (8,) * 16])
@pytest.mark.parametrize("slot_bytes", [256, 1 << 20])
def test_every_group_has_a_plan(sizes: tuple[int, ...], slot_bytes: int) -> None:
    domain_of = tuple(d for d, n in enumerate(sizes) for _ in range(n))
    table = planned(ClusterView(len(domain_of), domain_of, slot_bytes=slot_bytes))
    reducing = [p for p in table.programs if p.collective in REDUCING]
    assert {p.collective for p in reducing} == REDUCING
    assert all(p.reduces_at_once for p in reducing)


def test_what_is_left_out_says_why() -> None:
    view = ClusterView(4, (0, 0, 1, 1))
    explained = planned(view).explain("all_reduce", 1 << 20)
    reasons = {v.algorithm: v.reason for v in explained.verdicts if v.predicted_us is None}
    assert set(reasons) == {"direct1", "direct2", "hier", "rhd", "ring", "tree"}
    for name in ("hier", "rhd", "ring", "tree"):
        assert "another order than that of ranks" in reasons[name]
        assert "DISTOS_COLL_DETERMINISTIC=1" in reasons[name]
    # What does not reduce has no order.
    assert planned(view, "all_gather:ring").choice("all_gather", 1 << 20).candidate.key == "ring"
    with pytest.raises(PlanError, match=r"ALGO='ring' leaves no .*all_reduce.*another order"):
        planned(view, "ring")


def test_plan_explain_shows_them() -> None:
    arguments = ["plan", "explain", "--ranks", "4", "--domains", "2", "--bytes", "1M"]
    for variable, chosen in (("0", "hier"), ("1", "direct2")):
        result = typer.testing.CliRunner().invoke(
            app, arguments, env={"DISTOS_COLL_DETERMINISTIC": variable}
        )
        assert result.exit_code == 0, result.output
        assert f"* {chosen}" in result.output
        assert ("asks for that one" in result.output) == (variable == "1")


def test_ranks_that_differ_in_it_are_refused() -> None:
    # In one domain both plans may choose alike: the setting itself is compared.
    both = [Settings(algo="direct2"), Settings(algo="direct2", deterministic=True)]
    with (
        mock.patch.object(settings, "load", side_effect=both),
        pytest.raises(Mismatch, match="plans differently"),
    ):
        distos_coll.run_threads(2, lambda c: c.barrier(), timeout=20)


def test_needs_are_not_in_the_way() -> None:
    """Programs over the window of one domain keep the order, for its members are all ranks."""
    for algorithm in REGISTRY.of(Collective.ALL_REDUCE):
        if Need.ONE_DOMAIN in algorithm.spec.needs:
            assert REGISTRY.program(algorithm).reduces_at_once
