"""The same calls through torch.distributed, on any of its backends."""

import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from distos_coll._vocabulary import Collective as Code
from distos_coll.bench.collectives import Collective, Place
from distos_coll.bench.doors import Call, Case
from distos_coll.bench.elements import Array, Element, Kind
from distos_coll.errors import Unsupported

_OPS = {
    "sum": "SUM",
    "prod": "PRODUCT",
    "min": "MIN",
    "max": "MAX",
    "avg": "AVG",
    "band": "BAND",
    "bor": "BOR",
    "bxor": "BXOR",
}
# c10d has these in place only, the others out of place.
_IN_PLACE = frozenset({"all_reduce", "reduce", "broadcast"})


class TorchDoor:
    """The default group of torch.distributed, which the caller has made."""

    def __init__(self, backend: str) -> None:
        import torch
        import torch.distributed as dist

        # Newer names of these are not in every torch that is taken.
        warnings.filterwarnings("ignore", ".*_tensor. is deprecated", FutureWarning)
        self._torch, self._dist, self._backend = torch, dist, backend
        self.title = f"torch {torch.__version__}, backend {backend}"
        self.rank: int = dist.get_rank()
        self.ranks: int = dist.get_world_size()
        world: Any = dist.group.WORLD
        native: Any = world._get_backend(torch.device("cpu"))  # noqa: SLF001  no other way to it
        self._native = native
        self.domains: list[int] = list(native.topology[1]) if hasattr(native, "topology") else []

    def refusal(self, case: Case) -> str:
        if case.collective.name == "sendrecv" and self.ranks == 1:
            return "a rank cannot send to itself"
        # c10d does not say what a backend offers, so a small call is tried. What is refused is
        # refused by all ranks, before they exchange anything.
        shape = case.collective.shape(case.place, 4 * self.ranks)
        x = np.zeros(shape.send, case.element.storage)
        out = np.zeros(shape.recv, case.element.storage)
        small = Case(case.collective, case.element, case.op, shape, case.place)
        try:
            self.bind(small, x, out)()
        except (RuntimeError, ValueError, TypeError, NotImplementedError, Unsupported) as error:
            return str(error).partition("\n")[0]
        return ""

    def forms(self, collective: Collective) -> tuple[bool, bool]:
        in_place = collective.name in _IN_PLACE
        return not in_place, in_place

    def bind(self, case: Case, x: Array, out: Array) -> Call:
        return self._bound(case, self._tensor(x, case.element), self._tensor(out, case.element))

    def _bound(self, case: Case, x: Any, out: Any) -> Call:
        dist, shape, place = self._dist, case.shape, case.place
        root, here = place.root, place.is_root
        op = getattr(dist.ReduceOp, _OPS[case.op]) if case.collective.reduces else None
        calls: dict[str, Callable[[], Call]] = {
            "all_reduce": lambda: partial(dist.all_reduce, x, op),
            "reduce": lambda: partial(dist.reduce, x, root, op),
            "broadcast": lambda: partial(dist.broadcast, out, root),
            "all_gather": lambda: partial(dist.all_gather_into_tensor, out, x),
            "reduce_scatter": lambda: partial(dist.reduce_scatter_tensor, out, x, op),
            "all_to_all": lambda: partial(dist.all_to_all_single, out, x),
            "gather": lambda: partial(dist.gather, x, self._even(out, here), root),
            "scatter": lambda: partial(dist.scatter, out, self._even(x, here), root),
            "all_gather_v": lambda: partial(
                dist.all_gather, list(out.split(list(shape.recv_counts))), x
            ),
            "reduce_scatter_v": lambda: partial(
                dist.reduce_scatter, out, list(x.split(list(shape.send_counts))), op
            ),
            "all_to_all_v": lambda: partial(
                dist.all_to_all_single, out, x, list(shape.recv_counts), list(shape.send_counts)
            ),
            "sendrecv": lambda: partial(self._shift, x, out, place),
            "barrier": lambda: dist.barrier,
        }
        return calls[case.collective.name]()

    def _even(self, whole: Any, here: bool) -> Sequence[Any] | None:
        return list(whole.tensor_split(self.ranks)) if here else None

    def _shift(self, x: Any, out: Any, place: Place) -> None:
        dist = self._dist
        after, before = (place.rank + 1) % place.ranks, (place.rank - 1) % place.ranks
        both = [dist.P2POp(dist.isend, x, after), dist.P2POp(dist.irecv, out, before)]
        for work in dist.batch_isend_irecv(both):
            work.wait()

    def together(self, _call: Call, _times: int, /) -> Call:
        raise Unsupported("-m needs group(), which torch.distributed has for few calls only")

    def algorithm(self, case: Case, call: Call) -> str:
        call()
        name = case.collective.name.upper()
        if not hasattr(self._native, "choice") or name not in Code.__members__:
            return ""
        unsized = name in {"ALL_TO_ALL_V", "BARRIER"}
        nbytes = 0 if unsized else case.shape.elements * case.element.nbytes
        return str(self._native.choice(int(Code[name]), nbytes))

    def barrier(self) -> None:
        self._dist.barrier()

    def exchange(self, values: Array) -> Array:
        mine = self._torch.from_numpy(values)
        rows = [self._torch.empty_like(mine) for _ in range(self.ranks)]
        self._dist.all_gather(rows, mine)
        return np.stack([row.numpy() for row in rows])

    def _tensor(self, array: Array, element: Element) -> Any:
        kind = getattr(self._torch, element.array_name)
        if element.small is None and element.kind is not Kind.BOOL:
            return self._torch.from_numpy(array)
        return self._torch.from_numpy(array.view(f"i{element.nbytes}")).view(kind)
