"""`distos-coll plugins check`: the kits, for a plugin that is installed, named, or a module."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from distos_coll import settings
from distos_coll.errors import PluginError
from distos_coll.plugins.kinds import ALGORITHMS, COST_MODELS, SOURCES
from distos_coll.plugins.loading import Loaded, Wanted
from distos_coll.plugins.manager import plugins_of

if TYPE_CHECKING:
    from distos_coll.testing.kits import Check


def loaded(name: str) -> Loaded:
    """Find a plugin by its name, else load it as "module" or "module:attribute"."""
    wanted = Wanted.of(settings.load())
    found = plugins_of(Wanted(wanted.setting, skip=True)).found
    for one in found.loaded:
        if one.name == name:
            return one
    for refused in found.refused:
        if refused.candidate.name == name:
            raise PluginError(f"plugin {name!r} ({refused.candidate}) {refused.reason}")
    alone = plugins_of(Wanted(wanted.setting, skip=True, arguments=(name,))).found
    for refused in alone.refused:
        if refused.candidate.name == name:
            known = ", ".join(one.name for one in found.loaded) or "none"
            raise PluginError(
                f"plugin {name!r} {refused.reason}; name one that is loaded ({known}), or a module "
                "as DISTOS_COLL_PLUGINS does"
            )
    return alone.loaded[-1]


def checks_of(one: Loaded, samples: list[Path]) -> "Iterator[Check]":
    """Yield the checks of everything that a plugin adds."""
    # They load numpy and the core, which no other command of this group needs.
    from distos_coll.testing import algorithm_checks, cost_model_checks, topology_source_checks

    answers = one.answers
    if answers.get(ALGORITHMS.hook):
        yield from algorithm_checks(list(answers[ALGORITHMS.hook]))
    if answers.get(SOURCES.hook):
        yield from topology_source_checks(list(answers[SOURCES.hook]), samples)
    if answers.get(COST_MODELS.hook):
        yield from cost_model_checks(list(answers[COST_MODELS.hook]))


def check(
    name: Annotated[str, typer.Argument(help="A plugin's name, or module, or module:attribute.")],
    sample: Annotated[
        list[Path] | None,
        typer.Option(exists=True, help="A document that the plugin's source of topology reads."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a plugin against what it declares, with the kits that its own tests use.

    Ends with 1 if a check fails, or if the plugin adds nothing that can be checked.
    """
    one = loaded(name)
    console = Console(highlight=False)
    results: list[dict[str, Any]] = []
    for each in checks_of(one, sample or []):
        result = _result(each)
        results.append(result)
        if not as_json:
            said = f"\n       {result['said']}" if result["said"] else ""
            text = f"{result['result']:<6} {each.name}{said}"
            style = "red" if result["result"] == "FAILED" else ""
            console.print(text, style=style, markup=False, soft_wrap=True)
    counts = {r: sum(x["result"] == r for x in results) for r in ("ok", "FAILED", "skip")}
    if as_json:
        print(json.dumps({"plugin": one.name, "checks": results}, indent=2))
    else:
        text = f"{one.name}: {counts['ok']} ok, {counts['FAILED']} failed, {counts['skip']} skipped"
        console.print(text, markup=False)
    if counts["FAILED"] or not results:
        raise typer.Exit(1)


def _result(each: "Check") -> dict[str, Any]:
    try:
        skipped = each.run()
    except AssertionError as error:
        return {"check": each.name, "result": "FAILED", "said": str(error)}
    except Exception as error:  # noqa: BLE001  one failure among many is reported
        said = f"{type(error).__name__}: {error}"
        return {"check": each.name, "result": "FAILED", "said": said}
    return {"check": each.name, "result": "skip" if skipped else "ok", "said": str(skipped or "")}
