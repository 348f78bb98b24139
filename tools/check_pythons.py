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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
MINORS = (10, 11, 12, 13)
TESTS = (
    *("communicator", "buffers", "start", "launch", "settings", "bench_run"),
    *("planner_algo", "planner_choice", "plugins_manager", "program_builder"),
    *("topology_nccl", "topology_nccl_graph", "topology_paths", "topology_sources"),
    *("fabric_kinds", "topology_ibnetdiscover", "topology_lldp", "topology_opensm"),
    "topology_slurm",
    *("topology_json", "topology_merge", "topology_diff", "topology_names", "cli_topo_files"),
    *("cost_models", "double_tree", "nccl_model", "nccl_rules", "pipeline_model"),
    *("topology_archives", "topology_hwloc", "topology_nvidia", "topology_report"),
    "topology_sysfs",
    *("layout_machines", "layout_nccl", "layout_order", "layout_properties"),
)
PACKAGES = (
    "hypothesis",
    "jsonschema",
    "msgspec",
    "numpy",
    "pluggy",
    "pybind11",
    "pytest",
    "pytest-timeout",
    "pyyaml",
    "rich",
    "typer",
)
WHERE = (
    "import pybind11, sysconfig; "
    "print(sysconfig.get_paths()['include'], pybind11.get_include(), "
    "sysconfig.get_config_var('EXT_SUFFIX'))"
)


def run(*command: str, log: IO[str], cwd: Path = ROOT) -> None:
    """Run a command, with its output into `log`; raises CalledProcessError if it fails."""
    ours = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run(command, check=True, cwd=cwd, env=ours, stdout=log, stderr=subprocess.STDOUT)


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


def compile_binding(python: str, package: Path, log: IO[str]) -> None:
    """Compile _native for this Python, beside the core."""
    where = subprocess.check_output([python, "-c", WHERE], text=True).split()
    compiler = os.environ.get("CXX", "g++")
    flags = ("-std=c++20", "-O0", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-rpath,$ORIGIN")
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
        log=log,
    )


def try_python(python: str, folder: Path, log: IO[str]) -> None:
    """Put the package together for this Python, and run tests on it."""
    run(python, "-m", "venv", str(folder / "venv"), log=log)
    inside = str(folder / "venv/bin/python")
    run(inside, "-m", "pip", "--disable-pip-version-check", "install", "-q", *PACKAGES, log=log)
    leave_out = shutil.ignore_patterns("_native.*.so", "_c10d.*.so", "__pycache__")
    shutil.copytree(ROOT / "distos_coll", folder / "distos_coll", ignore=leave_out)
    for name in ("cpp", "docs", "pyproject.toml", "tests"):
        (folder / name).symlink_to(ROOT / name)
    compile_binding(inside, folder / "distos_coll", log)
    files = [f"tests/unit/test_{name}.py" for name in TESTS]
    # Tests that want torch run under the Python that has it, and are not listed as skipped here.
    pytest = ("-m", "pytest", "-q", "-rfE", "-p", "no:cacheprovider")
    run(inside, *pytest, *files, cwd=folder, log=log)


def outcome(name: str, path: str) -> tuple[str, bool]:
    """What is to be said of a Python, and whether all went well."""
    if not path:
        return f"skipped: {name} is not on this machine's path", True
    started = time.monotonic()
    failure = ""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile("w+") as log:
        try:
            try_python(path, Path(folder), log)
        except subprocess.CalledProcessError as error:
            failure = f" FAILED: {error}"
        log.seek(0)
        return f"{log.read()}{name}: {time.monotonic() - started:.0f} s{failure}", not failure


def main() -> int:
    # Each works on one core, most of the time.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        good = True
        for text, well in pool.map(lambda found: outcome(*found), pythons()):
            print(text, flush=True)
            good = good and well
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
