"""Manifests of plugins: what is compared, what is said of differences, and between real ranks."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from error_page import raises, says
from plugin_files import install, star

from distos_coll import _native, manifests
from distos_coll.communicator import Communicator, Home
from distos_coll.manifests import Meeting
from distos_coll.plugins import manifest
from distos_coll.plugins.loading import Wanted
from distos_coll.plugins.manager import Plugins
from distos_coll.plugins.manifest import LARGEST_BYTES, Line, Told, as_text, difference, from_text
from distos_coll.settings import Settings
from distos_coll.testing.ranks import run_threads
from distos_coll.work import translated


def written(folder: Path, name: str, code: str) -> str:
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    sys.modules.pop(name, None)
    return name


def told(*lines: Line, refused: dict[str, str] | None = None) -> Told:
    found = from_text(as_text(lines))
    assert found is not None
    return replace(found, refused=refused or {})


def line(plugin: str = "star", of: str = "lab 1.0", **algorithms: str) -> Line:
    return Line(plugin, of, tuple(sorted(algorithms.items())) or (("all_reduce:star", "1f"),))


def test_nothing_is_added_to_plans_without_plugins() -> None:
    plugins = Plugins(Wanted())
    assert plugins.registry.context == ""
    assert from_text(plugins.manifest) == Told({}, {}, {})


def test_sources_and_models_are_not_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    code = (
        "from distos_coll.api import hookimpl, CostModelSpec\n"
        "@hookimpl\ndef distos_coll_cost_models(): return [CostModelSpec('m', lambda *_: [])]\n"
    )
    assert Plugins(Wanted(written(tmp_path, "only_model", code))).registry.context == ""


def test_what_makes_lines_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Program, cost and the spec's fields do; the order of plugins and what is not run do not."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # or the second text of a second is lost

    def context(code: str, *others: str) -> str:
        name = written(tmp_path, "changing", code)
        return Plugins(Wanted(",".join([name, *others]))).registry.context

    plain = context(star())
    assert plain == context(star() + "\n# a comment\n") == context(star())
    assert plain != context(star(cost="2e9"))
    assert plain != context(star().replace("c.hop_us(c.bytes)", "c.hop_us(c.bytes, 1)"))
    assert plain != context(star().replace("p.send(0, p.input,", "p.send(0, p.output,"))
    assert plain != context(star().replace('doc="a star"', "segments=(4096,)"))
    assert plain == context(star().replace('doc="a star"', 'doc="another"'))
    written(tmp_path, "another", star("another"))
    a = Plugins(Wanted("changing,another")).registry.context
    assert a == Plugins(Wanted("another,changing")).registry.context


def test_what_is_said() -> None:
    alike = told(line())
    assert difference({0: alike, 1: told(line())}) == ""
    assert difference({0: alike, 1: told(), 2: alike}) == (
        "plugin 'star' (lab 1.0) is on ranks 0, 2 and not on rank 1"
    )
    without = told(refused={"star": "cannot be imported: no"})
    assert difference({0: without, 1: alike}) == (
        "plugin 'star' (lab 1.0) is on rank 1 and not on rank 0 (rank 0 left it out: it cannot be "
        "imported: no)"
    )
    newer = told(line(of="lab 1.1"))
    assert difference({0: alike, 1: newer, 2: alike}) == (
        "plugin 'star' is lab 1.1 on rank 1 and lab 1.0 on ranks 0, 2"
    )
    other = told(line(**{"all_reduce:star": "2e"}))
    assert difference({0: alike, 1: alike, 2: other}) == (
        "plugin 'star' (lab 1.0) has another program or cost of all_reduce:star on rank 2 than on "
        "ranks 0, 1"
    )
    more = told(line(**{"all_reduce:star": "1f", "reduce:star": "3d"}))
    assert "'star' (lab 1.0) has reduce:star on some ranks only" in difference({0: alike, 1: more})
    many = {rank: told() if rank else alike for rank in range(20)}
    assert difference(many).endswith("not on ranks 1, 2, 3, 4, 5, 6, 7, 8 and 11 more")


def test_a_manifest_fits_into_a_store() -> None:
    lines = [
        line(f"plugin{i}", **{f"all_reduce:{j:04}": "12345678" for j in range(60)})
        for i in range(30)
    ]
    text = as_text(lines)
    assert len(text) <= LARGEST_BYTES
    found = from_text(text)
    assert found is not None
    assert len(found.distributions) == 30
    changed = from_text(as_text([*lines[:-1], line("plugin29")]))
    assert changed is not None
    assert "'plugin29' (lab 1.0) has other algorithms" in difference({0: found, 1: changed})
    huge = from_text(as_text([line("p" * 90 + str(i)) for i in range(1000)]))
    assert huge is not None
    assert list(huge.distributions) == ["all plugins"]


@pytest.mark.parametrize("text", ["", "1", "[]", "{}", "[[1],{}]", "[[],[]]", "[" * 100_000, "[["])
def test_what_is_no_manifest(text: str) -> None:
    assert from_text(text) is None


def test_a_rank_that_is_gone_leaves_the_first_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifests, "WAIT_MS", 20)
    board = _native.MemoryStore()
    assert manifests.why_not(Meeting(board, "g", 1, 2), as_text([line()])) == ""
    assert manifests.why_not(Meeting(_native.MemoryStore(), "g", 0, 2), as_text([line()])) == ""


def refusals(plugins: Sequence[str], values: Settings) -> list[str]:
    """Join as ranks that name these plugins; return what each raises."""
    store = _native.MemoryStore()

    def one(rank: int) -> str:
        with translated():
            runtime = _native.Runtime("")
        home = Home(runtime, replace(values, plugins=plugins[rank]), 20.0)
        with raises("plugins-differ") as caught:
            Communicator.join(home, store, rank, range(len(plugins)), "world")
        return str(caught.value)

    return run_threads(one, range(len(plugins)))


def test_ranks_with_other_plugins_are_named_on_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    written(tmp_path, "lone_star", star())
    texts = refusals(["lone_star", "", "lone_star"], Settings())
    assert len(set(texts)) == 1
    assert "plugin 'lone_star' is on ranks 0, 2 and not on rank 1; load" in texts[0]
    # Where the rank without it cannot plan at all, too.
    texts = refusals(["lone_star", ""], Settings(algo="allreduce:star"))
    assert len(set(texts)) == 1
    assert "is on rank 0 and not on rank 1" in texts[0]


RANK = """
import distos_coll
from distos_coll.errors import DistosError
try:
    with distos_coll.init(timeout=60) as group:
        print("joined", group.explain("all_reduce", 8).winner.algorithm)
except DistosError as error:
    print(type(error).__name__, error)
"""


def job(folder: Path, *environments: dict[str, str], code: str = RANK) -> list[str]:
    """Run processes that meet by themselves, each with variables of its own."""
    launcher = {"DISTOS_COLL_RENDEZVOUS": f"unix:plugins-{os.getpid()}"}
    processes = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                code.replace("init(", f"init(rank={rank}, size={len(environments)}, "),
            ],
            env={**os.environ, **launcher, **own},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank, own in enumerate(environments)
    ]
    return [process.communicate(timeout=120)[0] for process in processes]


def path(*folders: Path) -> dict[str, str]:
    own = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([*map(str, folders), *filter(None, [own])])}


def test_processes_with_other_plugins(tmp_path: Path) -> None:
    written(tmp_path, "a_star", star())
    plain, with_star = path(tmp_path), path(tmp_path) | {"DISTOS_COLL_PLUGINS": "a_star"}
    for text in job(tmp_path, with_star, plain):
        assert text.startswith("Mismatch "), text
        assert says("plugins-differ", text)
        assert "plugin 'a_star' is on rank 0 and not on rank 1;" in text
    assert [t.split()[0] for t in job(tmp_path, with_star, with_star)] == ["joined", "joined"]


def test_processes_with_other_versions(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    for folder, version in ((old, "1.0"), (new, "1.1")):
        folder.mkdir()
        install(folder, "lab-star", version, "versioned_star", star())
    for text in job(tmp_path, path(old), path(new), path(new)):
        assert "plugin 'lab-star' is lab-star 1.0 on rank 0 and lab-star 1.1 on ranks 1, 2;" in text


def test_processes_of_which_one_leaves_it_out(tmp_path: Path) -> None:
    code = "import os\nif os.environ.get('NO_LICENCE'): raise OSError('no licence')\n" + star()
    written(tmp_path, "licensed", code)
    named = path(tmp_path) | {"DISTOS_COLL_PLUGINS": "licensed"}
    skipping = named | {"NO_LICENCE": "1", "DISTOS_COLL_PLUGIN_FAILURES": "skip"}
    for text in job(tmp_path, named, skipping):
        assert (
            "is on rank 0 and not on rank 1 (rank 1 left it out: it cannot be imported: OSErr"
            in text
        )
    first, second = job(tmp_path, named, named | {"NO_LICENCE": "1"})
    assert says("member-failed", first)
    assert (
        "PluginError: plugin 'licensed' (DISTOS_COLL_PLUGINS licensed) cannot be imported" in first
    )
    assert second.startswith("PluginError plugin 'licensed'")


def test_plugins_that_are_passed(tmp_path: Path) -> None:
    written(tmp_path, "passed_star", star(cost="-1e9"))
    code = RANK.replace("init(", "init(plugins=['passed_star'], ")
    for text in job(tmp_path, path(tmp_path), path(tmp_path), code=code):
        assert text.split() == ["joined", "star"]


def test_a_manifest_is_json() -> None:
    assert json.loads(as_text([line()])) == [[["star", "lab 1.0", {"all_reduce:star": "1f"}]], {}]
    assert manifest.context_of([line()]).startswith('plugin ["star"')
