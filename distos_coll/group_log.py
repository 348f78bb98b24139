"""What DISTOS_COLL_DEBUG=INFO says of each new group."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import groupby
from typing import TYPE_CHECKING

from distos_coll import topology_file
from distos_coll.program.encode import UNLIMITED
from distos_coll.settings import Settings, variable_of

if TYPE_CHECKING:
    from distos_coll.planner.plan import Plan

_logger = logging.getLogger("distos_coll")


def log_group(values: Settings, who: str, plan: "Plan | None", links: Callable[[], str]) -> None:
    """Settings, links and plan of a new group; `plan` by one of its ranks only, as all have it.

    Does nothing below INFO. A program that did not set up logging gets the lines on stderr.
    """
    if values.debug != "INFO":
        return
    if not _logger.hasHandlers():
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(name)s[%(process)d] %(levelname)s %(message)s"))
        _logger.addHandler(handler)
    _logger.setLevel(logging.INFO)
    head = f"group {who}"
    _logger.info("%s: settings: %s", head, ", ".join(_changed(values)) or "all defaults")
    for line in links().splitlines():
        _logger.info("%s: %s", head, line)
    if plan is not None:
        domains = len(set(plan.view.domain_of))
        of = f"{domains} domain" + ("" if domains == 1 else "s")
        _logger.info("%s: predictions: %s", head, plan.basis)
        told = topology_file.read(values)
        for line in (*([told.remark] if told else []), *plan.view.layout.lines):
            _logger.info("%s: %s", head, line)
        _logger.info("%s: plan for %s, what is predicted fastest at each size:", head, of)
        for line in plan_lines(plan):
            _logger.info("%s: %s", head, line)


def _changed(values: Settings) -> Iterator[str]:
    for item in fields(Settings):
        value = getattr(values, item.name)
        if value != item.default:
            yield f"{variable_of(item.name)}={int(value) if isinstance(value, bool) else value}"


def plan_lines(plan: "Plan") -> list[str]:
    """One line a collective: what runs up to which size in bytes, and what may not run, and why."""
    lines = []
    for collective, rows in groupby(plan.rows, key=lambda row: row.collective):
        parts = []
        for key, same in groupby(rows, key=lambda row: row.candidate.key):
            last = max(row.max_bytes for row in same)
            parts.append(key if last == UNLIMITED else f"{key} to {last}")
        reasons: dict[str, list[str]] = {}
        for each in plan.excluded[collective]:
            reasons.setdefault(each.reason, []).append(each.algorithm.spec.key)
        why = [f"; not {', '.join(keys)}: {reason}" for reason, keys in reasons.items()]
        lines.append(f"{collective.name.lower()}: {', '.join(parts)}{''.join(why)}")
    return lines
