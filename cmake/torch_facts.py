"""Print what CMake must know of torch as a CMake list; exit 1 when torch cannot be imported."""

import sys
from pathlib import Path

try:
    import torch
except ImportError:
    sys.exit(1)

root = Path(torch.__file__).resolve().parent
print(torch.__version__, root, int(torch.compiled_with_cxx11_abi()), sep=";")
