"""What OpenSM remembers between runs: guid2lid and neighbors.

    0x0000000000100004 0x0004 0x0004                  (GUID of a port, first and last LID)
    0x0000000000200001:5 0x0000000000200000:5         (GUID and port of both ends of a cable)

A blank line follows each.
"""

import re

from distos_coll.api import (
    Document,
    Found,
    LidAssignments,
    Notes,
    PortPairs,
    TopologySource,
    cut_off,
    hookimpl,
    text_lines,
)

_LIDS = re.compile(r"0x([0-9a-fA-F]{16}) 0x([0-9a-fA-F]{1,4}) 0x([0-9a-fA-F]{1,4})")
_PAIR = re.compile(r"0x([0-9a-fA-F]{16}):(\d{1,3}) 0x([0-9a-fA-F]{16}):(\d{1,3})")


def read_lids(document: Document) -> Found:
    """Read guid2lid."""
    notes, found = Notes(document), list[tuple[str, int, int]]()
    owner: dict[int, str] = {}
    seen: set[str] = set()
    for number, line in text_lines(document):
        if not line:
            continue
        match = _LIDS.fullmatch(line)
        if match is None:
            raise cut_off(document, "guid2lid", number)
        guid, first, last = match[1].lower(), int(match[2], 16), int(match[3], 16)
        if last < first:
            notes.add("lid-range", f"LIDs from {first} to {last} of {guid}", number)
        if guid in seen:
            notes.add("guid-twice", f"{guid} is there twice", number)
        seen.add(guid)
        for lid in {first, last} - {0}:
            other = owner.setdefault(lid, guid)
            if other != guid:
                notes.add("lid-twice", f"LID {lid} is that of {other} and of {guid}", number)
        found.append((guid, first, last))
    return Found(LidAssignments(tuple(found)), notes.warnings)


def read_neighbors(document: Document) -> Found:
    """Read neighbors."""
    notes, found = Notes(document), dict[tuple[str, int], tuple[str, int, int]]()
    for number, line in text_lines(document):
        if not line:
            continue
        match = _PAIR.fullmatch(line)
        if match is None:
            raise cut_off(document, "neighbors", number)
        near = match[1].lower(), int(match[2])
        if near in found:
            message = f"port {near[1]} of {near[0]} has two lines; the first counts"
            notes.add("port-twice", message, number)
        found.setdefault(near, (match[3].lower(), int(match[4]), number))
    for (guid, port), (other, at, number) in found.items():
        if found.get((other, at), ())[:2] != (guid, port):
            says = f"port {port} of {guid} leads to port {at} of {other}"
            notes.add("cable-one-sided", f"{says}, which does not say so", number)
    pairs = tuple((*near, *far[:2]) for near, far in found.items())
    return Found(PortPairs(pairs), notes.warnings)


def _first_line(document: Document) -> str:
    lines = document.head.lstrip().split(b"\n", 1)
    return lines[0].decode("ascii", "replace").rstrip()


@hookimpl
def distos_coll_topology_sources() -> list[TopologySource]:
    return [
        TopologySource(
            "opensm-guid2lid",
            "OpenSM's addresses, guid2lid.",
            lambda document: _LIDS.fullmatch(_first_line(document)) is not None,
            read_lids,
        ),
        TopologySource(
            "opensm-neighbors",
            "OpenSM's pairs of ports, neighbors.",
            lambda document: _PAIR.fullmatch(_first_line(document)) is not None,
            read_neighbors,
        ),
    ]
