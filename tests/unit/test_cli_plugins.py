"""`distos-coll plugins`."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.testing
from error_page import raises
from plugin_files import star

from distos_coll.cli.app import app
from distos_coll.cli.plugin_new import PluginKind, files_of


def invoke(*arguments: str) -> typer.testing.Result:
    return typer.testing.CliRunner().invoke(app, arguments)


def test_plugins_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "listed_star.py").write_text(star("listed"), encoding="utf-8")
    (tmp_path / "listed_bad.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.setenv("DISTOS_COLL_PLUGINS", "listed_bad,listed_star")
    result = invoke("plugins", "list", "--json")
    assert result.exit_code == 1
    found = json.loads(result.output)
    every = {each["name"]: each for each in found["plugins"]}
    ring = every["distos_coll.schedules.ring"]
    assert ring["origin"] == "built in"
    assert {"all_reduce", "all_gather"} <= set(ring["algorithms"][0]["collectives"])
    assert every["distos_coll.sources.nccl_xml"]["topology_sources"][0]["writes"]
    assert every["distos_coll.costs.nccl"]["cost_models"][0]["name"] == "nccl"
    mine = every["listed_star"]
    assert (mine["origin"], mine["file"]) == (
        "DISTOS_COLL_PLUGINS",
        str(tmp_path / "listed_star.py"),
    )
    assert mine["algorithms"] == [
        {"name": "listed", "doc": "a star", "collectives": ["all_reduce"]}
    ]
    (refused,) = found["refused"]
    assert refused["name"] == "listed_bad"
    assert "ZeroDivisionError" in refused["reason"]
    monkeypatch.setenv("DISTOS_COLL_PLUGIN_FAILURES", "skip")
    result = invoke("plugins", "list")
    assert result.exit_code == 0
    assert "left out: listed_bad" in result.output
    assert str(tmp_path / "listed_star.py") in result.output


def checked(*arguments: str) -> tuple[int, list[dict[str, str]]]:
    result = invoke("plugins", "check", *arguments, "--json")
    return result.exit_code, json.loads(result.output)["checks"]


def test_plugins_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "checked_star.py").write_text(star("checked"), encoding="utf-8")
    (tmp_path / "checked_bad.py").write_text(star("bad", cost="-1e9"), encoding="utf-8")
    code, checks = checked("checked_star")
    assert code == 0
    assert {each["result"] for each in checks} == {"ok"}
    code, checks = checked("checked_bad")
    assert code == 1
    (failed,) = (each for each in checks if each["result"] == "FAILED")
    assert "moving data takes time" in failed["said"]
    result = invoke("plugins", "check", "checked_bad")
    assert result.exit_code == 1
    assert "FAILED all_reduce:bad: cost is a number of microseconds" in result.output
    assert "checked_bad: 20 ok, 1 failed, 0 skipped" in result.output
    # By the name that it is loaded under, too.
    monkeypatch.setenv("DISTOS_COLL_PLUGINS", "checked_star")
    assert checked("checked_star")[0] == 0


def test_plugins_check_of_what_cannot_be_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    with raises("plugin-check-unknown", "'no_such_plugin' cannot be imported: ModuleNotFoundError"):
        app(["plugins", "check", "no_such_plugin"], standalone_mode=False)
    (tmp_path / "checked_broken.py").write_text("1 / 0", encoding="utf-8")
    monkeypatch.setenv("DISTOS_COLL_PLUGINS", "checked_broken")
    with raises("plugin-import", r"'checked_broken' \(DISTOS_COLL_PLUGINS checked_broken\) cannot"):
        app(["plugins", "check", "checked_broken"], standalone_mode=False)


@pytest.mark.parametrize("kind", ["algorithm", "topology-source", "cost-model"])
def test_a_new_plugin_works_at_once(kind: str, tmp_path: Path) -> None:
    """Written, installed without its dependencies, listed, checked, and tested by its own tests."""
    project, site, name = tmp_path / "project", tmp_path / "site", f"lab-{kind}"
    result = invoke("plugins", "new", kind, name, "--dir", str(project))
    assert result.exit_code == 0, result.output
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    install += ["--no-build-isolation", "--target", str(site), str(project)]
    subprocess.run(install, check=True, timeout=200)
    own = os.environ.get("PYTHONPATH", "")
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(site), own]))}

    def output(*arguments: str) -> str:
        return subprocess.check_output(
            [sys.executable, "-m", *arguments], env=environ, text=True, cwd=project, timeout=200
        )

    listed = json.loads(output("distos_coll", "plugins", "list", "--json"))
    (mine,) = (each for each in listed["plugins"] if each["origin"] == "entry point")
    assert (mine["name"], mine["distribution"], mine["version"]) == (name, name, "0.1.0")
    assert mine["file"].startswith(str(site))
    assert len(mine["algorithms"] + mine["topology_sources"] + mine["cost_models"]) == 1
    sample = ["--sample", "tests/sample.txt"] if kind == "topology-source" else []
    said = output("distos_coll", "plugins", "check", name, *sample)
    assert " ok, 0 failed, 0 skipped" in said
    passed = output("pytest", "-q", "-p", "no:cacheprovider", "-W", "error")
    assert " passed" in passed
    assert "failed" not in passed
    assert "skipped" not in passed
    if kind == "topology-source":
        shown = output("distos_coll", "topo", "show", "tests/sample.txt", "--json")
        assert json.loads(shown)["hosts"] == 4


def test_the_tests_of_a_new_plugin_are_three_lines() -> None:
    for kind in PluginKind:
        files = files_of(kind, "lab-star")
        (test,) = (text for path, text in files.items() if path.startswith("tests/test_"))
        statements = ast.parse(test).body
        assert len([s for s in statements if "pathlib" not in ast.unparse(s)]) == 3
        assert not re.search(r"@\w+@", "".join(files.values()))
        assert (
            '[project.entry-points.distos_coll]\nlab-star = "lab_star"' in files["pyproject.toml"]
        )


@pytest.mark.parametrize("name", ["Lab", "lab_star", "lab--star", "-lab", "1lab", "distos-coll-x"])
def test_names_that_a_new_plugin_cannot_have(name: str, tmp_path: Path) -> None:
    with raises("plugin-new-name"):
        app(
            ["plugins", "new", "algorithm", "--dir", str(tmp_path / "x"), "--", name],
            standalone_mode=False,
        )
    assert not (tmp_path / "x").exists()


def test_a_new_plugin_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    for folder, row in (
        (tmp_path, "plugin-new-folder"),
        (tmp_path / "notes.txt", "plugin-new-write"),
    ):
        with raises(row):
            app(["plugins", "new", "algorithm", "lab", "--dir", str(folder)], standalone_mode=False)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
