"""The project's own checks find what they are for."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).parents[2] / "tools"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, TOOLS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("file", "line", "allowed"),
    [
        ("comm/a.cc", '#include "transport/link.h"', True),
        ("transport/a.cc", '#include "comm/peer.h"', False),
        ("transport/a.cc", '#include "distos_coll/c_api.h"', False),
        ("torch/a.cc", '#include "distos_coll/c_api.h"', True),
        ("torch/a.cc", '#include "comm/peer.h"', False),
        ("torch/a.cc", "#include <torch/csrc/distributed/c10d/Backend.hpp>", True),
        ("torch/a.cc", "#include <torch/extension.h>", False),
        ("comm/a.cc", "  #  include <c10/util/Exception.h>", False),
        ("comm/a.cc", "#include <pybind11/pybind11.h>", False),
        ("bind/a.cc", "#include <pybind11/pybind11.h>", True),
        ("core/a.cc", "#include <vector>\n#include <sys/socket.h>", True),
        ("other/a.cc", "", False),
    ],
)
def test_includes(tmp_path: Path, file: str, line: str, allowed: bool) -> None:
    write(tmp_path / file, line + "\n")
    assert (list(load("check_includes").violations(tmp_path)) == []) is allowed


LONG_FUNCTION = "int f(int a,\n      int b) {\n" + "  if (a) {\n    b = 1;\n  }\n" * 30 + "}\n"
MANY_SHORT = "namespace x {\nclass C {\n" + "  int f() {\n    return 1;\n  }\n" * 30 + "};\n}\n"


def test_sizes(tmp_path: Path) -> None:
    check = load("check_size")
    bad = [
        write(tmp_path / "a.cc", LONG_FUNCTION),
        write(tmp_path / "b.cc", "\n" * 501),
        write(tmp_path / "c.h", "\n" * 201),
        write(tmp_path / "d.py", "\n" * 401),
        write(tmp_path / "e.py", "def f():\n" + "    f()\n" * 70),
    ]
    good = [
        write(tmp_path / "f.cc", MANY_SHORT),
        write(tmp_path / "g.cc", "int g() {\n" + "  g();\n" * 60 + "}\n" + MANY_SHORT),
        write(tmp_path / "h.cc", "\n" * 500),
        write(tmp_path / "i.py", "def f():\n" + "    f()\n" * 69),
    ]
    found = list(check.violations(bad + good))
    assert [text.split(":")[0] for text in found] == [str(path) for path in bad]
    assert "a.cc:1: a function of 93 lines" in found[0]


def test_requirements_come_from_pyproject() -> None:
    requirements = load("requirements").requirements
    root = TOOLS.parent / "pyproject.toml"
    assert any(line.startswith("pybind11") for line in requirements(["build-system"], root))
    assert any(line.startswith("pluggy") for line in requirements(["runtime"], root))
    assert requirements(["torch"], root) == ["torch==2.13.0"]


def test_tidy_follows_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    one = write(Path("cpp/core/one.cc"), '#include "core/one.h"\n')
    two = write(Path("cpp/comm/two.cc"), '#include "comm/two.h"\n')
    test = write(Path("cpp/tests/one_test.cc"), '#include "core/one.h"\n')
    select = load("tidy").sources_to_check
    assert select({Path("cpp/core/one.h")}, {one, two, test}) == [one]
    assert select({two}, {one, two}) == [two]
    assert select(set(), {one, two}) == []
    assert select(None, {one, two, test}) == [two, one]
