"""Run clang-tidy over the C++ sources that differ from a base commit, committed or not.

A header is checked through the sources that include it directly. `--all` checks every source.
"""

import argparse
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

CHECKED = ("core", "program", "reduce", "transport", "exec", "comm", "capi")


# libstdc++ itself uses what it deprecates (std::stable_sort), and the flags of the build are meant
# for the compiler.
NO_OPINION = [
    "--extra-arg=-Wno-deprecated-declarations",
    "--extra-arg=-Wno-unknown-warning-option",
]


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.split("\n") if done.returncode == 0 else []


def changed_since(base: str) -> set[Path]:
    """Return the files that differ from where this branch left `base`."""
    merge_base = next(filter(None, _git("merge-base", base, "HEAD")), base)
    names = _git("diff", "--name-only", "--diff-filter=d", merge_base, "--", "cpp")
    return {Path(name) for name in names if name}


def sources_to_check(changed: set[Path] | None, compiled: set[Path]) -> list[Path]:
    """Return the compiled sources that changed, or that include a header that did."""
    ours = {path for path in compiled if path.parts[:1] == ("cpp",) and path.parts[1] in CHECKED}
    if changed is None:
        return sorted(ours)
    headers = {str(path.relative_to("cpp")) for path in changed if path.suffix == ".h"}

    def includes_changed(path: Path) -> bool:
        found = re.findall(r'#include "([^"]+)"', path.read_text(encoding="utf-8"))
        return bool(headers.intersection(found))

    return sorted(path for path in ours if path in changed or includes_changed(path))


def _tidy(path: Path, build: str) -> tuple[int, str]:
    tool = Path(sys.executable).with_name("clang-tidy")
    command = [str(tool), "-p", build, "--quiet", *NO_OPINION, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + (done.stderr if done.returncode else "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, help="folder with compile_commands.json")
    parser.add_argument("--base", default="origin/main")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    root = Path.cwd()
    commands = json.loads(Path(options.build, "compile_commands.json").read_text(encoding="utf-8"))
    files = (Path(command["file"]) for command in commands)
    compiled = {path.relative_to(root) for path in files if path.is_relative_to(root)}
    paths = sources_to_check(None if options.all else changed_since(options.base), compiled)
    failed = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda path: _tidy(path, options.build), paths)
        for path, (code, output) in zip(paths, results, strict=True):
            print(
                f"{path}: {'ok' if code == 0 else 'failed'}", output.rstrip(), sep="\n", flush=True
            )
            failed += code != 0
    print(f"clang-tidy: {len(paths)} files, {failed} with findings")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
