"""The values that bench checks with: their results against simulations in the type itself."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest

from distos_coll.bench import data
from distos_coll.bench.collectives import REDUCED, Piece
from distos_coll.bench.data import NO_OP, OPS, PERIOD, Pattern
from distos_coll.bench.elements import ELEMENTS, Array, Element, Kind, element_named

LENGTH = 400
DEFINED = [(e, op) for e in ELEMENTS for op in OPS if data.defined(e, op)]
IDS = [f"{op}-{e.name}" for e, op in DEFINED]
FLOATS = [e for e in ELEMENTS if e.kind is Kind.FLOAT]


def decode(bits: Array, element: Element) -> Array:
    """Numbers of the bits, by torch where numpy lacks the type."""
    if element.small is None:
        return bits
    torch = pytest.importorskip("torch")
    kind = getattr(torch, element.array_name)
    values = torch.from_numpy(bits.view(f"i{element.nbytes}").copy()).view(kind).double().numpy()
    return np.asarray(values)


def rounded(values: Array, element: Element) -> Array:
    """Round doubles to the element's precision, ties to even; its range is tested by decode()."""
    fraction, exponent = np.frexp(values)
    scale = 2.0**element.precision
    result: Array = np.ldexp(np.rint(fraction * scale) / scale, exponent)
    return result


def step(element: Element, op: str) -> Callable[[Array, Array], Array]:
    ufunc: Any = {
        "sum": np.add,
        "avg": np.add,
        "prod": np.multiply,
        "min": np.minimum,
        "max": np.maximum,
        "band": np.bitwise_and,
        "bor": np.bitwise_or,
        "bxor": np.bitwise_xor,
    }[op]
    if element.kind is Kind.BOOL:
        ufunc = {"sum": np.logical_or, "max": np.logical_or, "bxor": np.logical_xor}.get(
            op, np.logical_or if op == "bor" else np.logical_and
        )
        return lambda a, b: ufunc(a, b).astype(np.uint8)
    if element.small is not None:
        return lambda a, b: rounded(ufunc(a, b), element)

    def wrapping(a: Array, b: Array) -> Array:
        with np.errstate(over="ignore"):
            result: Array = ufunc(a, b)
        return result

    return wrapping


def by_halves(parts: list[Array], combine: Callable[[Array, Array], Array]) -> Array:
    if len(parts) == 1:
        return parts[0]
    middle = len(parts) // 2
    return combine(by_halves(parts[:middle], combine), by_halves(parts[middle:], combine))


@pytest.mark.parametrize(("element", "op"), DEFINED, ids=IDS)
@pytest.mark.parametrize("ranks", [1, 2, 3, 7, 64, 300])
def test_every_order_gives_the_expected_bits(element: Element, op: str, ranks: int) -> None:
    pattern = Pattern(element, op, ranks, seed=5)
    parts = [decode(pattern.of(rank, LENGTH), element) for rank in range(ranks)]
    shuffled = np.random.default_rng(1).permutation(ranks)
    combine = step(element, op)
    results = [
        reduce(combine, parts),
        reduce(combine, parts[::-1]),
        reduce(combine, [parts[i] for i in shuffled]),
        by_halves(parts, combine),
    ]
    if op == "avg" and element.kind is Kind.INTEGER:
        results = [np.array([int(v / ranks) for v in total.tolist()]) for total in results]
    elif op == "avg":
        # Part by part: numpy's complex division rounds more than once.
        parts_of = np.dtype(f"f{element.nbytes // 2}") if element.kind is Kind.COMPLEX else None
        results = [
            (total.view(parts_of or total.dtype) / ranks).view(total.dtype) for total in results
        ]
    expected = pattern.of(REDUCED, LENGTH)
    for result in results:
        actual = element.encode(result) if element.kind is not Kind.COMPLEX else result
        actual = np.ascontiguousarray(actual.astype(element.storage))
        piece = (Piece(REDUCED, 0, LENGTH),)
        assert data.count_wrong(actual, pattern, piece) == 0
    if element.kind is not Kind.COMPLEX:
        assert np.array_equal(decode(expected, element), np.asarray(results[0]))


@pytest.mark.parametrize(("element", "op"), DEFINED, ids=IDS)
def test_ranks_and_repetitions_differ(element: Element, op: str) -> None:
    first = Pattern(element, op, 3, seed=1)
    same = [np.array_equal(first.of(0, LENGTH), first.of(rank, LENGTH)) for rank in (1, 2)]
    assert not any(same)
    again = Pattern(element, op, 3, seed=2)
    assert not np.array_equal(first.of(0, LENGTH), again.of(0, LENGTH))
    # An operation that returns any rank's input, or nothing, is seen.
    expected = first.of(REDUCED, LENGTH)
    for rank in range(3):
        assert not np.array_equal(first.of(rank, LENGTH), expected)


@pytest.mark.parametrize("element", FLOATS, ids=[e.name for e in FLOATS])
def test_encoded_numbers_read_back(element: Element) -> None:
    top = 2.0**element.precision
    powers = np.exp2(np.arange(-element.powers, element.powers + 1, dtype=np.float64))
    values = np.concatenate([np.arange(-min(top, 300), min(top, 300) + 1), powers, -powers])
    if element.name == "f8e4m3":
        assert element.encode(np.array([1.0, -0.5]))[0] == 0x38
    assert np.array_equal(decode(element.encode(values), element), values)


@pytest.mark.parametrize("element", ELEMENTS, ids=[e.name for e in ELEMENTS])
def test_one_wrong_element_counts_once(element: Element) -> None:
    pattern = Pattern(element, NO_OP, 4, seed=9)
    pieces = (Piece(2, 10, 50), Piece(0, 0, 50))
    actual = np.concatenate([pattern.of(2, 60)[10:], pattern.of(0, 50)])
    assert data.count_wrong(actual, pattern, pieces) == 0
    actual.view(np.uint8)[-1] ^= 1
    actual.view(np.uint8)[0] ^= 1
    assert data.count_wrong(actual, pattern, pieces) == 2
    assert data.count_wrong(actual[::-1].copy(), pattern, pieces) > 25


def test_patterns_go_on_after_their_period() -> None:
    pattern = Pattern(element_named("int32"), "sum", 2, seed=3)
    buffer = np.empty(2 * PERIOD + 5, np.int32)
    data.write(buffer, pattern, 1)
    assert np.array_equal(buffer[:PERIOD], buffer[PERIOD : 2 * PERIOD])
    assert np.array_equal(buffer[:5], buffer[-5:])
    assert data.count_wrong(buffer, pattern, (Piece(1, 0, len(buffer)),)) == 0
    late = (Piece(1, PERIOD - 2, 7),)
    assert data.count_wrong(buffer[PERIOD - 2 : PERIOD + 5], pattern, late) == 0


@pytest.mark.parametrize(("element", "op"), DEFINED, ids=IDS)
def test_timed_values_stay_as_they_are(element: Element, op: str) -> None:
    value = decode(np.array([data.neutral(element, op)]), element)
    assert step(element, op)(value, value) == value


def test_bits_are_the_same_everywhere() -> None:
    # Ranks with other versions of numpy must make the same.
    bits = Pattern(element_named("uint64"), NO_OP, 2, seed=1).of(0, 2)
    assert bits.tolist() == [0x8306BDF37922E4FF, 0xF35196BBC152A866]
