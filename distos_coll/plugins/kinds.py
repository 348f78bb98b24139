"""The kinds of things that plugins add: the hook of each, what it returns, what must be unique."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distos_coll.plugins.models import CostModelSpec
from distos_coll.plugins.spec import AlgorithmSpec


@dataclass(frozen=True)
class Kind:
    hook: str
    returns: Callable[[], type]
    """A function, because those who only plan load nothing that describes machines."""
    name_of: Callable[[Any], str]
    """Unique among all that all plugins add of the kind."""
    title_of: Callable[[Any], str]
    twice: str
    """What the author of one of two with the same name can do."""
    built_in: tuple[str, ...]
    """Modules. They are imported by name, so that this package depends on none of them."""


def _source() -> type:
    from distos_coll.topology.source import TopologySource

    return TopologySource


def algorithm_name(spec: AlgorithmSpec) -> str:
    return f"{spec.collective.name.lower()}:{spec.key}"


def _modules(package: str, names: str) -> tuple[str, ...]:
    return tuple(f"distos_coll.{package}.{name}" for name in names.split())


# One file an algorithm family, a format, a model.
ALGORITHMS = Kind(
    "distos_coll_algorithms",
    lambda: AlgorithmSpec,
    algorithm_name,
    lambda spec: f"{spec.key!r} for {spec.collective.name.lower()}",
    "rename one or give it a variant",
    _modules(
        "schedules",
        "binomial direct1 direct2 direct_messages hier pairwise registered rhd ring single_copy"
        " tree",
    ),
)
SOURCES = Kind(
    "distos_coll_topology_sources",
    _source,
    lambda source: str(source.name),
    lambda source: f"the topology source {source.name!r}",
    "rename one",
    _modules(
        "sources",
        "cluster_model host_report hwloc_xml ibnetdiscover ibsim_net lldp lspci nccl_graph nccl_xml"
        " netq nvidia_nvlink nvidia_topo nvidia_xml opensm_cache opensm_routes opensm_subnet"
        " scheduler_views slurm_conf slurm_yaml sysfs topograph",
    ),
)
COST_MODELS = Kind(
    "distos_coll_cost_models",
    lambda: CostModelSpec,
    lambda spec: str(spec.name),
    lambda spec: f"the cost model {spec.name!r}",
    "rename one",
    _modules("costs", "calibrated nccl pipeline"),
)

KINDS = (ALGORITHMS, SOURCES, COST_MODELS)
"""In the order of hookspecs.py."""
