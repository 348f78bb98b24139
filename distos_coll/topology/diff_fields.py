"""What changed between two objects of one class, field by field."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from distos_coll.topology.diff import Difference
from distos_coll.topology.fabric import Extra
from distos_coll.topology.merge_fields import UNIONS, by_name, sort_key, text_of


def told(kind: str, what: str, old: Any, new: Any) -> Difference:
    return Difference(kind, what, _text(old), _text(new))


def of_fields(
    noun: str, what: str, old: Any, new: Any, skip: frozenset[str] = frozenset()
) -> Iterator[Difference]:
    """What has no kind of its own is "changed", with the name of the field."""
    for field in fields(old):
        mine, other = getattr(old, field.name), getattr(new, field.name)
        if field.name in UNIONS:
            mine, other = (tuple(sorted(set(side), key=sort_key)) for side in (mine, other))
        if field.name in skip or mine == other:
            continue
        if field.name == "extra":
            yield from of_extra(f"{noun}-changed", what, mine, other)
        else:
            yield told(f"{noun}-changed", f"{what} {field.name}", mine, other)


def of_extra(kind: str, what: str, old: Extra, new: Extra) -> Iterator[Difference]:
    before, after = by_name(old), by_name(new)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            yield told(kind, f"{what} {name}".lstrip(), before.get(name), after.get(name))


def of_speed(noun: str, what: str, old: int | None, new: int | None) -> Iterator[Difference]:
    """Of a port or cable, in Mb/s."""
    if old == new:
        return
    if old is None or new is None:
        yield told(f"{noun}-changed", f"{what} mbps", old, new)
        return
    how = "slower" if new < old else "faster"
    yield Difference(f"{noun}-{how}", what, gbits(old), gbits(new))


def gbits(mbps: int) -> str:
    return f"{mbps / 1000:g} Gb/s"


def rail_name(rail: int | None, plane: int | None) -> str:
    if rail is None:
        return "none" if plane is None else f"plane {plane}"
    return f"rail {rail}" if plane is None else f"rail {rail}, plane {plane}"


def _text(value: Any) -> str | None:
    return None if value is None else text_of(value)
