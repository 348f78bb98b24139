"""`distos-coll plan explain FILE`: channels over a topology, and what an operation would cost."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from distos_coll import profiles, settings
from distos_coll._vocabulary import Collective, DType
from distos_coll.cli import cross_over_plot, pictures
from distos_coll.drawing.layout import picture
from distos_coll.errors import TopologyError
from distos_coll.layout import told
from distos_coll.layout.lay import lay_out
from distos_coll.layout.nccl_view import Machine, nccl_view
from distos_coll.layout.placement import JobShape, place, repeated
from distos_coll.layout.policy import CrossNic, Policy
from distos_coll.layout.result import Graph, Layout
from distos_coll.planner.job_plan import OWN_MODEL, SMALLEST, JobPlan, Priced, extents, job_plan
from distos_coll.plugins.manager import default_cost_models, default_registry, default_sources
from distos_coll.topology import reading
from distos_coll.topology.model import Topology
from distos_coll.topology.names import counted

_MOST_CHANNELS = 8
"""That are told for each kind of nodes; --json tells all."""


@dataclass(frozen=True)
class Question:
    """What is asked of a file."""

    file: Path
    collective: Collective
    bytes: int | None
    """One size, with every candidate; None: at which sizes which one wins."""
    dtype: DType = DType.FLOAT32
    copies: int = 1
    rack: bool = False
    nodes: int | None = None
    ranks_per_host: int | None = None
    gpus: tuple[int, ...] | None = None
    model: str | None = None
    """None: NCCL's where it knows such GPUs, else this library's."""
    capability: int | None = None
    cross_nic: CrossNic = CrossNic.IF_BETTER


@dataclass(frozen=True)
class Answer:
    question: Question
    format: str
    layout: Layout
    plan: JobPlan

    def priced(self) -> tuple[Priced, ...]:
        return () if self.question.bytes is None else self.plan.candidates(self.question.bytes)

    def winners(self) -> list[tuple[int, str]]:
        return extents(self.plan.crossings(), self.plan.best(SMALLEST).name.partition("@")[0])

    def as_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "file": str(self.question.file),
            "format": self.format,
            "collective": self.plan.collective.name.lower(),
            "model": self.plan.model,
            "layout": _layout_dict(self.layout),
            "winners": [{"from_bytes": size, "candidate": name} for size, name in self.winners()],
        }
        if self.question.bytes is not None:
            found["bytes"] = self.question.bytes
            found["candidates"] = [each.as_dict() for each in self.priced()]
        return found


def ask(question: Question) -> Answer:
    format_name, topology = topology_of(question.file, question.copies, rack=question.rack)
    shape = JobShape(question.nodes, question.ranks_per_host, question.gpus)
    layout = lay_out(topology, place(topology, shape), Policy(question.cross_nic))
    stored = profiles.in_use(settings.load())
    plan = job_plan(
        layout,
        question.collective,
        question.model or _model_for(layout, Machine(question.capability)),
        default_cost_models(),
        default_registry(),
        dtype=question.dtype,
        machine=Machine(question.capability),
        **({"figures": stored.profile.figures} if stored else {}),
    )
    return Answer(question, format_name, layout, plan)


def topology_of(file: Path, copies: int, *, rack: bool) -> tuple[str, Topology]:
    """Read a file's format and its hosts, so many times."""
    read = reading.read(file, default_sources())
    topology = read.found.content
    if not isinstance(topology, Topology) or not topology.hosts:
        raise TopologyError(
            f"{file}: {read.format} has no hosts for ranks to be on; name a file that has"
        )
    if copies != 1 or rack:
        topology = repeated(topology, copies, in_one_domain=rack)
    return read.format, topology


def _model_for(layout: Layout, machine: Machine) -> str:
    on_gpus = all(kind.gpu(seat) for kind in layout.kinds for seat in range(kind.size))
    if not on_gpus:
        return OWN_MODEL
    try:
        nccl_view(layout, machine)
    except TopologyError:
        # Nobody says which GPUs they are, or they are not NVIDIA's.
        return OWN_MODEL
    return "nccl"


def show(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(answer.as_dict(), indent=2))
        return
    console = Console()
    for line in _layout_lines(answer):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    on_gpus = any(kind.gpu(0) for kind in answer.layout.kinds)
    if on_gpus and answer.plan.model == OWN_MODEL and answer.question.model is None:
        line = "NCCL's models would need the GPUs' compute capability: name it by --capability"
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    if answer.question.bytes is None:
        _show_winners(console, answer)
    else:
        _show_candidates(console, answer)


def draw(answer: Answer, picture_file: Path | None, plot_file: Path | None) -> None:
    title = answer.question.file.name
    if picture_file is not None:
        pictures.save(picture(answer.layout, title), picture_file, "--picture")
    if plot_file is not None:
        cross_over_plot.draw(answer.plan, title, plot_file)


def _graph_text(graph: Graph, name: str) -> str:
    inside = f"{graph.gbps_intra:.4g} GB/s each inside nodes ({graph.type_intra.name})"
    if not graph.gbps_inter:
        return f"{name}: {counted(graph.channels, 'channel', 'channels')}, {inside}"
    between = f"{graph.gbps_inter:.4g} between them ({graph.type_inter.name})"
    return f"{name}: {counted(graph.channels, 'channel', 'channels')}, {inside}, {between}"


def _layout_lines(answer: Answer) -> list[str]:
    layout = answer.layout
    ranks = counted(layout.placement.size, "rank", "ranks")
    nodes = counted(len(layout.nodes), "node", "nodes")
    lines = [
        f"{answer.question.file}: {answer.format}, {ranks} on {nodes}",
        _graph_text(layout.rings, "rings"),
        _graph_text(layout.trees, "trees"),
        f"bottleneck of the rings: {layout.bottleneck or 'none'}",
    ]
    lines += [f"port {name} is not used: {why}" for name, why in dict(layout.left_out).items()]
    for kind, places in told.kinds_of_nodes(layout):
        names = told.node_name(layout, places[0])
        more = f" and {len(places) - 1:,} more alike" if len(places) > 1 else ""
        lines.append(f"rings in {names}{more}:")
        for channel in range(min(layout.channels, _MOST_CHANNELS)):
            way = told.stops(layout.kinds[kind], layout.stretches[kind][channel])
            lines.append(f"  {channel:>2}  {' > '.join(way)}")
        if layout.channels > _MOST_CHANNELS:
            left = layout.channels - _MOST_CHANNELS
            lines.append(f"      and {counted(left, 'channel', 'channels')} more")
    if layout.turns:
        lines.append(
            "every other node is passed the other way round, so that channels keep to rails"
        )
    if len(layout.nodes) > 1:
        lines.append("trees between nodes:")
        first, second = (told.tree_lines(layout, which) for which in range(2))
        lines += ["  " + line for line in _side_by_side(first, second)]
    return lines


def _side_by_side(left: Sequence[str], right: Sequence[str]) -> list[str]:
    width = max(map(len, left)) + 4
    rows = max(len(left), len(right))
    padded = [[*lines, *[""] * (rows - len(lines))] for lines in (left, right)]
    return [f"{a:{width}}{b}".rstrip() for a, b in zip(*padded, strict=True)]


def _show_candidates(console: Console, answer: Answer) -> None:
    plan = answer.plan
    console.print(
        f"{plan.collective.name.lower()} of {answer.question.bytes:,} bytes, by the cost model "
        f"{plan.model}; microseconds:",
        markup=False,
        highlight=False,
    )
    table = Table(box=None)
    for column in ("", "candidate", "time", "latency", "bandwidth", "reduction", "why"):
        table.add_column(column, justify="left" if column in {"", "candidate", "why"} else "right")
    priced = answer.priced()
    for each in priced:
        if not each.estimate.may_run:
            continue
        parts = (each.estimate.time_us, each.latency_us, each.bandwidth_us, each.reduction_us)
        numbers = ["-" if part is None else f"{part:,.1f}" for part in parts]
        mark = "*" if each.chosen else " "
        table.add_row(mark, each.estimate.name, *numbers, each.reason)
    console.print(table)
    left_out: dict[str, list[str]] = {}
    for each in priced:
        if not each.estimate.may_run:
            left_out.setdefault(each.reason, []).append(each.estimate.name)
    for reason, names in left_out.items():
        line = f"left out: {', '.join(names)}: {reason}"
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _show_winners(console: Console, answer: Answer) -> None:
    plan = answer.plan
    console.print(
        f"{plan.collective.name.lower()}, by the cost model {plan.model}:",
        markup=False,
        highlight=False,
    )
    table = Table(box=None)
    for column in ("from bytes", "candidate", "time there"):
        table.add_column(column, justify="left" if column == "candidate" else "right")
    for size, name in answer.winners():
        table.add_row(f"{size:,}", name, f"{plan.best(size).time_us or 0:,.1f} us")
    console.print(table)


def _layout_dict(layout: Layout) -> dict[str, Any]:
    found: dict[str, Any] = {
        "ranks": layout.placement.size,
        "nodes": len(layout.nodes),
        "rings": _graph_dict(layout.rings),
        "trees": _graph_dict(layout.trees),
        "bottleneck": None if layout.bottleneck is None else vars_of(layout.bottleneck),
        "turns": layout.turns,
        "ports_not_used": dict(layout.left_out),
        "kinds": [],
    }
    for kind, places in told.kinds_of_nodes(layout):
        stretches = layout.stretches[kind]
        found["kinds"].append(
            {
                "nodes": [told.node_name(layout, at) for at in places],
                "rings": [told.stops(layout.kinds[kind], each) for each in stretches],
                "trees": [told.chain_stops(layout.kinds[kind], each) for each in stretches],
                "links": [
                    {
                        "name": use.name,
                        "sort": use.sort.value,
                        "gbps": use.gbps,
                        "rings_gbps": use.rings,
                        "trees_gbps": use.trees,
                    }
                    for use in layout.uses[kind]
                ],
            }
        )
    return found


def _graph_dict(graph: Graph) -> dict[str, Any]:
    found = vars_of(graph)
    return found | {"type_intra": graph.type_intra.name, "type_inter": graph.type_inter.name}


def vars_of(value: Any) -> dict[str, Any]:
    """The fields of a dataclass with slots."""
    return {name: getattr(value, name) for name in value.__slots__}
