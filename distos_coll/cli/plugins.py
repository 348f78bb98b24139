"""`distos-coll plugins`: what is loaded and what it adds."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from distos_coll import settings
from distos_coll._version import __version__
from distos_coll.cli import plugin_check, plugin_new
from distos_coll.plugins.loading import BUILT_IN, Candidate, Wanted
from distos_coll.plugins.manager import Plugins, plugins_of

app = typer.Typer(no_args_is_help=True, help="Plugins: what is loaded, and what it adds.")

KINDS = ("algorithms", "topology_sources", "cost_models")


app.command(no_args_is_help=True)(plugin_check.check)
app.command(no_args_is_help=True)(plugin_new.new)


@app.callback()
def _group() -> None: ...


def summary(plugins: Plugins) -> dict[str, Any]:
    """Return plugins in the order of loading, each with what it adds, and those left out."""
    entries: dict[str, dict[str, Any]] = {}
    for kind, name, own, item in _items(plugins):
        if own and name not in entries:
            entries[name] = _entry(_built_in(name), _file_of(name))
        elif name not in entries:
            one = next(one for one in plugins.found.loaded if one.name == name)
            entries[name] = _entry(one.candidate, one.file)
        entries[name][kind].append(item)
    for one in plugins.found.loaded:  # those that add nothing
        entries.setdefault(one.name, _entry(one.candidate, one.file))
    refused = [{**_who(r.candidate), "reason": r.reason} for r in plugins.found.refused]
    return {"plugins": list(entries.values()), "refused": refused}


def _items(plugins: Plugins) -> Iterator[tuple[str, str, bool, dict[str, Any]]]:
    """Everything that is added: kind, plugin, whether that is built in, description."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    built_in = {}
    for algorithm in plugins.registry.algorithms:
        spec = algorithm.spec
        built_in[algorithm.plugin] = algorithm.built_in
        empty = {"name": spec.key, "doc": spec.doc, "collectives": []}
        entry = found.setdefault((algorithm.plugin, spec.key), empty)
        entry["collectives"].append(spec.collective.name.lower())
    order = {one.name: number for number, one in enumerate(plugins.found.loaded)}
    for (name, _), entry in sorted(found.items(), key=lambda i: (order.get(i[0][0], -1), i[0])):
        yield "algorithms", name, built_in[name], entry
    for name, own, source in plugins.owned_sources:
        writes, discovers = source.write is not None, source.discover is not None
        told = {"name": source.name, "doc": source.doc, "writes": writes, "discovers": discovers}
        yield "topology_sources", name, own, told
    for model in plugins.cost_models.names:
        name, told_of = plugins.cost_models.owner(model)
        yield "cost_models", name, name not in order, {"name": model, "doc": told_of.doc}


def _built_in(name: str) -> Candidate:
    return Candidate(name, BUILT_IN, name, lambda: None, "distos-coll", __version__)


def _file_of(module: str) -> str:
    return str(getattr(sys.modules.get(module), "__file__", "") or "")


def _who(candidate: Candidate) -> dict[str, Any]:
    return {
        "name": candidate.name,
        "origin": candidate.origin,
        "where": candidate.where,
        "distribution": candidate.distribution,
        "version": candidate.version,
    }


def _entry(candidate: Candidate, file: str) -> dict[str, Any]:
    return {**_who(candidate), "file": file, **{kind: [] for kind in KINDS}}


@app.command("list")
def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List plugins with where they come from, all that they add, and those that were left out.

    Ends with 1 if one cannot be loaded and DISTOS_COLL_PLUGIN_FAILURES does not say skip.
    """
    values = settings.load()
    found = summary(plugins_of(replace(Wanted.of(values), skip=True)))
    if as_json:
        print(json.dumps(found, indent=2))
    else:
        _show(found)
    if found["refused"] and values.plugin_failures != "skip":
        raise typer.Exit(1)


def _show(found: dict[str, Any]) -> None:
    console = Console()
    plugins = found["plugins"]
    for kind, what in (("algorithms", "collectives"), ("topology_sources", "doc")):
        _table(console, kind, what, plugins)
    _table(console, "cost_models", "doc", plugins)
    for each in plugins:
        if each["origin"] != BUILT_IN:
            of = f"{each['distribution']} {each['version']}".strip() or "no distribution"
            text = f"{each['name']}: {each['origin']} {each['where']}, of {of}, {each['file']}"
            console.print(text, markup=False, soft_wrap=True, highlight=False)
    for each in found["refused"]:
        text = f"left out: {each['name']} ({each['origin']} {each['where']}): it {each['reason']}"
        console.print(text, style="red", markup=False, soft_wrap=True)


def _table(console: Console, kind: str, what: str, plugins: list[dict[str, Any]]) -> None:
    table = Table(kind.removesuffix("s").replace("_", " "), "plugin", what, box=None)
    for plugin in plugins:
        shown = "built in" if plugin["origin"] == BUILT_IN else plugin["name"]
        for item in plugin[kind]:
            said = item[what]
            table.add_row(item["name"], shown, said if isinstance(said, str) else ", ".join(said))
    console.print(table)
