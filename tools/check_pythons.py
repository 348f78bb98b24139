"""Run tests of the array door under the other Pythons that are supported and installed here.

Of what is built only the binding depends on the Python, so it alone is compiled for each, against
the core that `make build` left in the source tree.
"""

import os
import runpy
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MINORS = (10, 11, 12, 13)
TESTS = (
    *("communicator", "buffers", "start", "launch", "settings", "bench_run"),
    *("planner_algo", "planner_choice", "plugins_manager", "program_builder"),
)
PACKAGES = (
    "hypothesis",
    "numpy",
    "pluggy",
    "pybind11",
    "pytest",
    "pytest-timeout",
    "rich",
    "typer",
)
WHERE = (
    "import pybind11, sysconfig; "
    "print(sysconfig.get_paths()['include'], pybind11.get_include(), "
    "sysconfig.get_config_var('EXT_SUFFIX'))"
)


def run(*command: str, cwd: Path = ROOT) -> None:
    """Run a command; its failure ends this program."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, cwd=cwd, env=ours)


def works(python: str) -> bool:
    """Whether it is an interpreter, and not the shim of one that is not there."""
    return subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0


def pythons() -> Iterator[tuple[str, str]]:
    """Yield the name of each supported Python but this one, and its path or ""."""
    pyenv = shutil.which("pyenv")
    root = subprocess.check_output([pyenv, "root"], text=True).strip() if pyenv else ""
    for minor in MINORS:
        name = f"python3.{minor}"
        found = [shutil.which(name) or ""]
        if root:
            found += map(str, Path(root).glob(f"versions/3.{minor}.*/bin/{name}"))
        if minor != sys.version_info.minor:
            yield name, next((path for path in found if path and works(path)), "")


def compile_binding(python: str, package: Path) -> None:
    """Compile _native for this Python, beside the core."""
    where = subprocess.check_output([python, "-c", WHERE], text=True).split()
    compiler = os.environ.get("CXX", "g++")
    flags = ("-std=c++20", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-rpath,$ORIGIN")
    includes = [f"-I{folder}" for folder in ("cpp", "cpp/include", *where[:2])]
    version = runpy.run_path(str(ROOT / "distos_coll/_version.py"))["__version__"]
    run(
        *(
            compiler,
            *flags,
            f'-DDISTOS_COLL_VERSION="{version}"',
            *includes,
            *map(str, (ROOT / "cpp/bind").glob("*.cc")),
        ),
        *("-o", str(package / f"_native{where[2]}"), f"-L{package}", "-ldistos_coll"),
    )


def try_python(python: str, folder: Path) -> None:
    """Put the package together for this Python, and run tests on it."""
    run(python, "-m", "venv", str(folder / "venv"))
    inside = str(folder / "venv/bin/python")
    run(inside, "-m", "pip", "--disable-pip-version-check", "install", "-q", *PACKAGES)
    leave_out = shutil.ignore_patterns("_native.*.so", "_c10d.*.so", "__pycache__")
    shutil.copytree(ROOT / "distos_coll", folder / "distos_coll", ignore=leave_out)
    for name in ("cpp", "docs", "pyproject.toml", "tests"):
        (folder / name).symlink_to(ROOT / name)
    compile_binding(inside, folder / "distos_coll")
    files = [f"tests/unit/test_{name}.py" for name in TESTS]
    # Tests that want torch run under the Python that has it, and are not listed as skipped here.
    run(inside, "-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider", *files, cwd=folder)


def main() -> None:
    for name, path in pythons():
        if not path:
            print(f"skipped: {name} is not on this machine's path", flush=True)
            continue
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try_python(path, Path(folder))
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
