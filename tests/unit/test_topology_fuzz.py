"""Replays the corpus of the fuzzer; and that the fuzzer finds what it is to find."""

import os
import resource
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

import pytest
from error_page import raises
from topology_fuzz import corpus, coverage, worker
from topology_fuzz.mutate import LARGEST, Mutator
from topology_fuzz.structure import elements, structured
from topology_fuzz.target import Broken, Target, few_names, printable

from distos_coll.plugins.manager import default_sources
from distos_coll.sources.switch_tree import Names
from distos_coll.topology.source import HEAD_BYTES, Document

FORMATS = corpus.formats()


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    """The alarm's handler is the process's, and so are its limits."""
    handler, limits = signal.getsignal(signal.SIGPROF), resource.getrlimit(resource.RLIMIT_AS)
    yield
    signal.signal(signal.SIGPROF, handler)
    assert resource.getrlimit(resource.RLIMIT_AS) == limits


@pytest.mark.parametrize("name", FORMATS)
def test_the_corpus(name: str, tmp_path: Path) -> None:
    """Every input is read or refused, in time, in memory; at least one is read."""
    target = Target(name, tmp_path / "work")
    well = [False]

    def run(data: bytes) -> None:
        well[0] |= target.run(data)

    limited = worker.Limited(run)
    paths = corpus.kept(name)
    assert paths, f"no input of {name}"
    for path in paths:
        finding = limited.run(path.read_bytes())
        assert finding is None, f"{path}: {finding.details}"
    assert well[0]


def test_every_folder_is_a_formats() -> None:
    assert sorted(path.name for path in corpus.FOLDER.iterdir()) == FORMATS


def _endless(data: bytes) -> None:
    while True:
        pass


def _large(data: bytes) -> None:
    bytearray(1 << 40)


def _wrong(data: bytes) -> None:
    raise IndexError


@pytest.mark.parametrize(
    ("target", "what"),
    [(_endless, "TooLong in"), (_large, "MemoryError in"), (_wrong, "IndexError in")],
)
def test_what_goes_wrong_is_found(
    target: object, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "SECONDS", 0.05)
    finding = worker.Limited(target).run(b"input")  # type: ignore[arg-type]
    assert finding is not None
    assert finding.what.startswith(what)
    finding.save(tmp_path)
    worker.Finding(finding.what, "", b"a longer input").save(tmp_path)
    (kept,) = (path for path in tmp_path.iterdir() if not path.suffix)
    assert kept.read_bytes() == b"input"


@dataclass
class Doomed(worker.Job):
    end: str = ""

    def work(self, board: worker.Board) -> None:
        board.put(b"the last input")
        if self.end == "signal":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.end == "code":
            os._exit(3)
        signal.signal(signal.SIGPROF, signal.SIG_IGN)
        while True:
            pass


@pytest.mark.parametrize(
    ("end", "what"),
    [("signal", "Death\n\nthe process ended with SIGKILL"), ("code", "code 3"), ("", "Hang")],
)
def test_a_process_that_ends_or_hangs_is_a_finding(
    end: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HANG_SECONDS", 0.5)
    monkeypatch.setattr(worker, "SECONDS", 0.05)
    job = Doomed("lspci", [], [], tmp_path, tmp_path / "f", tmp_path, 0, 60.0, end=end)
    board = worker.Board()
    worker.watch(job, board)
    (said,) = (tmp_path / "f").glob("*.txt")
    assert what in said.read_text("utf-8")
    assert said.with_suffix("").read_bytes() == b"the last input"
    assert board.executions == 1


def test_a_short_run_reaches_more_than_its_seeds(tmp_path: Path) -> None:
    own = [(corpus.FOLDER / "opensm-guid2lid/seed-two-switches.txt").read_bytes()]
    folder = tmp_path / "corpus"
    job = worker.Job("opensm-guid2lid", own, [], folder, tmp_path / "f", tmp_path / "w", 1, 1e9)
    job.executions = 400
    board = worker.Board()
    worker.watch(job, board)
    assert board.executions == 400
    assert board.kept == len(list(folder.iterdir())) > 0
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("name", FORMATS)
def test_changes(name: str) -> None:
    """Any input can be changed, within bounds, and most changes change it."""
    own = corpus.seeds(name)[-6:]
    mutator = Mutator(Random(7), own)
    changed = 0
    for data in own:
        for _ in range(40):
            found = mutator.changed(data, lambda each: structured(mutator, each))
            assert len(found) <= LARGEST + 4096
            changed += found != data
    assert changed > 30 * len(own)


def test_elements_of_broken_xml() -> None:
    data = b"<a><b x='1'/><c></a><d>"
    assert [data[start:end] for start, end in elements(data)] == [b"<b x='1'/>"]
    data = b"<a><b>1</b></a>"
    assert [data[start:end] for start, end in elements(data)] == [b"<b>1</b>", data]


ENGINES = [coverage.Traced] + ([coverage.Monitored] if sys.version_info >= (3, 12) else [])


@pytest.mark.parametrize("engine", ENGINES)
def test_places_are_counted_once(engine: type[coverage.Coverage], tmp_path: Path) -> None:
    target = Target("lspci", tmp_path)
    covered = engine()
    covered.start()
    target.run(b"02:00.0 0302: 10de:2330 (rev a1)\n")
    first = len(covered.places)
    target.run(b"02:00.0 0302: 10de:2330 (rev a1)\n")
    second = len(covered.places)
    target.run(b"02:00.0 0302: 10de:2330 (rev a1)\n02:00.0 0302: 10de:2330 (rev a1)\n")
    third = len(covered.places)
    covered.again()
    assert covered.places == set()
    covered.stop()
    assert 0 < first == second < third


def test_inputs_are_chosen_and_made_smaller(tmp_path: Path) -> None:
    minimiser = corpus.Minimiser("opensm-guid2lid", tmp_path)
    try:
        line = b"0x0000000000000010 0x0001 0x0001\n\n"
        twice = line + b"0x0000000000000011 0x0005 0x0005\n\n" * 3 + line
        chosen = minimiser.chosen([line], [line, twice, twice + line], seconds=20)
    finally:
        minimiser.close()
    assert len(chosen) == 1
    assert len(chosen[0]) < len(twice)


def test_lists_of_hosts_are_short_while_fuzzing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Names.__init__, "__defaults__", Names.__init__.__defaults__)
    assert len(Names(Document("a")).of("n[1-5000]", 1)) == 5000
    few_names()
    with raises("hosts-total"):
        Names(Document("a")).of("n[1-5000]", 1)


@pytest.mark.parametrize(
    "piece",
    [b" ", b"\t", b"\n", b"\n ", b"- ", b"a", b"0", b"<", b"<a ", b"<!--", b"{", b"[", b'"', b"a: ",
     b"GPU0 ", b"Link 0: ", b"Switch ", b"SwitchName=", b"00:00.0 ", b"0x0 ", b"sys/", b"# "],
)  # fmt: skip
@pytest.mark.parametrize("start", [b"", b"<", b"---\n", b"{"])
def test_recognising_takes_no_time(
    start: bytes, piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 64 KiB some milliseconds; a pattern that goes back and forth takes seconds."""
    monkeypatch.setattr(worker, "SECONDS", 1.5)
    monkeypatch.setattr(worker, "SECONDS_A_BYTE", 0.0)
    document = Document("a", start + piece * (HEAD_BYTES // len(piece)))
    for source in default_sources():
        finding = worker.Limited(lambda _: source.recognise(document)).run(b"")  # noqa: B023
        assert finding is None, source.name


def test_text_for_terminals() -> None:
    printable("a name", "n1 \u00e9\n")
    for text in ("\x1b[2J", "a\tb", "\u202e", "\u2028", "\x9b"):
        with pytest.raises(Broken, match="a name has"):
            printable("a name", text)


def test_time_is_cpu_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine is no finding."""
    monkeypatch.setattr(worker, "SECONDS", 0.05)
    assert worker.Limited(lambda _: time.sleep(0.2)).run(b"") is None
