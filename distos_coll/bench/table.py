"""nccl-tests' lines: header, table and footer. One column is ours, the last: the algorithm."""

import platform
import time
from collections.abc import Callable, Sequence

from distos_coll._version import __version__
from distos_coll.bench.options import AVERAGES, Options
from distos_coll.bench.run import Measure, Member, Row, Totals

TIMESTAMP = "%Y-%m-%d %H:%M:%S"


def number(value: float, width: int) -> str:
    """Write a number in `width` columns: with as many decimals as fit, at most two."""
    digits = 0
    while value >= 10**digits:
        digits += 1
    if digits < width - 2:
        return f"{value:{width}.2f}"
    if digits < width - 1:
        return f"{value:{width}.1f}"
    if digits < width + 1:
        return f"{value:{width}.0f}"
    return f"{value:{width}.1e}" if width >= 7 else f"{value:{width}.0e}"


def heading(*, timestamps: bool = False) -> list[str]:
    """Return the three lines above the rows."""
    stamp = ("timestamp", "YYYY-MM-DD hh:mm:ss") if timestamps else ("", "")
    names = ("size", "count", "type", "redop", "root", *("time", "algbw", "busbw", "#wrong") * 2)
    units = ("(B)", "(elements)", "", "", "", *("(us)", "(GB/s)", "(GB/s)", "") * 2)
    widths = (10, 12, 8, 6, 6, *(7, 6, 6, 6) * 2)
    lines = [f"# {'':10}  {'':12}  {'':8}  {'':6}  {'':6}           out-of-place{'':23}in-place"]
    for cells, when, last in ((names, stamp[0], "algorithm"), (units, stamp[1], "")):
        text = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        lines.append(f"# {text}{f'  {when:>19}' if timestamps else ''}  {last}".rstrip())
    return lines


def line(row: Row, when: str = "") -> str:
    """Return a row."""
    root = f"{row.root:6}"
    head = f"{row.nbytes:12}  {row.count:12}  {row.type:>8}  {row.op:>6}  {root}"
    stamp = f"  {when:>19}" if when else ""
    return f"{head}{_body(row.out_of_place)}{_body(row.in_place)}{stamp}  {row.algorithm}".rstrip()


def _body(measure: Measure | None) -> str:
    if measure is None:
        return f"  {'N/A':>7}  {'N/A':>6}  {'N/A':>6}  {'N/A':>6}"
    wrong = "   N/A" if measure.wrong is None else f"{measure.wrong:6g}"
    microseconds = number(measure.seconds * 1e6, 7)
    algorithm, bus = number(measure.algorithm_gbps, 6), number(measure.bus_gbps, 6)
    return f"  {microseconds}  {algorithm}  {bus}  {wrong}"


def footer(totals: Totals) -> list[str]:
    """Return the two lines that say how it went."""
    verdict = "FAILED" if totals.out_of_bounds else "OK"
    return [
        f"# {'Out of bounds values':20} : {totals.out_of_bounds} {verdict}",
        f"# {'Avg bus bandwidth':20} : {totals.bus_gbps:g} ",
    ]


def settings_line(options: Options) -> str:
    """Say what is scanned, and how, in one line."""
    kind, step = options.step
    return (
        f"# nThread {options.threads} nGpus 1 minBytes {options.span[0]} "
        f"maxBytes {options.span[1]} step: {step}({kind}) warmup iters: {options.warm_ups} "
        f"iters: {options.iterations} agg iters: {options.together} "
        f"validation: {options.checks} graph: 0 unalign: {options.unalign}"
    )


def member_line(member: Member) -> str:
    """Say where a rank is; the device is the host's processor."""
    domain = f"domain {member.domain}" if member.domain >= 0 else "no domains"
    return (
        f"#  Rank {member.rank:2} Group  0 Pid {member.pid:6} on {member.host:>10} device  0 "
        f"[{domain}] {member.processor}"
    )


class Table:
    """Prints a run as it goes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._options = Options()

    def begin(self, options: Options, title: str, members: Sequence[Member]) -> None:
        self._options = options
        say = self._say
        say(
            f"# distos-coll bench version {__version__} ({title}), "
            f"Python {platform.python_version()}"
        )
        say(settings_line(options))
        if options.blocking == 1:
            say("# Blocking Enabled: wait for completion and barrier after each collective")
        if options.average != 1:
            say(f"# Time of: {AVERAGES[options.average]} over ranks")
        hosts = len({member.host for member in members})
        domains = len({member.domain for member in members if member.domain >= 0})
        of_domains = f" domains: {domains}" if domains else ""
        say(f"#\n# Ranks: {len(members)} hosts: {hosts}{of_domains}")
        for member in members:
            say(member_line(member))

    def section(self, collective: str) -> None:
        self._say(f"#\n# Collective test starting: {collective}")
        for text in heading(timestamps=self._options.timestamps):
            self._say(text)

    def left_out(self, what: str, why: str) -> None:
        self._say(f"# left out: {what}: {why}")

    def row(self, row: Row) -> None:
        stamps = self._options.timestamps
        self._say(line(row, time.strftime(TIMESTAMP) if stamps else ""))

    def section_end(self, collective: str, totals: Totals) -> None:
        for text in footer(totals):
            self._say(text)
        self._say(f"#\n# Collective test concluded: {collective}")

    def end(self, totals: Totals) -> None:
        if len(self._options.collectives) > 1:
            self._say("#\n# All collectives")
            for text in footer(totals):
                self._say(text)
