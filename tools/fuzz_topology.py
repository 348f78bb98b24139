"""Fuzz what reads topologies: `python tools/fuzz_topology.py --minutes 10 --format lspci`.

Minutes are of CPU time and of each format, all of them where none is named. Inputs that reached
something new, and findings with their tracebacks, are in build/fuzz; runs go on where the last one
ended. `--keep` chooses the best inputs for tests/data/fuzz, which tests replay. What this is and
why is told in tools/topology_fuzz.
"""

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from topology_fuzz import corpus
from topology_fuzz.target import Target, few_names
from topology_fuzz.worker import Board, Job, Limited, watch

_MEMORY = Path("/dev/shm")


def main() -> int:
    options = _options()
    names = options.format or corpus.formats()
    if unknown := sorted(set(names) - set(corpus.formats())):
        print(f"no formats: {', '.join(unknown)}; those are {', '.join(corpus.formats())}")
        return 2
    base = str(_MEMORY) if _MEMORY.is_dir() else None
    if options.table:
        print("\n".join(_table(names, options.state)))
        return 0
    few_names()
    with tempfile.TemporaryDirectory(prefix="fuzz-topology-", dir=base) as folder:
        found = [_each(name, options, Path(folder) / name) for name in names]
    return int(any(found))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fuzz the readers of topologies.")
    parser.add_argument("--minutes", type=float, default=10.0, help="of CPU time, for each format")
    parser.add_argument("--format", action="append", help="one of several; else all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--others", type=Path, help="a folder of other people's files")
    parser.add_argument("--state", type=Path, default=Path("build/fuzz"))
    parser.add_argument(
        "--keep", action="store_true", help="add the best inputs to tests/data/fuzz"
    )
    parser.add_argument("--replay", action="store_true", help="run the findings of --state again")
    parser.add_argument("--table", action="store_true", help="print what runs of --state had")
    return parser.parse_args()


def _table(names: list[str], state: Path) -> Iterator[str]:
    yield "| format | CPU minutes | executions | lines and branches | corpus here, bytes |"
    yield "|---|---|---|---|---|"
    for name in names:
        path = state / f"{name}.json"
        told: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        sizes = [each.stat().st_size for each in corpus.kept(name)]
        yield (
            f"| {name} | {told.get('minutes', 0):g} | {told.get('executions', 0):,} "
            f"| {told.get('places', 0):,} | {len(sizes)}, {sum(sizes):,} |"
        )


def _each(name: str, options: argparse.Namespace, folder: Path) -> bool:
    if options.replay:
        return _replay(name, options.state, folder)
    if options.keep:
        _keep(name, options, folder)
        return False
    return _fuzz(name, options, folder)


def _fuzz(name: str, options: argparse.Namespace, folder: Path) -> bool:
    """Run a format for its time, in as many processes as its findings end; say what was found."""
    findings = options.state / "findings" / name
    own_corpus = options.state / "corpus" / name
    results = options.state / f"{name}.json"
    told: dict[str, Any] = json.loads(results.read_text("utf-8")) if results.exists() else {}
    left, board, seed = 60 * options.minutes, Board(), options.seed + told.get("executions", 0)
    others = corpus.recognised(options.others, name) if options.others else []
    while left > 0.5:
        own = corpus.seeds(name) + corpus.inputs(own_corpus)
        job = Job(name, own, others, own_corpus, findings, folder, seed, left)
        left -= watch(job, board)
    told["minutes"] = round(told.get("minutes", 0) + options.minutes, 2)
    told["executions"] = told.get("executions", 0) + board.executions
    told["places"] = board.places
    told["corpus"] = len(corpus.inputs(own_corpus))
    found = sorted(findings.glob("*.txt"))
    told["findings"] = [path.read_text("utf-8").partition("\n")[0] for path in found]
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text(json.dumps(told, indent=1), "utf-8")
    print(
        f"{name}: {told['minutes']} minutes, {told['executions']:,} executions, "
        f"{told['places']:,} lines and branches, {told['corpus']} inputs, {len(found)} findings",
        *told["findings"],
        sep="\n  ",
        flush=True,
    )
    return bool(found)


def _replay(name: str, state: Path, folder: Path) -> bool:
    """Run findings again; those that are none any more are removed."""
    limited = Limited(Target(name, folder).run)
    left = False
    for path in sorted((state / "findings" / name).glob("*.txt")):
        data = path.with_suffix("")
        finding = limited.run(data.read_bytes())
        left |= finding is not None
        print(f"{name} {data.name}: {finding.what if finding else 'is well now'}", flush=True)
        if finding is None:
            path.unlink()
            data.unlink()
    return left


def _keep(name: str, options: argparse.Namespace, folder: Path) -> None:
    minimiser = corpus.Minimiser(name, folder)
    found = corpus.inputs(options.state / "corpus" / name)
    seconds = 60 * options.minutes
    chosen = minimiser.chosen(corpus.seeds(name), found, seconds)
    minimiser.close()
    for data in chosen:
        digest = hashlib.sha1(data, usedforsecurity=False).hexdigest()[:12]
        (corpus.FOLDER / name / digest).write_bytes(data)
    print(f"{name}: {len(chosen)} inputs of {sum(map(len, chosen)):,} bytes", flush=True)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
