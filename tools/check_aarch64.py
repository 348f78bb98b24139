"""Parse the core for aarch64 with a cross-compiler, so that nothing of x86 slips in unguarded.

Says so and ends well where there is none (Debian's is g++-aarch64-linux-gnu).
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILER = "aarch64-linux-gnu-g++"
FLAGS = ("-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Icpp", "-Icpp/include")
# The tests run here; the modules need Python's and torch's headers for aarch64.
LEFT_OUT = ("bind", "torch", "tests", "fuzz")


def complaint(source: Path) -> str:
    """What the compiler says of a file; nothing if all is well."""
    command = [COMPILER, *FLAGS, '-DDISTOS_COLL_VERSION="0"', str(source)]
    done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def main() -> int:
    if shutil.which(COMPILER) is None:
        print(f"skipped: there is no {COMPILER} (apt-get install g++-aarch64-linux-gnu)")
        return 0
    sources = [
        path
        for path in sorted((ROOT / "cpp").rglob("*.cc"))
        if path.relative_to(ROOT / "cpp").parts[0] not in LEFT_OUT
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        complaints = [text for text in pool.map(complaint, sources) if text]
    print("\n".join(complaints) or f"{COMPILER} takes all {len(sources)} files of the core.")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
