"""What all plugins add, by kind. Built-ins come by the same hooks as anybody's."""

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from distos_coll import settings
from distos_coll._vocabulary import Collective
from distos_coll.errors import PluginError
from distos_coll.plugins import kinds, loading, manifest
from distos_coll.plugins.kinds import Kind
from distos_coll.plugins.loading import Loaded, Wanted
from distos_coll.plugins.models import CostModels
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.program.ir import Program

if TYPE_CHECKING:
    from distos_coll.topology.source import TopologySource

BUILT_IN = kinds.ALGORITHMS.built_in
BUILT_IN_SOURCES = kinds.SOURCES.built_in
BUILT_IN_COST_MODELS = kinds.COST_MODELS.built_in


@dataclass(frozen=True)
class Algorithm:
    """A spec and the plugin that it came from."""

    spec: AlgorithmSpec
    plugin: str
    built_in: bool


class Registry:
    """All algorithms, in an order that depends on names only, and their programs, built once."""

    def __init__(
        self, algorithms: Iterable[Algorithm], lines: Iterable[manifest.Line] = ()
    ) -> None:
        self.algorithms = tuple(
            sorted(algorithms, key=lambda a: (a.spec.collective, a.spec.name, a.spec.variant))
        )
        self.lines = tuple(lines)
        """What ranks must have alike, of plugins that are not built in."""
        self._programs: dict[tuple[Collective, str], Program] = {}

    def of(self, collective: Collective) -> tuple[Algorithm, ...]:
        return tuple(a for a in self.algorithms if a.spec.collective is collective)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({a.spec.name for a in self.algorithms}))

    @cached_property
    def context(self) -> str:
        """Text for the plan's fingerprint; "" where there are built-in algorithms only."""
        return manifest.context_of(self.lines)

    def program(self, algorithm: Algorithm) -> Program:
        spec = algorithm.spec
        key = (spec.collective, spec.key)
        if key not in self._programs:
            try:
                self._programs[key] = manifest.built(spec)
            except PluginError as error:
                raise PluginError(f"plugin {algorithm.plugin!r}: {error}") from error
        return self._programs[key]


class Plugins:
    """Those of one process that wants these; each kind is put together when it is asked for."""

    def __init__(self, wanted: Wanted) -> None:
        self._lines: list[manifest.Line] = []
        self.found = loading.load_all(wanted, self._describe)

    def _describe(self, one: Loaded) -> None:
        specs = one.answers.get(kinds.ALGORITHMS.hook, ())
        try:
            if specs:
                self._lines.append(manifest.line_of(one, specs))
        except PluginError as error:
            raise PluginError(f"cannot be used: {error}") from error

    def _of(self, kind: Kind) -> list[tuple[str, bool, Any]]:
        """Owner, whether it is built in, and what it adds, in the order of loading."""
        own = [(name, True, item) for name, item in loading.built_in(kind)]
        return own + [
            (one.name, False, item)
            for one in self.found.loaded
            for item in one.answers.get(kind.hook, ())
        ]

    @cached_property
    def registry(self) -> Registry:
        algorithms = [Algorithm(spec, name, own) for name, own, spec in self._of(kinds.ALGORITHMS)]
        return Registry(algorithms, self._lines)

    @cached_property
    def owned_sources(self) -> "tuple[tuple[str, bool, TopologySource], ...]":
        """Sources of topology in the order of their names, each with its plugin, and whether that
        is built in.
        """
        return tuple(sorted(self._of(kinds.SOURCES), key=lambda owned: str(owned[2].name)))

    @cached_property
    def sources(self) -> "tuple[TopologySource, ...]":
        return tuple(source for _, _, source in self.owned_sources)

    @cached_property
    def cost_models(self) -> CostModels:
        return CostModels((name, spec) for name, _, spec in self._of(kinds.COST_MODELS))

    @property
    def manifest(self) -> str:
        """What other ranks compare with theirs when a group cannot agree."""
        return manifest.as_text(self.registry.lines, self.found.refused)


_lock = threading.RLock()
_kept: list[tuple[Wanted, Plugins]] = []
_KEPT = 16


def plugins_of(wanted: Wanted) -> Plugins:
    """Load them, once per process for what is wanted alike."""
    with _lock:
        for known, plugins in _kept:
            if _same(known, wanted):
                return plugins
        plugins = Plugins(wanted)
        _kept.append((wanted, plugins))
        del _kept[:-_KEPT]
        return plugins


def _same(a: Wanted, b: Wanted) -> bool:
    # Plugins are compared as objects; they may be anything, also what cannot be compared or hashed.
    def identities(wanted: Wanted) -> list[object]:
        return [x if isinstance(x, str) else id(x) for x in wanted.arguments]

    return (a.setting, a.skip, identities(a)) == (b.setting, b.skip, identities(b))


def default_plugins() -> Plugins:
    """What is installed, and what this process's environment names."""
    return plugins_of(Wanted.of(settings.load()))


def default_registry() -> Registry:
    return default_plugins().registry


def default_sources() -> "tuple[TopologySource, ...]":
    return default_plugins().sources


def default_cost_models() -> CostModels:
    return default_plugins().cost_models


def built_in_registry() -> Registry:
    """What this package brings, whatever is installed beside it."""
    return Registry(Algorithm(spec, n, True) for n, spec in loading.built_in(kinds.ALGORITHMS))


def load(extra: Iterable[object] = ()) -> Registry:
    """Algorithms: built in, installed, and of `extra` (0013: what `plugins=[...]` takes)."""
    return Plugins(Wanted(arguments=tuple(extra))).registry


def load_sources(extra: Iterable[object] = ()) -> "tuple[TopologySource, ...]":
    """Sources of topology: built in, installed, and of `extra`, in the order of their names."""
    return Plugins(Wanted(arguments=tuple(extra))).sources


def load_cost_models(extra: Iterable[object] = ()) -> CostModels:
    """Cost models: built in, installed, and of `extra`."""
    return Plugins(Wanted(arguments=tuple(extra))).cost_models
