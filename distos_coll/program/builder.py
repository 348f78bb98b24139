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
from dataclasses import replace
from typing import TYPE_CHECKING

from distos_coll._vocabulary import Array, Buffer, Collective, ExprOp, Need, Opcode, Param
from distos_coll.errors import PlanError
from distos_coll.program.ir import LEAVES, OPERANDS, Expr, Instruction, Kind, Program, check
from distos_coll.program.symbols import ArrayRef, IntLike, Pool, Value

if TYPE_CHECKING:
    from collections.abc import Iterator


class ProgramBuilder(Pool):
    """Records one program. Instructions go to the current lane, at first lane 0."""

    def __init__(self, name: str, collective: Collective, needs: Need | int = 0) -> None:
        super().__init__()
        self._name = name
        self._collective = collective
        self.needs = Need(needs)
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
        self.domain_ring = ArrayRef(self, Array.DOMAIN_RING)
        self.domain_place = ArrayRef(self, Array.DOMAIN_PLACE)
        self.send_counts = ArrayRef(self, Array.SEND_COUNTS)
        self.send_offsets = ArrayRef(self, Array.SEND_OFFSETS)
        self.recv_counts = ArrayRef(self, Array.RECV_COUNTS)
        self.recv_offsets = ArrayRef(self, Array.RECV_OFFSETS)

    def _param(self, param: Param) -> Value:
        return self.node(Expr(ExprOp.PARAM, int(param)))

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

    def fold(
        self,
        scratch_off: IntLike,
        dst: tuple[Buffer, IntLike],
        src: tuple[Buffer, IntLike],
        length: IntLike,
    ) -> None:
        """Leaves in dst the reduction of all ranks' contributions, in the order of ranks, complete.

        This rank's own is src; that of rank r lies in scratch at scratch_off + r * length.
        """
        self._emit(Opcode.FOLD, scratch_off, *dst, *src, length)

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

    def reduce_to_all(self, in_off: IntLike, out_off: IntLike, length: IntLike) -> None:
        """Reduces that part of all members' inputs, complete, into all members' outputs.

        For programs that need registered memory. Everybody does it with a part of its own.
        """
        self._emit(Opcode.REDUCE_TO_ALL, in_off, out_off, length)

    # --- the result

    def build(self) -> Program:
        if self._depth:
            raise PlanError(
                f"program {self._name!r}: a loop was left early; its body must run to the end"
            )
        whole = Program(
            name=self._name,
            collective=self._collective,
            needs=self.needs,
            n_vars=self._n_vars,
            n_events=self._n_events,
            scratch=self._scratch.id if self._scratch is not None else -1,
            exprs=tuple(self.exprs),
            lanes=tuple(tuple(lane) for lane in self._lanes),
        )
        return check(_without_unused(whole))


def _without_unused(program: Program) -> Program:
    """Drops expressions that nothing uses: every call evaluates the whole pool."""
    live = {program.scratch} - {-1}
    for lane in program.lanes:
        for instruction in lane:
            live |= {v for _, kind, v in instruction.operands() if kind is Kind.EXPR}
    for index in range(len(program.exprs) - 1, -1, -1):
        if index in live:
            live |= set(program.exprs[index].operands())
    new_id = {old: new for new, old in enumerate(sorted(live))}

    def renumber(expr: Expr) -> Expr:
        if expr.op in LEAVES:
            return expr
        if expr.op is ExprOp.INDEX:
            return Expr(expr.op, expr.a, new_id[expr.b])
        return Expr(expr.op, *(new_id[operand] for operand in expr.operands()))

    def renumber_operands(instruction: Instruction) -> Instruction:
        args = [new_id[v] if kind is Kind.EXPR else v for _, kind, v in instruction.operands()]
        return Instruction(instruction.op, tuple(args))

    return replace(
        program,
        scratch=new_id.get(program.scratch, -1),
        exprs=tuple(renumber(program.exprs[old]) for old in sorted(live)),
        lanes=tuple(tuple(renumber_operands(i) for i in lane) for lane in program.lanes),
    )
