"""Finds plugins, imports them, and asks each for all that it adds.

They come in one order: built-in ones, entry points by name, DISTOS_COLL_PLUGINS as written, then
what a caller passes. None replaces another: two of a name are an error, and one that fails is left
out whole, or ends the job (docs/decisions/0013).
"""

import importlib
import logging
import sys
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache, reduce
from importlib import metadata
from typing import Any

from distos_coll import settings
from distos_coll.errors import PluginError
from distos_coll.plugins import hookspecs
from distos_coll.plugins.asking import Answers, answers_of, described
from distos_coll.plugins.kinds import KINDS, Kind

ENTRY_POINT_GROUP = hookspecs.PROJECT
SETTING, FAILURES = settings.variable_of("plugins"), settings.variable_of("plugin_failures")
BUILT_IN, ENTRY_POINT, ARGUMENT = "built in", "entry point", "argument"

_REMEDY = {
    ENTRY_POINT: "repair or uninstall it",
    SETTING: f"repair it or take it out of {SETTING}",
    ARGUMENT: "repair it or take it out of plugins=[...]",
}
_logger = logging.getLogger("distos_coll")


@dataclass(frozen=True)
class Wanted:
    """Which plugins a process wants besides those that are installed."""

    setting: str = ""
    """As DISTOS_COLL_PLUGINS has it."""
    skip: bool = False
    """Leave out those that fail."""
    arguments: tuple[object, ...] = ()
    """Modules, objects with hooks, "module" or "module:attribute"; or such a one with its name."""

    @classmethod
    def of(cls, values: settings.Settings, arguments: Iterable[object] = ()) -> "Wanted":
        return cls(values.plugins, values.plugin_failures == "skip", tuple(arguments))


@dataclass(frozen=True)
class Candidate:
    """A plugin that is not imported yet."""

    name: str
    origin: str
    where: str
    """Module and attribute."""
    load: Callable[[], object] = field(compare=False)
    distribution: str = ""
    version: str = ""

    def __str__(self) -> str:
        said = f"{self.distribution} {self.version}".strip()
        return f"{self.origin} {self.where}" + (f" of {said}" if said else "")


@dataclass(frozen=True)
class Loaded:
    candidate: Candidate
    plugin: object = field(repr=False)
    answers: Answers = field(repr=False)

    @property
    def name(self) -> str:
        return self.candidate.name

    @property
    def file(self) -> str:
        """Where its code is, or ""."""
        home = self.plugin
        if not isinstance(home, types.ModuleType):
            home = sys.modules.get(getattr(home, "__module__", type(home).__module__))
        return str(getattr(home, "__file__", None) or "")


@dataclass(frozen=True)
class Refused:
    """A plugin that was left out, and why."""

    candidate: Candidate
    reason: str


@dataclass(frozen=True)
class Found:
    """What came of it; built-in ones are not in it."""

    loaded: tuple[Loaded, ...] = ()
    refused: tuple[Refused, ...] = ()


Check = Callable[[Loaded], None]
"""PluginError says, without the plugin's name, what makes it useless after all."""


def load_all(wanted: Wanted, check: Check) -> Found:
    """Load every plugin; PluginError names the first that fails, unless such are to be skipped."""
    loaded: list[Loaded] = []
    refused: list[Refused] = []
    for candidate in _candidates(wanted):
        try:
            plugin = _imported(candidate)
            if any(plugin is other.plugin for other in loaded):
                continue  # named twice, for example in the variable and by the program
            one = Loaded(candidate, plugin, answers_of(candidate.name, plugin))
            _check_unique(one, loaded)
            check(one)
        except PluginError as error:
            reason = str(error)
            if not wanted.skip:
                raise PluginError(
                    f"plugin {candidate.name!r} ({candidate}) {reason}; "
                    f"{_REMEDY[candidate.origin]}, or set {FAILURES}=skip"
                ) from error
            refused.append(Refused(candidate, reason))
            _warn_once(f"plugin {candidate.name!r} ({candidate}) is left out: it {reason}")
        else:
            loaded.append(one)
    return Found(tuple(loaded), tuple(refused))


@cache
def _warn_once(message: str) -> None:
    _logger.warning("%s", message)


def _candidates(wanted: Wanted) -> Iterator[Candidate]:
    points = metadata.entry_points(group=ENTRY_POINT_GROUP)
    for point in sorted(points, key=lambda point: (point.name, point.value)):
        owner = getattr(point, "dist", None)
        yield Candidate(
            point.name,
            ENTRY_POINT,
            point.value,
            point.load,
            owner.name if owner else "",
            owner.version if owner else "",
        )
    for where in filter(None, map(str.strip, wanted.setting.split(","))):
        yield _of_text(where, SETTING)
    for argument in wanted.arguments:
        yield _of_argument(argument)


def _of_text(where: str, origin: str) -> Candidate:
    top = where.partition(":")[0].partition(".")[0]
    try:
        version = metadata.version(top)
    except (metadata.PackageNotFoundError, ValueError):
        return Candidate(where, origin, where, lambda: _at(where))
    return Candidate(where, origin, where, lambda: _at(where), top, version)


def _at(where: str) -> object:
    module, _, path = where.partition(":")
    found: object = importlib.import_module(module)
    return reduce(getattr, filter(None, path.split(".")), found)


def _of_argument(argument: object) -> Candidate:
    if isinstance(argument, str):
        return _of_text(argument, ARGUMENT)
    name = ""
    if isinstance(argument, tuple) and len(argument) == 2 and isinstance(argument[0], str):
        name, argument = argument
    kind = type(argument)
    own = argument.__name__ if isinstance(argument, types.ModuleType) else ""
    where = own or f"{kind.__module__}.{kind.__qualname__}"
    return Candidate(name or where, ARGUMENT, where, lambda: argument)


def _imported(candidate: Candidate) -> object:
    try:
        return candidate.load()
    except (Exception, SystemExit) as error:
        raise PluginError(f"cannot be imported: {described(error)}") from error


def _check_unique(one: Loaded, others: Iterable[Loaded]) -> None:
    for other in others:
        if other.name == one.name:
            raise PluginError(f"has the name of another plugin ({other.candidate}); rename one")
    for kind in KINDS:
        added = one.answers.get(kind.hook, ())
        if not added:
            continue
        owners = {kind.name_of(item): owner for owner, item in built_in(kind)}
        for other in others:
            owners |= {kind.name_of(item): other.name for item in other.answers.get(kind.hook, ())}
        for item in added:
            owner = owners.setdefault(kind.name_of(item), one.name)
            if owner != one.name or sum(kind.name_of(i) == kind.name_of(item) for i in added) > 1:
                raise PluginError(
                    f"cannot be used: {owner!r} and {one.name!r} both define "
                    f"{kind.title_of(item)}; {kind.twice}"
                )


@cache
def built_in(kind: Kind) -> tuple[tuple[str, Any], ...]:
    """What this package brings of a kind: the name of a module, and what it adds."""
    found: list[tuple[str, Any]] = []
    for name in kind.built_in:
        answers = answers_of(name, importlib.import_module(name), (kind,))
        found += [(name, item) for item in answers[kind.hook]]
    return tuple(found)
