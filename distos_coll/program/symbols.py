"""Symbols: integers that are known only when a program runs, and the pool of their expressions."""

from __future__ import annotations

from typing import TypeAlias

from distos_coll._vocabulary import Array, ExprOp
from distos_coll.errors import PlanError
from distos_coll.program.evaluate import apply
from distos_coll.program.ir import Expr

IntLike: TypeAlias = "Value | int"


class Value:
    """A symbolic integer."""

    __slots__ = ("id", "pool")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, pool: Pool, index: int) -> None:
        self.pool = pool
        self.id = index

    def _make(self, op: ExprOp, a: IntLike, b: IntLike) -> Value:
        return self.pool.expr(op, a, b)

    def __add__(self, other: IntLike) -> Value:
        return self._make(ExprOp.ADD, self, other)

    def __radd__(self, other: int) -> Value:
        return self._make(ExprOp.ADD, other, self)

    def __sub__(self, other: IntLike) -> Value:
        return self._make(ExprOp.SUB, self, other)

    def __rsub__(self, other: int) -> Value:
        return self._make(ExprOp.SUB, other, self)

    def __mul__(self, other: IntLike) -> Value:
        return self._make(ExprOp.MUL, self, other)

    def __rmul__(self, other: int) -> Value:
        return self._make(ExprOp.MUL, other, self)

    def __floordiv__(self, other: IntLike) -> Value:
        return self._make(ExprOp.DIV, self, other)

    def __rfloordiv__(self, other: int) -> Value:
        return self._make(ExprOp.DIV, other, self)

    def __mod__(self, other: IntLike) -> Value:
        return self._make(ExprOp.MOD, self, other)

    def __rmod__(self, other: int) -> Value:
        return self._make(ExprOp.MOD, other, self)

    def __and__(self, other: IntLike) -> Value:
        return self._make(ExprOp.AND, self, other)

    def __xor__(self, other: IntLike) -> Value:
        return self._make(ExprOp.XOR, self, other)

    def __lshift__(self, other: IntLike) -> Value:
        return self._make(ExprOp.SHL, self, other)

    def __rlshift__(self, other: int) -> Value:
        return self._make(ExprOp.SHL, other, self)

    def __rshift__(self, other: IntLike) -> Value:
        return self._make(ExprOp.SHR, self, other)

    def __lt__(self, other: IntLike) -> Value:
        return self._make(ExprOp.LT, self, other)

    def __gt__(self, other: IntLike) -> Value:
        return self._make(ExprOp.LT, other, self)

    def __le__(self, other: IntLike) -> Value:
        return 1 - (self > other)

    def __ge__(self, other: IntLike) -> Value:
        return 1 - (self < other)

    def eq(self, other: IntLike) -> Value:
        """1 where equal, else 0. (`==` on symbols is refused: it would compare identities.)"""
        return self._make(ExprOp.EQ, self, other)

    def ne(self, other: IntLike) -> Value:
        return 1 - self.eq(other)

    def __eq__(self, other: object) -> bool:
        raise PlanError("a symbol has no value yet; write a.eq(b) instead of a == b")

    def __bool__(self) -> bool:
        raise PlanError("a symbol has no truth value; use p.when(cond) or select(cond, a, b)")


class ArrayRef:
    """An array that programs may index: `p.order[i]`."""

    def __init__(self, pool: Pool, array: Array) -> None:
        self.pool = pool
        self._array = array

    def __getitem__(self, index: IntLike) -> Value:
        pool = self.pool
        return pool.node(Expr(ExprOp.INDEX, int(self._array), pool.symbol(index).id))


def minimum(a: IntLike, b: IntLike) -> Value:
    return _pool_of(a, b).expr(ExprOp.MIN, a, b)


def maximum(a: IntLike, b: IntLike) -> Value:
    return _pool_of(a, b).expr(ExprOp.MAX, a, b)


def select(cond: Value, a: IntLike, b: IntLike) -> Value:
    """Where cond is not 0: a, else b. Both are evaluated."""
    return cond.pool.select(cond, a, b)


def ceil_div(a: IntLike, b: IntLike) -> Value:
    return (_pool_of(a, b).symbol(a) + b - 1) // b


def floor_log2(x: Value) -> Value:
    """Of a number from 1 to 2^32 - 1, by halving the range: programs have no loops that carry a
    value.
    """
    total: IntLike = 0
    rest = x
    for width in (16, 8, 4, 2, 1):
        step = select(rest < 1 << width, 0, width)
        rest = rest >> step
        total = step + total
    return x.pool.symbol(total)


def _pool_of(*values: IntLike) -> Pool:
    for value in values:
        if isinstance(value, Value):
            return value.pool
    raise PlanError("minimum, maximum and ceil_div need at least one symbol; use min() or max()")


class Pool:
    """The expressions of a program that is being written; equal ones are one, constants fold."""

    def __init__(self) -> None:
        self.exprs: list[Expr] = []
        self._ids: dict[Expr, int] = {}

    def symbol(self, value: IntLike) -> Value:
        if isinstance(value, Value):
            if value.pool is not self:
                raise PlanError("a symbol of another program was used")
            return value
        if not isinstance(value, int):
            raise PlanError(f"{value!r} is neither a symbol nor an integer")
        return self.node(Expr(ExprOp.CONST, int(value)))

    def node(self, expr: Expr) -> Value:
        index = self._ids.get(expr)
        if index is None:
            index = len(self.exprs)
            self._ids[expr] = index
            self.exprs.append(expr)
        return Value(self, index)

    def _constant(self, value: Value) -> int | None:
        expr = self.exprs[value.id]
        return expr.a if expr.op is ExprOp.CONST else None

    def expr(self, op: ExprOp, a: IntLike, b: IntLike) -> Value:
        left, right = self.symbol(a), self.symbol(b)
        x, y = self._constant(left), self._constant(right)
        if x is not None and y is not None:
            return self.symbol(apply(op, x, y))
        if (y == 0 and op in (ExprOp.ADD, ExprOp.SUB)) or (
            y == 1 and op in (ExprOp.MUL, ExprOp.DIV)
        ):
            return left
        if (x == 0 and op is ExprOp.ADD) or (x == 1 and op is ExprOp.MUL):
            return right
        if op is ExprOp.MUL and 0 in (x, y):
            return self.symbol(0)
        if left.id == right.id and op in (ExprOp.MIN, ExprOp.MAX):
            return left
        return self.node(Expr(op, left.id, right.id))

    def select(self, cond: IntLike, a: IntLike, b: IntLike) -> Value:
        test, yes, no = self.symbol(cond), self.symbol(a), self.symbol(b)
        known = self._constant(test)
        if known is not None:
            return yes if known else no
        return self.node(Expr(ExprOp.SELECT, test.id, yes.id, no.id))
