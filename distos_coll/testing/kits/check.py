"""A kit is a list of checks: pytest and `distos-coll plugins check` run the same ones."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from distos_coll.errors import PluginError
from distos_coll.plugins.asking import answers_of
from distos_coll.plugins.kinds import Kind
from distos_coll.plugins.loading import Wanted
from distos_coll.plugins.manager import Plugins


@dataclass(frozen=True)
class Check:
    name: str
    run: Callable[[], object] = field(repr=False, compare=False)
    """AssertionError says what is wrong. A text that it returns says what could not be tried."""

    def __str__(self) -> str:
        return self.name


def wrong(what: str) -> AssertionError:
    """What a check raises; pytest shows it as it is."""
    return AssertionError(what)


def items_of(kind: Kind, subject: object) -> list[Any]:
    """Return what a subject is or adds: a descriptor, a list of them, or a plugin, which may be a
    module, an object with hooks, "module" or "module:attribute". PluginError if it adds nothing.
    """
    wanted = kind.returns()
    if isinstance(subject, wanted):
        return [subject]
    if isinstance(subject, (list, tuple)) and all(isinstance(x, wanted) for x in subject):
        found = list(subject)
    elif isinstance(subject, str):
        loaded = Plugins(Wanted(arguments=(subject,))).found.loaded
        found = [x for one in loaded[-1:] for x in one.answers.get(kind.hook, ())]
    else:
        found = list(answers_of("this plugin", subject).get(kind.hook, ()))
    if not found:
        raise PluginError(f"{subject!r} adds nothing by {kind.hook}()")
    return found


def all_checks(
    kind: Kind, subject: object, checks_of: Callable[[Any], Iterable[Check]]
) -> Iterator[Check]:
    """Yield the checks of everything that a subject adds; if it cannot be loaded, that is one."""
    try:
        items = items_of(kind, subject)
    except PluginError as error:
        yield Check("loads", _raising(error))
        return
    for item in items:
        about = kind.name_of(item)
        for check in checks_of(item):
            yield Check(f"{about}: {check.name}", check.run)


def _raising(error: PluginError) -> Callable[[], object]:
    def run() -> None:
        raise wrong(f"the plugin cannot be used: it {error}")

    return run


def as_test(checks: Iterable[Check]) -> Any:
    """Return a test for pytest with a case for each check."""
    import pytest

    every = list(checks)

    @pytest.mark.parametrize("check", every, ids=[each.name for each in every])
    def test(check: Check) -> None:
        skipped = check.run()
        if skipped:
            pytest.skip(str(skipped))

    return test
