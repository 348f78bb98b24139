"""DISTOS_COLL_ALGO: which algorithms may be used. NCCL's grammar, over our names.

    ring,tree                            only these, where a collective has one of them
    ^ring                                all but these
    allreduce:ring;broadcast:binomial    per collective; our spelling (all_reduce) or NCCL's
    ring;allreduce:tree,hier             for all, then an exception

An empty text restricts nothing.
"""

import difflib
from collections.abc import Collection
from dataclasses import dataclass

from distos_coll._vocabulary import Collective
from distos_coll.errors import InvalidArgument

VARIABLE = "DISTOS_COLL_ALGO"
DETERMINISTIC = "DISTOS_COLL_DETERMINISTIC"

# Names of NCCL's that mean nothing here; NCCL_ALGO may hold them, and whoever reads that drops
# them.
NCCL_ONLY = frozenset({"collnetdirect", "collnetchain", "nvls", "nvlstree", "pat"})


@dataclass(frozen=True)
class NameList:
    names: frozenset[str]
    excluded: bool
    """True: all but these."""
    text: str
    """As the person wrote it."""

    def allows(self, name: str) -> bool:
        return (name in self.names) != self.excluded


@dataclass(frozen=True)
class AlgoFilter:
    default: NameList | None = None
    by_collective: tuple[tuple[Collective, NameList], ...] = ()
    in_rank_order: bool = False
    """Of those that reduce, only what does it in the order of ranks (DISTOS_COLL_DETERMINISTIC)."""

    def of(self, collective: Collective, defined: Collection[str]) -> NameList | None:
        """What restricts this collective. A list for all says nothing about collectives that have
        none of its algorithms: "tree" forces trees where there are some, and leaves all_to_all
        alone.
        """
        for other, names in self.by_collective:
            if other is collective:
                return names
        if self.default is None or self.default.excluded:
            return self.default
        return self.default if self.default.names & set(defined) else None


def collective_named(text: str) -> Collective:
    """all_reduce, AllReduce, allreduce ... InvalidArgument with a suggestion for anything else."""
    known = {_plain(c.name): c for c in Collective}
    found = known.get(_plain(text))
    if found is None:
        raise InvalidArgument(
            f"unknown collective {text.strip()!r}{_suggestion(_plain(text), list(known))}; known: "
            + ", ".join(c.name.lower() for c in Collective)
        )
    return found


def parse(text: str, known: Collection[str]) -> AlgoFilter:
    """InvalidArgument says what is wrong with the text; `known` are the algorithms' names."""
    default: NameList | None = None
    by_collective: dict[Collective, NameList] = {}
    for part in filter(None, (part.strip() for part in text.split(";"))):
        head, colon, tail = part.partition(":")
        names = _names(tail if colon else head, known, part)
        if not colon:
            if default is not None:
                raise InvalidArgument(
                    f"{VARIABLE}={text!r} has two lists for all collectives; join them with commas"
                )
            default = names
            continue
        collective = collective_named(head)
        if collective in by_collective:
            raise InvalidArgument(f"{VARIABLE}={text!r} names {head.strip()!r} twice")
        by_collective[collective] = names
    return AlgoFilter(default, tuple(sorted(by_collective.items())))


def _names(text: str, known: Collection[str], part: str) -> NameList:
    body = text.strip()
    excluded = body.startswith("^")
    names = [name.strip().lower() for name in body.removeprefix("^").split(",")]
    for name in names:
        if not name:
            raise InvalidArgument(f"{VARIABLE}: {part!r} has an empty name; write e.g. ring,tree")
        if name not in known:
            hint = _suggestion(name, sorted(known))
            if name in NCCL_ONLY:
                hint = " (an NCCL algorithm that means nothing here)"
            raise InvalidArgument(
                f"{VARIABLE}: unknown algorithm {name!r}{hint}; known: {', '.join(sorted(known))}"
            )
    return NameList(frozenset(names), excluded, body)


def _plain(text: str) -> str:
    return text.strip().lower().replace("_", "").replace("-", "")


def _suggestion(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {close[0]!r}?" if close else ""
