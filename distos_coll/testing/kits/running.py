"""Runs an algorithm in the native core, ranks as threads, and compares with numpy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from distos_coll._vocabulary import Collective, Need, ReduceOp
from distos_coll.errors import DistosError
from distos_coll.group_plan import Found, plan_for
from distos_coll.planner import Plan
from distos_coll.planner.choose import Candidate
from distos_coll.plugins.manager import Algorithm, Registry
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.program.contract import IN_PLACE, REDUCING, ROOTED, Call
from distos_coll.settings import Settings
from distos_coll.testing.kits.check import wrong
from distos_coll.testing.ranks import LocalWorld, Rank

Array = npt.NDArray[Any]
C = Collective

# Small on purpose: a few hundred elements then cross many segments, rounds and credits.
_SLOT_BYTES, _SEGMENT_BYTES = 512, 128
_TINY = "stream_credit=4096\nring_bytes=65536\neager_credit=4096\neager_bytes=512"
_COUNTS = (0, 1, 5, 37, 401)
_TIMEOUT_MS = 20_000


@dataclass(frozen=True)
class Group:
    size: int
    domain_limit: int = 0
    """Ranks of a domain at most; 0: all in one."""

    @property
    def one_domain(self) -> bool:
        return self.domain_limit == 0

    def __str__(self) -> str:
        if self.one_domain:
            return f"{self.size} ranks that share memory"
        return f"{self.size} ranks, {self.domain_limit} of which share memory"


GROUPS = (Group(1), Group(2), Group(3), Group(5), Group(3, 1), Group(4, 2), Group(5, 2))

_S, _P, _A = ReduceOp.SUM, ReduceOp.PRODUCT, ReduceOp.AVERAGE
_ORDER = (ReduceOp.MIN, ReduceOp.MAX)
_BITS = (ReduceOp.BAND, ReduceOp.BOR, ReduceOp.BXOR)
OPERATIONS: dict[str, tuple[ReduceOp, ...]] = {
    **dict.fromkeys(("int8", "uint8", "int16", "int32", "int64"), (_S, _P, _A, *_ORDER, *_BITS)),
    **dict.fromkeys(("float16", "float32", "float64"), (_S, _P, _A, *_ORDER)),
    **dict.fromkeys(("complex64", "complex128"), (_S, _P)),
    "bool": (_S, _P, *_ORDER, *_BITS),
}
_NUMPY: dict[ReduceOp, Callable[..., Any]] = {
    ReduceOp.SUM: np.add,
    ReduceOp.PRODUCT: np.multiply,
    ReduceOp.AVERAGE: np.add,
    ReduceOp.MIN: np.minimum,
    ReduceOp.MAX: np.maximum,
    ReduceOp.BAND: np.bitwise_and,
    ReduceOp.BOR: np.bitwise_or,
    ReduceOp.BXOR: np.bitwise_xor,
}


@dataclass(frozen=True)
class Case:
    call: Call
    dtype: str = "uint8"
    op: ReduceOp = ReduceOp.SUM

    def __str__(self) -> str:
        call = self.call
        parts = [f"{call.count} elements of {self.dtype}"]
        parts += [self.op.name.lower()] if call.collective in REDUCING else []
        parts += [f"root {call.root}"] if call.collective in ROOTED else []
        parts += ["in place"] if call.in_place else []
        parts += [f"counts {list(call.counts)}"] if call.counts else []
        parts += [f"counts {[list(row) for row in call.matrix]}"] if call.matrix else []
        return ", ".join(parts)

    def inputs(self) -> list[Array]:
        """Small whole numbers, so that every order of a reduction gives the same exact result."""
        rng = np.random.default_rng(self.call.count)
        low, high = (1, 3) if self.op is ReduceOp.PRODUCT else (0, 4)
        times = self.call.size if self.op is ReduceOp.AVERAGE else 1
        lengths = map(self.call.input_length, range(self.call.size))
        return [(rng.integers(low, high, n) * times).astype(self.dtype) for n in lengths]

    def expected(self, rank: int, inputs: Sequence[Array]) -> dict[int, Any]:
        total: Array | None = None
        if self.call.collective in REDUCING:
            total = inputs[0]
            for other in inputs[1:]:
                total = np.asarray(_NUMPY[self.op](total, other), dtype=self.dtype)
            if self.op is ReduceOp.AVERAGE:
                total = (total / self.call.size).astype(self.dtype)
        found = {}
        for place, what in self.call.expected(rank).items():
            source = total if what.rank is None else inputs[what.rank]
            assert source is not None  # noqa: S101  only reductions have no rank
            found[place] = source[what.index]
        return found


def cases_of(collective: Collective, size: int) -> Iterator[Case]:
    """Yield every type and operation, no, few and many elements, each root's end, in place too."""
    kinds: list[tuple[str, ReduceOp]] = [("uint8", ReduceOp.SUM)]
    if collective in REDUCING:
        kinds = [(dtype, op) for dtype, ops in OPERATIONS.items() for op in ops]
    for number, (dtype, op) in enumerate(kinds):
        # Every count with the first type; the others take turns.
        counts = _COUNTS if number < 2 else (_COUNTS[1 + number % (len(_COUNTS) - 1)], 37)
        for count in dict.fromkeys(counts):
            for root in {0, size - 1} if collective in ROOTED else {0}:
                for in_place in {False, collective in IN_PLACE}:
                    yield Case(_call(collective, size, count, root, in_place), dtype, op)


def _call(collective: Collective, size: int, count: int, root: int, in_place: bool) -> Call:
    if collective in (C.ALL_GATHER_V, C.REDUCE_SCATTER_V):
        counts = tuple(count * (rank + 1) % (count + 3) for rank in range(size))
        return Call(collective, size, counts=counts)
    if collective is C.ALL_TO_ALL_V:
        matrix = tuple(
            tuple((count + 3 * row + column) % (count + 2) for column in range(size))
            for row in range(size)
        )
        return Call(collective, size, matrix=matrix)
    if collective is C.BARRIER:
        return Call(collective, size)
    return Call(collective, size, count=count, root=root, in_place=in_place)


def run_against_numpy(spec: AlgorithmSpec, group: Group) -> str:
    """AssertionError says what came out wrong; a text that is returned why it could not run."""
    if Need.REGISTERED in spec.needs:
        return "runs in registered memory only; verification has tried it"
    algorithm = Algorithm(spec, "this plugin", built_in=False)
    registry = Registry([algorithm])  # builds programs; it need not know those of others
    lacking: list[bool] = []

    def planned(found: Found) -> Plan:
        base = plan_for(Settings(slot_bytes=_SLOT_BYTES), found)
        if Need.SINGLE_COPY in spec.needs and not base.view.all_single_copy:
            lacking.append(True)
            return base
        chosen = Candidate(algorithm, _SEGMENT_BYTES, lambda size: float(size))
        # A plan has every collective; the others are not called.
        others = {each: able[0] for each, able in base.allowed.items()}
        return base.forcing({**others, spec.collective: chosen}, registry)

    settings = f"domain_limit={group.domain_limit}\n{_TINY}"
    world = LocalWorld(
        group.size,
        settings=settings,
        slot_bytes=_SLOT_BYTES,
        timeout_ms=_TIMEOUT_MS,
        planned=planned,
    )
    with world:
        if lacking:
            return "this machine does not allow single copy (process_vm_readv)"
        for case in cases_of(spec.collective, group.size):
            _compare(case, world)
    return ""


def _compare(case: Case, world: LocalWorld) -> None:
    inputs = case.inputs()
    try:
        outputs = world.run(lambda rank: _run(case, rank, inputs[rank.rank]))
    except DistosError as error:
        raise wrong(f"{case}: {error}") from error
    for rank, output in enumerate(outputs):
        for place, value in case.expected(rank, inputs).items():
            if output[place] != value:
                raise wrong(
                    f"{case}: element {place} of rank {rank}'s output is {output[place]}, numpy "
                    f"says {value}"
                )


def _run(case: Case, rank: Rank, given: Array) -> Array:
    """Call it; return the output."""
    call, me = case.call, rank.rank
    outgoing = call.output_length(me)
    source: Array = given.copy()
    output: Array = np.zeros(outgoing, case.dtype)
    shared = call.shared(me)
    if shared is not None:
        into, out_of = shared
        memory: Array = np.zeros(max(into + len(given), out_of + outgoing), case.dtype)
        memory[into : into + len(given)] = given
        source, output = memory[into : into + len(given)], memory[out_of : out_of + outgoing]
    rank.call(
        call.collective,
        _buffer(source, call.collective is not C.BARRIER, case, me, reads=True),
        _buffer(output, call.collective is not C.BARRIER, case, me, reads=False),
        0 if call.collective is C.ALL_TO_ALL_V else call.count,
        op=case.op,
        root=call.root,
        vectors=_vectors(call, me),
    )
    return output


def _buffer(array: Array, used: bool, case: Case, rank: int, *, reads: bool) -> Array | None:
    """None where the collective gives this rank no such buffer."""
    collective, root = case.call.collective, case.call.root
    if not used or (rank != root and collective in ROOTED and _only_root(collective, reads)):
        return None
    return array


def _only_root(collective: Collective, reads: bool) -> bool:
    if collective in (C.BROADCAST, C.SCATTER):
        return reads
    return not reads


def _vectors(call: Call, rank: int) -> dict[str, list[int]]:
    def both(way: str, counts: Sequence[int]) -> dict[str, list[int]]:
        return {f"{way}_counts": list(counts), f"{way}_offsets": list(call.offsets(counts))}

    if call.collective is C.ALL_GATHER_V:
        return both("recv", call.counts)
    if call.collective is C.REDUCE_SCATTER_V:
        return both("send", call.counts)
    if call.collective is C.ALL_TO_ALL_V:
        return both("send", call.matrix[rank]) | both("recv", call.columns[rank])
    return {}
