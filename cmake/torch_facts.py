"""Print what CMake must know of torch as a CMake list; exit 1 when torch cannot be imported."""

import os
import sys

try:
    import torch
except ImportError:
    sys.exit(1)

root = os.path.dirname(os.path.abspath(torch.__file__))
print(torch.__version__, root, int(torch.compiled_with_cxx11_abi()), sep=";")
