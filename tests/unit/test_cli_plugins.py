"""`distos-coll plugins`."""

import json
from pathlib import Path

import pytest
import typer.testing
from plugin_files import star

from distos_coll.cli.app import app


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
