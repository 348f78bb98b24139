"""`distos-coll plugins list`: what is installed and what it adds."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from distos_coll.plugins.manager import default_registry, source_owners

app = typer.Typer(no_args_is_help=True, help="Installed plugins.")


@app.callback()
def _group() -> None: ...


def summary() -> list[dict[str, Any]]:
    """Return one entry per plugin and algorithm, then one per source of topology."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for algorithm in default_registry().algorithms:
        entry = found.setdefault(
            (algorithm.plugin, algorithm.spec.key),
            {
                "plugin": algorithm.plugin,
                "built_in": algorithm.built_in,
                "algorithm": algorithm.spec.key,
                "collectives": [],
            },
        )
        entry["collectives"].append(algorithm.spec.collective.name.lower())
    sources = [
        {"plugin": plugin, "built_in": built_in, "topology_source": source.name, "doc": source.doc}
        for plugin, built_in, source in source_owners()
    ]
    return [found[key] for key in sorted(found)] + sources


@app.command("list")
def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every algorithm with its collectives, every source of topology, and their plugins."""
    entries = summary()
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    _print("algorithm", "collectives", [entry for entry in entries if "algorithm" in entry])
    _print("topology_source", "doc", [entry for entry in entries if "topology_source" in entry])


def _print(name: str, what: str, entries: list[dict[str, Any]]) -> None:
    table = Table(box=None)
    for column in (name, "plugin", what):
        table.add_column(column.replace("_", " "))
    for entry in entries:
        plugin = "built in" if entry["built_in"] else entry["plugin"]
        said = entry[what]
        table.add_row(entry[name], plugin, said if isinstance(said, str) else ", ".join(said))
    Console().print(table)
