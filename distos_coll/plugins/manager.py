"""Finds plugins and asks them for what they add. Built-ins are registered by the same hook as
anybody's.
"""

import importlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeVar

import pluggy

from distos_coll._vocabulary import Collective
from distos_coll.errors import DistosError, PluginError
from distos_coll.plugins import hookspecs
from distos_coll.plugins.models import CostModels, CostModelSpec
from distos_coll.plugins.spec import AlgorithmSpec
from distos_coll.program.ir import Program

if TYPE_CHECKING:
    from distos_coll.topology.source import TopologySource

ENTRY_POINT_GROUP = hookspecs.PROJECT

# One file an algorithm family. They are imported by name, so that this package depends on none of
# them.
BUILT_IN = tuple(
    f"distos_coll.schedules.{name}"
    for name in (
        "binomial",
        "direct1",
        "direct2",
        "direct_messages",
        "hier",
        "pairwise",
        "registered",
        "rhd",
        "ring",
        "single_copy",
        "tree",
    )
)

# One file a format. Loaded only by those who read a topology.
BUILT_IN_SOURCES = tuple(
    f"distos_coll.sources.{name}"
    for name in (
        "cluster_model",
        "host_report",
        "hwloc_xml",
        "ibnetdiscover",
        "ibsim_net",
        "lldp",
        "lspci",
        "nccl_graph",
        "nccl_xml",
        "netq",
        "nvidia_nvlink",
        "nvidia_topo",
        "nvidia_xml",
        "opensm_cache",
        "opensm_routes",
        "opensm_subnet",
        "scheduler_views",
        "slurm_conf",
        "slurm_yaml",
        "sysfs",
        "topograph",
    )
)
# Loaded only by those who ask a model.
BUILT_IN_COST_MODELS = tuple(
    f"distos_coll.costs.{name}" for name in ("calibrated", "nccl", "pipeline")
)

T = TypeVar("T")


@dataclass(frozen=True)
class Algorithm:
    """A spec and the plugin that it came from."""

    spec: AlgorithmSpec
    plugin: str
    built_in: bool


class Registry:
    """All algorithms, in an order that depends on names only, and their programs, built once."""

    def __init__(self, algorithms: Iterable[Algorithm]) -> None:
        self.algorithms = tuple(
            sorted(algorithms, key=lambda a: (a.spec.collective, a.spec.name, a.spec.variant))
        )
        self._programs: dict[tuple[Collective, str], Program] = {}
        owner: dict[tuple[Collective, str], Algorithm] = {}
        for algorithm in self.algorithms:
            spec = algorithm.spec
            other = owner.setdefault((spec.collective, spec.key), algorithm)
            if other is not algorithm:
                raise PluginError(
                    f"plugins {other.plugin!r} and {algorithm.plugin!r} both define {spec.key!r} "
                    f"for {spec.collective.name.lower()}; rename one or give it a variant"
                )

    def of(self, collective: Collective) -> tuple[Algorithm, ...]:
        return tuple(a for a in self.algorithms if a.spec.collective is collective)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted({a.spec.name for a in self.algorithms}))

    def program(self, algorithm: Algorithm) -> Program:
        spec = algorithm.spec
        key = (spec.collective, spec.key)
        if key not in self._programs:
            self._programs[key] = _build(algorithm)
        return self._programs[key]


def _build(algorithm: Algorithm) -> Program:
    spec = algorithm.spec
    where = f"plugin {algorithm.plugin!r}: {spec.key!r} for {spec.collective.name.lower()}"
    try:
        program = spec.build()
    except Exception as error:
        raise PluginError(f"{where} could not be built: {error}") from error
    told = (spec.name, spec.collective, spec.needs)
    if told != (program.name, program.collective, program.needs):
        raise PluginError(
            f"{where} builds a program with another name, collective or needs than its spec says"
        )
    return program


def built_in_registry() -> Registry:
    """What this package brings, whatever is installed beside it."""
    return Registry(_algorithms(_manager(BUILT_IN)))


def load(extra: Iterable[tuple[str, object]] = ()) -> Registry:
    """Built-ins, installed plugins (entry-point group `distos_coll`) and `extra` (name, plugin)
    pairs.
    """
    return Registry(_algorithms(_all(BUILT_IN, extra)))


def load_sources(extra: Iterable[tuple[str, object]] = ()) -> "tuple[TopologySource, ...]":
    """Sources of topology: built in, installed, and `extra`, in the order of their names."""
    return tuple(source for _, source in _sources(_all(BUILT_IN_SOURCES, extra)))


def source_owners() -> "list[tuple[str, bool, TopologySource]]":
    """Every source with the name of its plugin, and whether that is built in."""
    owned = _sources(_all(BUILT_IN_SOURCES, ()))
    return [(plugin, plugin in BUILT_IN_SOURCES, source) for plugin, source in owned]


def _sources(manager: pluggy.PluginManager) -> "list[tuple[str, TopologySource]]":
    # Those who only plan need none of it.
    from distos_coll.topology.source import TopologySource

    found: dict[str, tuple[str, TopologySource]] = {}
    for plugin, source in _collect(manager, "distos_coll_topology_sources", TopologySource):
        if source.name in found:
            other, _ = found[source.name]
            raise PluginError(
                f"plugins {other!r} and {plugin!r} both define the topology source "
                f"{source.name!r}; rename one"
            )
        found[source.name] = (plugin, source)
    return [found[name] for name in sorted(found)]


def load_cost_models(extra: Iterable[tuple[str, object]] = ()) -> CostModels:
    """Cost models: built in, installed, and `extra`."""
    manager = _all(BUILT_IN_COST_MODELS, extra)
    return CostModels(_collect(manager, "distos_coll_cost_models", CostModelSpec))


def _all(built_in: Iterable[str], extra: Iterable[tuple[str, object]]) -> pluggy.PluginManager:
    manager = _manager(built_in)
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda p: (p.name, p.value)):
        try:
            plugin = point.load()
        except Exception as error:
            raise PluginError(
                f"plugin {point.name!r} ({point.value}) cannot be imported: "
                f"{type(error).__name__}: {error}; repair or uninstall it"
            ) from error
        _register(manager, point.name, plugin)
    for name, plugin in extra:
        _register(manager, name, plugin)
    return manager


def _manager(built_in: Iterable[str]) -> pluggy.PluginManager:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    for name in built_in:
        manager.register(importlib.import_module(name), name=name)
    return manager


@cache
def default_registry() -> Registry:
    """Loaded once per process."""
    return load()


@cache
def default_sources() -> "tuple[TopologySource, ...]":
    """Loaded once per process."""
    return load_sources()


@cache
def default_cost_models() -> CostModels:
    """Loaded once per process."""
    return load_cost_models()


def _register(manager: pluggy.PluginManager, name: str, plugin: object) -> None:
    try:
        manager.register(plugin, name=name)
        manager.check_pending()
    except (ValueError, pluggy.PluginValidationError) as error:
        raise PluginError(f"plugin {name!r} cannot be registered: {error}") from error


def _algorithms(manager: pluggy.PluginManager) -> list[Algorithm]:
    specs = _collect(manager, "distos_coll_algorithms", AlgorithmSpec)
    return [Algorithm(spec, name, name in BUILT_IN) for name, spec in specs]


def _collect(manager: pluggy.PluginManager, hook: str, kind: type[T]) -> list[tuple[str, T]]:
    """What every plugin returns from a hook, with the plugin's name."""
    found: list[tuple[str, T]] = []
    implementations = getattr(manager.hook, hook).get_hookimpls()
    for implementation in sorted(implementations, key=lambda i: i.plugin_name):
        name = implementation.plugin_name
        try:
            specs: Any = implementation.function()
        except DistosError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {name!r} failed in {hook}(): "
                f"{type(error).__name__}: {error}; repair or uninstall it"
            ) from error
        if not isinstance(specs, (list, tuple)) or not all(
            isinstance(spec, kind) for spec in specs
        ):
            raise PluginError(f"plugin {name!r}: {hook}() must return a list of {kind.__name__}")
        found += [(name, spec) for spec in specs]
    return found
