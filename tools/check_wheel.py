"""Build the sdist, a wheel from it as pip does, and use that from a folder of its own.

Shows that both are complete without the source tree: what the build needs is in the sdist, and what
runs is in the wheel, native modules that find each other, the lowered programs, the torch door with
its record, the entry points. With --pythons the same for the other Pythons of this machine that the
package supports, in pip's own isolation and without torch, with tests of the array door.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINORS = (10, 11, 12, 13)
TESTS = (
    *("communicator", "buffers", "start", "launch", "settings", "bench_run", "cli"),
    *("planner_algo", "planner_choice", "plugins_manager", "program_builder", "program_verify"),
)
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


def wheel_of(tree: Path, folder: Path, python: str, *options: str) -> Path:
    """Build a wheel from the unpacked sdist; all of them share the core's object files."""
    folder.mkdir()
    pip = (python, "-m", "pip", "--disable-pip-version-check", "wheel", "--no-deps", *options)
    run(*pip, f"--config-settings=build-dir={tree}/build", "-w", str(folder), str(tree))
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


def works(python: str) -> bool:
    """Whether it is an interpreter, and not the shim of one that is not installed."""
    done = subprocess.run([python, "-c", ""], check=False, capture_output=True)
    return done.returncode == 0


def pythons() -> Iterator[tuple[str, str]]:
    """Yield the name of each supported Python but this one, and its path or ""."""
    pyenv = shutil.which("pyenv")
    listed = subprocess.check_output([pyenv, "root"], text=True).strip() if pyenv else ""
    for minor in MINORS:
        name = f"python3.{minor}"
        if minor == sys.version_info.minor:
            continue
        candidates = [shutil.which(name) or ""]
        if listed:
            candidates += map(str, Path(listed).glob(f"versions/3.{minor}.*/bin/{name}"))
        yield name, next((path for path in candidates if path and works(path)), "")


def try_python(python: str, tree: Path, folder: Path) -> None:
    """Install a wheel made for this Python into a fresh environment, and run tests there."""
    wheel = wheel_of(tree, folder, python)
    run(python, "-m", "venv", str(folder / "venv"))
    inside = str(folder / "venv/bin/python")
    pip = (inside, "-m", "pip", "--disable-pip-version-check", "install", "-q")
    run(*pip, str(wheel), "hypothesis", "pytest", "pytest-timeout")
    # Apart from the sources, so that what is tested is what was installed.
    beside = folder / "beside"
    shutil.copytree(tree / "tests", beside / "tests")
    for name in ("pyproject.toml", "docs"):
        (beside / name).symlink_to(tree / name)
    files = [f"tests/unit/test_{name}.py" for name in TESTS]
    run(inside, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, cwd=beside)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", action="store_true", help="try the other Pythons, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = unpacked_sdist(folder)
        use(wheel_of(tree, folder / "own", sys.executable, "--no-build-isolation"), folder / "own")
        if not options.pythons:
            return
        for python, path in pythons():
            if path:
                try_python(path, tree, folder / python)
            else:
                print(f"skipped: there is no {python} on the path", flush=True)


if __name__ == "__main__":
    main()
