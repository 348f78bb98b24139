"""One value of many that speak of the same thing, field by field.

A field that is at its default says nothing; what a format writes for "unknown", such as a speed of
-1, counts where nobody knows better. Of different values the lesser stays: the slower speed, the
smaller count, the first in the alphabet. It is a choice that does not depend on who spoke first, so
merging in another order gives the same, and a plan from it is rather too careful than too bold.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

from distos_coll.topology import guids, pci
from distos_coll.topology.fabric import End, Extra
from distos_coll.topology.names import natural

T = TypeVar("T")
Voice: TypeAlias = int | str
"""Who says something; what it stands for is known to the caller."""

UNIONS = frozenset({"os_names", "addresses", "hosts", "switches", "members"})
"""Fields that are sets: all that is said holds."""
_NO_CONFLICT = frozenset({"implied", "named"})
_UNKNOWN = object()
_MEASURED = frozenset({"mbps", "width", "transfers"})
_NUMBERED = frozenset({"rail", "plane"})


@dataclass(frozen=True, slots=True)
class Conflict:
    """What voices say differently of one field."""

    place: str
    field: str
    said: tuple[tuple[str, tuple[Voice, ...]], ...]
    """Each value with those that say it, in the order of values."""
    kept: str
    code: str = "sources-differ"
    """Of the finding."""


def merge_fields(
    said: Sequence[tuple[Voice, T]],
    skip: frozenset[str] = frozenset(),
    place: str = "",
) -> tuple[dict[str, Any], list[Conflict]]:
    """Return the fields of all that speak, and what they contradict each other in."""
    found: dict[str, Any] = {}
    conflicts: list[Conflict] = []
    for field, default in _fields_of(cast(Any, type(said[0][1]))):
        if field in skip:
            continue
        values = [(voice, getattr(item, field)) for voice, item in said]
        if field == "extra":
            found[field] = _merge_extra(values, place, conflicts)
        elif field in {"implied", "made_up"}:
            # Whoever does not say so states it.
            found[field] = all(value for _, value in values)
        else:
            stated = [(voice, value) for voice, value in values if value != default]
            known = [each for each in stated if not _is_unknown(field, each[1])]
            # Kept as it is spelt where nobody knows better.
            stated = known or stated
            found[field] = _merge(field, stated, default, place, conflicts)
    return found, conflicts


def _is_unknown(field: str, value: Any) -> bool:
    """What formats write where they do not know: a speed of -1, no lanes, a rail of -1."""
    if not isinstance(value, int | float):
        return False
    return (field in _MEASURED and value <= 0) or (field in _NUMBERED and value < 0)


@cache
def _fields_of(kind: Any) -> tuple[tuple[str, Any], ...]:
    return tuple((field.name, _default(field)) for field in fields(kind))


def _default(field: "Field[Any]") -> Any:
    if field.default is not MISSING:
        return field.default
    factory = field.default_factory
    return _UNKNOWN if factory is MISSING else factory()


def _merge(
    field: str,
    stated: list[tuple[Voice, Any]],
    default: Any,
    place: str,
    conflicts: list[Conflict],
) -> Any:
    if not stated:
        return default
    if field in UNIONS:
        return tuple(sorted({each for _, value in stated for each in value}, key=sort_key))
    by_value: dict[Any, list[Voice]] = {}
    for voice, value in stated:
        by_value.setdefault(value, []).append(voice)
    if len(by_value) == 1:
        return stated[0][1]
    kept = min(by_value, key=_ORDERS.get(field, sort_key))
    if field not in _NO_CONFLICT and not _are_one(field, by_value):
        conflicts.append(_conflict(place, field, by_value, kept))
    return kept


def _are_one(field: str, values: Mapping[Any, object]) -> bool:
    return field == "guid" and len(set(map(guids.either, values))) == 1


def _conflict(place: str, field: str, by_value: Mapping[Any, list[Voice]], kept: Any) -> Conflict:
    ordered = sorted(by_value, key=sort_key)
    said = tuple((text_of(value), tuple(dict.fromkeys(by_value[value]))) for value in ordered)
    return Conflict(place, field, said, text_of(kept))


def text_of(value: Any) -> str:
    """Write a field's value; a set of CPUs may be larger than Python writes in decimals."""
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return hex(value) if isinstance(value, int) and value.bit_length() > 64 else str(value)


def _merge_extra(
    values: list[tuple[Voice, Any]], place: str, conflicts: list[Conflict]
) -> tuple[tuple[str, str], ...]:
    extras = dict.fromkeys(value for _, value in values)
    if len(extras) == 1:
        return next(iter(extras))
    found: dict[str, list[tuple[Voice, tuple[str, ...]]]] = {}
    for voice, extra in values:
        for name, texts in by_name(extra).items():
            found.setdefault(name, []).append((voice, texts))
    return tuple(
        (name, text)
        for name in sorted(found)
        for text in _merge(name, found[name], None, place, conflicts)
    )


def by_name(extra: Extra) -> dict[str, tuple[str, ...]]:
    """All texts of each name."""
    found: dict[str, tuple[str, ...]] = {}
    for name, text in extra:
        found[name] = (*found.get(name, ()), text)
    return found


def in_order(item: T) -> T:
    """Sort what is a set."""
    sets = {name: getattr(item, name) for name in UNIONS if hasattr(item, name)}
    whole = {name: tuple(sorted(set(own), key=sort_key)) for name, own in sets.items()}
    return replace(item, **whole) if whole != sets else item  # type: ignore[type-var]


def sort_key(value: Any) -> tuple[Any, ...]:
    """Order values of any kind that a model has."""
    if isinstance(value, bool | int | float):
        return ("", value)
    if isinstance(value, str):
        return ("text", natural(value))
    if isinstance(value, End):
        return ("end", value.kind.value, natural(value.id), sort_key(value.port))
    if isinstance(value, tuple):
        return ("tuple", tuple(map(sort_key, value)))
    return (type(value).__name__,)


_PATHS = ("NVL", "NVB", "C2C", "PIX", "PXB", "P2C", "PXN", "PHB", "NODE", "SYS", "NET", "DIS")


def _farthest(path: Any) -> tuple[Any, ...]:
    return (-_PATHS.index(path), path) if path in _PATHS else (-len(_PATHS), path)


def _by_address(name: Any) -> tuple[Any, ...]:
    return (pci.bus_id(name) is None, name)


_ORDERS: Mapping[str, Callable[[Any], tuple[Any, ...]]] = {
    "path": _farthest,
    "named": _by_address,
}
