"""NCCL_ALGO and NCCL_PROTO: which algorithms, or protocols, may be used. NCCL's own grammar.

ring,tree                    only these
^ll128                       all but these
ring;allreduce:tree,nvls     for all collectives, then another list for one
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from distos_coll.api import Collective, InvalidArgument
from distos_coll.costs.nccl.tables import ALGORITHMS

_COLLECTIVES = {c.name.lower().replace("_", ""): c for c in ALGORITHMS}


@dataclass(frozen=True)
class Listed:
    """What one collective may use."""

    names: frozenset[str]
    text: str
    """The variable as it was set."""


def parse(variable: str, text: str, known: Sequence[str]) -> dict[Collective, Listed]:
    """Return the collectives that the text speaks of; of others everything is allowed."""
    found: dict[Collective, Listed] = {}
    for index, part in enumerate(filter(None, (each.strip() for each in text.split(";")))):
        head, colon, tail = part.partition(":")
        if index and not colon:
            raise InvalidArgument(
                f"{variable}={text!r}: {part!r} names no collective, and only the first list may "
                "do without"
            )
        wanted = list(_COLLECTIVES.values())
        if colon:
            name = _known(variable, head, "collective", list(_COLLECTIVES))
            wanted = [_COLLECTIVES[name]]
        listed = Listed(_names(variable, tail if colon else head, known), f"{variable}={text}")
        found.update(dict.fromkeys(wanted, listed))
    return found


def _names(variable: str, text: str, known: Sequence[str]) -> frozenset[str]:
    body = text.strip()
    names = frozenset(
        _known(variable, name, "name", known)
        for name in body.removeprefix("^").split(",")
        if name.strip()
    )
    if not names:
        raise InvalidArgument(f"{variable}: {body!r} lists no names; known: {', '.join(known)}")
    return frozenset(known) - names if body.startswith("^") else names


def _known(variable: str, text: str, kind: str, known: Sequence[str]) -> str:
    name = text.strip().lower()
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {close[0]!r}?" if close else ""
        raise InvalidArgument(
            f"{variable}: unknown {kind} {text.strip()!r}{hint}; known: {', '.join(known)}"
        )
    return name
