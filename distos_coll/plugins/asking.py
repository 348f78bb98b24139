"""Asks a plugin for what it adds, by the hooks it has, and says what is wrong with them."""

import difflib
import inspect
from collections.abc import Iterator
from typing import Any

import pluggy

from distos_coll.errors import PluginError
from distos_coll.plugins import hookspecs
from distos_coll.plugins.kinds import KINDS, Kind

Answers = dict[str, tuple[Any, ...]]
"""What a plugin returned, by hook."""

_PREFIX = f"{hookspecs.PROJECT}_"


def answers_of(name: str, plugin: object, kinds: tuple[Kind, ...] = KINDS) -> Answers:
    """Return what the hooks of these kinds return, checked. PluginError says what is wrong,
    without the plugin's name.
    """
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    _check_names(manager, plugin)
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"cannot be registered: {' '.join(str(error).split())}") from error
    return {kind.hook: tuple(_asked(manager, kind)) for kind in kinds if _implements(manager, kind)}


def _implements(manager: pluggy.PluginManager, kind: Kind) -> bool:
    return bool(getattr(manager.hook, kind.hook).get_hookimpls())


def _asked(manager: pluggy.PluginManager, kind: Kind) -> Iterator[Any]:
    for implementation in getattr(manager.hook, kind.hook).get_hookimpls():
        try:
            found: Any = implementation.function()
        except (Exception, SystemExit) as error:
            raise PluginError(f"failed in {kind.hook}(): {described(error)}") from error
        wanted = kind.returns()
        if not isinstance(found, (list, tuple)):
            raise _other_answer(kind, wanted, type(found).__name__)
        for each in found:
            if not isinstance(each, wanted):
                raise _other_answer(kind, wanted, f"one with a {type(each).__name__}")
            yield each


def _other_answer(kind: Kind, wanted: type, found: str) -> PluginError:
    return PluginError(f"{kind.hook}() must return a list of {wanted.__name__}, and not {found}")


def described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _check_names(manager: pluggy.PluginManager, plugin: object) -> None:
    """Refuse what looks like a hook and is none: pluggy would pass over it, or name no other."""
    hooks = [kind.hook for kind in KINDS]
    found = 0
    for attribute in _functions(plugin):
        marked = manager.parse_hookimpl_opts(plugin, attribute)
        if marked is None:
            if not attribute.startswith(_PREFIX):
                continue
            if attribute in hooks:
                raise PluginError(f"has {attribute}() without @hookimpl above it; add it")
            raise PluginError(
                f"has a function {attribute}(), which is no hook; did you mean "
                f"{_nearest(attribute, hooks)}() with @hookimpl? Other functions need other names"
            )
        name = marked.get("specname") or attribute
        if name not in hooks and not marked.get("optionalhook"):
            raise PluginError(
                f"implements {name}(), which is no hook of this version; did you mean "
                f"{_nearest(name, hooks)}()?"
            )
        found += 1
    if not found:
        raise PluginError(
            f"implements no hook; mark a function with @hookimpl. Hooks are {', '.join(hooks)}"
        )


def _functions(plugin: object) -> Iterator[str]:
    for attribute in dir(plugin):
        # Static, because a property may do anything.
        value = inspect.getattr_static(plugin, attribute, None)
        if inspect.isroutine(getattr(value, "__func__", value)):
            yield attribute


def _nearest(name: str, hooks: list[str]) -> str:
    # Compared without the prefix, which alone would make any two look alike.
    short = {hook.removeprefix(_PREFIX): hook for hook in hooks}
    close = difflib.get_close_matches(name.removeprefix(_PREFIX), short, n=1, cutoff=0.0)
    return short[close[0]]
