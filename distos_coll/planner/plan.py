"""plan(): from a view of the cluster to the table that the native core runs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from distos_coll._vocabulary import Collective, Rows
from distos_coll.errors import InvalidArgument, PlanError
from distos_coll.planner import algo as algo_module
from distos_coll.planner.algo import AlgoFilter
from distos_coll.planner.choose import (
    Candidate,
    Excluded,
    Row,
    candidates,
    for_halves,
    rows_of,
)
from distos_coll.planner.explain import Explanation, explain
from distos_coll.planner.view import ClusterView
from distos_coll.plugins.manager import Algorithm, Registry, default_registry
from distos_coll.program.contract import REDUCING
from distos_coll.program.encode import UNLIMITED, Choice, PlanTable, encode_plan
from distos_coll.program.ir import Program
from distos_coll.program.layout import arrays_of

# Verification of a foreign program takes seconds above.
VERIFY_UP_TO = 64


@dataclass(frozen=True)
class Plan:
    """What every rank must compute alike. `encode()` is what the core takes."""

    view: ClusterView
    algo: str
    rows: tuple[Row, ...]
    half_rows: tuple[Row, ...]
    """For float16 and bfloat16, where they differ."""
    registered_rows: tuple[Row, ...]
    """For arrays in registered memory; where a row's candidate has no use of it, `rows` decide."""
    allowed: dict[Collective, tuple[Candidate, ...]] = field(repr=False)
    registered: dict[Collective, tuple[Candidate, ...]] = field(repr=False)
    """What may run in registered memory only."""
    excluded: dict[Collective, tuple[Excluded, ...]] = field(repr=False)
    programs: tuple[Program, ...] = field(repr=False)
    _index: dict[tuple[Collective, str], int] = field(repr=False)
    context: str = field(default="", repr=False)

    @cached_property
    def _encoded(self) -> bytes:
        choices = tuple(
            Choice(
                row.collective,
                row.max_bytes,
                self._index[row.collective, row.candidate.key],
                row.candidate.segment_bytes,
                kind,
            )
            for rows, kind in (
                (self.rows, Rows.ALL),
                (self.half_rows, Rows.HALVES),
                (self.registered_rows, Rows.REGISTERED),
            )
            for row in rows
        )
        table = PlanTable(
            self.programs, arrays_of(self.view.domain_of, self.view.layout.orders), choices
        )
        # The slot's size is not in the table, but programs of ranks that differ in it would not fit
        # together.
        settings = f"slot_bytes={self.view.slot_bytes}\n{self.context}"
        return encode_plan(table, settings.encode())

    def encode(self) -> bytes:
        return self._encoded

    @property
    def fingerprint(self) -> int:
        return int.from_bytes(self._encoded[16:24], "little")

    @property
    def basis(self) -> str:
        """What the predictions rest on."""
        if self.view.profile.is_built_in:
            return "built-in figures"
        if self.view.measured.kinds:
            return "a profile, measured in groups like this one"
        return "a profile's figures; groups like this one were not measured"

    def choice(self, collective: Collective | str, size: int, *, halves: bool = False) -> Row:
        """The row that the core takes for `size` bytes (0001 says what counts), of float16 and
        bfloat16 if `halves`.
        """
        wanted = _collective(collective)
        if size < 0:
            raise InvalidArgument(f"a size of {size} bytes is negative")
        rows = (*self.half_rows, *self.rows) if halves else self.rows
        return next(r for r in rows if r.collective is wanted and size <= r.max_bytes)

    def with_segment_bytes(self, segment_bytes: int) -> "Plan":
        """The same choices with another segment, so that tests cross many with little data."""
        if segment_bytes < 1:
            raise InvalidArgument(f"a segment of {segment_bytes} bytes is empty")

        def changed(rows: tuple[Row, ...]) -> tuple[Row, ...]:
            return tuple(
                replace(row, candidate=replace(row.candidate, segment_bytes=segment_bytes))
                for row in rows
            )

        return replace(
            self,
            rows=changed(self.rows),
            half_rows=changed(self.half_rows),
            registered_rows=changed(self.registered_rows),
        )

    def forcing(self, chosen: Mapping[Collective, Candidate], registry: Registry) -> "Plan":
        """Return a plan that runs these candidates, at every size; for measurements."""
        rows = tuple(Row(c, UNLIMITED, candidate) for c, candidate in sorted(chosen.items()))
        programs = tuple(
            replace(registry.program(row.candidate.algorithm), name=row.candidate.key)
            for row in rows
        )
        index = {(row.collective, row.candidate.key): i for i, row in enumerate(rows)}
        return replace(
            self, rows=rows, half_rows=(), registered_rows=(), programs=programs, _index=index
        )

    def explain(self, collective: Collective | str, size: int) -> Explanation:
        wanted = _collective(collective)
        row = self.choice(wanted, size)
        able = (*self.allowed[wanted], *self.registered[wanted])
        found = explain(row, size, able, self.excluded[wanted], self.basis)
        return replace(found, layout=self.view.layout.lines)


def plan(
    view: ClusterView,
    algo: str = "",
    *,
    deterministic: bool = False,
    registry: Registry | None = None,
    collectives: Iterable[Collective] = tuple(Collective),
    context: str = "",
) -> Plan:
    """Pure: equal arguments give equal bytes.

    `deterministic` leaves out what does not reduce in the order of ranks (docs/decisions/0003).
    `context` enters the fingerprint only: whatever else all ranks must agree on, such as
    Settings.plan_affecting().

    InvalidArgument for a text in `algo` that cannot be understood, PlanError for one that leaves a
    collective without an algorithm (it says why each was excluded), PluginError for a plugin's
    program that is not what its spec says.
    """
    known = registry or default_registry()
    wanted = replace(algo_module.parse(algo, known.names), in_rank_order=deterministic)
    rows: list[Row] = []
    half_rows: list[Row] = []
    registered_rows: list[Row] = []
    allowed: dict[Collective, tuple[Candidate, ...]] = {}
    registered: dict[Collective, tuple[Candidate, ...]] = {}
    excluded: dict[Collective, tuple[Excluded, ...]] = {}
    for collective in sorted(collectives):
        able, unable = candidates(view, collective, known, wanted)
        private = allowed[collective] = tuple(c for c in able if not c.registered)
        registered[collective] = tuple(c for c in able if c.registered)
        excluded[collective] = tuple(unable)
        own_rows = rows_of(collective, private)
        rows += own_rows
        if len(view.members) == 1 and collective in REDUCING:
            halves = rows_of(collective, for_halves(view, known, private))
            half_rows += halves if _outline(halves) != _outline(own_rows) else []
        registered_rows += _registered_rows(own_rows, registered[collective])
    programs: list[Program] = []
    index: dict[tuple[Collective, str], int] = {}
    for row in (*rows, *half_rows, *registered_rows):
        key = (row.collective, row.candidate.key)
        if key not in index:
            index[key] = len(programs)
            program = _checked(row.candidate.algorithm, known, view, wanted)
            programs.append(replace(program, name=row.candidate.key))
    return Plan(
        view,
        algo,
        tuple(rows),
        tuple(half_rows),
        tuple(registered_rows),
        allowed,
        registered,
        excluded,
        tuple(programs),
        index,
        context,
    )


def _registered_rows(private: Sequence[Row], registered: Sequence[Candidate]) -> list[Row]:
    """Against those that win in private memory; where they still win, rows repeat them."""
    winners = dict.fromkeys(row.candidate for row in private)
    rows = rows_of(private[0].collective, [*winners, *registered])
    return rows if any(row.candidate.registered for row in rows) else []


def _outline(rows: Iterable[Row]) -> list[tuple[int, str, int]]:
    return [(row.max_bytes, row.candidate.key, row.candidate.segment_bytes) for row in rows]


def _checked(
    algorithm: Algorithm, registry: Registry, view: ClusterView, algo: AlgoFilter
) -> Program:
    """Built-in programs are verified when the package is tested; others before they run."""
    program = registry.program(algorithm)
    if not algorithm.built_in and view.size <= VERIFY_UP_TO:
        from distos_coll.program.verify import verify

        try:
            verify(
                program,
                view.size,
                domain_of=view.domain_of,
                in_rank_order=algo.in_rank_order,
                orders=view.layout.orders,
            )
        except PlanError as error:
            leave_out = f"{algo_module.VARIABLE}=^{algorithm.spec.name}"
            raise PlanError(f"{error}; {leave_out} does without this plugin's program") from error
    return program


def _collective(value: Collective | str) -> Collective:
    return value if isinstance(value, Collective) else algo_module.collective_named(value)
