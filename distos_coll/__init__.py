"""distos_coll: collective communication that understands the network it runs on.

    import distos_coll
    communicator = distos_coll.init()
    communicator.all_reduce(array)

Importing it loads neither torch nor numpy nor the native library; the first of the names above
does. torch finds the backend by its `torch.backends` entry point; where
TORCH_DEVICE_BACKEND_AUTOLOAD=0 switches that off, importing this package after torch registers it.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

from distos_coll._version import __version__

if TYPE_CHECKING:
    from distos_coll.collectives import ANY_SOURCE
    from distos_coll.communicator import Communicator
    from distos_coll.flight import dump_flight_record
    from distos_coll.start import ThreadStore, init, run_threads
    from distos_coll.work import Work

__all__ = [
    "ANY_SOURCE",
    "Communicator",
    "ThreadStore",
    "Work",
    "__version__",
    "dump_flight_record",
    "init",
    "run_threads",
]

_HOMES = {
    "ANY_SOURCE": "distos_coll.collectives",
    "Communicator": "distos_coll.communicator",
    "Work": "distos_coll.work",
    "ThreadStore": "distos_coll.start",
    "dump_flight_record": "distos_coll.flight",
    "init": "distos_coll.start",
    "run_threads": "distos_coll.start",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'distos_coll' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if "torch.distributed" in sys.modules:
    from distos_coll.torch import register

    register()
