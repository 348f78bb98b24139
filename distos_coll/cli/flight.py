"""`distos-coll flight`: the flight records of many ranks, read together."""

import json
from pathlib import Path
from typing import Annotated

import typer

from distos_coll.errors import InvalidArgument, SystemFailure
from distos_coll.flight import dump, merge, report

Files = Annotated[
    list[Path], typer.Argument(metavar="FILE|DIR...", help="Dumps, or directories of *.json.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ToTorch = Annotated[
    str, typer.Option("--to-torch", metavar="DIR", help="Write there what torchfrtrace reads.")
]


def flight(files: Files, as_json: Json = False, to_torch: ToTorch = "") -> None:
    """Say where each rank is, who differs and who is missing; exit code 1 if something is wrong."""
    try:
        dumps = [dump.read(path) for path in dump.find(files)]
    except InvalidArgument as error:
        raise typer.BadParameter(str(error)) from None
    if not dumps:
        raise typer.BadParameter("there is no *.json file in these directories")
    if to_torch:
        _write_for_torch(dumps, Path(to_torch))
    readings = merge.merge(dumps)
    if as_json:
        print(json.dumps([report.as_dict(reading) for reading in readings], indent=2))
    else:
        for i, reading in enumerate(readings):
            print("\n" * (i > 0) + "\n".join(report.lines(reading)))
    if any(reading.problem for reading in readings):
        raise typer.Exit(1)


def _write_for_torch(dumps: list[dump.Dump], folder: Path) -> None:
    from distos_coll.flight import torch_trace

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in torch_trace.convert(dumps).items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise SystemFailure(f"cannot write for torchfrtrace: {error}") from None
