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


def show(console: Any, found: Sequence[Row], *, marked: int = -1, mark: str = "") -> None:
    """Print the rows as a table; the row that serves `marked` bytes gets `mark`."""
    from rich.table import Table

    table = Table(box=None)
    for column in ("bytes", "algorithm", "predicted", "why"):
        table.add_column(column, justify="left" if column in {"algorithm", "why"} else "right")
    low = 0
    for row in found:
        high = row["up_to_bytes"]
        winner = row["candidates"][0]
        name = "/".join(filter(None, (winner["algorithm"], winner["variant"])))
        why = f"{winner['reason']} ({mark})" if low <= marked <= high else winner["reason"]
        table.add_row(
            f"{low:,} and more" if high > LARGEST else f"{low:,} - {high:,}",
            name,
            f"{winner['predicted_us']:,.1f} us at {row['bytes']:,}",
            why,
        )
        low = high + 1
    console.print(table)
