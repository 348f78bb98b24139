"""The bytes of docs/decisions/0001: 64-bit little-endian words. The decoder is for tests and
tools.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distos_coll._vocabulary import (
    MAX_OPERANDS,
    PLAN_MAGIC,
    PLAN_VERSION,
    ROWS_KEY,
    Array,
    Collective,
    ExprOp,
    Need,
    Opcode,
    Rows,
)
from distos_coll.errors import PlanError
from distos_coll.program.ir import OPERANDS, Expr, Instruction, Program, check

UNLIMITED = (1 << 63) - 1


@dataclass(frozen=True)
class Choice:
    """Up to max_bytes (inclusive) the collective runs this program with this segment."""

    collective: Collective
    max_bytes: int
    program: int
    segment_bytes: int
    rows: Rows = Rows.ALL
    """What for; a collective without such rows uses those for all calls."""

    @property
    def key(self) -> int:
        return int(self.collective) + ROWS_KEY * self.rows


@dataclass(frozen=True)
class PlanTable:
    programs: tuple[Program, ...]
    arrays: Mapping[Array, Sequence[int]]
    choices: tuple[Choice, ...]
    fingerprint: int = 0


def encode_plan(table: PlanTable, settings: bytes = b"") -> bytes:
    """`settings` are the plan-affecting ones; they enter the fingerprint only."""
    body: list[bytes] = [_words(len(table.programs))]
    body += [encode_program(program) for program in table.programs]
    body.append(_words(len(table.arrays)))
    for array in sorted(table.arrays):
        values = table.arrays[array]
        body.append(_words(int(array), len(values), *values))
    body.append(_words(len(table.choices)))
    for row in sorted(table.choices, key=lambda row: (row.key, row.max_bytes)):
        body.append(_words(row.key, row.max_bytes, row.program, row.segment_bytes))
    data = b"".join(body)
    return _words(PLAN_MAGIC, PLAN_VERSION) + fingerprint(data, settings) + data


def fingerprint(data: bytes, settings: bytes) -> bytes:
    return hashlib.blake2b(data + settings).digest()[:8]


def encode_program(program: Program) -> bytes:
    check(program)
    parts = [
        _text(program.name),
        _words(
            int(program.collective),
            int(program.needs),
            program.n_vars,
            program.n_events,
            program.scratch,
            len(program.exprs),
        ),
    ]
    parts += [_words(int(e.op), e.a, e.b, e.c) for e in program.exprs]
    parts.append(_words(len(program.lanes)))
    for lane in program.lanes:
        parts.append(_words(len(lane)))
        for instruction in lane:
            padding = (0,) * (MAX_OPERANDS - len(instruction.args))
            parts.append(_words(int(instruction.op), *instruction.args, *padding))
    return b"".join(parts)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def words(self, n: int) -> tuple[int, ...]:
        end = self._at + 8 * n
        if n < 0 or end > len(self._data):
            raise PlanError(f"the plan ends too early (at byte {len(self._data)})")
        values = struct.unpack(f"<{n}q", self._data[self._at : end])
        self._at = end
        return values

    def word(self) -> int:
        return self.words(1)[0]

    def text(self) -> str:
        size = self.word()
        padded = (size + 7) // 8 * 8
        if size < 0 or self._at + padded > len(self._data):
            raise PlanError("a name in the plan is cut off")
        value = self._data[self._at : self._at + size]
        self._at += padded
        return value.decode("utf-8")

    def expect_end(self) -> None:
        if self._at != len(self._data):
            raise PlanError(f"the plan has {len(self._data) - self._at} bytes after its end")


def decode_plan(data: bytes) -> PlanTable:
    reader = _Reader(data)
    if reader.word() != PLAN_MAGIC or reader.word() != PLAN_VERSION:
        raise PlanError("this is not a plan of this version; write it again")
    stamp = reader.word()
    programs = tuple(_program(reader) for _ in range(reader.word()))
    arrays: dict[Array, Sequence[int]] = {}
    for _ in range(reader.word()):
        array = Array(reader.word())
        arrays[array] = reader.words(reader.word())
    choices = tuple(_choice(*reader.words(4)) for _ in range(reader.word()))
    reader.expect_end()
    return PlanTable(programs, arrays, choices, stamp)


def _choice(key: int, max_bytes: int, program: int, segment_bytes: int) -> Choice:
    collective, rows = Collective(key % ROWS_KEY), Rows(key // ROWS_KEY)
    return Choice(collective, max_bytes, program, segment_bytes, rows)


def _program(reader: _Reader) -> Program:
    name = reader.text()
    collective, needs = Collective(reader.word()), Need(reader.word())
    n_vars, n_events, scratch, n_exprs = reader.words(4)
    exprs = []
    for _ in range(n_exprs):
        op, a, b, c = reader.words(4)
        exprs.append(Expr(ExprOp(op), a, b, c))
    lanes = []
    for _ in range(reader.word()):
        lane = []
        for _ in range(reader.word()):
            op, *args = reader.words(1 + MAX_OPERANDS)
            opcode = Opcode(op)
            lane.append(Instruction(opcode, tuple(args[: len(OPERANDS[opcode])])))
        lanes.append(tuple(lane))
    return check(
        Program(name, collective, needs, n_vars, n_events, scratch, tuple(exprs), tuple(lanes))
    )


def _words(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def _text(value: str) -> bytes:
    raw = value.encode("utf-8")
    return _words(len(raw)) + raw.ljust((len(raw) + 7) // 8 * 8, b"\0")
