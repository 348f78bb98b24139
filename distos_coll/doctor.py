"""What this machine can do for distos_coll, what is missing, and what mends it.

Each check is a function that returns findings and never raises; `examine` runs them all.
"""

import importlib.metadata
import os
import platform
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from distos_coll._version import __version__
from distos_coll.errors import DistosError, InvalidArgument

Status = Literal["good", "note", "bad"]

FEW_FILES = 4096
"""Below this limit of open files a large job can run out: each peer takes a few descriptors."""


@dataclass(frozen=True)
class Finding:
    """`bad` keeps something from working; a `note` costs speed or a feature."""

    about: str
    status: Status
    text: str
    mend: str = ""


Check = Callable[[], Iterator[Finding]]


def examine() -> list[Finding]:
    """Run every check. What one of them trips over is a finding, too."""
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check()
        except Exception as error:  # noqa: BLE001  a broken check must not hide the others
            about = check.__name__.strip("_").replace("_", " ")
            found.append(Finding(about, "bad", f"{type(error).__name__}: {error}"))
    return found


def _package() -> Iterator[Finding]:
    yield Finding(
        "package",
        "good",
        f"distos-coll {__version__}, Python {platform.python_version()}, {platform.machine()}, "
        f"Linux {platform.release()}",
    )
    try:
        from distos_coll import _native
    except ImportError as error:
        mend = (
            "install it again: pip install --force-reinstall distos-coll; in a checkout, make build"
        )
        yield Finding("native core", "bad", f"it does not load: {error}", mend)
        return
    if _native.__version__ != __version__:
        mend = "build it again: in a checkout, make build"
        yield Finding("native core", "bad", f"it is of version {_native.__version__}", mend)
    kernels = _native.isa()
    status: Status = "note" if kernels == "generic" else "good"
    yield Finding("reduction kernels", status, kernels)


def _torch() -> Iterator[Finding]:
    from distos_coll.torch.loader import built_for, check_versions

    try:
        running = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("torch", "note", "not installed; the array door works without it")
        return
    try:
        check_versions(built_for(), running)
    except RuntimeError as error:
        yield Finding("torch", "bad", str(error))
        return
    yield Finding("torch", "good", f"{running}, and the backend was built for it")


def _settings() -> Iterator[Finding]:
    from distos_coll.settings import Settings

    try:
        Settings.from_env(os.environ)
    except DistosError as error:
        yield Finding("settings", "bad", str(error))
        return
    for warning in Settings.warnings(os.environ):
        yield Finding("settings", "note", warning)
    given = sorted(name for name in os.environ if name.startswith("DISTOS_COLL_"))
    yield Finding("settings", "good", ", ".join(given) if given else "all defaults")


def _launcher() -> Iterator[Finding]:
    from distos_coll import launch

    found = launch.detect(os.environ)
    if found.size == 1:
        yield Finding("launcher", "good", "none here: a group of one rank")
        return
    text = f"{found.launcher}: rank {found.rank} of {found.size}, {found.local_size} on this host"
    if found.unix_name or found.host:
        yield Finding("launcher", "good", text)
    else:
        mend = "install mpi4py, or set DISTOS_COLL_RENDEZVOUS=HOST:PORT to a port of rank 0's host"
        yield Finding("launcher", "note", f"{text}; it does not say where ranks meet", mend)


def _cores() -> Iterator[Finding]:
    ours, all_of_them = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    text = f"{ours} of {all_of_them} may be used"
    if ours == 1:
        mend = "give each rank a core of its own; ranks that share one wait for each other"
        yield Finding("cores", "note", text, mend)
    else:
        yield Finding("cores", "good", text)


def _open_files() -> Iterator[Finding]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FEW_FILES:
        mend = f"ulimit -n {min(65536, hard) if hard > 0 else 65536}"
        yield Finding("open files", "note", f"at most {soft}; large jobs need more", mend)
    else:
        yield Finding("open files", "good", f"at most {soft}")


def _kernel() -> Iterator[Finding]:
    try:
        os.close(os.pidfd_open(os.getpid()))
        yield Finding("death of a peer", "good", "seen by the kernel (pidfd)")
    except (OSError, AttributeError) as error:
        mend = "Linux 5.3 or newer; a container's seccomp profile may have to allow pidfd_open"
        yield Finding("death of a peer", "note", f"no pidfd ({error}): seen by sockets only", mend)
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    restricted = scope.exists() and scope.read_text(encoding="ascii").strip() not in {"0", ""}
    if restricted:
        mend = "sysctl kernel.yama.ptrace_scope=0 (as root) allows it; without, data are staged"
        text = "ranks may not read each other's memory (Yama)"
        yield Finding("single copy", "note", text, mend)
    else:
        yield Finding("single copy", "good", "nothing here forbids it; each pair of ranks tries")


def _addresses() -> Iterator[Finding]:
    from distos_coll import _native
    from distos_coll.settings import Settings

    text = Settings.from_env(os.environ).native_text()
    try:
        runtime = _native.Runtime(text)
    except _native.NativeError as error:
        yield Finding("addresses", "bad", str(error))
        return
    first, *rest = runtime.describe().splitlines()
    runtime.shutdown()
    yield Finding("addresses", "good", first.partition(", ")[2] or first)
    for line in rest:
        yield Finding("addresses", "note", line.strip())


def _links() -> Iterator[Finding]:
    import numpy as np

    from distos_coll.testing.ranks import LocalWorld, Rank

    def right(rank: Rank) -> bool:
        x = np.arange(100_000, dtype=np.float32)
        rank.all_reduce(x)
        return np.array_equal(x, 2 * np.arange(100_000, dtype=np.float32))

    for about, settings in (("shared memory", "tcp=0"), ("TCP on this host", "shm=0")):
        try:
            with LocalWorld(2, settings=settings, timeout_ms=20_000) as world:
                both = all(world.run(right))
        except DistosError as error:
            yield Finding(about, "bad", str(error))
            continue
        text = "an all_reduce between two ranks gave the right result"
        yield Finding(about, "good" if both else "bad", text if both else "a WRONG result")


def _profile() -> Iterator[Finding]:
    from distos_coll import profiles
    from distos_coll.settings import NO_PROFILE, Settings

    values = Settings.from_env(os.environ)
    mend = "distos-coll bench --calibrate measures this machine, when it is idle"
    try:
        stored = profiles.find(values)
    except InvalidArgument as error:
        yield Finding("profile", "bad" if values.profile else "note", str(error))
        return
    if stored is None:
        off = values.profile == NO_PROFILE
        text = "switched off" if off else "none"
        yield Finding("profile", "note", f"{text}: predictions use built-in figures", mend)
        return
    groups = sorted({sum(table.shape.domains) for table in stored.profile.tables})
    ranks = ", ".join(map(str, groups)) or "no"
    text = f"{profiles.path_of(values)}, of {stored.measured_at}, groups of {ranks} ranks"
    yield Finding("profile", "good", text)


def _plugins() -> Iterator[Finding]:
    from distos_coll.plugins.loading import Wanted
    from distos_coll.plugins.manager import plugins_of
    from distos_coll.settings import Settings

    try:
        values = Settings.from_env(os.environ)
    except DistosError:  # told of already
        return
    found = plugins_of(replace(Wanted.of(values), skip=True)).found
    status: Status = "note" if values.plugin_failures == "skip" else "bad"
    for each in found.refused:
        yield Finding("plugins", status, f"{each.candidate.name} ({each.candidate}) {each.reason}")
    others = [one.name for one in found.loaded]
    yield Finding("plugins", "good", ", ".join(others) if others else "the built-in ones")


CHECKS: tuple[Check, ...] = (
    _package,
    _torch,
    _settings,
    _launcher,
    _plugins,
    _profile,
    _cores,
    _open_files,
    _kernel,
    _addresses,
    _links,
)
