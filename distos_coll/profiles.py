"""Where profiles are kept, for which machine one was measured, and how a group agrees on one
(docs/decisions/0007).
"""

import functools
import hashlib
import json
import logging
import os
import platform
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from distos_coll import topology_file
from distos_coll._version import __version__
from distos_coll.errors import DistosError, InvalidArgument
from distos_coll.planner.profile import BUILT_IN, Profile
from distos_coll.planner.profile_text import as_dict, from_dict
from distos_coll.settings import NO_PROFILE, Settings

SCHEMA_VERSION = 2
LARGEST_SHARED = 48 << 10
"""Bytes; the stores in which ranks meet take 60 KiB."""
_LARGEST_TEXT = 16 << 20
_HEAD_BYTES = 64 << 10

_logger = logging.getLogger("distos_coll")


@dataclass(frozen=True)
class Key:
    """What a profile depends on. Where one of these differs, it is stale."""

    cpu: str
    cores: int
    kernel: str
    build: str

    def difference(self, here: "Key") -> str:
        """Return a sentence's part that names the first thing that differs, or ""."""
        for item in fields(Key):
            was, now = getattr(self, item.name), getattr(here, item.name)
            if was != now:
                return f"it is stale: measured with {item.name} {was}, and this is {now}"
        return ""


@dataclass(frozen=True)
class Stored:
    """A profile in a file."""

    key: Key
    measured_at: str
    profile: Profile


@functools.lru_cache(maxsize=1)
def own_key() -> Key:
    return Key(_cpu_model(), os.cpu_count() or 1, platform.release(), _build())


def _cpu_model() -> str:
    """Read x86's model name, or what Arm has for it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    found = dict(part.partition(":")[::2] for part in reversed(lines) if ":" in part)
    known = {name.strip(): value.strip() for name, value in found.items()}
    parts = ("model name",) if "model name" in known else ("CPU implementer", "CPU part")
    return " ".join([platform.machine(), *(known.get(part, "") for part in parts)]).strip()


def _build() -> str:
    """The version, and which build of the core it is: the first part of the library holds the
    linker's build id, so that the rest need not be read.
    """
    library = Path(__file__).with_name("libdistos_coll.so")
    try:
        with library.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        head = b""
    return f"{__version__}-{hashlib.sha256(head).hexdigest()[:12]}"


def path_of(values: Settings, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file of this machine's profile: the one that is set, or one in the cache. Its name
    has the processor only, so that a stale one is found and can be told.
    """
    if values.profile and values.profile != NO_PROFILE:
        return Path(values.profile).expanduser()
    home = environ.get("XDG_CACHE_HOME") or "~/.cache"
    machine = hashlib.sha256(f"{own_key().cpu} x {own_key().cores}".encode()).hexdigest()[:12]
    return Path(home).expanduser() / "distos-coll" / f"profile-{machine}.json"


def load(path: Path) -> Stored:
    """Read a file; ValueError or OSError says why it cannot be used."""
    with path.open(encoding="utf-8") as file:
        text = file.read(_LARGEST_TEXT + 1)
    if len(text) > _LARGEST_TEXT:
        raise ValueError("it is too large")
    stored = _stored(text)
    difference = stored.key.difference(own_key())
    if difference:
        raise ValueError(difference)
    return stored


def _stored(text: str) -> Stored:
    value: Any = json.loads(text)
    if not isinstance(value, dict) or value.get("schema_version") != SCHEMA_VERSION:
        raise ValueError(f"it has no schema_version {SCHEMA_VERSION}")
    key, measured_at = value.get("key"), value.get("measured_at")
    kinds = {item.name: item.type for item in fields(Key)}
    if not isinstance(key, dict) or {name: type(each) for name, each in key.items()} != kinds:
        raise ValueError(f"its key is not {', '.join(kinds)}")
    if not isinstance(measured_at, str):
        raise ValueError("its measured_at is no text")  # noqa: TRY004  of text
    return Stored(Key(**key), measured_at, from_dict(value.get("profile")))


def as_text(stored: Stored) -> str:
    value = {
        "schema_version": SCHEMA_VERSION,
        "key": vars(stored.key),
        "measured_at": stored.measured_at,
        "profile": as_dict(stored.profile),
    }
    return json.dumps(value, separators=(",", ":"), allow_nan=False) + "\n"


def prepare(path: Path) -> None:
    """Raise DistosError if save() would, before anything is measured."""
    with _saving():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def save(stored: Stored, path: Path) -> None:
    """Write the file as a whole, or leave what is there."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with _saving():
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(as_text(stored), encoding="utf-8")
        part.replace(path)


@contextmanager
def _saving() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DistosError(
            f"the profile cannot be written: {error}; name another file in DISTOS_COLL_PROFILE"
        ) from None


def find(values: Settings) -> Stored | None:
    """Return this process's profile, or None where there is none; InvalidArgument says why the one
    that is there, or that should be, cannot be used.
    """
    if values.profile == NO_PROFILE:
        return None
    where = "of this machine"
    try:
        path = path_of(values)
        where = str(path)
        return load(path)
    except (OSError, ValueError, RuntimeError) as error:
        # A home that is not known and text nested too deeply are RuntimeErrors.
        if isinstance(error, FileNotFoundError) and not values.profile:
            return None
        raise InvalidArgument(
            f"the profile {where} cannot be used: {error}; run distos-coll bench --calibrate to "
            "measure again, or unset DISTOS_COLL_PROFILE"
        ) from None


def in_use(values: Settings) -> Stored | None:
    """Return this process's profile, or None. One that cannot be used is an error only if
    DISTOS_COLL_PROFILE names it; else that is logged, once.
    """
    try:
        return find(values)
    except InvalidArgument as error:
        if values.profile:
            raise
        _warn_once(str(error))
        return None


@functools.lru_cache(maxsize=64)
def _warn_once(message: str) -> None:
    _logger.warning("%s", message)


# ---- how a group agrees: what rank 0 says before it meets the others, and all read afterwards

STORE_KEY = "distos/profile/0"
"""Under the core's own prefix (cpp/comm/setup_keys.h), so that it is forgotten with the others."""
NONE, GOOD, REFUSED = b"-", b"+", b"!"


@functools.lru_cache(maxsize=64)
def shared(values: Settings, size: int) -> bytes:
    """Return what rank 0 of a group of so many ranks tells the others: its profile, and what a
    topology file says of links; or why it has none where it should. Never raises, for the others
    wait. A process reads its profile once.
    """
    try:
        known = in_effect(values)
    except InvalidArgument as error:
        return REFUSED + str(error).encode()
    if known == BUILT_IN:
        return NONE
    tables = tuple(t for t in known.tables if sum(t.shape.domains) == size)
    return _packed(replace(known, tables=tables))


def in_effect(values: Settings) -> Profile:
    """Return this process's profile, and behind the links that it measured those of the topology
    file; InvalidArgument says what is wrong with either.
    """
    stored = in_use(values)
    known = stored.profile if stored else BUILT_IN
    told = topology_file.read(values)
    if told is None or told.links is None:
        return known
    return replace(known, links=(*known.links, told.links))


def _packed(profile: Profile) -> bytes:
    text = json.dumps(as_dict(profile), separators=(",", ":"))
    packed = GOOD + zlib.compress(text.encode())
    fits = len(packed) <= LARGEST_SHARED and len(text) <= _LARGEST_TEXT
    if fits or not (profile.tables or profile.links):
        return packed
    if profile.tables:
        _warn_once("the profile is too large to share: its figures are used, its tables are not")
        return _packed(replace(profile, tables=()))
    _warn_once("what is known of links between hosts is too large to share, and is not used")
    return _packed(replace(profile, links=()))


@functools.lru_cache(maxsize=16)
def received(told: bytes) -> Profile:
    """Return the profile that rank 0 told; InvalidArgument if it said that it has none to use."""
    if told in {NONE, b""}:  # the latter where a store has lost it
        return BUILT_IN
    if told.startswith(REFUSED):
        raise InvalidArgument(f"rank 0: {told[1:].decode(errors='replace')}")
    try:
        text = zlib.decompressobj().decompress(told[1:], _LARGEST_TEXT)
        return from_dict(json.loads(text))
    except (ValueError, zlib.error, RecursionError) as error:
        raise InvalidArgument(f"rank 0 shares a profile that cannot be read: {error}") from None
