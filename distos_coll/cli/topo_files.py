"""`distos-coll topo import`, `merge` and `export`: files in, files out."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from distos_coll.cli.files import Input, there
from distos_coll.cli.say import say
from distos_coll.errors import SystemFailure
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import artifacts, reading
from distos_coll.topology.importing import Imported, Wanted, import_documents
from distos_coll.topology.names import counted, listed
from distos_coll.topology.source import TopologySource

Files = Annotated[
    list[str],
    typer.Argument(
        help="Files, directories, - for standard input; formats are recognised. NAME=FILE where a "
        "file of one host does not tell its name."
    ),
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the three files.")]
ShortNames = Annotated[
    bool, typer.Option(help="Hosts are called so up to the first dot: n1 and n1.example are one.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def import_(
    files: Files, output: Output, short_names: ShortNames = False, as_json: Json = False
) -> None:
    """Read files of any format into one model, and write it for schedulers."""
    _write(files, output, short_names, as_json)


def merge(
    files: Files, output: Output, short_names: ShortNames = False, as_json: Json = False
) -> None:
    """Merge models, or files of any format; what they say differently is told."""
    if len(files) < 2:
        raise typer.BadParameter("name two files or more", param_hint="FILES")
    _write(files, output, short_names, as_json)


def _write(files: Sequence[str], output: Path, short_names: bool, as_json: bool) -> None:
    sources = default_sources()
    wanted = [Wanted.of(argument) for argument in files]
    for each in wanted:
        there(each.path)
    imported = import_documents(wanted, sources, short_names=short_names)
    found = artifacts.artifacts(imported.topology, imported.findings, sources)
    paths = artifacts.save(found, output)
    if as_json:
        facts = {
            "files": [str(path) for path in paths],
            "documents": dict(imported.documents),
            "named_after_file": dict(imported.named),
            "hosts": len(imported.topology.hosts),
            "switches": len(imported.topology.fabric.switches),
            "warnings": [str(finding) for finding in imported.findings],
        }
        print(json.dumps(facts, indent=2))
    else:
        _say(imported, paths)


def _say(imported: Imported, paths: Sequence[Path]) -> None:
    console = Console()
    topology = imported.topology
    formats = Counter(name for _, name in imported.documents)
    told = ", ".join(f"{count:,} of {name}" for name, count in sorted(formats.items()))
    hosts = counted(len(topology.hosts), "host", "hosts")
    kinds = counted(len(topology.templates), "kind", "kinds")
    switches = counted(len(topology.fabric.switches), "switch", "switches")
    documents = counted(len(imported.documents), "document", "documents")
    say(console, f"{documents} ({told}): {hosts} of {kinds}, {switches}")
    if imported.named:
        called = listed(f"{path} is {name}" for path, name in imported.named)
        say(console, f"hosts called after their files, which do not name them: {called}")
    for path in paths:
        say(console, f"wrote {path}")
    for finding in imported.findings:
        say(console, f"warning: {finding}", "yellow")


def export(
    file: Input,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="nccl-xml, ...")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
) -> None:
    """Write what a file says in another format."""
    sources = default_sources()
    data = artifacts.export(reading.read(file, sources).found, _format(to, sources))
    if output is None:
        sys.stdout.buffer.write(data)
        return
    try:
        output.write_bytes(data)
    except OSError as error:
        raise SystemFailure(f"{output}: cannot be written: {error}") from None


def _format(name: str, sources: Sequence[TopologySource]) -> TopologySource:
    writable = {source.name: source for source in sources if source.write is not None}
    if name not in writable:
        raise typer.BadParameter(
            f"{name} is no format that can be written; those are {', '.join(sorted(writable))}",
            param_hint="--to",
        )
    return writable[name]
