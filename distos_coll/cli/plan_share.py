"""`distos-coll plan share`: what groups of one job take from each other on the same links."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from distos_coll.cli import plan_options
from distos_coll.cli.plan_topology import topology_of
from distos_coll.errors import InvalidArgument
from distos_coll.layout.placement import JobShape, place
from distos_coll.layout.policy import CrossNic, Policy
from distos_coll.layout.sharing import Shared, by_strides, share_out

File = Annotated[Path, typer.Argument(exists=True, help="A topology of any known format.")]


def share(
    file: File,
    dimension: plan_options.Dimensions,
    copies: plan_options.Copies = 1,
    rack: plan_options.Rack = False,
    nodes: plan_options.Nodes = None,
    ranks_per_host: plan_options.RanksPerHost = None,
    gpus: plan_options.Gpus = "",
    cross_nic: plan_options.CrossNicPolicy = 2,
    as_json: plan_options.Json = False,
) -> None:
    """Lay the groups of a job over a topology: tensor, pipeline, data parallel, and say how much
    longer each takes because the others use the same links.

    distos-coll plan share host.xml --copies 16 -d tensor=8:0.3 -d pipeline=2:0.1 -d data=8:0.2
    """
    try:
        lengths = [parsed(text) for text in dimension]
        numbers = plan_options.numbers(gpus)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    topology = topology_of(file, copies, rack=rack)[1]
    placement = place(topology, JobShape(nodes, ranks_per_host, numbers))
    dimensions = by_strides(placement.size, lengths)
    found = share_out(topology, placement, dimensions, Policy(CrossNic(cross_nic)))
    names = [host.name for host in topology.hosts]
    if as_json:
        print(json.dumps([_as_dict(each, names) for each in found], indent=2))
    else:
        _show(found, names)


def parsed(text: str) -> tuple[str, int, float]:
    """Read NAME=RANKS:SHARE."""
    name, _, rest = text.partition("=")
    ranks, _, part = rest.partition(":")
    try:
        return name, int(ranks), float(part)
    except ValueError:
        raise InvalidArgument(
            f"expected a dimension such as tensor=8:0.3, its name, ranks and share of time: {text}"
        ) from None


def _where(each: Shared, names: Sequence[str]) -> str:
    return "" if each.link is None else f"{names[each.link[0]]}: {each.link[1]}"


def _as_dict(each: Shared, names: Sequence[str]) -> dict[str, Any]:
    return {
        "dimension": each.dimension.name,
        "groups": len(each.dimension.groups),
        "ranks": len(each.dimension.groups[0]),
        "share": each.dimension.share,
        "alone_gbps": min(layout.rings.gbps for layout in each.layouts),
        "shared_gbps": each.gbps,
        "crowding": each.crowding,
        "slowdown": each.slowdown,
        "link": _where(each, names) or None,
        "beside": list(each.beside),
    }


def _show(found: Sequence[Shared], names: Sequence[str]) -> None:
    table = Table(box=None)
    for column in ("dimension", "groups", "ranks", "alone", "shared", "slower", "why"):
        table.add_column(column, justify="left" if column in {"dimension", "why"} else "right")
    for each in found:
        told = _as_dict(each, names)
        others = f", with {', '.join(each.beside)}" if each.beside else ""
        table.add_row(
            each.dimension.name,
            f"{told['groups']:,}",
            f"{told['ranks']:,}",
            f"{told['alone_gbps']:.4g} GB/s",
            f"{each.gbps:.4g} GB/s",
            f"{each.slowdown:.2f} x",
            (told["link"] or "nothing is shared") + others,
        )
    Console().print(table)
