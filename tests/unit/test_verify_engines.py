"""The core's verification against the reference, and both against slips in right programs."""

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from mutants import Mutant, mutants

from distos_coll._vocabulary import Collective, Need
from distos_coll.errors import PlanError
from distos_coll.plugins.manager import Algorithm, built_in_registry
from distos_coll.program import native
from distos_coll.program.builder import ProgramBuilder
from distos_coll.program.contract import Call
from distos_coll.program.encode import encode_program
from distos_coll.program.interpret import interpret
from distos_coll.program.ir import Program
from distos_coll.program.machine import Schedule
from distos_coll.program.native import Native
from distos_coll.program.reference import Reference
from distos_coll.program.verify import Engine, Verified, typical_calls, verify

pytestmark = pytest.mark.skipif(not native.AVAILABLE, reason="the native core is not built")

REGISTRY = built_in_registry()
C = Collective
EVERY = 13
"""One in so many mutants is run by the reference, which is slow; others in other groups."""


def name_of(algorithm: Algorithm) -> str:
    spec = algorithm.spec
    return f"{spec.collective.name.lower()}-{spec.key.replace('/', '-')}"


def program_of(collective: Collective, key: str) -> Program:
    return next(REGISTRY.program(a) for a in REGISTRY.of(collective) if a.spec.key == key)


def groups(program: Program, *sizes: int) -> Iterator[tuple[int, ...]]:
    """One domain; two, interleaved; every rank for itself."""
    for size in sizes:
        yield (0,) * size
        if Need.ONE_DOMAIN not in program.needs:
            yield tuple(rank % 2 for rank in range(size))
            yield tuple(range(size))


def verdict(program: Program, domain_of: tuple[int, ...], engine: Engine) -> Verified | str:
    try:
        return verify(program, len(domain_of), domain_of=domain_of, engine=engine)
    except PlanError as error:
        return str(error)


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
def test_both_count_the_same_steps(algorithm: Algorithm) -> None:
    program = REGISTRY.program(algorithm)
    for domain_of in groups(program, 1, 2, 5):
        found = verdict(program, domain_of, Native)
        assert isinstance(found, Verified)
        assert found == verdict(program, domain_of, Reference)


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
def test_both_say_the_same_of_slips(algorithm: Algorithm) -> None:
    program = REGISTRY.program(algorithm)
    wrong = 0
    for i, domain_of in enumerate(groups(program, 2, 3, 5)):
        for mutant in itertools.islice(mutants(program), i % EVERY, None, EVERY):
            found = verdict(mutant.program, domain_of, Native)
            assert found == verdict(mutant.program, domain_of, Reference), mutant.what
            wrong += isinstance(found, str)
    assert wrong > 0 or len(program.lanes[0]) < EVERY


def outputs(program: Program, call: Call, domain_of: tuple[int, ...], seed: int) -> bool:
    """Whether numbers come out right; `Call.expected` says what is."""
    inputs = [
        np.random.default_rng([seed, rank]).integers(1, 1 << 40, call.input_length(rank))
        for rank in range(call.size)
    ]
    schedule = Schedule(credit=seed % 4, order="random", seed=seed)
    found = interpret(program, call, inputs, domain_of=domain_of, schedule=schedule)
    return all(
        found[rank][at]
        == (
            sum(x[wanted.index] for x in inputs)
            if wanted.rank is None
            else inputs[wanted.rank][wanted.index]
        )
        for rank in range(call.size)
        for at, wanted in call.expected(rank).items()
    )


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
def test_slips_that_pass_do_no_harm(algorithm: Algorithm) -> None:
    """A copy that one rank alone would make, an order that does not matter: numbers are right."""
    program = REGISTRY.program(algorithm)
    for i, domain_of in enumerate(groups(program, 3)):
        for mutant in itertools.islice(mutants(program), i, None, 3):
            if isinstance(verdict(mutant.program, domain_of, Native), str):
                continue
            call = typical_calls(program.collective, 3)[-1]
            assert outputs(mutant.program, call, domain_of, seed=i), mutant.what


LARGER = [
    (C.ALL_REDUCE, "ring"),
    (C.ALL_REDUCE, "tree"),
    (C.ALL_REDUCE, "hier"),
    (C.ALL_REDUCE, "rhd"),
    (C.ALL_GATHER, "ring"),
    (C.REDUCE_SCATTER, "pairwise"),
    (C.BROADCAST, "hier"),
    (C.GATHER, "binomial"),
]


def is_refused(mutant: Mutant, size: int) -> bool:
    domain_of = tuple(rank // 4 for rank in range(size))
    return isinstance(verdict(mutant.program, domain_of, Native), str)


@pytest.mark.parametrize(("collective", "key"), LARGER)
def test_slips_are_found_among_64_ranks(collective: Collective, key: str) -> None:
    """All that are found among 8, where the reference says the same."""
    program = program_of(collective, key)
    for mutant in itertools.islice(mutants(program), 0, None, 2):
        if is_refused(mutant, 8):
            assert is_refused(mutant, 64), mutant.what


@pytest.mark.parametrize("engine", [Native, Reference])
def test_a_chain_of_first_steps_is_no_deadlock(engine: Engine) -> None:
    """In the first round each rank begins a transfer and none ends an instruction."""
    p = ProgramBuilder("chain", C.ALL_GATHER)
    p.use_scratch(2 * p.count)
    with p.when(p.rank.eq(0)):
        p.send(1, p.input, 0, p.count)
        p.send(2, p.input, 0, p.count)
    with p.when(p.rank.eq(1)), p.group():
        p.recv(0, p.scratch, 0, p.count)
        p.send(2, p.input, 0, p.count)
    with p.when(p.rank.eq(2)):
        p.recv(0, p.scratch, 0, p.count)
        p.recv(1, p.scratch, p.count, p.count)
    # All messages arrive, in whatever order ranks run; only no output is written.
    with pytest.raises(PlanError, match="leaves nothing in element 0 of rank 0's output"):
        verify(p.build(), 3, calls=[Call(C.ALL_GATHER, 3, count=1)], engine=engine)


def runs(size: int, key: str, local: int) -> tuple[Native, list[Call]]:
    program = program_of(C.ALL_REDUCE, key)
    runner = Native(program, tuple(rank // local for rank in range(size)), False)
    calls = typical_calls(C.ALL_REDUCE, size)
    for call in calls:
        runner.run(call, Schedule())
    return runner, calls


def test_a_ring_runs_as_many_instructions_as_its_steps_say() -> None:
    """No rank stands for others: each of 64 does its own."""
    size = 64
    runner, calls = runs(size, "ring", 1)
    blocks = sum(-(-call.count // (call.segment * size)) for call in calls)
    groups_run = blocks * size * 2 * (size - 1)
    # Groups; their transfers, where chunks are not empty; finalize, and ends of ranks.
    assert groups_run < runner.steps < 3 * groups_run + 10 * size * len(calls)
    # Neighbours from anywhere, all, and none: sets do not multiply with elements or blocks.
    assert runner.sets == size * (size - 1) + 2


@pytest.mark.parametrize(("key", "most"), [("tree", 10), ("hier", 70)])
def test_sets_stay_few(key: str, most: int) -> None:
    size = 128
    runner, _ = runs(size, key, 8)
    assert runner.sets < most * size


@pytest.mark.parametrize(("key", "local"), [("ring", 1), ("tree", 1), ("hier", 8), ("rhd", 8)])
def test_hundreds_of_ranks(key: str, local: int) -> None:
    program = program_of(C.ALL_REDUCE, key)
    found = verify(program, 192, domain_of=tuple(rank // local for rank in range(192)))
    assert (found.calls, found.runs) == (6, 12)


@pytest.mark.parametrize("algorithm", REGISTRY.algorithms, ids=name_of)
def test_programs_are_a_few_kilobytes_whatever_the_group(algorithm: Algorithm) -> None:
    assert len(encode_program(REGISTRY.program(algorithm))) < 10_000


def test_loop_variables_of_another_lane_are_refused() -> None:
    """What they are depends on how far the other lane got."""
    p = ProgramBuilder("bad", C.ALL_GATHER)
    for k in p.loop(0, 3):
        p.copy((p.output, k), (p.input, 0), p.count)
    with p.lane(1):
        p.copy((p.output, k), (p.output, k), p.count)
    with pytest.raises(PlanError, match="lane 1, instruction 0 uses a variable of lane 0's loops"):
        verify(p.build(), 2)


def test_scratch_beyond_all_bounds_is_refused() -> None:
    p = ProgramBuilder("bad", C.ALL_GATHER)
    p.use_scratch(p.size << 40)
    p.copy((p.output, 0), (p.input, 0), p.count)
    for engine in (Native, Reference):
        with pytest.raises(PlanError, match="scratch has 2199023255552 elements"):
            verify(p.build(), 2, engine=engine)


def test_overflow_is_told_with_its_place() -> None:
    p = ProgramBuilder("bad", C.ALL_GATHER)
    p.copy((p.output, (p.size << 61) * 4), (p.input, 0), p.count)
    with pytest.raises(PlanError, match=r"copy\(dst=output, src=input\).*does not fit in 64 bits"):
        verify(p.build(), 2, engine=Native)
    with pytest.raises(PlanError, match=r"copy\(dst=output, src=input\).*does not fit in 64 bits"):
        verify(p.build(), 2, engine=Reference)
