import hashlib
import struct

import pytest

from distos_coll._vocabulary import PLAN_MAGIC, PLAN_VERSION, Array
from distos_coll.errors import PlanError
from distos_coll.plugins.manager import built_in_registry
from distos_coll.program.encode import UNLIMITED, Choice, PlanTable, decode_plan, encode_plan
from distos_coll.program.layout import arrays_of


def table() -> PlanTable:
    registry = built_in_registry()
    programs = tuple(registry.program(a) for a in registry.algorithms)
    choices = tuple(
        Choice(p.collective, UNLIMITED, i, 4096) for i, p in enumerate(programs) if p.name == "ring"
    )
    return PlanTable(programs, arrays_of((0, 0, 1, 1, 0)), choices)


def test_round_trip_of_everything_built_in() -> None:
    plan = table()
    data = encode_plan(plan)
    decoded = decode_plan(data)
    assert decoded.programs == plan.programs
    assert {a: tuple(v) for a, v in decoded.arrays.items()} == plan.arrays
    assert decoded.choices == plan.choices
    assert encode_plan(decoded) == data


def test_layout_is_what_0001_says() -> None:
    data = encode_plan(PlanTable((), {Array.ORDER: (1, 0)}, ()), b"settings")
    words = struct.unpack(f"<{len(data) // 8}q", data)
    assert words[:2] == (PLAN_MAGIC, PLAN_VERSION)
    assert words[3:] == (0, 1, Array.ORDER, 2, 1, 0, 0)
    body = data[24:] + b"settings"
    assert data[16:24] == hashlib.blake2b(body).digest()[:8]


def test_a_name_is_padded_to_words() -> None:
    program = next(p for p in table().programs if p.name == "ring")
    data = encode_plan(PlanTable((program,), {}, ()))
    assert data[32:48] == struct.pack("<q", 4) + b"ring\0\0\0\0"


def test_settings_change_the_fingerprint_and_nothing_else() -> None:
    one, two = encode_plan(table(), b"a"), encode_plan(table(), b"b")
    assert one[16:24] != two[16:24]
    assert one[:16] + one[24:] == two[:16] + two[24:]


@pytest.mark.parametrize("size", [0, 8, 16, 24, 1000, 20000])
def test_cut_off_plans_are_refused(size: int) -> None:
    with pytest.raises(PlanError):
        decode_plan(encode_plan(table())[:size])


def test_other_refusals() -> None:
    data = encode_plan(table())
    with pytest.raises(PlanError, match="after its end"):
        decode_plan(data + bytes(8))
    with pytest.raises(PlanError, match="not a plan"):
        decode_plan(bytes(8) + data[8:])
