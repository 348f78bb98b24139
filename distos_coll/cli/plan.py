"""`distos-coll plan explain`: what would run, and why, for a group that need not exist."""

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from distos_coll import settings
from distos_coll.errors import InvalidArgument
from distos_coll.planner import ClusterView, Explanation, Plan, plan
from distos_coll.planner.algo import collective_named
from distos_coll.planner.choose import LARGEST

app = typer.Typer(no_args_is_help=True, help="Plans, without running them.")


@app.callback()
def _group() -> None: ...


def domains_of(text: str, ranks: int) -> tuple[int, ...]:
    """Read "2" (that many, as equal as can be) or "3,5" (their sizes) into each rank's domain."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise InvalidArgument(
            f"expected a number such as 2, or sizes such as 3,5: {text}"
        ) from None
    if len(numbers) == 1:
        (count,) = numbers
        if not 1 <= count <= ranks:
            raise InvalidArgument(f"{ranks} ranks can be in 1 to {ranks} domains, not in {count}")
        return tuple(rank * count // ranks for rank in range(ranks))
    if min(numbers) < 1 or sum(numbers) != ranks:
        raise InvalidArgument(f"the sizes {text} do not add up to {ranks} ranks")
    return tuple(domain for domain, size in enumerate(numbers) for _ in range(size))


def rows(table: Plan, collective: str) -> list[Explanation]:
    """Explain each row of a collective's choices, at a size inside it."""
    wanted = collective_named(collective)
    found, low = [], 0
    for row in table.rows:
        if row.collective is wanted:
            typical = min(row.max_bytes, max(low, 1) * 4)
            found.append(table.explain(wanted, typical))
            low = row.max_bytes + 1
    return found


def show_rows(console: Console, explanations: list[Explanation]) -> None:
    """Print which sizes take which algorithm, one row each."""
    table = Table(box=None)
    for column in ("bytes", "algorithm", "predicted", "why"):
        table.add_column(column, justify="left" if column in {"algorithm", "why"} else "right")
    low = 0
    for item in explanations:
        last = item.up_to_bytes > LARGEST
        span = f"{low:,} and more" if last else f"{low:,} - {item.up_to_bytes:,}"
        winner = item.winner
        predicted = f"{winner.predicted_us:,.1f} us at {item.bytes:,}"
        name = f"{winner.algorithm}/{winner.variant}" if winner.variant else winner.algorithm
        table.add_row(span, name, predicted, winner.reason)
        low = item.up_to_bytes + 1
    console.print(table)


@app.command()
def explain(
    ranks: Annotated[int, typer.Option(min=1, max=1 << 16, help="Size of the group.")] = 2,
    domains: Annotated[
        str, typer.Option(help="Sets of ranks that share memory: a number, or sizes such as 3,5.")
    ] = "1",
    collective: Annotated[str, typer.Option(help="all_reduce, broadcast, ...")] = "all_reduce",
    size: Annotated[
        str, typer.Option("--bytes", help="One size, with every candidate: 64K. Else all sizes.")
    ] = "",
    single_copy: Annotated[
        bool, typer.Option(help="Ranks of a domain can read each other's memory.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which algorithm runs at which size, and why not the others.

    DISTOS_COLL_ALGO and DISTOS_COLL_SLOT_BYTES apply as they would in a real group.
    """
    current = settings.load()
    try:
        wanted = collective_named(collective)
        domain_of = domains_of(domains, ranks)
        count = settings.parse_bytes(size) if size else None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    view = ClusterView(
        ranks,
        domain_of,
        (single_copy and current.single_copy,) * (max(domain_of) + 1),
        slot_bytes=current.slot_bytes,
    )
    table = plan(view, current.algo, collectives=[wanted])
    chosen = rows(table, collective) if count is None else [table.explain(wanted, count)]
    if as_json:
        print(json.dumps([item.as_dict() for item in chosen], indent=2))
    elif count is None:
        show_rows(Console(), chosen)
    else:
        print(chosen[0])
