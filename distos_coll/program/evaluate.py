"""The arithmetic of programs, as cpp/program/evaluate.cc does it, except that it refuses instead of wrapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

from distos_coll._vocabulary import Array, ExprOp, Param
from distos_coll.errors import PlanError
from distos_coll.program.ir import Expr, Instruction, Kind, Program

_LARGEST = (1 << 63) - 1


def apply(op: ExprOp, a: int, b: int) -> int:
    """One binary operation. PlanError for a zero divisor, a shift out of range or an overflow."""
    value = _apply(op, a, b)
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise PlanError(f"{op.name.lower()} of {a} and {b} does not fit in 64 bits")
    return value


def _apply(op: ExprOp, a: int, b: int) -> int:  # noqa: C901 - a table in the shape of code
    match op:
        case ExprOp.ADD:
            return a + b
        case ExprOp.SUB:
            return a - b
        case ExprOp.MUL:
            return a * b
        case ExprOp.DIV | ExprOp.MOD:
            if b == 0:
                raise PlanError(f"division of {a} by zero")
            return a // b if op is ExprOp.DIV else a % b
        case ExprOp.MIN:
            return min(a, b)
        case ExprOp.MAX:
            return max(a, b)
        case ExprOp.XOR:
            return a ^ b
        case ExprOp.AND:
            return a & b
        case ExprOp.SHL | ExprOp.SHR:
            if not 0 <= b < 63:
                raise PlanError(f"shift of {a} by {b}; 0 to 62 is possible")
            return a << b if op is ExprOp.SHL else a >> b
        case ExprOp.EQ:
            return int(a == b)
        case ExprOp.LT:
            return int(a < b)
        case _:
            raise PlanError(f"{op.name.lower()} is not a binary operation")


class Layout:
    """Which expressions an instruction needs, split into constants of a call and the rest."""

    def __init__(self, program: Program) -> None:
        self.program = program
        varying: list[bool] = []
        for expr in program.exprs:
            varying.append(expr.op is ExprOp.VAR or any(varying[i] for i in expr.operands()))
        self.varying = varying

    @cached_property
    def steps(self) -> list[list[tuple[int, ...]]]:
        """For each lane and instruction the varying expressions to evaluate, in order."""
        return [[self._steps(i) for i in lane] for lane in self.program.lanes]

    def _steps(self, instruction: Instruction) -> tuple[int, ...]:
        wanted = {v for _, kind, v in instruction.operands() if kind is Kind.EXPR}
        for index in range(max(wanted, default=-1), -1, -1):
            if index in wanted:
                wanted |= set(self.program.exprs[index].operands())
        return tuple(sorted(i for i in wanted if self.varying[i]))


class Values:
    """The expressions of one program for one rank and call."""

    def __init__(
        self,
        layout: Layout,
        params: Mapping[Param, int],
        arrays: Mapping[Array, Sequence[int]],
    ) -> None:
        self._layout = layout
        self._params = params
        self._arrays = arrays
        self._vars = [0] * layout.program.n_vars
        self._values = [0] * len(layout.program.exprs)
        self._known = [not varying for varying in layout.varying]
        self._ready = [False] * len(layout.program.exprs)

    def set_var(self, var: int, value: int) -> None:
        self._vars[var] = value

    def operands(self, lane: int, index: int) -> list[int]:
        """The values of an instruction's operands, with the loop variables as they are now."""
        program = self._layout.program
        for step in self._layout.steps[lane][index]:
            self._need_constants(program.exprs[step])
            self._values[step] = self._evaluate(program.exprs[step])
        return [
            self._constant_or_value(value) if kind is Kind.EXPR else value
            for _, kind, value in program.lanes[lane][index].operands()
        ]

    def constant(self, index: int) -> int:
        """The value of an expression that depends on no loop variable."""
        if not self._known[index]:
            raise PlanError("scratch depends on a loop variable")
        return self._constant_or_value(index)

    def _constant_or_value(self, index: int) -> int:
        if self._known[index] and not self._ready[index]:
            self._need_constants(self._layout.program.exprs[index])
            self._values[index] = self._evaluate(self._layout.program.exprs[index])
            self._ready[index] = True
        return self._values[index]

    def _need_constants(self, expr: Expr) -> None:
        for operand in expr.operands():
            self._constant_or_value(operand)

    def _evaluate(self, expr: Expr) -> int:
        values = self._values
        match expr.op:
            case ExprOp.CONST:
                return expr.a
            case ExprOp.PARAM:
                return self._params[Param(expr.a)]
            case ExprOp.VAR:
                return self._vars[expr.a]
            case ExprOp.INDEX:
                array = self._arrays.get(Array(expr.a), ())
                index = values[expr.b]
                return array[index] if 0 <= index < len(array) else -1
            case ExprOp.SELECT:
                return values[expr.b] if values[expr.a] else values[expr.c]
            case _:
                return apply(expr.op, values[expr.a], values[expr.b])
