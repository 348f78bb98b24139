"""docs/errors.md as tests use it: a row has a name, and a test provokes its message.

`raises("send-to-self")` is pytest.raises() with the class and the text of that row; `says()` finds
the text in the output of another process. tests/docs/test_error_page.py wants every row in a test.
"""

import builtins
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from distos_coll import errors

PAGE = Path(__file__).parents[2] / "docs/errors.md"


@dataclass(frozen=True)
class Row:
    name: str
    text: str
    """With <placeholders>."""
    array_door: tuple[str, ...]
    torch: tuple[str, ...]

    def pieces(self) -> list[str]:
        """What is the same in every case; a variable's name is filled in, in the sources."""
        return re.split(r"<[\w ]+>|DISTOS_COLL_ALGO", self.text)

    def is_in(self, message: str) -> bool:
        pattern = ".+?".join(map(re.escape, re.split(r"<[\w ]+>", self.text)))
        return re.search(pattern, _one_line(message)) is not None


def _one_line(text: str) -> str:
    return re.sub(r"[\s│]+", " ", text)


def _rows(page: str) -> Iterator[Row]:
    for line in page.splitlines():
        if not line.startswith('| <a id="'):
            continue
        message, array_door, torch, _advice = re.split(r"(?<!\\)\|", line.strip("|"))
        row = re.fullmatch(r' <a id="([\w-]+)"></a>`(.+)` ', message)
        assert row, line
        text = row[2].replace("\\|", "|")
        yield Row(
            row[1], text, *(tuple(re.findall(r"`(\w+)`", cell)) for cell in (array_door, torch))
        )


ROWS = {row.name: row for row in _rows(PAGE.read_text(encoding="utf-8"))}


def _class(name: str) -> type[Exception]:
    if hasattr(errors, name):
        found = getattr(errors, name)
    elif hasattr(builtins, name):
        found = getattr(builtins, name)
    else:
        import torch.distributed

        found = getattr(torch.distributed, name)
    assert issubclass(found, Exception)
    return found  # type: ignore[no-any-return]


@contextmanager
def raises(name: str, match: str = "", *, torch: bool = False) -> Iterator[Any]:
    """Expect the row's exception, of the array door or of torch, with the row's text."""
    row = ROWS[name]
    kinds = tuple(map(_class, row.torch if torch else row.array_door))
    with pytest.raises(kinds, match=match or None) as caught:
        yield caught
    assert type(caught.value) in kinds, f"{name}: {caught.value!r}"
    assert says(name, str(caught.value))


def says(name: str, message: str) -> bool:
    """Whether the row's text is in the message; raises AssertionError with both if not."""
    assert ROWS[name].is_in(message), f"{name}: {ROWS[name].text!r} is not in {message!r}"
    return True


def says_in_time(name: str, call: Callable[[float], Any]) -> str:
    """The error of call(seconds), which must have the row's text.

    For limits that have to expire, and so are short, but not before another thread or process has
    done what the text tells of: if the first is too short on a busy machine, a longer one is tried.
    """
    for seconds in (0.3, 1.0, 4.0, 16.0, 64.0):
        with pytest.raises(errors.DistosError) as caught:
            call(seconds)
        if ROWS[name].is_in(str(caught.value)):
            break
    assert says(name, str(caught.value))
    return str(caught.value)
