"""The reference interpreter: all ranks of a group in one process, on numpy arrays.

It is the executable meaning of a program for plugin authors and tests; the core does the same over
real memory. Needs numpy.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from distos_coll._vocabulary import Buffer
from distos_coll.errors import InvalidArgument
from distos_coll.program.contract import Call
from distos_coll.program.ir import Program
from distos_coll.program.machine import Machine, Schedule
from distos_coll.program.memory import Backing, View
from distos_coll.program.operation import RankCall

Array = np.ndarray[Any, np.dtype[Any]]
Binary = Callable[[Array, Array], Array]


class Numbers:
    """Arithmetic on arrays. Unwritten memory holds a value that a test can recognise."""

    def __init__(
        self, dtype: np.dtype[Any], op: Binary, divisor: int | None, poison: Any = None
    ) -> None:
        self._dtype = dtype
        self._op = op
        self._divisor = divisor
        self._poison = poison if poison is not None else np.array(-99).astype(dtype)

    def unwritten(self, n: int) -> Array:
        return np.full(n, self._poison, self._dtype)

    def zeros(self, n: int) -> Array:
        return np.zeros(n, self._dtype)

    def take(self, data: Array, start: int, stop: int) -> Array:
        taken: Array = data[start:stop].copy()
        return taken

    def reduce(self, inputs: Sequence[Array]) -> Array:
        result = inputs[0]
        for other in inputs[1:]:
            result = self._op(result, other)
        return result

    def finalize(self, elements: Array) -> Array:
        return elements if self._divisor is None else (elements / self._divisor).astype(self._dtype)


def interpret(
    program: Program,
    call: Call,
    inputs: Sequence[Array],
    *,
    domain_of: Sequence[int] | None = None,
    op: Binary = np.add,
    average: bool = False,
    schedule: Schedule | None = None,
) -> list[Array]:
    """The outputs of all ranks. `inputs` are one-dimensional, as long as the call says, of one
    dtype.
    """
    return interpret_all([(program, call, inputs)], domain_of, op, average, schedule)[0]


def interpret_all(
    operations: Sequence[tuple[Program, Call, Sequence[Array]]],
    domain_of: Sequence[int] | None = None,
    op: Binary = np.add,
    average: bool = False,
    schedule: Schedule | None = None,
) -> list[list[Array]]:
    """Several operations in a row on one communicator: nothing but the programs themselves keeps
    ranks together.
    """
    size = operations[0][1].size
    algebra = Numbers(operations[0][2][0].dtype, op, size if average else None)
    domains = tuple(domain_of) if domain_of is not None else (0,) * size
    machine = Machine(domains, algebra, schedule or Schedule())
    bound = [
        (program, [_bind(algebra, call, rank, inputs[rank]) for rank in range(size)])
        for program, call, inputs in operations
    ]
    machine.run(bound)
    return [[_result(call.buffers[Buffer.OUTPUT]) for call in calls] for _, calls in bound]


def _result(view: View) -> Array:
    data: Array = view.backing.data
    result: Array = data[view.base : view.base + view.length].copy()
    return result


def _bind(algebra: Numbers, call: Call, rank: int, values: Array) -> RankCall:
    n_in, n_out = call.input_length(rank), call.output_length(rank)
    if values.shape != (n_in,):
        raise InvalidArgument(f"rank {rank} needs an input of {n_in} elements, not {values.shape}")
    shared = call.shared(rank)
    if shared is None:
        source = View(Backing(rank, values.copy()), 0, n_in)
        target = View(Backing(rank, algebra.unwritten(n_out)), 0, n_out)
    else:
        in_base, out_base = shared
        data = algebra.unwritten(max(in_base + n_in, out_base + n_out))
        data[in_base : in_base + n_in] = values
        backing = Backing(rank, data)
        source, target = View(backing, in_base, n_in), View(backing, out_base, n_out)
    buffers = {Buffer.INPUT: source, Buffer.OUTPUT: target}
    return RankCall(call.params(), call.arrays(rank), buffers)
