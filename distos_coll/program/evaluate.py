"""The arithmetic of programs, as cpp/program/evaluate.cc does it, except that it refuses instead of
wrapping.
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from distos_coll._vocabulary import Array, ExprOp, Param
from distos_coll.errors import PlanError
from distos_coll.program.ir import Expr, Instruction, Kind, Program

_LARGEST = (1 << 63) - 1

Compiled: TypeAlias = Callable[[list[int], list[int], list[Sequence[int]]], list[int]]


def apply(op: ExprOp, a: int, b: int) -> int:
    """One binary operation. PlanError for a zero divisor, a shift out of range or an overflow."""
    if op not in _BINARY:
        raise PlanError(f"{op.name.lower()} is not a binary operation")
    value = _BINARY[op](a, b)
    if not -_LARGEST - 1 <= value <= _LARGEST:
        raise PlanError(f"{op.name.lower()} of {a} and {b} does not fit in 64 bits")
    return value


def _div(a: int, b: int) -> int:
    if b == 0:
        raise PlanError(f"division of {a} by zero")
    return a // b


def _mod(a: int, b: int) -> int:
    if b == 0:
        raise PlanError(f"division of {a} by zero")
    return a % b


def _shl(a: int, b: int) -> int:
    if not 0 <= b < 63:
        raise PlanError(f"shift of {a} by {b}; 0 to 62 is possible")
    return a << b


def _shr(a: int, b: int) -> int:
    if not 0 <= b < 63:
        raise PlanError(f"shift of {a} by {b}; 0 to 62 is possible")
    return a >> b


_BINARY: dict[ExprOp, Callable[[int, int], int]] = {
    ExprOp.ADD: operator.add,
    ExprOp.SUB: operator.sub,
    ExprOp.MUL: operator.mul,
    ExprOp.DIV: _div,
    ExprOp.MOD: _mod,
    ExprOp.MIN: min,
    ExprOp.MAX: max,
    ExprOp.XOR: operator.xor,
    ExprOp.AND: operator.and_,
    ExprOp.SHL: _shl,
    ExprOp.SHR: _shr,
    ExprOp.EQ: lambda a, b: int(a == b),
    ExprOp.LT: lambda a, b: int(a < b),
}


class Layout:
    """A program's operands, compiled: verification evaluates millions of them.

    Each instruction becomes a Python function of the constants of a call and the loop variables.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        varying: list[bool] = []
        for expr in program.exprs:
            varying.append(expr.op is ExprOp.VAR or any(varying[i] for i in expr.operands()))
        self.varying = varying
        self.functions = [[self._compile(i) for i in lane] for lane in program.lanes]
        # For each instruction the constants that it needs, to report only errors that matter.
        self.constants = [[self._constants(i) for i in lane] for lane in program.lanes]

    def _needed(self, instruction: Instruction) -> list[int]:
        wanted = {v for _, kind, v in instruction.operands() if kind is Kind.EXPR}
        for index in range(max(wanted, default=-1), -1, -1):
            if index in wanted:
                wanted |= set(self.program.exprs[index].operands())
        return sorted(wanted)

    def _constants(self, instruction: Instruction) -> list[int]:
        return [i for i in self._needed(instruction) if not self.varying[i]]

    def _compile(self, instruction: Instruction) -> Compiled:
        lines = ["def operands(c, v, arrays):"]
        lines += [
            f"    t{index} = {self._source(self.program.exprs[index])}"
            for index in self._needed(instruction)
            if self.varying[index]
        ]
        values = [
            self._name(value) if kind is Kind.EXPR else str(int(value))
            for _, kind, value in instruction.operands()
        ]
        lines.append(f"    return [{', '.join(values)}]")
        scope: dict[str, Any] = {"shl": _shl, "shr": _shr, "div": _div, "mod": _mod, "at": _at}
        exec("\n".join(lines), scope)  # noqa: S102 - the text is made of numbers and our own names
        compiled: Compiled = scope["operands"]
        return compiled

    def _name(self, index: int) -> str:
        return f"t{index}" if self.varying[index] else f"c[{index}]"

    def _source(self, expr: Expr) -> str:
        if expr.op is ExprOp.VAR:
            return f"v[{expr.a}]"
        if expr.op is ExprOp.INDEX:
            return f"at(arrays[{expr.a}], {self._name(expr.b)})"
        a, b = self._name(expr.a), self._name(expr.b)
        if expr.op is ExprOp.SELECT:
            return f"{b} if {a} else {self._name(expr.c)}"
        return _SOURCE[expr.op].format(a=a, b=b)


_SOURCE = {
    ExprOp.ADD: "{a} + {b}",
    ExprOp.SUB: "{a} - {b}",
    ExprOp.MUL: "{a} * {b}",
    ExprOp.DIV: "div({a}, {b})",
    ExprOp.MOD: "mod({a}, {b})",
    ExprOp.MIN: "{a} if {a} < {b} else {b}",
    ExprOp.MAX: "{a} if {a} > {b} else {b}",
    ExprOp.XOR: "{a} ^ {b}",
    ExprOp.AND: "{a} & {b}",
    ExprOp.SHL: "shl({a}, {b})",
    ExprOp.SHR: "shr({a}, {b})",
    ExprOp.EQ: "int({a} == {b})",
    ExprOp.LT: "int({a} < {b})",
}


def _at(array: Sequence[int], index: int) -> int:
    return array[index] if 0 <= index < len(array) else -1


@lru_cache(maxsize=256)
def layout_of(program: Program) -> Layout:
    return Layout(program)


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
        self._arrays = [arrays.get(array, ()) for array in Array]
        self._vars = [0] * layout.program.n_vars
        self._constants: list[int] = []
        self._errors: dict[int, PlanError] = {}
        for index, expr in enumerate(layout.program.exprs):
            self._constants.append(0 if layout.varying[index] else self._constant(index, expr))

    def _constant(self, index: int, expr: Expr) -> int:
        """The core evaluates the whole pool too, and gives 0 where this one keeps an error for
        those who need it.
        """
        values = self._constants
        try:
            match expr.op:
                case ExprOp.CONST:
                    return expr.a
                case ExprOp.PARAM:
                    return self._params[Param(expr.a)]
                case ExprOp.INDEX:
                    return _at(self._arrays[expr.a], values[expr.b])
                case ExprOp.SELECT:
                    return values[expr.b] if values[expr.a] else values[expr.c]
                case _:
                    return apply(expr.op, values[expr.a], values[expr.b])
        except PlanError as error:
            self._errors[index] = error
            return 0

    def set_var(self, var: int, value: int) -> None:
        self._vars[var] = value

    def operands(self, lane: int, index: int) -> list[int]:
        """The values of an instruction's operands, with the loop variables as they are now."""
        if self._errors:
            for needed in self._layout.constants[lane][index]:
                if needed in self._errors:
                    raise self._errors[needed]
        values = self._layout.functions[lane][index](self._constants, self._vars, self._arrays)
        if values and not -_LARGEST <= min(values) <= max(values) <= _LARGEST:
            raise PlanError(f"an operand of {values} does not fit in 64 bits")
        return values

    def constant(self, index: int) -> int:
        """The value of an expression that depends on no loop variable."""
        if self._layout.varying[index]:
            raise PlanError("scratch depends on a loop variable")
        if index in self._errors:
            raise self._errors[index]
        return self._constants[index]
