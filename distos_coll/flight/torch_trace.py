"""Dumps as torch's `torchfrtrace` reads them (torch.distributed.flight_recorder, version 2.10).

It takes pickles named by a common prefix and the rank. What it insists on:

- An operation's name begins with a backend that it knows, so "distos:" becomes "gloo:".
- All ranks number their records from a common start, across groups: they are aligned here, group by
  group, at the first collective that every rank remembers.
- Point-to-point calls are understood inside coalesced groups only; a lone one is taken for a
  collective that ranks miss. They are left out, and `distos-coll flight` pairs them.
- all_to_all_v has different sizes on different ranks, which only "all_to_all" may have.
"""

import pickle
from collections.abc import Iterable, Mapping
from typing import Any

from distos_coll.flight.dump import Dump

PREFIX = "distos_rank_"
_NAMES = {"all_to_all_v": "all_to_all"}


def convert(dumps: Iterable[Dump]) -> dict[str, bytes]:
    """Return names of files and what is in them; of two dumps of one rank the later one counts."""
    latest = {dump.job_rank: dump for dump in sorted(dumps, key=lambda dump: dump.time_ns)}
    starts: dict[str, int] = {}
    for dump in latest.values():
        for view in dump.views:
            first = view.calls[0].sequence if view.calls else view.last + 1
            starts[view.id] = max(starts.get(view.id, 0), first)
    return {
        f"{PREFIX}{rank}": pickle.dumps(_converted(dump.raw, starts), protocol=2)
        for rank, dump in latest.items()
    }


def _converted(raw: Mapping[str, Any], starts: Mapping[str, int]) -> dict[str, Any]:
    entries: list[dict[str, Any]] = []
    for entry in raw["entries"]:
        group = entry["process_group"][0]
        if entry["is_p2p"] or entry["collective_seq_id"] < starts[group]:
            continue
        name = entry["profiling_name"].removeprefix("distos:")
        entries.append(
            {
                **entry,
                "record_id": len(entries),
                "profiling_name": f"gloo:{_NAMES.get(name, name)}",
            }
        )
    return {**raw, "entries": entries}
