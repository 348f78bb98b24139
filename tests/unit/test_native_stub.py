"""distos_coll/_native.pyi says what the built module has: same names, same parameters."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from error_page import says

import distos_coll

native: Any = pytest.importorskip("distos_coll._native", reason="the native core is not built")

STUB = ast.parse(Path(distos_coll.__file__).with_name("_native.pyi").read_text(encoding="utf-8"))
CLASSES = {node.name: node for node in STUB.body if isinstance(node, ast.ClassDef)}


def functions_of(body: list[ast.stmt]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in body if isinstance(node, ast.FunctionDef)}


def declared(body: list[ast.stmt]) -> set[str]:
    names = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    annotated = [node.target for node in body if isinstance(node, ast.AnnAssign)]
    return names | {target.id for target in annotated if isinstance(target, ast.Name)}


def public(names: object) -> set[str]:
    assert isinstance(names, list)
    return {name for name in names if not name.startswith("_")}


def parameters(node: ast.FunctionDef) -> list[str]:
    return [argument.arg for argument in node.args.args]


def parameters_built(function: Any) -> list[str]:
    """Of the signature with which pybind11 starts every docstring."""
    signature = function.__doc__.splitlines()[0].partition("(")[2].rpartition(" ->")[0]
    return re.findall(r"(\w+): ", signature)


def test_the_module_has_these_names() -> None:
    assert declared(STUB.body) == public(dir(native)) | {"__version__"}


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - {"NativeError"}))
def test_classes_have_these_members(name: str) -> None:
    stub, built = CLASSES[name], getattr(native, name)
    assert declared(stub.body) - {"__init__"} == public(list(vars(built)))
    for member, node in functions_of(stub.body).items():
        found = vars(built)[member]
        if isinstance(found, property):
            assert [d.id for d in node.decorator_list if isinstance(d, ast.Name)] == ["property"]
        else:
            assert parameters(node) == parameters_built(getattr(built, member)), member


@pytest.mark.parametrize("name", sorted(functions_of(STUB.body)))
def test_functions_take_these_parameters(name: str) -> None:
    assert parameters(functions_of(STUB.body)[name]) == parameters_built(getattr(native, name))


def test_errors_are_exceptions_with_a_code() -> None:
    error: type[Any] = native.NativeError
    assert issubclass(error, Exception)
    with pytest.raises(error) as caught:
        native.check_plan(b"", 2)
    assert says("plan-malformed", str(caught.value))
    assert isinstance(vars(caught.value)["code"], int)
