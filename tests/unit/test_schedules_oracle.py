"""Every algorithm against numpy, in the interpreter: random groups, sizes, slots, roots, orders."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distos_coll._vocabulary import Collective, Need
from distos_coll.planner.choose import smallest_slot
from distos_coll.plugins.manager import Algorithm, built_in_registry
from distos_coll.program.contract import IN_PLACE, ROOTED, Call
from distos_coll.program.interpret import interpret, interpret_all
from distos_coll.program.machine import Schedule

REGISTRY = built_in_registry()
C = Collective
Array = npt.NDArray[Any]


def oracle(call: Call, x: list[Array], average: bool) -> list[Array]:  # noqa: C901 - a table
    """What numpy says each rank's output is; an output that nobody defines is empty."""
    n, size = call.count, call.size
    empty = np.zeros(0, np.int64)

    def total(arrays: list[Array]) -> Array:
        result: Array = np.asarray(np.sum(arrays, axis=0, dtype=np.int64))
        return (result / size).astype(np.int64) if average else result

    def block(array: Array, r: int) -> Array:
        return array[r * n : (r + 1) * n]

    ranks = range(size)
    match call.collective:
        case C.ALL_REDUCE:
            return [total(x)] * size
        case C.REDUCE:
            return [total(x) if r == call.root else empty for r in ranks]
        case C.BROADCAST:
            return [x[call.root]] * size
        case C.ALL_GATHER | C.ALL_GATHER_V:
            return [np.concatenate(x)] * size
        case C.GATHER:
            return [np.concatenate(x) if r == call.root else empty for r in ranks]
        case C.SCATTER:
            return [block(x[call.root], r) for r in ranks]
        case C.REDUCE_SCATTER:
            return [total([block(a, r) for a in x]) for r in ranks]
        case C.ALL_TO_ALL:
            return [np.concatenate([block(a, r) for a in x]) for r in ranks]
        case C.REDUCE_SCATTER_V:
            starts = call.offsets(call.counts)
            return [total([a[starts[r] : starts[r] + call.counts[r]] for a in x]) for r in ranks]
        case C.ALL_TO_ALL_V:
            pieces = [
                [a[o : o + k] for o, k in zip(call.offsets(row), row, strict=True)]
                for a, row in zip(x, call.matrix, strict=True)
            ]
            return [np.concatenate([pieces[s][r] for s in ranks]) for r in ranks]
        case _:
            return [empty] * size


def without_gaps(call: Call, rank: int, output: Array) -> Array:
    counts = {
        C.ALL_GATHER_V: call.counts,
        C.ALL_TO_ALL_V: call.columns[rank] if call.matrix else (),
    }
    mine = counts.get(call.collective)
    if mine is None:
        return output
    parts = [output[o : o + k] for o, k in zip(call.offsets(mine), mine, strict=True)]
    return np.concatenate(parts)


@st.composite
def calls(draw: st.DrawFn, collective: Collective, size: int) -> Call:
    segment = draw(st.integers(1, 9))
    small = st.integers(0, 3 * segment)
    options: dict[str, Any] = {}
    if collective in (C.ALL_GATHER_V, C.REDUCE_SCATTER_V):
        options["counts"] = tuple(draw(st.lists(small, min_size=size, max_size=size)))
    elif collective is C.ALL_TO_ALL_V:
        row = st.lists(st.integers(0, 4), min_size=size, max_size=size).map(tuple)
        options["matrix"] = tuple(draw(st.lists(row, min_size=size, max_size=size)))
    elif collective in (C.ALL_REDUCE, C.REDUCE, C.BROADCAST):
        # None, one, fewer than ranks, odd, several segments for each rank.
        options["count"] = draw(st.integers(0, 3 * segment * min(size, 6) + 1))
    elif collective is not C.BARRIER:
        options["count"] = draw(small)
    return Call(
        collective,
        size,
        root=draw(st.integers(0, size - 1)) if collective in ROOTED else 0,
        segment=segment,
        slot=smallest_slot(size) + draw(st.integers(0, 24)),
        # 16 elements a cache line, or one: shares are aligned or not.
        element_bytes=draw(st.sampled_from([4, 64])),
        in_place=collective in IN_PLACE and draw(st.booleans()),
        gap=draw(st.integers(0, 2)),
        **options,
    )


@st.composite
def groups(draw: st.DrawFn, algorithm: Algorithm) -> tuple[Call, tuple[int, ...], Schedule]:
    size = draw(st.integers(1, 17))
    domains = 1 if Need.ONE_DOMAIN in algorithm.spec.needs else draw(st.integers(1, size))
    labels = st.integers(0, domains - 1)
    domain_of = tuple(draw(st.lists(labels, min_size=size, max_size=size)))
    schedule = Schedule(
        credit=draw(st.sampled_from([0, 1, 3, 1 << 20])),
        order=draw(st.sampled_from(["ascending", "descending", "random"])),
        seed=draw(st.integers(0, 99)),
    )
    return draw(calls(algorithm.spec.collective, size)), domain_of, schedule


def inputs_of(call: Call, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    x = [rng.integers(-1000, 1000, call.input_length(r)) for r in range(call.size)]
    if call.collective is C.BROADCAST:
        x = [a if r == call.root else np.zeros(0, np.int64) for r, a in enumerate(x)]
    return x


def name_of(algorithm: Algorithm) -> str:
    spec = algorithm.spec
    return f"{spec.collective.name.lower()}-{spec.key.replace('/', '-')}"


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
@settings(max_examples=12)
@given(data=st.data())
def test_against_numpy(algorithm: Algorithm, data: st.DataObject) -> None:
    call, domain_of, schedule = data.draw(groups(algorithm))
    average = data.draw(st.booleans())
    x = inputs_of(call, data.draw(st.integers(0, 99)))
    program = REGISTRY.program(algorithm)
    outputs = interpret(program, call, x, domain_of=domain_of, average=average, schedule=schedule)
    for rank, wanted in enumerate(oracle(call, x, average)):
        np.testing.assert_array_equal(without_gaps(call, rank, outputs[rank]), wanted)


REDUCING = [a for a in REGISTRY.algorithms if a.spec.collective is C.ALL_REDUCE]


@pytest.mark.parametrize("algorithm", REDUCING, ids=name_of)
@settings(max_examples=15)
@given(data=st.data())
def test_all_ranks_get_the_same_bits(algorithm: Algorithm, data: st.DataObject) -> None:
    """With floats the order of additions shows."""
    call, domain_of, schedule = data.draw(groups(algorithm))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = [rng.normal(size=call.count).astype(np.float32) for _ in range(call.size)]
    outputs = interpret(
        REGISTRY.program(algorithm), call, x, domain_of=domain_of, schedule=schedule
    )
    for output in outputs[1:]:
        np.testing.assert_array_equal(output.view(np.uint32), outputs[0].view(np.uint32))


@settings(max_examples=30)
@given(data=st.data())
def test_operations_follow_each_other_without_a_barrier(data: st.DataObject) -> None:
    """Windows, rounds and streams carry over; ranks run ahead of each other."""
    size = data.draw(st.integers(2, 6))
    anywhere = data.draw(st.booleans())
    domain_of = tuple(data.draw(st.integers(0, 1)) if anywhere else 0 for _ in range(size))
    one = max(domain_of) == min(domain_of)
    able = [a for a in REGISTRY.algorithms if one or Need.ONE_DOMAIN not in a.spec.needs]
    chosen = data.draw(st.lists(st.sampled_from(able), min_size=2, max_size=5))
    operations = []
    for number, algorithm in enumerate(chosen):
        call = data.draw(calls(algorithm.spec.collective, size))
        operations.append((REGISTRY.program(algorithm), call, inputs_of(call, number)))
    schedule = Schedule(data.draw(st.sampled_from([0, 2, 1 << 20])), "random", number)
    results = interpret_all(operations, domain_of, schedule=schedule)
    for (_, call, x), outputs in zip(operations, results, strict=True):
        for rank, wanted in enumerate(oracle(call, x, average=False)):
            np.testing.assert_array_equal(without_gaps(call, rank, outputs[rank]), wanted)
