"""What bench needs of a library, and the array door's way to give it."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from distos_coll import _native
from distos_coll._version import __version__
from distos_coll.bench.collectives import Collective, Place, Shape
from distos_coll.bench.elements import Array, Element
from distos_coll.buffers import readable, reduction_type
from distos_coll.communicator import Communicator
from distos_coll.errors import DistosError, InvalidArgument

Call = Callable[..., Any]
"""Runs the operation once. Takes async_op=True where the library does."""


@dataclass(frozen=True)
class Case:
    """One operation on this rank."""

    collective: Collective
    element: Element
    op: str
    shape: Shape
    place: Place


class Door(Protocol):
    """A group of ranks of some library. Every method but the attributes is collective."""

    title: str
    rank: int
    ranks: int
    domains: list[int]
    """For each rank its domain; empty where the library has none."""

    def refusal(self, case: Case) -> str:
        """Return why the library does not offer this kind of call, or ""; alike on all ranks."""

    def forms(self, collective: Collective) -> tuple[bool, bool]:
        """Return whether there is a call out of place, and one in place."""

    def bind(self, case: Case, x: Array, out: Array) -> Call:
        """Return the call on these arrays; in place one is part of the other, or both are one."""

    def together(self, call: Call, times: int, /) -> Call:
        """Return what starts a call so often before it waits for any of them."""

    def algorithm(self, case: Case, call: Call) -> str:
        """Run the call once, return the name of the algorithm that served it, or ""."""

    def barrier(self) -> None: ...

    def exchange(self, values: Array) -> Array:
        """Return every rank's values, one row each."""


class ArrayDoor:
    """The measured library is distos_coll itself, on numpy arrays."""

    def __init__(self, communicator: Communicator) -> None:
        self._group = communicator
        self.title = f"distos_coll {__version__}, array door, {_native.isa()} kernels"
        self.rank = communicator.rank
        self.ranks = communicator.size
        self.domains = communicator.domains

    def refusal(self, case: Case) -> str:
        if case.collective.name == "sendrecv" and self.ranks == 1:
            return "a rank cannot send to itself"
        try:
            sample = readable(self._wrapped(np.zeros(1, case.element.storage), case.element), "x")
            if case.collective.reduces:
                # The core's own names of the operations, which the array door takes too.
                reduction_type(sample, "average" if case.op == "avg" else case.op)
        except DistosError as error:
            return str(error)
        return ""

    def forms(self, collective: Collective) -> tuple[bool, bool]:
        if collective.name == "broadcast":
            return False, True
        return True, collective.name not in {"all_to_all", "all_to_all_v", "sendrecv", "barrier"}

    def bind(self, case: Case, x: Array, out: Array) -> Call:
        return self._bound(case, self._wrapped(x, case.element), self._wrapped(out, case.element))

    def _bound(self, case: Case, x: Any, out: Any) -> Call:
        group, shape, place = self._group, case.shape, case.place
        name, op, root = case.collective.name, case.op, case.place.root
        here = place.is_root
        calls: dict[str, Callable[[], Call]] = {
            "all_reduce": lambda: partial(group.all_reduce, x, op, out),
            "reduce": lambda: partial(group.reduce, x, op, root, out if here else None),
            "broadcast": lambda: partial(group.broadcast, out, root),
            "all_gather": lambda: partial(group.all_gather, x, out),
            "reduce_scatter": lambda: partial(group.reduce_scatter, x, op, out),
            "all_to_all": lambda: partial(group.all_to_all, x, out),
            "gather": lambda: partial(group.gather, x, root, out if here else None),
            "scatter": lambda: partial(group.scatter, x if here else None, out, root),
            "all_gather_v": lambda: partial(group.all_gather_v, x, shape.recv_counts, out),
            "reduce_scatter_v": lambda: partial(
                group.reduce_scatter_v, x, shape.send_counts, op, out
            ),
            "all_to_all_v": lambda: partial(
                group.all_to_all_v, x, shape.send_counts, shape.recv_counts, out
            ),
            "sendrecv": lambda: partial(self._shift, x, out),
            "barrier": lambda: group.barrier,
        }
        return calls[name]()

    def _shift(self, x: Any, out: Any) -> None:
        group = self._group
        receiving = group.recv(out, (self.rank - 1) % self.ranks, async_op=True)
        group.send(x, (self.rank + 1) % self.ranks)
        receiving.wait()

    def together(self, call: Call, times: int, /) -> Call:
        def run() -> None:
            with self._group.group():
                for _ in range(times):
                    call()

        return run

    def algorithm(self, case: Case, call: Call) -> str:
        if case.collective.name == "sendrecv":
            call()
            return ""
        work = call(async_op=True)
        work.wait()
        return str(work.algorithm)

    def barrier(self) -> None:
        self._group.barrier()

    def exchange(self, values: Array) -> Array:
        rows: Array = self._group.all_gather(values)
        return rows

    def _wrapped(self, array: Array, element: Element) -> Any:
        """Return the same memory as an array of the element's own type."""
        if element.small is None:
            return array.view(np.bool_) if element.name == "bool" else array
        for library in ("ml_dtypes", "torch"):
            try:
                module = importlib.import_module(library)
            except ImportError:
                continue
            kind = getattr(module, element.array_name)
            if library == "ml_dtypes":
                return array.view(kind)
            return module.from_numpy(array.view(f"i{element.nbytes}")).view(kind)
        raise InvalidArgument(
            f"numpy has no {element.array_name}; install ml_dtypes or torch to measure it"
        )
