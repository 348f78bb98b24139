"""Build the sdist, a wheel from it as pip does, and use that from a folder of its own.

Shows that both are complete without the source tree: what the build needs is in the sdist, and what
runs is in the wheel, native modules that find each other, the lowered programs, the torch door with
its record, the entry points.
"""

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IN_SDIST = ("LICENSE", "README.md", "CMakeLists.txt", "pyproject.toml", "distos_coll/py.typed")
IN_WHEEL = ("py.typed", "_native.pyi", "libdistos_coll.so", "programs.bin")
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


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a command; its failure ends this program."""
    print("+", *command, flush=True)
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, cwd=cwd, env=ours)


def unpacked_sdist(folder: Path) -> Path:
    """Build the sdist, check that it has what git has, and return where it was unpacked."""
    build = f"from scikit_build_core.build import build_sdist; build_sdist({str(folder)!r})"
    run(sys.executable, "-c", build)
    (sdist,) = folder.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    tree = folder / sdist.name.removesuffix(".tar.gz")
    found = {str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file()}
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True).splitlines()
    wanted = {path for path in listed if not path.startswith(".ci/") and (ROOT / path).exists()}
    assert {*IN_SDIST} <= found, {*IN_SDIST} - found
    assert wanted <= found, f"not in the sdist: {sorted(wanted - found)}"
    built = [path for path in found if path.endswith((".so", ".pyc", "programs.bin"))]
    assert not built, f"in the sdist, but built: {built}"
    return tree


def wheel_of(tree: Path, folder: Path, *options: str) -> Path:
    """Build a wheel from the unpacked sdist, and check what is in it."""
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps")
    run(*pip, *options, "-w", str(folder), str(tree))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert any(name.endswith("licenses/LICENSE") for name in names), "the wheel has no LICENSE"
    missing = {f"distos_coll/{name}" for name in IN_WHEEL} - names
    assert not missing, f"not in the wheel: {missing}"
    strange = {name for name in names if not name.startswith(("distos_coll/", "distos_coll-"))}
    assert not strange, f"in the wheel, but not of the package: {strange}"
    return wheel


def use(wheel: Path, folder: Path) -> None:
    """Import it, and torch's backend, from a folder of its own."""
    site = folder / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    check = folder / "use_it.py"
    check.write_text(USE_IT)
    run(sys.executable, str(check), str(site))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--isolated", action="store_true", help="as `pip install .` does, slowly")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = unpacked_sdist(folder)
        # Whether the wheel is whole does not depend on the optimizer, and its time does.
        quick = ("-C", "cmake.define.CMAKE_CXX_FLAGS_RELEASE=-O0")
        use(wheel_of(tree, folder / "wheel", "--no-build-isolation", *quick), folder)
        if options.isolated:
            wheel_of(tree, folder / "isolated")


if __name__ == "__main__":
    main()
