"""`distos-coll plugins list`: what is installed and what it adds."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from distos_coll.plugins.manager import default_registry

app = typer.Typer(no_args_is_help=True, help="Installed plugins.")


@app.callback()
def _group() -> None: ...


def summary() -> list[dict[str, Any]]:
    """Return one entry per plugin and algorithm."""
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
    return [found[key] for key in sorted(found)]


@app.command("list")
def list_plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List every algorithm, the plugin it comes from, and the collectives it serves."""
    entries = summary()
    if as_json:
        print(json.dumps(entries, indent=2))
        return
    table = Table(box=None)
    for column in ("algorithm", "plugin", "collectives"):
        table.add_column(column)
    for entry in entries:
        plugin = "built in" if entry["built_in"] else entry["plugin"]
        table.add_row(entry["algorithm"], plugin, ", ".join(entry["collectives"]))
    Console().print(table)
