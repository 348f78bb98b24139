"""Programs as immutable values. docs/decisions/0001 says what they mean; cpp/program/ir.h lists the
numbers.
"""

from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property

from distos_coll._vocabulary import (
    MAX_EVENTS,
    MAX_EXPRS,
    MAX_GROUP,
    MAX_LANES,
    MAX_NESTING,
    MAX_OPERANDS,
    MAX_VARS,
    Array,
    Buffer,
    Collective,
    ExprOp,
    Need,
    Opcode,
    Param,
)
from distos_coll.errors import PlanError


class Kind(Enum):
    """What an operand of an instruction is."""

    EXPR = auto()
    BUFFER = auto()
    VAR = auto()
    EVENT = auto()
    FLAG = auto()


_X, _B = Kind.EXPR, Kind.BUFFER
OPERANDS: dict[Opcode, tuple[tuple[str, Kind], ...]] = {
    Opcode.END: (),
    Opcode.LOOP: (("var", Kind.VAR), ("start", _X), ("stop", _X)),
    Opcode.IF: (("cond", _X),),
    Opcode.GROUP: (),
    Opcode.SEND: (("peer", _X), ("buf", _B), ("off", _X), ("len", _X)),
    Opcode.RECV: (("peer", _X), ("buf", _B), ("off", _X), ("len", _X)),
    Opcode.RECV_REDUCE: (
        ("peer", _X),
        ("dst", _B),
        ("dst_off", _X),
        ("src", _B),
        ("src_off", _X),
        ("len", _X),
    ),
    Opcode.COPY: (("dst", _B), ("dst_off", _X), ("src", _B), ("src_off", _X), ("len", _X)),
    Opcode.FINALIZE: (("buf", _B), ("off", _X), ("len", _X)),
    Opcode.FOLD: (
        ("scratch_off", _X),
        ("dst", _B),
        ("dst_off", _X),
        ("src", _B),
        ("src_off", _X),
        ("len", _X),
    ),
    Opcode.SIGNAL: (("event", Kind.EVENT),),
    Opcode.AWAIT: (("event", Kind.EVENT), ("value", _X)),
    Opcode.ROUND: (),
    Opcode.PUT: (("slot_off", _X), ("buf", _B), ("off", _X), ("len", _X)),
    Opcode.EXPOSE: (("buf", _B),),
    Opcode.COMMIT: (),
    Opcode.PULL: (("member", _X), ("slot_off", _X), ("buf", _B), ("off", _X), ("len", _X)),
    Opcode.PULL_REDUCE: (
        ("slot_off", _X),
        ("dst", _B),
        ("dst_off", _X),
        ("src", _B),
        ("src_off", _X),
        ("len", _X),
        ("finalize", Kind.FLAG),
    ),
    Opcode.READ: (("member", _X), ("remote_off", _X), ("buf", _B), ("off", _X), ("len", _X)),
    Opcode.READ_REDUCE: (
        ("remote_off", _X),
        ("dst", _B),
        ("dst_off", _X),
        ("src", _B),
        ("src_off", _X),
        ("len", _X),
        ("finalize", Kind.FLAG),
    ),
    Opcode.AWAIT_ALL: (),
    Opcode.REDUCE_TO_ALL: (("in_off", _X), ("out_off", _X), ("len", _X)),
}

OPENERS = frozenset({Opcode.LOOP, Opcode.IF, Opcode.GROUP})
MESSAGES = frozenset({Opcode.SEND, Opcode.RECV, Opcode.RECV_REDUCE})
GROUPABLE = MESSAGES | {Opcode.COPY}
WINDOW = frozenset(
    {
        Opcode.ROUND,
        Opcode.PUT,
        Opcode.EXPOSE,
        Opcode.COMMIT,
        Opcode.PULL,
        Opcode.PULL_REDUCE,
        Opcode.READ,
        Opcode.READ_REDUCE,
        Opcode.AWAIT_ALL,
        Opcode.REDUCE_TO_ALL,
    }
)
LEAVES = frozenset({ExprOp.CONST, ExprOp.PARAM, ExprOp.VAR})


@dataclass(frozen=True)
class Expr:
    """A node of the expression pool; operands are indices of earlier nodes, immediates in
    leaves.
    """

    op: ExprOp
    a: int = 0
    b: int = 0
    c: int = 0

    def operands(self) -> tuple[int, ...]:
        if self.op in LEAVES:
            return ()
        if self.op is ExprOp.INDEX:
            return (self.b,)
        if self.op is ExprOp.SELECT:
            return (self.a, self.b, self.c)
        return (self.a, self.b)


@dataclass(frozen=True)
class Instruction:
    op: Opcode
    args: tuple[int, ...] = ()

    def operands(self) -> tuple[tuple[str, Kind, int], ...]:
        """Name, kind and value of each operand."""
        return tuple(
            (name, kind, value)
            for (name, kind), value in zip(OPERANDS[self.op], self.args, strict=True)
        )


@dataclass(frozen=True)
class Program:
    name: str
    collective: Collective
    needs: Need
    n_vars: int
    n_events: int
    scratch: int
    """The expression that gives the elements of scratch, or -1."""
    exprs: tuple[Expr, ...]
    lanes: tuple[tuple[Instruction, ...], ...]

    @cached_property
    def _hash(self) -> int:
        return hash((self.name, self.collective, self.scratch, self.exprs, self.lanes))

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def matches(self) -> tuple[tuple[int, ...], ...]:
        """For each instruction the index of its block's other end, or its own index."""
        return tuple(_match(self, number) for number in range(len(self.lanes)))

    @property
    def uses_window(self) -> bool:
        return any(i.op in WINDOW for i in self.lanes[0])

    @property
    def registered(self) -> bool:
        """Whether it runs only where all ranks' buffers lie in registered memory."""
        return Need.REGISTERED in self.needs

    @property
    def reduces_per_hop(self) -> bool:
        """Whether partial sums travel; then halves run on a float32 copy inside a domain."""
        return any(i.op is Opcode.RECV_REDUCE for lane in self.lanes for i in lane)

    @property
    def reduces_at_once(self) -> bool:
        """Whether every reduction takes the contributions of all ranks and finalizes the result, as
        it must to keep their order and to round once. `verify` checks the order itself.
        """
        return not any(self._is_partial(i) for lane in self.lanes for i in lane)

    def _is_partial(self, instruction: Instruction) -> bool:
        if instruction.op in (Opcode.PULL_REDUCE, Opcode.READ_REDUCE):
            finalizes = bool(instruction.args[-1])
            return Need.ONE_DOMAIN not in self.needs or not finalizes
        return instruction.op is Opcode.RECV_REDUCE

    @property
    def uses_messages(self) -> bool:
        return any(i.op in MESSAGES for lane in self.lanes for i in lane)


def check(program: Program) -> Program:
    """Refuse what the decoder in cpp/program/decode.cc would refuse. Returns the program."""
    where = f"program {program.name!r} for {program.collective.name.lower()}"
    limits = (
        ("expressions", len(program.exprs), MAX_EXPRS),
        ("lanes", len(program.lanes), MAX_LANES),
        ("loop variables", program.n_vars, MAX_VARS - 1),
        ("events", program.n_events, MAX_EVENTS),
    )
    for what, value, limit in limits:
        if value > limit:
            raise PlanError(f"{where} has {value} {what}; at most {limit} are allowed")
    if not program.lanes:
        raise PlanError(f"{where} has no lane; add instructions")
    _check_needs(program, where)
    for index, expr in enumerate(program.exprs):
        if any(not 0 <= operand < index for operand in expr.operands()):
            raise PlanError(f"{where}: expression {index} refers to a later one")
        leaf_limit = {
            ExprOp.PARAM: len(Param),
            ExprOp.VAR: program.n_vars,
            ExprOp.INDEX: len(Array),
        }
        if expr.op in leaf_limit and not 0 <= expr.a < leaf_limit[expr.op]:
            raise PlanError(f"{where}: expression {index} names an unknown {expr.op.name.lower()}")
    for number in range(len(program.lanes)):
        _check_lane(program, number, where)
    _check_vars(program, where)
    return program


def _check_needs(program: Program, where: str) -> None:
    if not program.registered:
        if any(i.op is Opcode.REDUCE_TO_ALL for i in program.lanes[0]):
            raise PlanError(f"{where} writes to others; that needs Need.REGISTERED")
    elif Need.ONE_DOMAIN not in program.needs or program.uses_messages or len(program.lanes) > 1:
        raise PlanError(
            f"{where} is for registered memory: it needs one domain, one lane and no messages"
        )


def _check_lane(program: Program, number: int, where: str) -> None:
    limits = {
        Kind.EXPR: len(program.exprs),
        Kind.BUFFER: len(Buffer),
        Kind.VAR: program.n_vars,
        Kind.EVENT: program.n_events,
        Kind.FLAG: 2,
    }
    for index, instruction in enumerate(program.lanes[number]):
        at = f"{where}: lane {number}, instruction {index} ({instruction.op.name.lower()})"
        if len(instruction.args) > MAX_OPERANDS:
            raise PlanError(f"{at} has too many operands")
        for name, kind, value in instruction.operands():
            if not 0 <= value < limits[kind]:
                raise PlanError(f"{at}: operand {name} is {value}, outside its range")
        if number > 0 and instruction.op in WINDOW:
            raise PlanError(f"{at}: only lane 0 may use the window")
    if len(program.matches[number]) != len(program.lanes[number]):
        raise PlanError(f"{where}: lane {number} is not well nested")


def _check_vars(program: Program, where: str) -> None:
    owner: dict[int, int] = {}
    for number, lane in enumerate(program.lanes):
        for instruction in lane:
            if instruction.op is Opcode.LOOP:
                var = instruction.args[0]
                if owner.setdefault(var, number) != number:
                    raise PlanError(f"{where}: lanes {owner[var]} and {number} share a variable")


def _match(program: Program, number: int) -> tuple[int, ...]:
    lane = program.lanes[number]
    where = f"program {program.name!r}: lane {number}"
    match = list(range(len(lane)))
    open_blocks: list[int] = []
    for index, instruction in enumerate(lane):
        if instruction.op is Opcode.END:
            if not open_blocks:
                raise PlanError(f"{where}, instruction {index}: an end has no beginning")
            opener = open_blocks.pop()
            match[opener], match[index] = index, opener
            continue
        if open_blocks and lane[open_blocks[-1]].op is Opcode.GROUP:
            if instruction.op not in GROUPABLE:
                raise PlanError(
                    f"{where}, instruction {index}: {instruction.op.name.lower()} cannot stand in "
                    "a group; only send, recv, recv_reduce and copy can"
                )
            if index - open_blocks[-1] > MAX_GROUP:
                raise PlanError(f"{where}: a group has more than {MAX_GROUP} transfers")
        if instruction.op in OPENERS:
            if len(open_blocks) >= MAX_NESTING:
                raise PlanError(f"{where}: blocks are nested deeper than {MAX_NESTING}")
            open_blocks.append(index)
    if open_blocks:
        raise PlanError(f"{where}, instruction {open_blocks[-1]}: the block is not closed")
    return tuple(match)
