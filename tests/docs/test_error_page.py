"""docs/errors.md and the sources have the same messages, and tests provoke them all."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from error_page import PAGE, ROWS

ROOT = Path(__file__).parents[2]
SHORTEST = 12
"""Characters; shorter pieces of text, such as " ranks", prove nothing."""

ELSEWHERE = (
    # Said of programs and views to the author of an algorithm; the page says so.
    "distos_coll/program/",
    "cpp/verify/",
    "distos_coll/planner/view.py",
    "distos_coll/testing/",
    # Bytes that no rank sends and no version writes: strangers, damage.
    "cpp/comm/card.cc",
    "cpp/comm/mapped_proof.cc",
    "cpp/comm/peer.cc",
    "cpp/comm/wire.cc",
    "cpp/core/doorbell.cc",
    "cpp/core/mapping.cc",
    "cpp/core/settings.cc",
    "cpp/program/decode.cc",
    # What is wrong in a damaged profile; a reason within the page's message.
    "distos_coll/planner/profile",
    "distos_coll/planner/links.py",
    # What the operating system said of a socket; a reason within the page's messages.
    "cpp/comm/sockets.cc",
)
INTERNAL = {
    "module 'distos_coll' has no attribute": "Python's own protocol",
    "a signal interrupted it": "becomes what the signal's handler raised, KeyboardInterrupt",
    "please report this": "a bug",
    "the group has no plan: install one first": "the page has it without its end",
    # Misuse of the C interface that the doors do not let through.
    "entries, the group has": "the doors check the counts",
    "send counts and offsets are missing": "the doors pass them",
    "receive counts and offsets are missing": "the doors pass them",
    "is not in the group of": "the doors check the root",
    ": the buffer is missing": "the doors pass one",
    ": a buffer is missing": "the doors pass one",
    "is not a rank: ranks run from": "the doors check it",
    "a segment of": "for tests",
    "the group was closed": "the doors check it",
    "there is no runtime:": "the doors raise what led to it",
    "the group is not set up yet": "the doors make groups ready",
    "the runtime was shut down while it was connecting": "a thread that outlives the program",
    "cannot be used in a forked child; start workers": "other checks come first",
    "is registered twice": "a bug",
    "a node that no channel can pass": "a bug",
    "shutdown() was called from a callback": "a bug",
    "the job's store takes values of up to": "the library's own values are shorter",
    "the store holds an empty": "the library writes no empty value",
    "the card of rank": "the library writes whole cards",
    "do not fit into a message of the group": "the library's own values are shorter",
    "cannot write ": "what the operating system said of a file",
    "is not one of the group": "the doors take ranks from the group itself",
    ": got an undefined tensor": "Python has no such tensor",
    ": PREMUL_SUM has no factor": "torch checks it",
    ": ReduceOp.UNUSED is not a reduction": "torch does not show it to Python",
    ": a single operation cannot be aborted": "torch does not show it to Python",
    ": takes COO tensors on the CPU": "torch sends no others there",
    # No test could bring these about without waiting for long or filling the machine.
    "did not share its memory with rank": "a rank stopped between two steps of set-up",
    " while a part of group": "a rank that ends between two steps of set-up",
    "that are left made a new one": "likewise; shrink() starts over",
    "is too large; this process has more than": "a million open files",
    "ended well without a result": "a rank that ends well has one",
}
"""Pieces of messages that need no row, and why."""


def files(folder: str, *suffixes: str) -> Iterator[Path]:
    for path in sorted((ROOT / folder).rglob("*")):
        if path.suffix in suffixes and not str(path.relative_to(ROOT)).startswith(ELSEWHERE):
            yield path


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def texts(node: ast.AST) -> list[str]:
    """The pieces of text in an expression, between what is filled in."""
    found = [
        one_line(each.value)
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
    ]
    return [text for text in found if len(text.strip()) >= SHORTEST]


def raised_in_python() -> Iterator[tuple[str, list[str]]]:
    for path in files("distos_coll", ".py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", texts(node.exc)


def without_comments(path: Path) -> str:
    return re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))


def cpp_texts(code: str) -> list[str]:
    """The pieces of text in C++ code, between printf's conversions."""
    joined = re.sub(r'"\s*"', "", code)
    literals = re.findall(r'"((?:[^"\\\n]|\\.)*)"', joined)
    pieces = [piece for each in literals for piece in re.split(r"%[.*0-9]*[a-z]+|\\n", each)]
    found = [one_line(piece.replace('\\"', '"')) for piece in pieces]
    return [text for text in found if len(text.strip()) >= SHORTEST]


RAISING = r"\b(?:throw Error|TORCH_CHECK\w*|C10_THROW_ERROR)\(|\*why \+?= |refuse\("


def raised_in_cpp() -> Iterator[tuple[str, list[str]]]:
    for path in files("cpp", ".cc", ".h"):
        if path.relative_to(ROOT).parts[1] in {"tests", "fuzz"}:
            continue
        code = without_comments(path)
        for place in re.finditer(RAISING, code):
            statement = code[place.start() : code.index(";\n", place.start())]
            line = code.count("\n", 0, place.start()) + 1
            yield f"{path.relative_to(ROOT)}:{line}", cpp_texts(statement)


def test_every_message_of_the_sources_is_on_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8").replace("\\|", "|")
    missing, excused = [], set()
    for place, pieces in (*raised_in_python(), *raised_in_cpp()):
        internal = {known for known in INTERNAL for text in pieces if known in text}
        excused |= internal
        if not internal:
            missing += [f"{place}: {text!r}" for text in pieces if text.strip() not in page]
    assert missing == []
    assert excused == INTERNAL.keys()


def test_every_row_of_the_page_is_in_the_sources() -> None:
    pieces = [
        text
        for path in (ROOT / "distos_coll").rglob("*.py")
        for text in texts(ast.parse(path.read_text(encoding="utf-8")))
    ]
    for path in (*(ROOT / "cpp").rglob("*.cc"), *(ROOT / "cpp").rglob("*.h")):
        pieces += cpp_texts(without_comments(path))
    sources = "\n".join(pieces)
    missing = [
        f"{row.name}: {piece!r}"
        for row in ROWS.values()
        for piece in row.pieces()
        if len(piece.strip()) >= SHORTEST and piece.strip() not in sources
    ]
    assert missing == []


def test_every_row_has_a_name_of_its_own() -> None:
    names = re.findall(r'<a id="([\w-]+)"', PAGE.read_text(encoding="utf-8"))
    assert sorted(names) == sorted(set(names))


def rows_in_tests() -> set[str]:
    """The rows that tests name; a name is no other word, for it has a hyphen."""
    named: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        code = path.read_text(encoding="utf-8")
        if "error_page import" in code:
            named |= {
                node.value
                for node in ast.walk(ast.parse(code))
                if isinstance(node, ast.Constant) and node.value in ROWS
            }
    for path in (ROOT / "cpp/tests").glob("*_test.cc"):
        named |= set(re.findall(r'\bsays\("([\w-]+)"', path.read_text(encoding="utf-8")))
    return named


def test_every_row_is_provoked_by_a_test() -> None:
    assert sorted(ROWS.keys() ^ rows_in_tests()) == []
