"""An instruction of a rank's lane, as errors name it."""

from collections.abc import Sequence

from distos_coll._vocabulary import Buffer
from distos_coll.program.ir import Kind, Program


def place_text(
    program: Program, rank: int, lane: int, at: int, operands: Sequence[int] | None
) -> str:
    """`operands` are their values; None where they could not be evaluated."""
    name = f"program {program.name!r} ({program.collective.name.lower()})"
    place = f"{name}, rank {rank}, lane {lane}"
    code = program.lanes[lane]
    if at >= len(code):
        return f"{place}, at its end"
    instruction = code[at]
    parts = []
    for index, (operand, kind, value) in enumerate(instruction.operands()):
        if kind is Kind.BUFFER:
            parts.append(f"{operand}={Buffer(value).name.lower()}")
        elif operands is not None and index < len(operands):
            parts.append(f"{operand}={operands[index]}")
    return f"{place}, instruction {at} {instruction.op.name.lower()}({', '.join(parts)})"
