"""`distos-coll topo`: what files say of machines and networks."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from distos_coll.cli import topo_diff, topo_discover, topo_files, topo_picture, topo_tree
from distos_coll.cli.files import Input
from distos_coll.errors import TopologyError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import reading
from distos_coll.topology.summary import summary
from distos_coll.topology.text import told

app = typer.Typer(no_args_is_help=True, help="Topologies: of machines, and of the network.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


app.command("import", no_args_is_help=True)(topo_files.import_)
app.command(no_args_is_help=True)(topo_files.merge)
app.command(no_args_is_help=True)(topo_files.export)
app.command(no_args_is_help=True)(topo_diff.diff)
app.command()(topo_discover.discover)


@app.callback()
def _group() -> None: ...


@app.command()
def show(
    file: Input,
    as_json: Json = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw it into this file: .svg, or .png (needs matplotlib).")
    ] = None,
) -> None:
    """Show what a file says: hosts, their devices and links, switches, contradictions."""
    read = reading.read(file, default_sources())
    facts = summary(read)
    if picture is not None:
        topo_picture.draw(read, picture)
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        topo_tree.show(Console(), read, facts)


@app.command()
def validate(file: Input, as_json: Json = False) -> None:
    """Say what is wrong with a file; exit code 1 if it cannot be read or contradicts itself."""
    format_name, problems = None, []
    try:
        read = reading.read(file, default_sources())
        format_name, problems = read.format, [str(warning) for warning in read.warnings]
    except TopologyError as error:
        problems = [str(error)]
    if as_json:
        found = {"format": format_name, "valid": not problems, "problems": problems}
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(problems) or f"{told(str(file))}: {format_name}, no contradictions")
    if problems:
        raise typer.Exit(1)
