"""Check that the C++ folders depend downwards only, as docs/decisions and ARCHITECTURE.md say.

Also: torch, c10 and ATen headers under cpp/torch only, and never torch/extension.h, which takes
three times as long to compile as the c10d headers; pybind11 under cpp/bind and cpp/torch only.
"""

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# What a folder may include besides itself.
ALLOWED: Mapping[str, set[str]] = {
    "include": set(),
    "core": set(),
    "program": {"core"},
    "reduce": {"core"},
    "transport": {"core"},
    "exec": {"core", "program", "reduce"},
    "verify": {"core", "program"},
    "comm": {"core", "program", "reduce", "transport", "exec"},
    "capi": {"include", "core", "program", "reduce", "transport", "exec", "comm"},
    "bind": {
        "include",
        "core",
        "program",
        "reduce",
        "verify",
        "comm",
        "capi",
        "python",
        "transport",
    },
    "torch": {"include", "python"},
    "python": set(),
    "fuzz": {"include", "core", "program", "transport", "comm"},
    "tests": {
        "include",
        "core",
        "program",
        "reduce",
        "transport",
        "exec",
        "verify",
        "comm",
        "capi",
    },
}
EXTERNAL: Mapping[str, set[str]] = {
    r"(torch|c10|ATen)/": {"torch"},
    r"(pybind11/|Python\.h)": {"bind", "torch", "python"},
}
_INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.MULTILINE)


def _folder_of(header: str) -> str:
    """Return the folder under cpp/ that a header belongs to, or "" for one that is not ours."""
    first = header.split("/")[0]
    if first == "distos_coll":
        return "include"
    return first if first in ALLOWED and first != "torch" else ""


def violations(cpp: Path) -> Iterator[str]:
    """Yield a sentence for each include that is not allowed."""
    for path in sorted(p for p in cpp.rglob("*") if p.suffix in {".h", ".cc"}):
        folder = path.relative_to(cpp).parts[0]
        if folder not in ALLOWED:
            yield f"{path}: cpp/{folder} is not in tools/check_includes.py; say what it may include"
            continue
        for header in _INCLUDE.findall(path.read_text(encoding="utf-8")):
            ours = _folder_of(header)
            if header.startswith("torch/") and (cpp / header).exists():
                ours = "torch"
            if ours and ours != folder and ours not in ALLOWED[folder]:
                yield f"{path}: includes {header}, but cpp/{folder} may not depend on cpp/{ours}"
            if ours:
                continue
            if header == "torch/extension.h":
                yield f"{path}: includes torch/extension.h; include the c10d headers that it needs"
            for pattern, folders in EXTERNAL.items():
                if re.match(pattern, header) and folder not in folders:
                    yield f"{path}: includes {header}, allowed in cpp/{', cpp/'.join(folders)} only"


if __name__ == "__main__":
    found = list(violations(Path("cpp")))
    print("\n".join(found) or "Includes: all downwards.")
    sys.exit(bool(found))
