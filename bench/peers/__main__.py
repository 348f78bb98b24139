"""distos beside gloo, Open MPI, MPICH and the machine's limits, interleaved in one run.

    python -m bench.peers                                                # 2 ranks, idle
    python -m bench.peers --fresh --ranks 2 4 8 --load 0 4               # all there is; hours
    python -m bench.peers --collectives all_reduce --max 64K --peers distos openmpi limit
    python -m bench.peers --report build/peers/results.json

Writes results.json, tables.md and plots into --out, and prints the tables. docs/bench.md explains.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if not __package__:  # python bench/peers
    sys.path[:1] = [str(Path(__file__).resolve().parents[2])]

from bench.peers import machine, plots
from bench.peers.conductor import Conductor, Options, say
from bench.peers.grid import COLLECTIVES, DTYPES, parse_size, sizes_between
from bench.peers.launch import PEERS, ROOT, default_places
from bench.peers.report import markdown
from bench.peers.results import Results, load


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = made.add_argument_group("what is measured")
    what.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS), metavar="PEER")
    what.add_argument("--ranks", nargs="+", type=int, default=[2])
    what.add_argument(
        "--load", nargs="+", type=int, default=[0], help="busy loops beside it; several: in turn"
    )
    what.add_argument(
        "--collectives", nargs="+", choices=COLLECTIVES, default=list(COLLECTIVES), metavar="NAME"
    )
    what.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES), metavar="TYPE")
    what.add_argument("--min", type=parse_size, default=4, metavar="SIZE", help="4, 64K, 1M")
    what.add_argument("--max", type=parse_size, default=256 << 20, metavar="SIZE")
    what.add_argument("--factor", type=int, default=4, help="from size to size")
    how = made.add_argument_group("how")
    how.add_argument("--repeats", type=int, default=7)
    how.add_argument("--burst", type=float, default=0.05, help="seconds of a repeat, idle")
    how.add_argument("--window", type=float, default=5.0, help="seconds of a repeat, loaded")
    how.add_argument(
        "--fresh",
        action="store_true",
        help="idle cells a second time: each rank writes its input before each call, untimed, and "
        "the limit takes part",
    )
    how.add_argument("--timeout", type=float, default=120.0, help="seconds for one answer")
    where = made.add_argument_group("where things are")
    where.add_argument("--openmpi", default="", metavar="MPIEXEC")
    where.add_argument("--mpich", default="", metavar="MPIEXEC")
    where.add_argument("--build", default=str(ROOT / "build/dev"), help="has limits, noop_backend")
    where.add_argument("--out", type=Path, default=ROOT / "build/peers", help="folder of results")
    where.add_argument("--report", type=Path, metavar="JSON", help="only show an earlier run")
    return made


def options_of(given: argparse.Namespace) -> Options:
    return Options(
        peers=[peer for peer in PEERS if peer in given.peers],
        ranks=given.ranks,
        loads=given.load,
        collectives=given.collectives,
        sizes=sizes_between(given.min, given.max, max(2, given.factor)),
        dtypes=[dtype for dtype in DTYPES if dtype in given.dtypes],
        repeats=given.repeats,
        burst_s=given.burst,
        window_s=given.window,
        fresh=given.fresh,
        timeout_s=given.timeout,
        places=default_places(given.openmpi, given.mpich, given.build),
    )


def measure(given: argparse.Namespace) -> Results:
    given.out.mkdir(parents=True, exist_ok=True)
    file = given.out / "results.json"
    settings = {k: str(v) if isinstance(v, Path) else v for k, v in vars(given).items()}
    results = Results(machine=machine.describe(), settings=settings)
    try:
        Conductor(options_of(given), results, lambda: results.save(file)).run()
    except KeyboardInterrupt:
        say("interrupted; what there is goes into the report")
    finally:
        results.save(file)
    return results


def report(results: Results, folder: Path) -> None:
    """Print the tables, write them and the pictures."""
    text = markdown(results)
    print(text)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tables.md").write_text(text)
    try:
        pictures = plots.draw(results, folder)
    except ImportError as error:
        say(f"no pictures: {error}; pip install matplotlib, then --report")
        return
    say(f"in {folder}: results.json, tables.md, {', '.join(file.name for file in pictures)}")


def main() -> int:
    given = parser().parse_args()
    if given.report:
        report(load(given.report), given.report.parent)
        return 0
    results = measure(given)
    report(results, given.out)
    return 0 if results.cells else 1


if __name__ == "__main__":
    sys.exit(main())
