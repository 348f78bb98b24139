"""The guide for authors of plugins: its examples pass their kits, its reference is fresh."""

import re
import runpy
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

import pytest

from distos_coll.plugins.kinds import KINDS
from distos_coll.testing import (
    Check,
    algorithm_checks,
    cost_model_checks,
    topology_source_checks,
)

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/plugins"
RACKS = b"# racks\nn1\nn2\n\nn3\n"


def test_the_reference_of_hooks_is_fresh() -> None:
    tool = runpy.run_path(str(ROOT / "tools/hooks_page.py"))
    own = (PAGES / "hooks.md").read_text(encoding="utf-8")
    assert own == tool["page"](), "run: python tools/hooks_page.py >docs/plugins/hooks.md"
    assert all(f"## `{kind.hook}()" in own for kind in KINDS)


@pytest.mark.parametrize(
    ("page", "checks"),
    [
        ("algorithm.md", algorithm_checks),
        ("topology-source.md", lambda plugin: topology_source_checks(plugin, [RACKS])),
        ("cost-model.md", cost_model_checks),
    ],
)
def test_the_examples_of_the_guide_pass_their_kits(
    page: str, checks: Callable[[ModuleType], Iterable[Check]]
) -> None:
    text = (PAGES / page).read_text(encoding="utf-8")
    plugin, test = re.findall(r"```python\n(.*?)```", text, re.S)
    module = ModuleType(page)
    exec(compile(plugin, page, "exec"), module.__dict__)
    every = list(checks(module))
    assert len(every) >= 5
    for check in every:
        check.run()
    assert len([line for line in test.splitlines() if line]) == 3
    compile(test, page, "exec")


def test_links_of_the_guide_lead_somewhere() -> None:
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([\w./-]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), (page.name, target)
    assert {kind.hook for kind in KINDS} == set(
        re.findall(r"`(distos_coll_\w+)` \|", (PAGES / "index.md").read_text(encoding="utf-8"))
    )
