"""Wrong programs made of right ones: each differs in one place, as a slip of its author might."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from distos_coll._vocabulary import Buffer, ExprOp, Opcode
from distos_coll.errors import PlanError
from distos_coll.program.ir import MESSAGES, OPENERS, Expr, Instruction, Kind, Program, check


@dataclass(frozen=True)
class Mutant:
    what: str
    program: Program


def mutants(program: Program) -> Iterator[Mutant]:
    """Every program that a slip makes of this one, but for those that have no meaning at all."""
    for lane in range(len(program.lanes)):
        for what, changed in _of_lane(program, lane):
            try:
                yield Mutant(f"lane {lane}: {what}", check(changed))
            except PlanError:
                continue


def _of_lane(program: Program, lane: int) -> Iterator[tuple[str, Program]]:
    code = program.lanes[lane]
    for at, instruction in enumerate(code):
        name = f"{instruction.op.name.lower()} {at}"
        if instruction.op is not Opcode.END and instruction.op not in OPENERS:
            yield f"{name} is missing", _with(program, lane, (*code[:at], *code[at + 1 :]))
            if at + 1 < len(code) and code[at + 1].op is not Opcode.END:
                swapped = (*code[:at], code[at + 1], instruction, *code[at + 2 :])
                yield f"{name} comes too late", _with(program, lane, swapped)
        for index, (operand, kind, value) in enumerate(instruction.operands()):
            for told, other, exprs in _operands(program, lane, at, kind, value, operand):
                args = (*instruction.args[:index], other, *instruction.args[index + 1 :])
                changed = (*code[:at], Instruction(instruction.op, args), *code[at + 1 :])
                yield f"{name}: {operand} {told}", _with(program, lane, changed, exprs)


def _operands(
    program: Program, lane: int, at: int, kind: Kind, value: int, operand: str
) -> Iterator[tuple[str, int, tuple[Expr, ...]]]:
    """What an operand may be by mistake, and the pool that it needs."""
    pool = program.exprs
    if kind is Kind.EXPR:
        one, changed = len(pool), len(pool) + 1
        for told, op in (("one more", ExprOp.ADD), ("one less", ExprOp.SUB)):
            yield told, changed, (*pool, Expr(ExprOp.CONST, 1), Expr(op, value, one))
        if operand == "peer":
            code = program.lanes[lane]
            peers = {i.args[0] for i in code if i.op in MESSAGES} - {value}
            for peer in sorted(peers):
                yield f"of another transfer ({peer})", peer, pool
    elif kind is Kind.BUFFER:
        for buffer in Buffer:
            if buffer != value and (buffer is not Buffer.SCRATCH or program.scratch >= 0):
                yield f"{buffer.name.lower()}", int(buffer), pool
    elif kind is Kind.FLAG:
        yield "the other", 1 - value, pool
    elif kind is Kind.EVENT:
        for event in range(program.n_events):
            if event != value:
                yield f"event {event}", event, pool


def _with(
    program: Program,
    lane: int,
    code: tuple[Instruction, ...],
    exprs: tuple[Expr, ...] | None = None,
) -> Program:
    lanes = (*program.lanes[:lane], code, *program.lanes[lane + 1 :])
    return replace(program, lanes=lanes, exprs=exprs or program.exprs)
