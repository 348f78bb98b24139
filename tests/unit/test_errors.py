import re
from pathlib import Path

import pytest

from distos_coll import errors

C_API = Path(__file__).parents[2] / "cpp/include/distos_coll/c_api.h"


def core_codes() -> dict[str, int]:
    block = re.search(r"enum dc_code \{(.*?)\};", C_API.read_text(), re.S)
    assert block is not None
    return {n: int(v) for n, v in re.findall(r"DC_(\w+) = (\d+),", block[1])}


def test_every_failure_of_the_core_has_its_own_exception() -> None:
    codes = {name: code for name, code in core_codes().items() if name not in {"OK", "AGAIN"}}
    kinds = {name: type(errors.from_code(-code, "why")) for name, code in codes.items()}
    assert kinds["TIMEOUT"] is errors.TimeoutExpired
    assert kinds["PEER_DIED"] is errors.PeerDied
    assert len(set(kinds.values())) == len(codes) == 9
    assert {str(errors.from_code(code, "why")) for code in codes.values()} == {"why"}


@pytest.mark.parametrize("code", [0, 1, -1, 99])
def test_a_code_that_is_no_failure_is_shown(code: int) -> None:
    error = errors.from_code(code, "text")
    assert type(error) is errors.InternalError
    assert str(code) in str(error)


def test_the_tree_in_the_docstring_is_the_tree() -> None:
    def children(kind: type[Exception]) -> list[str]:
        return [line for sub in kind.__subclasses__() for line in (sub.__name__, *children(sub))]

    assert errors.__doc__ is not None
    drawn = re.findall(r"[├└]── (\w+)", errors.__doc__)
    ours = [name for name in children(errors.DistosError) if hasattr(errors, name)]
    assert sorted(drawn) == sorted(ours)


def test_python_code_can_catch_the_builtin_kinds() -> None:
    assert isinstance(errors.from_code(-2, ""), TimeoutError)
    assert isinstance(errors.from_code(-6, ""), ValueError)
