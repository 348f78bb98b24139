"""distos_coll: collective communication that understands the network it runs on.

Importing it loads neither torch nor the native library. torch finds the backend by its
`torch.backends` entry point; where TORCH_DEVICE_BACKEND_AUTOLOAD=0 switches that off,
importing this package after torch registers it.
"""

import sys

from distos_coll._version import __version__

__all__ = ["__version__"]

if "torch.distributed" in sys.modules:
    from distos_coll.torch import register

    register()
