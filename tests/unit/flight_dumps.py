"""Dumps of the flight recorder as values, for tests of what reads them."""

import json
from collections.abc import Sequence
from typing import Any

from distos_coll.flight import dump

GROUP = "00000000000000aa"
ALL_REDUCE = "all_reduce of 4 float32, op sum"
BROADCAST = "broadcast of 16 bytes, root 0"
KEPT = 128


def entry(sequence: int, call: str, state: str, group: str = GROUP) -> dict[str, Any]:
    return {
        "record_id": sequence,
        "process_group": [group, "dp"],
        "is_p2p": False,
        "collective_seq_id": sequence,
        "p2p_seq_id": 0,
        "profiling_name": f"distos:{call.split()[0]}",
        "call": call,
        "algorithm": "ring",
        "input_sizes": [[4]],
        "input_dtypes": ["float32"],
        "output_sizes": [[4]],
        "output_dtypes": ["float32"],
        "time_created_ns": 1000 * sequence,
        "state": state,
        "frames": [],
    }


def message(
    sends: bool, rank: int, peer: int, tag: int, state: str = "scheduled", group: str = GROUP
) -> dict[str, Any]:
    name = f"send {rank}->{peer}" if sends else f"recv {rank}<-{peer}"
    return {
        "process_group": [group, "dp"],
        "is_p2p": True,
        "collective_seq_id": 0,
        "profiling_name": f"distos:{name}",
        "peer": peer,
        "tag": tag,
        "bytes": 8,
        "state": state,
    }


def raw(
    rank: int,
    size: int,
    entries: Sequence[dict[str, Any]] = (),
    *,
    last: int | None = None,
    last_message: int | None = None,
    error: tuple[str, str] | None = None,
    time_ns: int = 0,
    group: str = GROUP,
) -> dict[str, Any]:
    """What a process of one group writes; of its entries the newest, as the recorder does."""
    calls = [each for each in entries if not each["is_p2p"]]
    messages = [each for each in entries if each["is_p2p"]]
    config = {"name": group, "desc": "dp", "ranks": str(list(range(size)))}
    told = {"error_code": error[0], "error": error[1]} if error else {}
    ended = [each["collective_seq_id"] for each in calls if each["state"] == "completed"]
    return {
        "version": "2.10",
        "distos": {
            "format": dump.FORMAT,
            "library": "0",
            "rank": rank,
            "pid": 100 + rank,
            "host": "here",
            "reason": "test",
            "time_ns": time_ns,
        },
        "pg_config": {group: {**config, "rank": rank, "size": size, **told}},
        "pg_status": {
            group: {
                "last_enqueued_collective": len(calls) if last is None else last,
                "last_completed_collective": max(ended, default=0),
                "last_enqueued_message": len(messages) if last_message is None else last_message,
            }
        },
        "entries": calls[-KEPT:] + messages[-KEPT:],
    }


def parsed(value: dict[str, Any]) -> dump.Dump:
    return dump.parse(json.dumps(value), f"rank_{value['distos']['rank']}.json")


def history(calls: Sequence[str], finished: int) -> list[dict[str, Any]]:
    """The first `finished` have ended, the next is under way, the rest wait."""
    states = ["completed"] * finished + ["started"] + ["scheduled"] * len(calls)
    return [entry(i + 1, call, states[i]) for i, call in enumerate(calls)]
