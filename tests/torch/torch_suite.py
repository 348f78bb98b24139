"""Runs torch's own DistributedTest against a backend: python tests/torch/torch_suite.py --help."""

# torch types only part of torch.distributed, and parts of that wrongly.
# mypy: disable-error-code="arg-type,attr-defined,no-any-return,no-untyped-call,union-attr,misc"

import argparse
import importlib
import json
import logging
import multiprocessing
import os
import re
import sys
import tempfile
import time
import unittest
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from suite_source import MODULE, SUITE_CLASS, SuiteSource, read_suite

# Tests that no backend of another name can pass, and why. Each is a regular expression.
EXEMPT = (
    (
        r"test_monitored_barrier_.*",
        "torch refuses every backend but gloo by name; ProcessGroup.monitored_barrier is tested",
    ),
    (
        r"test_ddp_logging_data_cpu",
        "expects gloo's own settings in DDP's logging data",
    ),
)

COPY = "distos_suite_copy"


@dataclass(frozen=True)
class Outcome:
    name: str
    status: str
    """passed, failed, skipped, deselected (needs a GPU) or exempt"""
    reason: str = ""
    seconds: float = 0.0
    opened: bool = False
    """Gated by the name of gloo or mpi in torch's file, and run here."""


class Recorder(unittest.TestResult):
    """Reports each test as it ends."""

    def __init__(
        self, opened: frozenset[str], log: Path, report: Callable[[Outcome], None]
    ) -> None:
        super().__init__()
        self._opened = opened
        self._log = log
        self._report = report
        self._started = 0.0
        self._settled = False

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self._started = time.monotonic()
        self._settled = False
        self._log.write_text("", encoding="utf-8")

    def _settle(self, test: unittest.TestCase, status: str, reason: str = "") -> None:
        if self._settled:
            return
        self._settled = True
        name = _name_of(test)
        seconds = round(time.monotonic() - self._started, 2)
        self._report(Outcome(name, status, reason, seconds, name in self._opened))

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._settle(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self._settle(test, "skipped", reason)

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addError(test, err)
        self._settle(test, "failed", self._story(self.errors[-1][1]))

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        super().addFailure(test, err)
        self._settle(test, "failed", self._story(self.failures[-1][1]))

    def _story(self, trace: str) -> str:
        output = self._log.read_text(encoding="utf-8", errors="replace")
        return trace + ("\n---- output of the ranks\n" + output[-6000:] if output else "")


def _name_of(test: unittest.TestCase) -> str:
    return test.id().rsplit(".", 1)[-1]


def _skips(cls: type) -> dict[str, str]:
    """Tests that are skipped when the module is imported, before any process exists."""
    skipped = {}
    for name in dir(cls):
        function = getattr(cls, name)
        if name.startswith("test") and getattr(function, "__unittest_skip__", False):
            skipped[name] = str(getattr(function, "__unittest_skip_why__", ""))
    return skipped


def _import_copy(folder: Path, source: SuiteSource) -> ModuleType:
    (folder / f"{COPY}.py").write_text(source.text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    # The server looks here: until Python 3.13 it ignored the parent's sys.path, and a module that
    # it cannot import is left to each child without a word.
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(folder), inherited]))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([COPY])
    return importlib.import_module(COPY)


def _exempt(name: str) -> str:
    return next((reason for pattern, reason in EXEMPT if re.fullmatch(pattern, name)), "")


def _select(
    source: SuiteSource, names: list[str], args: argparse.Namespace
) -> tuple[list[str], list[Outcome]]:
    run: list[str] = []
    settled: list[Outcome] = []
    for name in names:
        if args.k and not re.search(args.k, name):
            continue
        if not args.gpu and name in source.needs_gpu:
            settled.append(Outcome(name, "deselected", "needs a GPU"))
        elif _exempt(name) and args.backend != "gloo":
            settled.append(Outcome(name, "exempt", _exempt(name)))
        else:
            run.append(name)
    return run, settled


def _run(args: argparse.Namespace, folder: Path) -> list[Outcome]:
    source = read_suite(args.backend)
    copy = _import_copy(folder, source)
    suite_class = getattr(copy, SUITE_CLASS)
    original = importlib.import_module(MODULE).DistributedTest._DistTestBase
    still_skipped = _skips(suite_class)
    opened = (frozenset(_skips(original)) | source.mpi_only) - frozenset(still_skipped)
    names = unittest.TestLoader().getTestCaseNames(suite_class)
    run, outcomes = _select(source, list(names), args)
    if args.list:
        print("\n".join(run))
        return outcomes
    log = folder / "ranks.log"
    os.environ["SUITE_LOG"] = str(log)

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if outcome.status != "skipped" or args.verbose:
            print(f"{outcome.status:8} {outcome.seconds:6.2f} s  {outcome.name}", flush=True)
        if outcome.status == "failed":
            print(outcome.reason, flush=True)

    recorder = Recorder(opened, log, report)
    for name in run:
        suite_class(name).run(recorder)
    return sorted(outcomes, key=lambda outcome: outcome.name)


def _markdown(
    outcomes: list[Outcome], args: argparse.Namespace, torch_version: str, seconds: float
) -> str:
    counts = Counter(outcome.status for outcome in outcomes)
    opened = sum(outcome.opened and outcome.status == "passed" for outcome in outcomes)
    figures = [
        counts["passed"],
        opened,
        *(counts[status] for status in ("failed", "skipped", "deselected", "exempt")),
        len(outcomes),
        round(seconds),
    ]
    lines = [
        f"# DistributedTest of torch {torch_version}: {args.backend}, {args.world_size} ranks",
        "",
        "Made by tests/torch/torch_suite.py from `distributed_test.py` in the torch wheel; see",
        "tests/torch/suite_source.py for what is rewritten in it.",
        "",
        "| passed | of these gated by name | failed | skipped | need a GPU | exempt | all | s |",
        "|---|---|---|---|---|---|---|---|",
        "| " + " | ".join(str(figure) for figure in figures) + " |",
        "",
    ]
    for status, title in (
        ("failed", "Failed"),
        ("exempt", "Exempt"),
        ("skipped", "Skipped by torch"),
        ("deselected", "Deselected before they start: need a GPU"),
        ("passed", "Passed"),
    ):
        chosen = [outcome for outcome in outcomes if outcome.status == status]
        if not chosen:
            continue
        lines += [f"## {title}", ""]
        for outcome in chosen:
            reason = outcome.reason.strip().splitlines()[-1] if outcome.reason else ""
            mark = " (gated by name)" if outcome.opened else ""
            lines.append(
                f"- `{outcome.name}`{mark}"
                + (f": {reason}" if reason and status != "deselected" else "")
            )
        lines.append("")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="distos")
    parser.add_argument("--world-size", type=int, default=3)
    parser.add_argument(
        "-k", default="", help="run tests whose name matches this regular expression"
    )
    parser.add_argument("--gpu", action="store_true", help="do not deselect tests that need a GPU")
    parser.add_argument("--list", action="store_true", help="print what would run")
    parser.add_argument("--verbose", action="store_true", help="print skipped tests too")
    parser.add_argument("--timeout", type=int, default=120, help="seconds for one test")
    parser.add_argument("--json", type=Path, help="write the results here")
    parser.add_argument("--markdown", type=Path, help="write a report here")
    return parser.parse_args()


def main() -> int:
    args = _arguments()
    os.environ.update(
        BACKEND=args.backend,
        WORLD_SIZE=str(args.world_size),
        # What each test replaces by a file of its own; one test is gated by it.
        INIT_METHOD="file://",
        DISTRIBUTED_TESTS_DEFAULT_TIMEOUT=str(args.timeout),
        # Ranks share few cores; a thread pool in each only gets in the way.
        OMP_NUM_THREADS="1",
    )
    import torch

    logging.disable(logging.INFO)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="distos-suite-") as folder:
        outcomes = _run(args, Path(folder))
    if args.list:
        return 0
    seconds = time.monotonic() - started
    counts = Counter(outcome.status for outcome in outcomes)
    print(
        ", ".join(f"{count} {status}" for status, count in sorted(counts.items())),
        f"in {seconds:.0f} s",
    )
    if args.json:
        args.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    if args.markdown:
        version = str(torch.__version__)
        args.markdown.write_text(_markdown(outcomes, args, version, seconds))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
