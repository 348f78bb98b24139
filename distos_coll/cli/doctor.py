"""`distos-coll doctor`: what this machine can do, what is missing, the mend."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

_COLOURS = {"good": "green", "note": "yellow", "bad": "red"}


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check this machine and this installation; exit code 1 if something keeps it from working."""
    from distos_coll.doctor import examine

    findings = examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        table = Table(box=None, show_header=False)
        for finding in findings:
            mend = f"\n-> {finding.mend}" if finding.mend else ""
            table.add_row(
                f"[{_COLOURS[finding.status]}]{finding.status}[/]",
                finding.about,
                # Texts come from anywhere and are not markup.
                (finding.text + mend).replace("[", r"\["),
            )
        Console().print(table)
    if any(finding.status == "bad" for finding in findings):
        raise typer.Exit(1)
