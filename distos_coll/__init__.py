"""distos_coll: collective communication that understands the network it runs on.

Importing it loads neither torch nor the native library. In a process that imported torch first, the backend is
registered here; otherwise torch finds it by its `torch.backends` entry point.
"""

import sys

from distos_coll._version import __version__

__all__ = ["__version__"]
