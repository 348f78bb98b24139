"""`distos-coll topo diff`: what changed, a line for each kind of change."""

import errno
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from distos_coll.cli.files import Input
from distos_coll.cli.say import complain, say
from distos_coll.errors import DistosError
from distos_coll.plugins.manager import default_sources
from distos_coll.topology import reading
from distos_coll.topology.diff import Change
from distos_coll.topology.diff import diff as compare
from distos_coll.topology.model import Topology
from distos_coll.topology.names import counted, listed, ranges

_MOST_LINES = 20
"""Of one kind of change."""
_MOST_NAMES = 6
_COLOURS = {"lost": "red", "fewer": "red", "slower": "red", "new": "green", "more": "green"}


def diff(
    old: Input,
    new: Input,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what changed between two files; exit code 0 if nothing, 1 if something, 2 on an error."""
    try:
        changes = compare(_read(old), _read(new))
    except DistosError as error:
        # Not 1: who asks whether something changed has no answer.
        complain(error)
        raise typer.Exit(2) from None
    try:
        if as_json:
            print(json.dumps([change.as_dict() for change in changes], indent=2))
        else:
            show(Console(), changes)
        sys.stdout.flush()
    except OSError as error:
        # Nor has who could not be told. Who reads no further, as head does, knows.
        if error.errno != errno.EPIPE:
            complain(error)
        raise typer.Exit(2) from None
    if changes:
        raise typer.Exit(1)


def _read(path: Path) -> Topology:
    document = reading.open_document(path)
    source, found = reading.understood(document, default_sources())
    if not isinstance(found.content, Topology):
        raise document.error(f"{source.name} says nothing of hosts or networks to compare")
    return found.content


def show(console: Console, changes: tuple[Change, ...]) -> None:
    """Print them, the worst first, and a figure for each kind."""
    shown_of: Counter[str] = Counter()
    for change in changes:
        shown_of[change.kind] += 1
        if shown_of[change.kind] <= _MOST_LINES:
            style = _COLOURS.get(change.kind.rpartition("-")[2], "")
            say(console, line(change), style)
    for kind, count in shown_of.items():
        if count > _MOST_LINES:
            say(console, f"{_title(kind)}: and {count - _MOST_LINES:,} more such lines")
    totals: Counter[str] = Counter()
    for change in changes:
        totals[change.kind] += change.count
    told = ", ".join(f"{_title(kind)} {count:,}" for kind, count in totals.items())
    say(console, told or "no changes")


def line(change: Change) -> str:
    """One change: "GPU lost: 0000:1b:00.0 on n[0001-1000] (1,000 hosts)"."""
    what = listed(change.what, _MOST_NAMES)
    hosts = ranges(change.hosts)
    if len(change.hosts) > 1:
        hosts += f" ({counted(len(change.hosts), 'host', 'hosts')})"
    place = " on ".join(part for part in (what, hosts) if part)
    values = ""
    if change.old is not None or change.new is not None:
        values = f": {_value(change.old)} -> {_value(change.new)}"
    elif change.each:
        host, before, after = change.each[0]
        values = f": of {host} {_value(before)} -> {_value(after)}, and so on"
    return f"{_title(change.kind)}: {place}{values}"


def _title(kind: str) -> str:
    words = kind.split("-")
    names = {"gpu": "GPU", "nic": "NIC", "numa": "NUMA node", "pci": "PCI", "nvswitch": "NVSwitch"}
    return " ".join(names.get(word, word) for word in words)


def _value(text: str | None) -> str:
    return "nothing" if text is None else text
