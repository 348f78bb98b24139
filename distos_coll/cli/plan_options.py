"""The options of `distos-coll plan explain`; some go with a FILE, some without."""

from pathlib import Path
from typing import Annotated, Any

import typer

from distos_coll.errors import InvalidArgument

ON_A_TOPOLOGY = "On a topology FILE"


def _on_a_topology(**settings: Any) -> Any:
    return typer.Option(rich_help_panel=ON_A_TOPOLOGY, **settings)


File = Annotated[
    Path | None,
    typer.Argument(exists=True, help="A topology of any known format: the job is laid over it."),
]
Ranks = Annotated[int, typer.Option(min=1, max=1 << 16, help="Size of the group.")]
Domains = Annotated[
    str, typer.Option(help="Sets of ranks that share memory: a number, or sizes such as 3,5.")
]
OfCollective = Annotated[str, typer.Option("--collective", help="all_reduce, broadcast, ...")]
Bytes = Annotated[
    str, typer.Option("--bytes", help="One size, with every candidate: 64K. Else all sizes.")
]
SingleCopy = Annotated[bool, typer.Option(help="Ranks of a domain can read each other's memory.")]
Cores = Annotated[
    int, typer.Option(min=0, help="Cores that the ranks of each domain share. 0: enough.")
]
Hosts = Annotated[
    str,
    typer.Option(
        help="The host of each domain, for links that differ: a,b,c. Unset: those whose links are "
        "known, if there are as many."
    ),
]
Copies = Annotated[int, _on_a_topology(min=1, max=1 << 14, help="The file's hosts so often.")]
Rack = Annotated[
    bool, _on_a_topology(help="NVLink reaches from copy to copy, if the file names a domain.")
]
Nodes = Annotated[int | None, _on_a_topology(min=1, help="Only the first hosts.")]
RanksPerHost = Annotated[int | None, _on_a_topology(min=1, help="On the first GPUs of each.")]
Gpus = Annotated[str, _on_a_topology(help="These GPUs of each host: 0,1,4.")]
Model = Annotated[
    str,
    _on_a_topology(help="A cost model. Unset: nccl where it knows the GPUs, else calibrated."),
]
Capability = Annotated[
    int | None,
    _on_a_topology(
        min=30, help="Compute capability, 90 for 9.0, of GPUs of which the file does not say it."
    ),
]
CrossNicPolicy = Annotated[
    int,
    _on_a_topology(
        min=0,
        max=2,
        help="As NCCL_CROSS_NIC: rings keep to a port's rail always (0), need not (1), need not "
        "if it is better (2).",
    ),
]
Picture = Annotated[
    Path | None, _on_a_topology(help="Draw the channels into this file: .svg or .png.")
]
Plot = Annotated[
    Path | None, _on_a_topology(help="Draw time over size into this file: .svg, .png or .pdf.")
]
Dimensions = Annotated[
    list[str],
    typer.Option(
        "--dimension",
        "-d",
        help="NAME=RANKS:SHARE, the innermost first: groups of so many ranks that communicate for "
        "so much of the time. tensor=8:0.3",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_OF_BOTH = {"file", "collective", "size", "as_json", "help"}


def refuse_the_other_kind(context: typer.Context, *, with_file: bool) -> None:
    """Of options that mean nothing here an error, and not silence."""
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if name in _OF_BOTH or source is None or source.name != "COMMANDLINE":
            continue
        of_files = getattr(parameter, "rich_help_panel", None) == ON_A_TOPOLOGY
        if of_files != with_file:
            why = "needs a FILE" if of_files else "is what a FILE says; leave one of the two out"
            raise typer.BadParameter(why, param_hint=parameter.opts[0])


def numbers(text: str) -> tuple[int, ...] | None:
    """Read "0,1,4"; None of nothing."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else None
    except ValueError:
        raise InvalidArgument(f"expected numbers such as 0,1,4: {text}") from None
