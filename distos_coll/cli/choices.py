"""Which algorithm serves which sizes, as rows for people and for programs."""

from collections.abc import Sequence
from typing import Any

from distos_coll._vocabulary import Collective
from distos_coll.planner import Plan
from distos_coll.planner.choose import LARGEST

Row = dict[str, Any]  # an Explanation as a dictionary


def rows(plan: Plan, collective: Collective) -> list[Row]:
    """Explain each row of a collective's choices, at a size inside it."""
    found, low = [], 0
    for row in plan.rows:
        if row.collective is collective:
            # Not at an edge, where the next candidate is as good.
            size = min(row.max_bytes, max(low, 1) * 4)
            found.append(plan.explain(collective, size).as_dict())
            low = row.max_bytes + 1
    return found


def name_of(row: Row) -> str:
    """Return the algorithm of a row: direct2, or direct2/single_copy for a variant."""
    winner = row["candidates"][0]
    return "/".join(filter(None, (winner["algorithm"], winner["variant"])))


def show(console: Any, found: Sequence[Row]) -> None:
    """Print the rows as a table."""
    from rich.table import Table

    table = Table(box=None)
    for column in ("bytes", "algorithm", "predicted", "why"):
        table.add_column(column, justify="left" if column in {"algorithm", "why"} else "right")
    low = 0
    for row in found:
        high = row["up_to_bytes"]
        winner = row["candidates"][0]
        table.add_row(
            f"{low:,} and more" if high > LARGEST else f"{low:,} - {high:,}",
            name_of(row),
            f"{winner['predicted_us']:,.1f} us at {row['bytes']:,}",
            winner["reason"],
        )
        low = high + 1
    console.print(table)
