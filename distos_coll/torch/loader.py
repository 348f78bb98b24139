"""Loads the native module, if it was built for the torch that is running."""

import atexit
import functools
import importlib
import json
import re
from pathlib import Path
from types import ModuleType

MEND = "pip install --no-build-isolation --force-reinstall --no-deps distos-coll"
"""Builds from source where the wheel is for another torch; in a checkout, `.` replaces the name."""

EXIT_TIMEOUT_MS = 5000
"""What operations in flight get when the interpreter ends without destroy_process_group()."""


def built_for(path: Path | None = None) -> str | None:
    """Return the torch that the native module was built against; None if it was not built."""
    path = path or Path(__file__).with_name("_built.json")
    try:
        version = json.loads(path.read_text(encoding="utf-8"))["torch"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) else None


def release(version: str) -> str:
    """Return "2.13.0" of "2.13.0+cpu": local builds of one release share headers and ABI."""
    match = re.match(r"\d+(\.\d+)*((a|b|rc|\.dev)\d+)?", version)
    return match.group(0) if match else version


def check_versions(built: str | None, running: str) -> None:
    """Raise RuntimeError naming both versions and what mends it, unless they fit."""
    if built is None:
        raise RuntimeError(
            "distos_coll was installed without its torch backend, because torch was not there when "
            f"it was built; torch {running} is running now. Build it where torch is: {MEND}"
        )
    if release(built) != release(running):
        raise RuntimeError(
            f"distos_coll's torch backend was built against torch {built}, but torch {running} is "
            "running. torch's C++ interface differs between releases, so it is not loaded. Build "
            f"it again: {MEND}"
        )


@functools.lru_cache(maxsize=1)
def native() -> ModuleType:
    """Return the native module, configured from this process's environment. Loaded once."""
    import torch
    import torch.distributed  # what the module binds to must be there first

    check_versions(built_for(), str(torch.__version__))
    from distos_coll import settings
    from distos_coll.torch import planning

    settings_now = settings.load()
    module = importlib.import_module("distos_coll.torch._c10d")
    module.configure(settings_now.native_text())
    module.set_planner(planning.planner(module.describe_links), planning.shared_profile)
    # Groups that nobody destroyed say goodbye, so that other ranks see a rank leave and not die.
    atexit.register(module.close_all, EXIT_TIMEOUT_MS)
    return module
