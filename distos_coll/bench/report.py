"""A run as JSON: the keys and kinds of values of nccl-tests' -J, version 2.

Ours beyond them: `algorithm` of a result, `domain` of a device, `distos_coll_version`, `library`,
`left_out`.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from distos_coll._version import __version__
from distos_coll.bench.options import Options
from distos_coll.bench.run import Measure, Member, Row, Totals
from distos_coll.bench.table import TIMESTAMP
from distos_coll.errors import InvalidArgument

VERSION = 2
_OURS = ("DISTOS_COLL_", "NCCL_")


class Report:
    """Collects a run; hands the text to `write` at its end."""

    def __init__(self, write: Callable[[str], None], arguments: Sequence[str] = ()) -> None:
        self._write = write
        self._results: list[dict[str, Any]] = []
        self._left_out: list[dict[str, str]] = []
        self._section = ""
        # Other variables are none of a report's business, and some are secrets.
        shown = [k for k in os.environ if k.startswith(_OURS) and "KEY" not in k]
        self._document: dict[str, Any] = {
            "version": VERSION,
            "start_time": time.strftime(TIMESTAMP),
            "args": list(arguments or sys.argv),
            "env": [f"{name}={os.environ[name]}" for name in sorted(shown)],
            "distos_coll_version": __version__,
        }

    def begin(self, options: Options, title: str, members: Sequence[Member]) -> None:
        kind, step = options.step
        self._document["library"] = title
        self._document["config"] = {
            "nthreads": options.threads,
            "ngpus": 1,
            "minimum_bytes": options.span[0],
            "maximum_bytes": options.span[1],
            f"step_{kind}": step,
            "warmup_iters": options.warm_ups,
            "iterations": options.iterations,
            "aggregated_iterations": options.together,
            "validation": options.checks,
            "graph": 0,
            "blocking_collectives": _truth(options.blocking > 0),
            "per_iter_timing": _truth(False),
            "parallel_init": _truth(True),
            "devices": [_device(member) for member in members],
        }

    def section(self, collective: str) -> None:
        self._section = collective

    def left_out(self, what: str, why: str) -> None:
        self._left_out.append({"experiment_name": self._section, "what": what, "why": why})

    def row(self, row: Row) -> None:
        self._results.append(
            {
                "size": row.nbytes,
                "count": row.count,
                "type": row.type,
                "redop": row.op,
                "root": f"{row.root:6}",
                "out_of_place": _measure(row.out_of_place),
                "in_place": _measure(row.in_place),
                "actual_iterations": self._document["config"]["iterations"],
                "experiment_name": row.collective,
                "algorithm": row.algorithm,
            }
        )

    def section_end(self, collective: str, totals: Totals) -> None: ...

    def end(self, totals: Totals) -> None:
        self._document |= {
            "results": self._results,
            "left_out": self._left_out,
            "out_of_bounds": {
                "count": totals.out_of_bounds,
                "okay": _truth(totals.out_of_bounds == 0),
            },
            "average_bus_bandwidth": {"bandwidth": totals.bus_gbps, "okay": "unchecked"},
            "errors": [],
            "end_time": time.strftime(TIMESTAMP),
        }
        self._write(json.dumps(self._document, indent=2))


def free_name(wanted: str) -> Path:
    """Return `wanted`, or the first of wanted.0, wanted.1, ... that does not exist.

    InvalidArgument now, rather than an error after the run, if no file can be made there.
    """
    path, count = Path(wanted), 0
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise InvalidArgument(f"-J {wanted}: no file can be written in {path.parent.absolute()}")
    while path.exists():
        path = Path(f"{wanted}.{count}")
        count += 1
    return path


def _truth(value: bool) -> str:
    # nccl-tests writes them as strings, and so do we for who reads its files.
    return "true" if value else "false"


def _device(member: Member) -> dict[str, Any]:
    return {
        "rank": member.rank,
        "group": 0,
        "pid": member.pid,
        "hostname": member.host,
        "device": 0,
        "device_hex": "",
        "device_info": member.processor,
        "domain": member.domain,
    }


def _measure(measure: Measure | None) -> dict[str, Any] | None:
    if measure is None:
        return None
    return {
        "time": measure.seconds * 1e6,
        "alg_bw": measure.algorithm_gbps,
        "bus_bw": measure.bus_gbps,
        "nwrong": None if measure.wrong is None else float(measure.wrong),
    }
