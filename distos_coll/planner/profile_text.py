"""A profile as values that JSON can carry: written, and read with everything checked."""

from collections.abc import Callable, Mapping
from dataclasses import fields
from math import isfinite
from typing import Any, TypeVar

from distos_coll.errors import InvalidArgument
from distos_coll.planner.links import LinkClass, Links
from distos_coll.planner.profile import Curve, Kind, Profile, Shape, Table
from distos_coll.plugins.costs import Figures, LinkCost

T = TypeVar("T")
_LONGEST_TEXT = 1000


def as_dict(profile: Profile) -> dict[str, Any]:
    figures = {name: _plain(value) for name, value in vars(profile.figures).items()}
    return {
        "figures": figures,
        "tables": [_table_dict(table) for table in profile.tables],
        "links": [_links_dict(links) for links in profile.links],
    }


def _plain(figure: Any) -> Any:
    if isinstance(figure, LinkCost):
        return {name: _rounded(value) for name, value in vars(figure).items()}
    return figure


def _rounded(value: float) -> float:
    """Keep four digits; no measurement is more exact."""
    return float(f"{value:.4g}")


def _table_dict(table: Table) -> dict[str, Any]:
    times = {
        kind.text: {
            name: {"bytes": list(curve.sizes), "us": [_rounded(us) for us in curve.us]}
            for name, curve in curves.items()
        }
        for kind, curves in table.kinds.items()
    }
    return {"shape": {**vars(table.shape), "domains": list(table.shape.domains)}, "times": times}


def _links_dict(links: Links) -> dict[str, Any]:
    return {
        "hosts": list(links.hosts),
        "classes": [vars(each) for each in links.classes],
        "rows": [row.hex() for row in links.rows],
        "source": links.source,
        "measured": links.measured,
        "ports": list(links.ports),
    }


def from_dict(value: object) -> Profile:
    """Make a profile of what as_dict() gave and JSON carried; ValueError says what is wrong."""
    parts = _object(value, "the profile", ("figures", "tables", "links"))
    given = _object(parts["figures"], "figures", [item.name for item in fields(Figures)])
    readers: Mapping[Any, Callable[[object, str], Any]] = {
        LinkCost: _link,
        float: _number,
        int: _count,
    }
    figures = {
        item.name: readers[item.type](given[item.name], item.name) for item in fields(Figures)
    }
    tables = _list(parts["tables"], "tables", _table)
    return Profile(Figures(**figures), tuple(tables), tuple(_list(parts["links"], "links", _links)))


def _links(value: object, where: str) -> Links:
    parts = _object(value, where, [item.name for item in fields(Links)])
    if not isinstance(parts["measured"], bool):
        raise ValueError(f"{where}.measured is neither true nor false")  # noqa: TRY004  of text
    try:
        return Links(
            tuple(_list(parts["hosts"], f"{where}.hosts", _text)),
            tuple(_list(parts["classes"], f"{where}.classes", _class)),
            tuple(_list(parts["rows"], f"{where}.rows", _row)),
            _text(parts["source"], f"{where}.source"),
            parts["measured"],
            tuple(_list(parts["ports"], f"{where}.ports", _known_or_none(_positive))),
        )
    except InvalidArgument as error:
        raise ValueError(str(error)) from None


def _class(value: object, where: str) -> LinkClass:
    parts = _object(value, where, [item.name for item in fields(LinkClass)])
    us = _known_or_none(_number)(parts["us"], f"{where}.us")
    return LinkClass(us, _known_or_none(_positive)(parts["gbps"], f"{where}.gbps"))


def _known_or_none(
    read: Callable[[object, str], float],
) -> Callable[[object, str], float | None]:
    return lambda value, where: None if value is None else read(value, where)


def _row(value: object, where: str) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{where} is {value!r:.40}, and no row of classes")  # noqa: TRY004  of text
    return bytes.fromhex(value)


def _text(value: object, where: str) -> str:
    # It reaches terminals.
    if not isinstance(value, str) or not value.isprintable() or len(value) > _LONGEST_TEXT:
        raise ValueError(f"{where} is {value!r:.40}, and no text of a line")
    return value


def _link(value: object, where: str) -> LinkCost:
    parts = _object(value, where, [item.name for item in fields(LinkCost)])
    cost = LinkCost(**{name: _number(each, f"{where}.{name}") for name, each in parts.items()})
    _positive(cost.gbps, f"{where}.gbps")
    return cost


def _table(value: object, where: str) -> Table:
    parts = _object(value, where, ("shape", "times"))
    given = _object(parts["shape"], "shape", [item.name for item in fields(Shape)])
    if not isinstance(given["single_copy"], bool):
        raise ValueError("single_copy is neither true nor false")  # noqa: TRY004  of text
    shape = Shape(
        tuple(_list(given["domains"], "domains", _count)),
        given["single_copy"],
        _positive(given["sharing"], "sharing"),
        _count(given["slot_bytes"], "slot_bytes"),
        _text(given["links"], "links"),
    )
    times = _object(parts["times"], "times").items()
    return Table(shape, {Kind.of_text(name): _curves(curves, name) for name, curves in times})


def _curves(value: object, where: str) -> dict[str, Curve]:
    return {name: _curve(curve, f"{where} {name}") for name, curve in _object(value, where).items()}


def _curve(value: object, where: str) -> Curve:
    parts = _object(value, where, ("bytes", "us"))
    sizes, us = _list(parts["bytes"], where, _count), _list(parts["us"], where, _positive)
    if not sizes or len(sizes) != len(us) or sizes != sorted(set(sizes)):
        raise ValueError(f"{where}: expected ascending sizes, and as many times")
    return Curve(tuple(sizes), tuple(us))


def _object(value: object, where: str, names: Any = None) -> dict[str, Any]:
    if not isinstance(value, dict) or (names is not None and value.keys() != set(names)):
        expected = "" if names is None else f" of {', '.join(names)}"
        raise ValueError(f"{where} is no object{expected}")
    return value


def _list(value: object, where: str, read: Callable[[object, str], T]) -> list[T]:
    if not isinstance(value, list):
        raise ValueError(f"{where} is no list")  # noqa: TRY004  of text
    return [read(each, where) for each in value]


def _number(value: object, where: str) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not isfinite(value) or value < 0:  # type: ignore[arg-type,operator]
        raise ValueError(f"{where} is {value!r:.40}, and no number from 0 on")
    return float(value)  # type: ignore[arg-type]


def _positive(value: object, where: str) -> float:
    number = _number(value, where)
    if number == 0:
        raise ValueError(f"{where} is 0")
    return number


def _count(value: object, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{where} is {value!r:.40}, and no whole number from 0 on")
    return value
