"""How an algorithm is written: a ProgramBuilder records instructions, its expressions are symbols.

    p = ProgramBuilder("ring", Collective.ALL_GATHER)
    for s in p.loop(0, p.size - 1):
        with p.group():
            p.send(right, p.output, block(s), p.count)
            p.recv(left, p.output, block(s + 1), p.count)
    return p.build()

Python control flow runs once, while the program is built; what depends on rank, size or count is
written with `p.loop`, `p.when` and `select`. Equal expressions are stored once, constants are
folded.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from distos_coll._vocabulary import Array, Buffer, Collective, ExprOp, Need, Opcode, Param
from distos_coll.errors import PlanError
from distos_coll.program.evaluate import apply
from distos_coll.program.ir import LEAVES, OPERANDS, Expr, Instruction, Kind, Program, check

if TYPE_CHECKING:
    from collections.abc import Iterator

IntLike: TypeAlias = "Value | int"


class Value:
    """A symbolic integer."""

    __slots__ = ("_builder", "id")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, builder: ProgramBuilder, index: int) -> None:
        self._builder = builder
        self.id = index

    def _make(self, op: ExprOp, a: IntLike, b: IntLike) -> Value:
        return self._builder.expr(op, a, b)

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

    def __init__(self, builder: ProgramBuilder, array: Array) -> None:
        self._builder = builder
        self._array = array

    def __getitem__(self, index: IntLike) -> Value:
        builder = self._builder
        return builder.node(Expr(ExprOp.INDEX, int(self._array), builder.symbol(index).id))


def minimum(a: IntLike, b: IntLike) -> Value:
    return _builder_of(a, b).expr(ExprOp.MIN, a, b)


def maximum(a: IntLike, b: IntLike) -> Value:
    return _builder_of(a, b).expr(ExprOp.MAX, a, b)


def select(cond: Value, a: IntLike, b: IntLike) -> Value:
    """Where cond is not 0: a, else b. Both are evaluated."""
    return cond._builder.select(cond, a, b)  # noqa: SLF001 - a friend, in the same file


def ceil_div(a: IntLike, b: IntLike) -> Value:
    return (_builder_of(a, b).symbol(a) + b - 1) // b


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
    return x._builder.symbol(total)  # noqa: SLF001


def _builder_of(*values: IntLike) -> ProgramBuilder:
    for value in values:
        if isinstance(value, Value):
            return value._builder  # noqa: SLF001
    raise PlanError("minimum, maximum and ceil_div need at least one symbol; use min() or max()")


class ProgramBuilder:
    """Records one program. Instructions go to the current lane, at first lane 0."""

    def __init__(self, name: str, collective: Collective, needs: Need | int = 0) -> None:
        self._name = name
        self._collective = collective
        self._needs = Need(needs)
        self._exprs: list[Expr] = []
        self._ids: dict[Expr, int] = {}
        self._lanes: list[list[Instruction]] = [[]]
        self._lane = 0
        self._depth = 0
        self._n_vars = 0
        self._n_events = 0
        self._scratch: Value | None = None
        self.input, self.output, self.scratch = Buffer.INPUT, Buffer.OUTPUT, Buffer.SCRATCH

        self.rank = self._param(Param.RANK)
        self.size = self._param(Param.SIZE)
        self.count = self._param(Param.COUNT)
        self.root = self._param(Param.ROOT)
        self.segment = self._param(Param.SEGMENT)
        self.slot = self._param(Param.SLOT)
        self.domains = self._param(Param.DOMAINS)
        self.domain = self._param(Param.DOMAIN)
        self.local_rank = self._param(Param.LOCAL_RANK)
        self.local_size = self._param(Param.LOCAL_SIZE)
        self.min_local_size = self._param(Param.MIN_LOCAL_SIZE)
        self.element_bytes = self._param(Param.ELEMENT_BYTES)

        self.order = ArrayRef(self, Array.ORDER)
        self.position = ArrayRef(self, Array.POSITION)
        self.domain_of = ArrayRef(self, Array.DOMAIN_OF)
        self.local_index = ArrayRef(self, Array.LOCAL_INDEX)
        self.domain_start = ArrayRef(self, Array.DOMAIN_START)
        self.domain_members = ArrayRef(self, Array.DOMAIN_MEMBERS)
        self.tree_parent = ArrayRef(self, Array.TREE_PARENT)
        self.tree_child0 = ArrayRef(self, Array.TREE_CHILD0)
        self.tree_child1 = ArrayRef(self, Array.TREE_CHILD1)
        self.send_counts = ArrayRef(self, Array.SEND_COUNTS)
        self.send_offsets = ArrayRef(self, Array.SEND_OFFSETS)
        self.recv_counts = ArrayRef(self, Array.RECV_COUNTS)
        self.recv_offsets = ArrayRef(self, Array.RECV_OFFSETS)

    # --- expressions

    def _param(self, param: Param) -> Value:
        return self.node(Expr(ExprOp.PARAM, int(param)))

    def symbol(self, value: IntLike) -> Value:
        if isinstance(value, Value):
            if value._builder is not self:  # noqa: SLF001
                raise PlanError("a symbol of another program was used")
            return value
        if not isinstance(value, int):
            raise PlanError(f"{value!r} is neither a symbol nor an integer")
        return self.node(Expr(ExprOp.CONST, int(value)))

    def node(self, expr: Expr) -> Value:
        index = self._ids.get(expr)
        if index is None:
            index = len(self._exprs)
            self._ids[expr] = index
            self._exprs.append(expr)
        return Value(self, index)

    def _constant(self, value: Value) -> int | None:
        expr = self._exprs[value.id]
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

    def use_scratch(self, elements: IntLike) -> None:
        """How many elements of scratch a rank needs; evaluated before the first instruction."""
        self._scratch = self.symbol(elements)

    # --- structure

    def _emit(self, op: Opcode, *args: IntLike) -> None:
        kinds = [kind for _, kind in OPERANDS[op]]
        values = [
            arg if kind is not Kind.EXPR and isinstance(arg, int) else self.symbol(arg).id
            for kind, arg in zip(kinds, args, strict=True)
        ]
        self._lanes[self._lane].append(Instruction(op, tuple(values)))

    @contextmanager
    def lane(self, number: int) -> Iterator[None]:
        """Instructions inside go to that lane. Lanes run concurrently."""
        if self._depth:
            raise PlanError("open a lane outside loops, conditions and groups")
        while len(self._lanes) <= number:
            self._lanes.append([])
        before, self._lane = self._lane, number
        yield
        self._lane = before

    @contextmanager
    def _block(self, op: Opcode, *args: IntLike) -> Iterator[None]:
        self._emit(op, *args)
        self._depth += 1
        yield
        self._depth -= 1
        self._emit(Opcode.END)

    def loop(self, start: IntLike, stop: IntLike) -> Iterator[Value]:
        """`for i in p.loop(a, b)`: the body is recorded once, with i a symbol."""
        var = self._n_vars
        self._n_vars += 1
        with self._block(Opcode.LOOP, var, start, stop):
            yield self.node(Expr(ExprOp.VAR, var))

    @contextmanager
    def when(self, cond: IntLike) -> Iterator[None]:
        with self._block(Opcode.IF, cond):
            yield

    @contextmanager
    def group(self) -> Iterator[None]:
        """The transfers inside progress concurrently; all finish before the next instruction."""
        with self._block(Opcode.GROUP):
            yield

    def event(self) -> int:
        self._n_events += 1
        return self._n_events - 1

    # --- instructions; offsets and lengths in elements

    def send(self, peer: IntLike, buf: Buffer, off: IntLike, length: IntLike) -> None:
        self._emit(Opcode.SEND, peer, buf, off, length)

    def recv(self, peer: IntLike, buf: Buffer, off: IntLike, length: IntLike) -> None:
        self._emit(Opcode.RECV, peer, buf, off, length)

    def recv_reduce(
        self,
        peer: IntLike,
        dst: tuple[Buffer, IntLike],
        src: tuple[Buffer, IntLike],
        length: IntLike,
    ) -> None:
        """Receives and leaves src op incoming in dst; both are (buffer, offset)."""
        self._emit(Opcode.RECV_REDUCE, peer, *dst, *src, length)

    def copy(
        self, dst: tuple[Buffer, IntLike], src: tuple[Buffer, IntLike], length: IntLike
    ) -> None:
        self._emit(Opcode.COPY, *dst, *src, length)

    def finalize(self, buf: Buffer, off: IntLike, length: IntLike) -> None:
        """The reduction of this chunk is complete."""
        self._emit(Opcode.FINALIZE, buf, off, length)

    def signal(self, event: int) -> None:
        self._emit(Opcode.SIGNAL, event)

    def wait(self, event: int, value: IntLike) -> None:
        """Blocks this lane until the event was signalled `value` times."""
        self._emit(Opcode.AWAIT, event, value)

    @contextmanager
    def round(self) -> Iterator[None]:
        """Opens a window round; puts and exposes inside; leaving it publishes them."""
        self._emit(Opcode.ROUND)
        yield
        self._emit(Opcode.COMMIT)

    def put(self, slot_off: IntLike, buf: Buffer, off: IntLike, length: IntLike) -> None:
        self._emit(Opcode.PUT, slot_off, buf, off, length)

    def expose(self, buf: Buffer) -> None:
        self._emit(Opcode.EXPOSE, buf)

    def pull(
        self, member: IntLike, slot_off: IntLike, buf: Buffer, off: IntLike, length: IntLike
    ) -> None:
        self._emit(Opcode.PULL, member, slot_off, buf, off, length)

    def pull_reduce(
        self,
        slot_off: IntLike,
        dst: tuple[Buffer, IntLike],
        src: tuple[Buffer, IntLike],
        length: IntLike,
        *,
        finalize: bool = True,
    ) -> None:
        self._emit(Opcode.PULL_REDUCE, slot_off, *dst, *src, length, int(finalize))

    def read(
        self, member: IntLike, remote_off: IntLike, buf: Buffer, off: IntLike, length: IntLike
    ) -> None:
        self._emit(Opcode.READ, member, remote_off, buf, off, length)

    def read_reduce(
        self,
        remote_off: IntLike,
        dst: tuple[Buffer, IntLike],
        src: tuple[Buffer, IntLike],
        length: IntLike,
        *,
        finalize: bool = True,
    ) -> None:
        self._emit(Opcode.READ_REDUCE, remote_off, *dst, *src, length, int(finalize))

    def await_all(self) -> None:
        self._emit(Opcode.AWAIT_ALL)

    # --- the result

    def build(self) -> Program:
        if self._depth:
            raise PlanError(
                f"program {self._name!r}: a loop was left early; its body must run to the end"
            )
        scratch = self._scratch.id if self._scratch is not None else -1
        return check(_compact(self, scratch))


def _compact(builder: ProgramBuilder, scratch: int) -> Program:
    """Drop expressions that nothing uses: every call evaluates the whole pool."""
    b = builder
    live = {scratch} - {-1}
    for lane in b._lanes:  # noqa: SLF001
        for instruction in lane:
            live |= {v for _, kind, v in instruction.operands() if kind is Kind.EXPR}
    exprs = b._exprs  # noqa: SLF001
    for index in range(len(exprs) - 1, -1, -1):
        if index in live:
            live |= set(exprs[index].operands())
    new_id = {old: new for new, old in enumerate(sorted(live))}

    def renumber(expr: Expr) -> Expr:
        if expr.op in LEAVES:
            return expr
        if expr.op is ExprOp.INDEX:
            return Expr(expr.op, expr.a, new_id[expr.b])
        if expr.op is ExprOp.SELECT:
            return Expr(expr.op, new_id[expr.a], new_id[expr.b], new_id[expr.c])
        return Expr(expr.op, new_id[expr.a], new_id[expr.b])

    def renumber_operands(instruction: Instruction) -> Instruction:
        args = [new_id[v] if kind is Kind.EXPR else v for _, kind, v in instruction.operands()]
        return Instruction(instruction.op, tuple(args))

    return Program(
        name=b._name,  # noqa: SLF001
        collective=b._collective,  # noqa: SLF001
        needs=b._needs,  # noqa: SLF001
        n_vars=b._n_vars,  # noqa: SLF001
        n_events=b._n_events,  # noqa: SLF001
        scratch=new_id[scratch] if scratch >= 0 else -1,
        exprs=tuple(renumber(exprs[old]) for old in sorted(live)),
        lanes=tuple(tuple(renumber_operands(i) for i in lane) for lane in b._lanes),  # noqa: SLF001
    )
