"""The committed vocabulary is what the headers say."""

import subprocess
import sys
from pathlib import Path

from distos_coll import _vocabulary as v

ROOT = Path(__file__).resolve().parents[2]


def test_is_fresh() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "vocabulary.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_counts_agree() -> None:
    pairs = (
        (v.DType, v.DTYPE_COUNT),
        (v.ReduceOp, v.REDUCE_OP_COUNT),
        (v.Collective, v.COLLECTIVE_COUNT),
        (v.ExprOp, v.EXPR_OP_COUNT),
        (v.Param, v.PARAM_COUNT),
        (v.Array, v.ARRAY_COUNT),
        (v.Buffer, v.BUFFER_COUNT),
        (v.Opcode, v.OPCODE_COUNT),
    )
    for enum, count in pairs:
        assert [int(member) for member in enum] == list(range(count)), enum
    assert v.Array(v.FIRST_CALL_ARRAY) is v.Array.SEND_COUNTS
    assert set(v.DTYPE_BYTES) == set(v.DType)
