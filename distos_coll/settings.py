"""Everything that may be set by environment variables, in one frozen object.

`Settings.from_env` is pure: an environment in, a Settings out, or a SettingsError that lists every
mistake at once. It is called when a communicator is created, never at import. The object crosses to
the core as text (`native_text`), and what all ranks must agree on goes into the plan's fingerprint
(`plan_affecting`). docs/settings.md is generated from this file by tools/settings_table.py.
"""

import difflib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from distos_coll.errors import SettingsError
from distos_coll.settings_text import (
    choice,
    parse_bool,
    parse_bytes,
    parse_int,
    parse_name,
    parse_plugins,
    short,
    within,
)

PREFIX = "DISTOS_COLL_"
PLUGIN_PREFIX = "DISTOS_COLL_X_"
NO_PROFILE = "none"

Value = bool | int | str


@dataclass(frozen=True)
class Spec:
    """What is known of a setting besides its type and default."""

    parse: Callable[[str], Value]
    values: str  # for people: what `parse` takes
    doc: str
    native: bool = True  # crosses to the core under the field's name
    agreed: bool = False  # must be the same on all ranks; part of the fingerprint
    alias: str = ""  # the NCCL variable that is honoured when ours is unset


def _flag(default: bool, doc: str, **more: Any) -> Any:
    spec = Spec(parse_bool, "1 or 0", doc, **more)
    return field(default=default, metadata={"spec": spec})


def _bytes(default: int, low: int, high: int, doc: str, **more: Any) -> Any:
    values = f"{short(low)} to {short(high)}"
    spec = Spec(within(parse_bytes, low, high), values, doc, **more)
    return field(default=default, metadata={"spec": spec})


def _int(default: int, low: int, high: int, doc: str, **more: Any) -> Any:
    spec = Spec(within(parse_int, low, high), f"{low} to {high}", doc, **more)
    return field(default=default, metadata={"spec": spec})


def _text(default: str, parse: Callable[[str], str], values: str, doc: str, **more: Any) -> Any:
    return field(default=default, metadata={"spec": Spec(parse, values, doc, **more)})


@dataclass(frozen=True)
class Settings:
    """What a person may set. The variable of a field is its name in capitals after DISTOS_COLL_."""

    algo: str = _text(
        "",
        parse_name,
        "names",
        "Algorithms to choose from: `ring,tree`, all but some: `^ring`, by collective: "
        "`allreduce:ring;broadcast:tree`. Unset: the planner's choice.",
        native=False,
        agreed=True,
        alias="NCCL_ALGO",
    )
    profile: str = _text(
        "",
        parse_name,
        "a path, or none",
        "What `distos-coll bench --calibrate` measured: predictions use rank 0's "
        "(docs/decisions/0007). Unset: a file in the cache folder, if it is of this machine and "
        "build. `none`: the built-in figures.",
        native=False,
    )
    plugins: str = _text(
        "",
        parse_plugins,
        "modules",
        "Plugins besides those that are installed: `my_ring,lab.models:fast` are a module and an "
        "object in one, loaded in this order (docs/plugins/index.md).",
        native=False,
    )
    plugin_failures: str = _text(
        "stop",
        choice("stop", "skip"),
        "stop or skip",
        "What to do about a plugin that cannot be loaded: stop, or leave it out whole, with a "
        "warning. Ranks that leave out different ones do not start together.",
        native=False,
    )
    topo_file: str = _text(
        "",
        parse_name,
        "a path",
        "A topology in any format that `distos-coll topo show` reads. What rank 0's says of links "
        "between hosts orders rings and trees, where no profile has measured them "
        "(docs/decisions/0012).",
        native=False,
        alias="NCCL_TOPO_FILE",
    )
    wide_reduce: bool = _flag(
        False,
        "Half-precision sums travel as float32 between hosts too: they round once, for twice the "
        "bytes. Within a host they always round once.",
        native=False,
        agreed=True,
    )
    deterministic: bool = _flag(
        False,
        "Reduce in the order of ranks: the same bits whatever the algorithm, the hosts and the "
        "number of elements in a call. Algorithms that use another order are left out.",
        native=False,
        agreed=True,
    )
    shm: bool = _flag(True, "Use shared memory between ranks of a host.")
    tcp: bool = _flag(True, "Use TCP, between hosts and where shared memory cannot be used.")
    single_copy: bool = _flag(
        True, "Read large buffers straight out of a peer's memory where the kernel allows it."
    )
    interfaces: str = _text(
        "",
        parse_name,
        "names",
        "Network interfaces to use: prefixes `eth,ib`, exact names `=eth0`, all but `^docker`. "
        "Unset: every one that probing finds usable.",
        alias="NCCL_SOCKET_IFNAME",
    )
    host_id: str = _text(
        "",
        parse_name,
        "text",
        "Ranks with different values never share memory. For containers, and for trying several "
        "hosts on one.",
    )
    rendezvous: str = _text(
        "",
        parse_name,
        "HOST:PORT",
        "Where the array door's ranks meet, on rank 0's host, or `unix:NAME`. Unset: what the "
        "launcher says.",
        native=False,
    )
    job_key_file: str = _text(
        "",
        parse_name,
        "a path",
        "A file with a random text of at least 16 bytes, the same for all ranks: only processes "
        "that know it can connect. Without it, whoever can read the job's store can.",
    )
    slot_bytes: int = _bytes(
        1 << 20,
        256,
        1 << 30,
        "One slot of a rank's shared-memory window; a rank reserves three per group. Also the "
        "largest pipeline segment.",
        agreed=True,
    )
    ring_bytes: int = _bytes(1 << 20, 128 << 10, 1 << 30, "One direction of a shared-memory link.")
    stream_credit: int = _bytes(
        1 << 20,
        64 << 10,
        1 << 30,
        "Bytes of a collective that a sender may be ahead of its receiver.",
        agreed=True,
    )
    sockets_per_peer: int = _int(
        1,
        1,
        16,
        "TCP connections that carry the frames of two processes. More than one helps where a "
        "connection gets less than the link: long ways, and clouds that limit each connection.",
        agreed=True,
    )
    eager_bytes: int = _bytes(
        32 << 10, 0, 64 << 10, "Largest message that is sent before its receiver asks.", agreed=True
    )
    eager_credit: int = _bytes(
        1 << 20,
        64 << 10,
        1 << 30,
        "Bytes of messages nobody has received yet that one peer may leave at a rank, per group.",
        agreed=True,
    )
    registered_cache: int = _bytes(
        256 << 20, 0, 1 << 40, "Registered memory that is kept when arrays let go of it, bytes."
    )
    spin_us: int = _int(50, 0, 1_000_000, "Busy waiting before the first yield, microseconds.")
    yield_us: int = _int(200, 0, 1_000_000, "Yielding before sleep, microseconds.")
    heartbeat_ms: int = _int(
        250,
        10,
        60_000,
        "Between hosts, milliseconds; a peer that is silent for six of them is dead.",
        agreed=True,
    )
    death_grace_ms: int = _int(
        300,
        0,
        60_000,
        "After a rank died: how long operations that do not wait for it may still finish, "
        "milliseconds.",
    )
    domain_limit: int = _int(
        0,
        0,
        1_000_000,
        "Treat at most this many ranks as sharing memory, to try hierarchical algorithms on one "
        "host. 0: no limit.",
        agreed=True,
    )
    isa: str = _text(
        "",
        choice("", "generic", "avx2", "avx512"),
        "generic, avx2 or avx512",
        "Instruction set of the reduction kernels. Unset: the best of this machine. Results are "
        "the same bits either way.",
        native=False,
    )
    debug: str = _text(
        "WARN",
        choice("WARN", "INFO"),
        "WARN or INFO",
        "How much is logged. INFO: settings, links, and the plan of each new group.",
        alias="NCCL_DEBUG",
    )
    flight_file: str = _text(
        "",
        parse_name,
        "a path",
        "When a group fails, each process writes what it called last to this path with its rank "
        "and `.json` after it (docs/flight-recorder.md). Unset: no files.",
    )
    flight_signal: str = _text(
        "",
        choice("", "SIGUSR1", "SIGUSR2"),
        "SIGUSR1 or SIGUSR2",
        "The signal on which a process writes its DISTOS_COLL_FLIGHT_FILE, also while it is stuck.",
    )

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        """Read and check every variable; see `warnings` for what was ignored on purpose."""
        return _read(environ)[0]

    @classmethod
    def warnings(cls, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return one sentence for each NCCL variable that has no effect here."""
        return _read(environ)[1]

    def native_text(self) -> str:
        """Return name=value lines for the core (cpp/core/settings.h)."""
        return "".join(f"{n}={_plain(getattr(self, n))}\n" for n, s in specs() if s.native)

    def plan_affecting(self) -> str:
        """Return stable text of what all ranks must agree on, for the plan's fingerprint."""
        return "".join(f"{n}={_plain(getattr(self, n))}\n" for n, s in specs() if s.agreed)


def specs() -> Iterator[tuple[str, Spec]]:
    """Yield the name and the description of every setting, in order."""
    for item in fields(Settings):
        yield item.name, item.metadata["spec"]


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + name.upper()


_logger = logging.getLogger("distos_coll")
_warned: set[str] = set()


def load() -> Settings:
    """Read this process's environment, logging each warning once per process."""
    settings, warnings = _read(os.environ)
    for warning in warnings:
        if warning not in _warned:
            _warned.add(warning)
            _logger.warning(warning)
    return settings


# ---- reading an environment

_NO_EFFECT: Mapping[str, str] = {
    "NCCL_PROTO": "there are no protocols to choose here; DISTOS_COLL_ALGO chooses algorithms",
    "NCCL_NVLS_ENABLE": "there is no NVLink SHARP here",
    "NCCL_IB_HCA": "this version has no RDMA transport",
    "NCCL_CROSS_NIC": "this version uses one interface per pair of hosts",
}
# Values of NCCL_ALGO that name hardware or algorithms without a counterpart.
_NCCL_ONLY = frozenset({"collnet", "collnetdirect", "collnetchain", "nvls", "nvlstree", "pat"})
_NCCL_DEBUG = {"version": "WARN", "warn": "WARN", "abort": "WARN", "info": "INFO", "trace": "INFO"}


def _read(environ: Mapping[str, str]) -> tuple[Settings, tuple[str, ...]]:
    mistakes = list(_unknown(environ))
    warnings = [
        f"{name} has no effect: {why}." for name, why in _NO_EFFECT.items() if environ.get(name)
    ]
    values: dict[str, Any] = {}
    for name, spec in specs():
        variable, text = variable_of(name), environ.get(variable_of(name), "")
        if not text and spec.alias and environ.get(spec.alias):
            variable = spec.alias
            text, warning = _from_nccl(variable, environ[variable])
            warnings += [warning] if warning else []
        if not text:
            continue
        try:
            values[name] = spec.parse(text)
        except ValueError as error:
            mistakes.append(f"{variable}={text!r}: {error}")
    settings = replace(Settings(), **values)
    mistakes += _contradictions(settings)
    if mistakes:
        raise SettingsError("; ".join(mistakes) + ". See docs/settings.md for all settings.")
    return settings, tuple(warnings)


def _unknown(environ: Mapping[str, str]) -> Iterator[str]:
    known = [name for name, _ in specs()]
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable.startswith(PLUGIN_PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if variable_of(name) == variable and name in known:
            continue
        # Compared without the prefix, which alone would make any two look alike.
        close = difflib.get_close_matches(name, known, n=1)
        hint = f", did you mean {variable_of(close[0])}?" if close else " (unset it)"
        yield f"{variable} is not a setting{hint}"


def _contradictions(settings: Settings) -> list[str]:
    if not settings.shm and not settings.tcp:
        return ["DISTOS_COLL_SHM=0 and DISTOS_COLL_TCP=0 leave no way to reach a peer; enable one"]
    if settings.flight_signal and not settings.flight_file:
        return ["DISTOS_COLL_FLIGHT_SIGNAL needs DISTOS_COLL_FLIGHT_FILE, the file to write"]
    return []


def _from_nccl(variable: str, text: str) -> tuple[str, str]:
    """Translate the value of an NCCL variable: (our value or "", a warning or "")."""
    if variable == "NCCL_DEBUG":
        known = _NCCL_DEBUG.get(text.strip().lower(), "")
        return known, "" if known else f"NCCL_DEBUG={text} is not a level; it is ignored."
    if variable != "NCCL_ALGO":
        return text, ""
    clauses, dropped = [], []
    for clause in filter(None, text.replace(" ", "").lower().split(";")):
        collective, colon, names = clause.rpartition(":")
        without = names.removeprefix("^")
        kept = [name for name in without.split(",") if name not in _NCCL_ONLY]
        dropped += [name for name in without.split(",") if name in _NCCL_ONLY]
        if kept:
            clauses.append(collective + colon + names[: len(names) - len(without)] + ",".join(kept))
    warning = f"NCCL_ALGO: {', '.join(dropped)} do not exist here; ignored." if dropped else ""
    return ";".join(clauses), warning


def _plain(value: Value) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)
