"""The one fork server of all tests: ranks forked from it start in tens of milliseconds, and have
none of pytest's threads.

A process has one such server, and what it imports is settled when it starts. So it imports whatever
takes long in any rank, but for the native modules, which a forked process must load itself.
"""

import functools
import multiprocessing
import os
import sys
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

from distos_coll.plugins.manager import BUILT_IN

IMPORTED = [
    *("numpy", "sklearn.datasets", "torch", "torch._dynamo", "torch.utils.data"),
    *("torch.distributed", "torch.distributed.fsdp"),
    *("distos_coll.torch.planning", "distos_coll.planner", *BUILT_IN),
    "pytest",
]


@functools.lru_cache(maxsize=1)
def spawner() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED)
    # Until Python 3.13 the server ignored the parent's sys.path.
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(entry for entry in sys.path if entry)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
    return context
