"""One process's dump: the file, checked, as values."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from distos_coll.errors import InvalidArgument

FORMAT = 1
LARGEST_FILE = 1 << 30
STATES = ("scheduled", "started", "completed")

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A collective that a rank called."""

    sequence: int
    name: str  # "distos:all_reduce"
    call: str  # "all_reduce of 4 float32, op sum"
    state: str
    algorithm: str


@dataclass(frozen=True)
class Message:
    """A send or receive; `peer` is a rank of the group, -1: any."""

    sends: bool
    peer: int
    tag: int
    bytes: int
    state: str


@dataclass(frozen=True)
class View:
    """What one rank knows of a group. Of calls and messages the newest are remembered."""

    id: str
    name: str
    rank: int
    job_ranks: tuple[int, ...]
    error_code: str
    error: str
    last: int
    last_message: int
    calls: tuple[Call, ...]
    messages: tuple[Message, ...]


@dataclass(frozen=True)
class Dump:
    """A file. `raw` is all of it, as it was read."""

    source: str
    job_rank: int
    host: str
    pid: int
    reason: str
    time_ns: int
    views: tuple[View, ...]
    raw: Mapping[str, Any]


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the files, and those named *.json in directories, in order and each once."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(path.glob("*.json"))
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def read(path: Path) -> Dump:
    """Read a file; InvalidArgument names it and what is wrong."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise InvalidArgument(f"{path}: it is larger than any flight record")
        text = path.read_bytes().decode("utf-8", errors="replace")
    except OSError as error:
        raise InvalidArgument(f"{path}: {error.strerror or error}") from None
    return parse(text, str(path))


def parse(text: str, source: str) -> Dump:
    """Check the text of a file."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"{source}: not JSON ({error}); is it a flight record, and whole?"
        ) from None
    try:
        return _dump(raw, source)
    except _Malformed as error:
        raise InvalidArgument(f"{source}: not a flight record of distos_coll: {error}") from None


class _Malformed(Exception): ...


def _get(holder: Any, name: str, kind: type[T]) -> T:
    if not isinstance(holder, dict):
        raise _Malformed(f"there is no object with {name!r}")
    value = holder.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise _Malformed(f"{name!r} is not of type {kind.__name__}")
    return value


def _dump(raw: Any, source: str) -> Dump:
    about = _get(raw, "distos", dict)
    if _get(about, "format", int) != FORMAT:
        raise _Malformed(f"format {about['format']}; this version reads format {FORMAT}")
    config, status = _get(raw, "pg_config", dict), _get(raw, "pg_status", dict)
    calls: dict[str, list[Call]] = {name: [] for name in config}
    messages: dict[str, list[Message]] = {name: [] for name in config}
    for entry in _get(raw, "entries", list):
        group = next(iter(_get(entry, "process_group", list)), None)
        if not isinstance(group, str) or group not in config:
            raise _Malformed(f"an entry belongs to group {group!r}, which is not there")
        if _get(entry, "is_p2p", bool):
            messages[group].append(_message(entry))
        else:
            calls[group].append(_call(entry))
    return Dump(
        source=source,
        job_rank=_get(about, "rank", int),
        host=_get(about, "host", str),
        pid=_get(about, "pid", int),
        reason=_get(about, "reason", str),
        time_ns=_get(about, "time_ns", int),
        views=tuple(_views(config, status, calls, messages)),
        raw=raw,
    )


def _views(
    config: Mapping[str, Any],
    status: Mapping[str, Any],
    calls: Mapping[str, list[Call]],
    messages: Mapping[str, list[Message]],
) -> Iterator[View]:
    for name, group in config.items():
        job_ranks = tuple(int(text) for text in re.findall("[0-9]{1,9}", _get(group, "ranks", str)))
        rank, size = _get(group, "rank", int), _get(group, "size", int)
        if not 0 <= rank < size or len(job_ranks) != size:
            raise _Malformed(f"group {name}: rank {rank} of {size}, {len(job_ranks)} job ranks")
        place = _get(dict(status), name, dict)
        yield View(
            id=name,
            name=_get(group, "desc", str),
            rank=rank,
            job_ranks=job_ranks,
            error_code=_get({"error_code": "", **group}, "error_code", str),
            error=_get({"error": "", **group}, "error", str),
            last=_get(place, "last_enqueued_collective", int),
            last_message=_get(place, "last_enqueued_message", int),
            calls=tuple(sorted(calls[name], key=lambda call: call.sequence)),
            messages=tuple(messages[name]),
        )


def _state(entry: Any) -> str:
    state = _get(entry, "state", str)
    if state not in STATES:
        raise _Malformed(f"an entry's state is {state!r}")
    return state


def _call(entry: Any) -> Call:
    return Call(
        sequence=_get(entry, "collective_seq_id", int),
        name=_get(entry, "profiling_name", str),
        call=_get(entry, "call", str),
        state=_state(entry),
        algorithm=_get(entry, "algorithm", str),
    )


def _message(entry: Any) -> Message:
    return Message(
        sends="->" in _get(entry, "profiling_name", str),
        peer=_get(entry, "peer", int),
        tag=_get(entry, "tag", int),
        bytes=_get(entry, "bytes", int),
        state=_state(entry),
    )
