import pytest
from hypothesis import given
from hypothesis import strategies as st

from distos_coll._vocabulary import Array, Collective, ExprOp, Opcode, Param
from distos_coll.errors import PlanError
from distos_coll.program.builder import ProgramBuilder
from distos_coll.program.evaluate import Values, layout_of
from distos_coll.program.ir import Instruction, Program, check
from distos_coll.program.symbols import (
    IntLike,
    Value,
    ceil_div,
    floor_log2,
    maximum,
    minimum,
    select,
)

PARAMS = dict.fromkeys(Param, 0)


def builder() -> ProgramBuilder:
    return ProgramBuilder("test", Collective.ALL_REDUCE)


def value_of(p: ProgramBuilder, value: IntLike, **params: int) -> int:
    """What an expression of rank, size, count ... evaluates to."""
    p.use_scratch(value)
    program = p.build()
    values = {**PARAMS, **{Param[name.upper()]: number for name, number in params.items()}}
    arrays = {Array.ORDER: (7, 8, 9)}
    return Values(layout_of(program), values, arrays).constant(program.scratch)


def test_equal_expressions_are_one() -> None:
    p = builder()
    assert (p.rank + 1).id == (p.rank + 1).id
    assert (p.rank + 1).id != (1 + p.rank).id


def test_constants_fold_and_identities_vanish() -> None:
    p = builder()
    assert value_of(p, p.symbol(7) // 2 * 3 % 5) == 4
    assert (p.rank + 0).id == p.rank.id
    assert (p.rank * 1).id == p.rank.id
    assert (p.rank * 0).id == p.symbol(0).id
    assert minimum(p.rank, p.rank).id == p.rank.id
    assert p.select(1, p.rank, 5).id == p.rank.id


def test_unused_expressions_are_dropped() -> None:
    p = builder()
    _ = p.rank * 17 + p.slot
    p.finalize(p.output, 0, p.count)
    assert {e.op for e in p.build().exprs} == {ExprOp.CONST, ExprOp.PARAM}
    assert len(p.build().exprs) == 2


@given(a=st.integers(-50, 50), b=st.integers(-50, 50), c=st.integers(1, 9))
def test_operators_are_pythons(a: int, b: int, c: int) -> None:
    p = builder()
    x, y = p.rank, p.count
    cases: list[tuple[Value, int]] = [
        (x + y, a + b),
        (x - y, a - b),
        (10 - x, 10 - a),
        (x * y, a * b),
        (x // c, a // c),
        (x % c, a % c),
        (x & y, a & b),
        (x ^ y, a ^ b),
        (x << c, a << c),
        (x >> c, a >> c),
        (x < y, int(a < b)),
        (x > y, int(a > b)),
        (x <= y, int(a <= b)),
        (x >= y, int(a >= b)),
        (x.eq(y), int(a == b)),
        (x.ne(y), int(a != b)),
        (minimum(x, y), min(a, b)),
        (maximum(x, 3), max(a, 3)),
        (select(x < 0, y, x), b if a < 0 else a),
        (ceil_div(x, c), -(-a // c)),
        (p.order[x], (7, 8, 9)[a] if 0 <= a < 3 else -1),
    ]
    for value, expected in cases:
        assert value_of(p, value, rank=a, count=b) == expected


@given(st.integers(1, (1 << 32) - 1))
def test_floor_log2(n: int) -> None:
    p = builder()
    assert value_of(p, floor_log2(p.size), size=n) == n.bit_length() - 1


def test_symbols_have_no_truth_and_no_equality() -> None:
    p = builder()
    with pytest.raises(PlanError, match=r"p\.when"):
        bool(p.rank > 0)
    with pytest.raises(PlanError, match=r"a\.eq\(b\)"):
        _ = p.rank == p.root


def test_symbols_of_another_program_are_refused() -> None:
    with pytest.raises(PlanError, match="another program"):
        builder().finalize(builder().output, 0, builder().count)


def test_structure() -> None:
    p = builder()
    for i in p.loop(0, p.size):
        with p.when(i < 2), p.group():
            p.send(i, p.output, 0, 1)
    with p.lane(1):
        p.signal(p.event())
    program = p.build()
    ops = [i.op for i in program.lanes[0]]
    assert ops == [
        Opcode.LOOP,
        Opcode.IF,
        Opcode.GROUP,
        Opcode.SEND,
        Opcode.END,
        Opcode.END,
        Opcode.END,
    ]
    assert program.matches[0] == (6, 5, 4, 3, 2, 1, 0)
    assert [i.op for i in program.lanes[1]] == [Opcode.SIGNAL]
    assert program.n_vars == 1
    assert program.n_events == 1


def test_a_loop_must_run_to_its_end() -> None:
    p = builder()
    for _ in p.loop(0, 3):
        break
    with pytest.raises(PlanError, match="left early"):
        p.build()


def test_lanes_are_opened_at_the_outside() -> None:
    p = builder()
    for _ in p.loop(0, 3):
        with pytest.raises(PlanError, match="outside loops"), p.lane(1):
            pass


def broken(*lanes: tuple[Instruction, ...], n_events: int = 0) -> Program:
    return Program(
        "broken",
        Collective.BARRIER,
        ProgramBuilder("", Collective.BARRIER).needs,
        0,
        n_events,
        -1,
        (),
        lanes,
    )


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (broken(), "no lane"),
        (broken((Instruction(Opcode.END),)), "no beginning"),
        (broken((Instruction(Opcode.GROUP),)), "not closed"),
        (broken((Instruction(Opcode.SIGNAL, (0,)),)), "event is 0, outside"),
        (broken((), (Instruction(Opcode.ROUND),)), "only lane 0"),
        (broken((Instruction(Opcode.EXPOSE, (3,)),)), "buf is 3, outside"),
        (
            broken(
                (Instruction(Opcode.GROUP), Instruction(Opcode.COMMIT), Instruction(Opcode.END))
            ),
            "cannot stand in a group",
        ),
    ],
)
def test_malformed_programs_are_refused(program: Program, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        check(program)


def test_arithmetic_errors_matter_only_where_they_are_used() -> None:
    p = builder()
    with p.when(p.size.eq(0)):
        p.finalize(p.output, 0, p.count // p.size)
    p.finalize(p.output, 0, p.count)
    program = p.build()
    values = Values(layout_of(program), PARAMS, {})
    assert values.operands(0, 3)[2] == 0
    with pytest.raises(PlanError, match="by zero"):
        values.operands(0, 1)
