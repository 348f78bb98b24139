"""Why a candidate was chosen, and why each other one was not."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distos_coll.planner.choose import Candidate, Excluded, Row


@dataclass(frozen=True)
class Verdict:
    algorithm: str
    variant: str
    plugin: str
    segment_bytes: int | None
    predicted_us: float | None
    """None: it may not run at all."""
    chosen: bool
    reason: str


@dataclass(frozen=True)
class Explanation:
    collective: str
    bytes: int
    up_to_bytes: int
    """The choice holds up to this size."""
    verdicts: tuple[Verdict, ...]
    """The winner, then the losers by predicted time, then what was excluded."""

    @property
    def winner(self) -> Verdict:
        return self.verdicts[0]

    def as_dict(self) -> dict[str, Any]:
        return {
            "collective": self.collective,
            "bytes": self.bytes,
            "up_to_bytes": self.up_to_bytes,
            "candidates": [dict(vars(verdict)) for verdict in self.verdicts],
        }

    def __str__(self) -> str:
        lines = [f"{self.collective} of {self.bytes} bytes"]
        for v in self.verdicts:
            name = f"{v.algorithm}/{v.variant}" if v.variant else v.algorithm
            segment = "" if v.segment_bytes is None else f"{v.segment_bytes}"
            time = "-" if v.predicted_us is None else f"{v.predicted_us:.1f} us"
            mark = "*" if v.chosen else " "
            lines.append(f"{mark} {name:20} {segment:>9} {time:>14}  {v.reason}")
        return "\n".join(lines)


def explain(
    row: Row, size: int, allowed: Sequence[Candidate], excluded: Sequence[Excluded]
) -> Explanation:
    winner = row.candidate
    time = winner.predict(size)
    losers = sorted(
        (c for c in allowed if c is not winner),
        key=lambda c: (c.predict(size), c.key, c.segment_bytes),
    )
    rivals = [c for c in losers if not c.registered]
    verdicts = [_verdict(winner, time, chosen=True, reason=_praise(winner, rivals, size))]
    verdicts += [
        _verdict(c, c.predict(size), chosen=False, reason=_blame(c, winner, time, size))
        for c in losers
    ]
    verdicts += [
        Verdict(
            e.algorithm.spec.name,
            e.algorithm.spec.variant,
            e.algorithm.plugin,
            None,
            None,
            False,
            e.reason,
        )
        for e in excluded
    ]
    return Explanation(row.collective.name.lower(), size, row.max_bytes, tuple(verdicts))


def _verdict(candidate: Candidate, time: float, *, chosen: bool, reason: str) -> Verdict:
    spec = candidate.algorithm.spec
    return Verdict(
        spec.name,
        spec.variant,
        candidate.algorithm.plugin,
        candidate.segment_bytes,
        time,
        chosen,
        reason,
    )


def _praise(winner: Candidate, losers: Sequence[Candidate], size: int) -> str:
    if losers and losers[0].predict(size) < winner.predict(size):
        return "chosen; the cut-over to the next row is near"
    # Other segments of the winner are no rivals of it.
    second = next((c for c in losers if c.key != winner.key), None)
    if second is None:
        return "the only candidate"
    return f"predicted fastest; {second.key} comes next"


def _blame(candidate: Candidate, winner: Candidate, time: float, size: int) -> str:
    mine = candidate.predict(size)
    same = candidate.key == winner.key
    lead = "another segment size, " if same else ""
    if mine == time:
        return f"{lead}predicted as fast" + ("" if same else "; names decide")
    if mine < time and candidate.registered:
        return "chosen instead where all ranks' arrays lie in registered memory"
    if mine < time:
        return f"{lead}predicted faster, but cut-overs are rounded to 1/16 of an octave"
    if time == 0:
        return f"{lead}predicted slower"
    return f"{lead}predicted {mine / time:.2f} times the winner's time"
