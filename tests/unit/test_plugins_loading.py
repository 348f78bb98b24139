"""Where plugins come from, in which order, and what happens to those that fail."""

import logging
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from error_page import raises, says
from plugin_files import install, star

from distos_coll.api import CostModelSpec, Estimate, PluginError, hookimpl
from distos_coll.errors import SettingsError
from distos_coll.plugins import loading
from distos_coll.plugins.loading import Wanted
from distos_coll.plugins.manager import Plugins, default_registry, plugins_of
from distos_coll.settings import Settings

FAILING = "raise RuntimeError('no licence')"
MODEL = """
from distos_coll.api import CostModelSpec, Estimate, hookimpl

@hookimpl
def distos_coll_cost_models():
    return [CostModelSpec("{name}", lambda *_: [Estimate("star", time_us=1.0)])]
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str) -> str:
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


@pytest.fixture(autouse=True)
def _no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [])
    loading._warn_once.cache_clear()


def names(plugins: Plugins) -> list[str]:
    return [one.name for one in plugins.found.loaded]


def test_the_order_is_entry_points_then_the_variable_then_arguments(
    tmp_path: Path, module: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.syspath_prepend(str(tmp_path))
    install(tmp_path, "lab-zulu", "2.0", "zulu", star("zulu"))
    install(tmp_path, "lab-alpha", "1.0", "alpha", star("alpha"))
    for name in ("named_b", "named_a", "passed"):
        module(name, star(name))
    plugins = Plugins(Wanted("named_b, named_a", arguments=("passed",)))
    assert names(plugins) == ["lab-alpha", "lab-zulu", "named_b", "named_a", "passed"]
    first, _, third, *_ = plugins.found.loaded
    assert (first.candidate.distribution, first.candidate.version) == ("lab-alpha", "1.0")
    assert (first.candidate.origin, third.candidate.origin) == (
        "entry point",
        "DISTOS_COLL_PLUGINS",
    )
    assert first.file == str(tmp_path / "alpha.py")
    assert {"alpha", "zulu", "named_a", "named_b", "passed"} <= set(plugins.registry.names)


def test_an_attribute_of_a_module(module: Callable[[str, str], str]) -> None:
    module("several", "class space: pass\nimport one_star\nspace.star = one_star")
    module("one_star", star())
    assert "star" in Plugins(Wanted("several:space.star")).registry.names
    with raises("plugin-import", "AttributeError.*'moon'"):
        Plugins(Wanted("several:space.moon"))


def test_the_environment_is_read(
    module: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISTOS_COLL_PLUGINS", module("from_env", star("from_env")))
    registry = default_registry()
    assert "from_env" in registry.names
    assert default_registry() is registry
    monkeypatch.delenv("DISTOS_COLL_PLUGINS")
    assert "from_env" not in default_registry().names


@pytest.mark.parametrize("text", ["a,,b", "a b", "a:", "/a/b.py", "1a", "a:b:c", "a-b", "a.", ","])
def test_what_the_variable_may_be(text: str) -> None:
    with pytest.raises(SettingsError, match="expected modules or module:attribute"):
        Settings.from_env({"DISTOS_COLL_PLUGINS": text})
    assert Settings.from_env({"DISTOS_COLL_PLUGINS": "a, b.c:d.e"}).plugins == "a,b.c:d.e"


def test_what_is_passed_may_be_anything_with_hooks(module: Callable[[str, str], str]) -> None:
    class Models:
        __hash__ = None  # type: ignore[assignment]

        @hookimpl
        def distos_coll_cost_models(self) -> list[CostModelSpec]:
            return [CostModelSpec("mine", lambda *_: [Estimate("star", time_us=1.0)])]

    __import__(module("as_module", star("as_module")))
    models = Models()
    wanted = Wanted(arguments=(sys.modules["as_module"], models))
    plugins = plugins_of(wanted)
    assert names(plugins) == ["as_module", f"{__name__}.{Models.__qualname__}"]
    assert "mine" in plugins.cost_models.names
    assert plugins_of(Wanted(arguments=(sys.modules["as_module"], models))) is plugins
    assert plugins_of(Wanted(arguments=(sys.modules["as_module"], Models()))) is not plugins
    with raises("plugin-same-name", r"another plugin \(argument .*Models\); rename one"):
        plugins_of(Wanted(arguments=(models, Models())))


def test_the_same_one_twice_is_one(module: Callable[[str, str], str]) -> None:
    name = module("twice", star("twice"))
    assert names(Plugins(Wanted(f"{name},{name}", arguments=(name,)))) == [name]


def test_none_takes_the_place_of_another(module: Callable[[str, str], str]) -> None:
    module("one", star())
    module("two", star())
    with raises("plugin-twice", "'one' and 'two' both define 'star' for all_reduce; rename one or"):
        Plugins(Wanted("one,two"))
    plugins = Plugins(Wanted("two,one", skip=True))
    assert names(plugins) == ["two"]
    assert "'two' and 'one' both define" in plugins.found.refused[0].reason
    module("calibrated", MODEL.replace("{name}", "calibrated"))
    with raises("plugin-twice", r"'distos_coll.costs.calibrated' and 'calibrated' both define the"):
        Plugins(Wanted("calibrated"))


HOOKLESS = "from distos_coll.api import hookimpl\n"


@pytest.mark.parametrize(
    ("row", "code", "said"),
    [
        ("plugin-import", FAILING, "RuntimeError: no licence"),
        ("plugin-import", "import sys\nsys.exit(3)", "SystemExit: 3"),
        ("plugin-import", "import no_such_thing", "no_such_thing"),
        ("plugin-hookless", "x = 1", "distos_coll_algorithms, distos_coll_topology_sources"),
        (
            "plugin-no-such-hook",
            HOOKLESS + "@hookimpl\ndef distos_coll_algoritms(): return []",
            r"implements distos_coll_algoritms\(\).* did you mean distos_coll_algorithms\(\)",
        ),
        (
            "plugin-no-such-hook",
            HOOKLESS + "@hookimpl\ndef cost_model(): return []",
            r"implements cost_model\(\).* did you mean distos_coll_cost_models\(\)",
        ),
        (
            "plugin-misspelt",
            HOOKLESS + "def distos_coll_topology_source(): return []",
            r"a function distos_coll_topology_source\(\).*mean distos_coll_topology_sources\(\)",
        ),
        ("plugin-unmarked", "def distos_coll_algorithms(): return []", "without @hookimpl"),
        (
            "plugin-hook",
            HOOKLESS + "@hookimpl\ndef distos_coll_algorithms(): raise SystemExit('bye')",
            r"failed in distos_coll_algorithms\(\): SystemExit: bye",
        ),
        (
            "plugin-list",
            HOOKLESS + "@hookimpl\ndef distos_coll_algorithms(): return ['ring']",
            "of AlgorithmSpec, and not one with a str",
        ),
        ("plugin-list", HOOKLESS + "@hookimpl\ndef distos_coll_algorithms(): pass", "not NoneType"),
        (
            "plugin-register",
            HOOKLESS + "@hookimpl\ndef distos_coll_algorithms(size): return []",
            "size",
        ),
        ("plugin-build", star().replace("return p.build()", "return p.buidl()"), "buidl"),
        ("plugin-spec", star().replace("return p.build()", "return None"), "'star' for all_reduce"),
        ("plugin-cost", star(cost="{}[0]"), "KeyError: 0"),
        ("plugin-cost", star(cost="'a'"), "TypeError"),
        ("plugin-cost-number", star(cost="float('nan')"), "'star' for all_reduce is nan for 0 byt"),
    ],
)
def test_one_that_fails_stops_or_is_left_out_alone(
    row: str,
    code: str,
    said: str,
    module: Callable[[str, str], str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    module("bad", code)
    module("good", star("good"))
    with raises(row, rf"^plugin 'bad' \(DISTOS_COLL_PLUGINS bad\) .*{said}") as caught:
        Plugins(Wanted("bad,good"))
    end = "repair it or take it out of DISTOS_COLL_PLUGINS, or set DISTOS_COLL_PLUGIN_FAILURES=skip"
    assert str(caught.value).endswith(end)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            plugins = Plugins(Wanted("bad,good", skip=True))
    assert names(plugins) == ["good"]
    assert "good" in plugins.registry.names
    (refused,) = plugins.found.refused
    assert refused.candidate.name == "bad"
    assert says(row, refused.reason)
    (record,) = caplog.records
    assert "plugin 'bad' (DISTOS_COLL_PLUGINS bad) is left out: it " in record.message


def test_one_that_fails_is_left_out_whole(module: Callable[[str, str], str]) -> None:
    """What it adds by a hook that works would be half a plugin."""
    code = star() + "\n@hookimpl\ndef distos_coll_cost_models():\n    raise KeyError('table')\n"
    plugins = Plugins(Wanted(module("half", code), skip=True))
    assert "star" not in plugins.registry.names
    assert "failed in distos_coll_cost_models(): KeyError" in plugins.found.refused[0].reason


def test_a_hook_of_a_later_version_may_be_optional(module: Callable[[str, str], str]) -> None:
    code = star() + "\n@hookimpl(optionalhook=True)\ndef distos_coll_wormholes():\n    return []\n"
    assert "star" in Plugins(Wanted(module("later", code))).registry.names


def test_a_hook_may_have_another_name_and_properties_are_left_alone() -> None:
    class Plugin:
        @property
        def distos_coll_trap(self) -> Any:
            raise AssertionError("nobody asked")

        @hookimpl(specname="distos_coll_algorithms")
        def mine(self) -> list[Any]:
            return []

    assert len(names(Plugins(Wanted(arguments=(Plugin(),))))) == 1


def test_a_package_may_be_called_like_the_project(module: Callable[[str, str], str]) -> None:
    module("distos_coll_parts", "x = 1")
    code = "import distos_coll_parts\n" + star()
    assert "star" in Plugins(Wanted(module("uses_parts", code))).registry.names


def test_errors_are_plugin_errors_and_keep_their_cause(module: Callable[[str, str], str]) -> None:
    with pytest.raises(PluginError) as caught:
        Plugins(Wanted(module("bad", FAILING)))
    cause = caught.value.__cause__
    assert cause is not None
    assert isinstance(cause.__cause__, RuntimeError)


def test_those_who_only_plan_load_no_sources() -> None:
    code = "import sys, distos_coll.plugins.manager as m; m.default_registry(); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=60).split()
    assert "distos_coll.schedules.ring" in loaded
    assert not any(name.startswith(("distos_coll.sources", "distos_coll.costs")) for name in loaded)
