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
    measured_us: float | None
    """In a group of the same shape, between two sizes interpolated; None: it was not measured."""
    model_us: float | None
    """What would be predicted if nothing had been measured of such groups."""
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
    basis: str
    """What the predictions rest on."""
    layout: tuple[str, ...] = ()
    """Where links between hosts are known: who says so, the orders, and what limits them."""

    @property
    def winner(self) -> Verdict:
        return self.verdicts[0]

    def as_dict(self) -> dict[str, Any]:
        return {
            "collective": self.collective,
            "bytes": self.bytes,
            "up_to_bytes": self.up_to_bytes,
            "basis": self.basis,
            "layout": list(self.layout),
            "candidates": [dict(vars(verdict)) for verdict in self.verdicts],
        }

    def __str__(self) -> str:
        lines = [f"{self.collective} of {self.bytes} bytes, by {self.basis}", *self.layout]
        lines.append(_line(_HEAD))
        for v in self.verdicts:
            name = f"{v.algorithm}/{v.variant}" if v.variant else v.algorithm
            segment = "" if v.segment_bytes is None else f"{v.segment_bytes}"
            times = (_us(v.predicted_us), _us(v.measured_us), _us(v.model_us))
            lines.append(_line(("*" if v.chosen else " ", name, segment, *times, v.reason)))
        return "\n".join(lines)


_HEAD = ("", "algorithm", "segment", "predicted", "measured", "by the model", "why")


def _line(cells: Sequence[str]) -> str:
    mark, name, segment, predicted, measured, model, why = cells
    return f"{mark:1} {name:20} {segment:>9} {predicted:>13} {measured:>13} {model:>13}  {why}"


def _us(time: float | None) -> str:
    return "-" if time is None else f"{time:.1f} us"


def explain(
    row: Row, size: int, allowed: Sequence[Candidate], excluded: Sequence[Excluded], basis: str
) -> Explanation:
    winner = row.candidate
    time = winner.predict(size)
    losers = sorted(
        (c for c in allowed if c is not winner),
        key=lambda c: (c.predict(size), c.key, c.segment_bytes),
    )
    rivals = [c for c in losers if not c.registered]
    verdicts = [_verdict(winner, size, chosen=True, reason=_praise(winner, rivals, size))]
    verdicts += [
        _verdict(c, size, chosen=False, reason=_blame(c, winner, time, size)) for c in losers
    ]
    verdicts += [
        Verdict(
            e.algorithm.spec.name,
            e.algorithm.spec.variant,
            e.algorithm.plugin,
            None,
            None,
            None,
            None,
            False,
            e.reason,
        )
        for e in excluded
    ]
    return Explanation(row.collective.name.lower(), size, row.max_bytes, tuple(verdicts), basis)


def _verdict(candidate: Candidate, size: int, *, chosen: bool, reason: str) -> Verdict:
    spec = candidate.algorithm.spec
    return Verdict(
        spec.name,
        spec.variant,
        candidate.algorithm.plugin,
        candidate.segment_bytes,
        candidate.predict(size),
        candidate.measured.at(size) if candidate.measured else None,
        candidate.model(size),
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
