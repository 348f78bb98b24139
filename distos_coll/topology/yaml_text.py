"""YAML of strangers: values with their lines, within bounds.

Built from the parser's events, so that limits hold while a document is read, and lines are kept.
Scalars stay text: nothing here is a date or a number until a source says so. Anchors, aliases and
tags are refused; no topology needs them, and an alias in an alias is how small files become large.
"""

from collections.abc import Iterator
from typing import Any

import yaml

from distos_coll.errors import TopologyError
from distos_coll.topology.data import Data, Placed
from distos_coll.topology.source import Document

MAX_BYTES = 1 << 22
"""A tenth of the speed of other formats, and written by people: none is larger."""
_MAX_VALUES = 400_000
_MAX_DEPTH = 60
_NULLS = {"", "~", "null", "Null", "NULL"}


class _Builder:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.values = 0

    def start(self, event: yaml.Event) -> int:
        """Count a value; return its line."""
        line = event.start_mark.line + 1 if event.start_mark else 0
        self.values += 1
        if self.values > _MAX_VALUES:
            raise self.document.error(f"more than {_MAX_VALUES:,} values", line)
        if getattr(event, "anchor", None) is not None or isinstance(event, yaml.AliasEvent):
            raise self.document.error("has anchors or aliases, which are not read", line)
        return line

    def value(self, event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Placed:
        line = self.start(event)
        if depth > _MAX_DEPTH:
            raise self.document.error(f"values are nested deeper than {_MAX_DEPTH}", line)
        if isinstance(event, yaml.ScalarEvent):
            plain = not event.style and event.value in _NULLS
            return Placed(None if plain else event.value, line)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not isinstance(each := next(events), yaml.SequenceEndEvent):
                items.append(self.value(each, events, depth + 1))
            return Placed(items, line)
        return Placed(self.mapping(events, depth), line)

    def mapping(self, events: Iterator[yaml.Event], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(each := next(events), yaml.MappingEndEvent):
            line = self.start(each)
            if not isinstance(each, yaml.ScalarEvent):
                raise self.document.error("a name is no text", line)
            if each.value in found:
                raise self.document.error(f"{each.value[:60]!r} is there twice", line)
            found[each.value] = self.value(next(events), events, depth + 1)
        return found


def parse_yaml(document: Document) -> list[Data]:
    """Parse one YAML document, or several in one file."""
    builder = _Builder(document)
    found = []
    try:
        events = iter(yaml.parse(document.data, Loader=_loader()))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                placed = builder.value(next(events), events, 0)
                found.append(Data(document, placed.value, "", placed.line))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        why = getattr(error, "problem", None) or getattr(error, "reason", None) or "damaged"
        line = mark.line + 1 if mark else 0
        raise document.error(f"is not YAML: {why}", line) from None
    except TopologyError:
        raise  # it is a ValueError too
    except ValueError as error:
        raise document.error(f"is not YAML: {error}") from None
    return found


def _loader() -> Any:
    """The parser in C, where PyYAML was built with it."""
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)
