"""Build a wheel as `pip install --no-build-isolation .` does, and use it from a folder of its own.

Shows that the package is complete without the source tree: native modules that find each other, the
lowered programs, the torch door with its record, the entry points.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Run with the unpacked wheel in front, and without the finder of the editable install.
USE_IT = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "ditable" not in repr(finder)]
sys.path.insert(0, sys.argv[1])
import importlib.metadata, pathlib
import distos_coll, distos_coll._native
folder = pathlib.Path(distos_coll.__file__).parent
assert str(folder).startswith(sys.argv[1]), folder
assert "torch" not in sys.modules
assert (folder / "programs.bin").stat().st_size > 0
found = importlib.metadata.distribution("distos-coll").entry_points
print(sorted(f"{e.group}: {e.name}" for e in found))
import torch.distributed
assert torch.distributed.is_backend_available("distos")
import distos_coll.torch._c10d
print("distos_coll", distos_coll.__version__, "works beside torch", torch.__version__)
"""


def run(*command: str) -> None:
    """Run a command; its failure ends this program."""
    print("+", *command, flush=True)
    subprocess.run(command, check=True, cwd=ROOT)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
        run(*pip, "-w", str(folder), str(ROOT))
        (wheel,) = folder.glob("*.whl")
        site = folder / "site"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        check = folder / "use_it.py"
        check.write_text(USE_IT)
        run(sys.executable, str(check), str(site))


if __name__ == "__main__":
    main()
