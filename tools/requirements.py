"""Print the requirements of the named groups of pyproject.toml, one a line.

Groups: `build-system`, `runtime` (the project's own dependencies), or a group of
[tool.distos-coll.requirements]. pip learns to read groups from a file in 25.1 only; the pip that
Debian 12 ships is 23.0.
"""

import pathlib
import sys
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    from pip._vendor import tomli as tomllib


def requirements(groups: list[str], pyproject: pathlib.Path) -> list[str]:
    """Return the requirement strings of `groups`, in order; an unknown group is a KeyError."""
    table: dict[str, Any] = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    known: dict[str, list[str]] = {
        "build-system": table["build-system"]["requires"],
        "runtime": table["project"]["dependencies"],
        **table["tool"]["distos-coll"]["requirements"],
    }
    return [line for group in groups for line in known[group]]


if __name__ == "__main__":
    root = pathlib.Path(__file__).resolve().parent.parent
    print("\n".join(requirements(sys.argv[1:], root / "pyproject.toml")))
