"""Check that files and functions stay small enough to read.

Limits: a .cc 500 lines, a header 200, a .py 400 (tests 600), a function 70. C++ functions are found
by their layout: clang-format gives the first line of a definition and its closing brace the same
indentation, so a line with a parameter list that ends in "{", up to that "}", is one.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_LINES = {".cc": 500, ".h": 200, ".py": 400}
TEST_FILE_LINES = 600
FUNCTION_LINES = 70
_GENERATED = {Path("distos_coll/_vocabulary.py")}

_NOT_A_FUNCTION = re.compile(r" *(\} |namespace\b|class\b|struct\b|enum\b|union\b|extern \"C\")")
_ENDS_A_STATEMENT = (";", "{", "}", ":")


def _statement_start(lines: list[str], i: int) -> int:
    """Return the first line of the statement that line `i` ends."""
    while i > 0:
        before = lines[i - 1].strip()
        if not before or before.startswith(("//", "#")) or before.endswith(_ENDS_A_STATEMENT):
            break
        i -= 1
    return i


def cpp_functions(text: str) -> Iterator[tuple[int, int]]:
    """Yield (first line, number of lines) of each outermost function."""
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        first = _statement_start(lines, i)
        head = "".join(lines[first : i + 1])
        if lines[i].endswith("{") and "(" in head and not _NOT_A_FUNCTION.match(head):
            indent = re.match(" *", lines[first])
            closing = f"{indent[0] if indent else ''}}}"
            i = next((j for j in range(i + 1, len(lines)) if lines[j].startswith(closing)), i)
            yield first + 1, i - first + 1
        i += 1


def python_functions(text: str) -> Iterator[tuple[int, int]]:
    """Yield (first line, number of lines) of each function, decorators left out."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.lineno, (node.end_lineno or node.lineno) - node.lineno + 1


def violations(paths: list[Path]) -> Iterator[str]:
    """Yield a sentence for each file or function that is too long."""
    for path in paths:
        text = path.read_text(encoding="utf-8")
        limit = TEST_FILE_LINES if "tests" in path.parts else FILE_LINES[path.suffix]
        count = text.count("\n")
        if count > limit:
            yield f"{path}: {count} lines, the limit is {limit}; divide it by purpose"
        functions = python_functions(text) if path.suffix == ".py" else cpp_functions(text)
        for line, length in functions:
            if length > FUNCTION_LINES:
                yield f"{path}:{line}: a function of {length} lines, the limit is {FUNCTION_LINES}"


def sources(root: Path) -> list[Path]:
    """Return every source file of the project."""
    folders = ("cpp", "distos_coll", "tests", "tools", "bench", "plugins", "cmake")
    files = (path for folder in folders for path in (root / folder).rglob("*"))
    return sorted(
        p for p in files if p.suffix in FILE_LINES and p.relative_to(root) not in _GENERATED
    )


if __name__ == "__main__":
    found = list(violations(sources(Path())))
    print("\n".join(found) or "Sizes: all within the limits.")
    sys.exit(bool(found))
