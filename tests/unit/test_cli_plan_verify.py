import json

import pytest
import typer.testing
from error_page import says

from distos_coll._vocabulary import Collective
from distos_coll.cli import plan_verify
from distos_coll.cli.app import app
from distos_coll.plugins.manager import Algorithm, Registry, built_in_registry
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.program.builder import ProgramBuilder
from distos_coll.program.ir import Program


@pytest.fixture(autouse=True)
def _built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan_verify, "default_registry", built_in_registry)


def invoke(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, ["plan", "verify", *arguments])


def test_what_is_named_is_verified() -> None:
    result = invoke("--ranks", "48", "--domains", "6", "--algo", "ring,hier")
    lines = [line.split(maxsplit=3) for line in result.stdout.splitlines()]
    assert result.exit_code == 0, result.output
    assert ["all_reduce", "ring"] in [words[:2] for words in lines]
    assert {words[1] for words in lines} == {"ring", "hier"}
    assert {words[2] for words in lines} == {"right"}


def test_a_collective_and_what_the_group_cannot_run() -> None:
    result = invoke("--domains", "2", "--collective", "all_reduce", "--json")
    found = {each["algorithm"]: each for each in json.loads(result.stdout)}
    assert result.exit_code == 0
    assert found["ring"]["right"] is True
    assert found["ring"]["steps"] > 0
    assert found["direct1"]["right"] is None
    assert "one domain" in found["direct1"]["text"]


def test_order_of_ranks_is_demanded() -> None:
    options = ("--ranks", "3", "--collective", "all_reduce", "--deterministic")
    assert invoke(*options, "--algo", "direct1").exit_code == 0
    result = invoke(*options, "--algo", "ring")
    assert result.exit_code == 1
    assert "reduces in parts" in result.stdout


def backwards() -> Program:
    p = ProgramBuilder("backwards", Collective.ALL_GATHER)
    p.send((p.rank + 1) % p.size, p.input, 0, p.count)
    p.recv((p.rank - 1) % p.size, p.output, 0, p.count)
    return p.build()


def test_a_wrong_program_of_a_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = AlgorithmSpec("backwards", Collective.ALL_GATHER, backwards, lambda c: 1.0)
    registry = Registry([Algorithm(spec, "mine", False)])
    monkeypatch.setattr(plan_verify, "default_registry", lambda: registry)
    result = invoke("--ranks", "3")
    assert result.exit_code == 1
    assert "all_gather       backwards              WRONG    deadlock" in result.stdout


def test_nothing_is_named() -> None:
    result = invoke("--collective", "all_to_all", "--algo", "tree")
    assert result.exit_code == 2
    assert says("verify-nothing", result.output)
    assert "tre" in invoke("--algo", "tre").output
