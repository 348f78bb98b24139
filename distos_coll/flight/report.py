"""A reading in words."""

from collections.abc import Iterator, Sequence
from typing import Any

from distos_coll.flight.merge import Place, Reading, Unmatched

_NS = 1e-9
NOTICEABLE_NS = 50_000_000


def lines(reading: Reading) -> Iterator[str]:
    """Say what is known of a group: the conclusions, where each rank is, what each was told."""
    size = len(reading.job_ranks)
    job = "" if _same(reading) else f", in the job {_numbers(reading.job_ranks)}"
    yield f"group '{reading.name}' ({size} rank{'s' * (size != 1)}{job}; id {reading.id})"
    for text in conclusions(reading):
        yield f"  => {text}"
    for place, ranks in reading.places:
        yield f"  {_ranks(ranks)} {_verb(ranks)} {where(place)}"
    for code, text, ranks in reading.errors:
        yield f"  {_ranks(ranks)} failed: {code}: {text}"
    if reading.spread_ns >= NOTICEABLE_NS:
        yield (
            f"  the dumps were written within {reading.spread_ns * _NS:.1f} s; a rank that runs "
            "gets on meanwhile"
        )


def conclusions(reading: Reading) -> Iterator[str]:
    """Say what is wrong, the likely cause first."""
    if reading.difference:
        calls = [f"{_ranks(ranks)} called {call}" for call, ranks in reading.difference.calls]
        yield f"different calls at #{reading.difference.sequence}: {'; '.join(calls)}"
    if reading.missing:
        yield f"{_ranks(reading.missing)} left no dump: dead, stopped, ended before, or not asked"
    for place, ranks in reading.places:
        late = tuple(rank for rank in ranks if rank in reading.behind)
        if late:
            front = reading.places[0][0].sequence
            yield f"{_ranks(late)} {_verb(late)} behind #{front}: {where(place)}"
    for each in reading.unmatched:
        if each.waits:
            yield unmatched(each, each.peer in reading.missing)
    if not reading.problem:
        yield "nothing is wrong"


def where(place: Place) -> str:
    """Say where a rank is."""
    if place.sequence == 0:
        return "before the first collective"
    what = f"#{place.sequence}" + (f", {place.call}" if place.call else "")
    if place.algorithm:
        what += f" ({place.algorithm})"
    said = {
        "scheduled": f"in {what}, which waits for its turn",
        "started": f"in {what}",
        "completed": f"through with {what}, the last called",
    }[place.state]
    return said + (f", with {place.behind_it} more called behind it" if place.behind_it else "")


def unmatched(each: Unmatched, peer_is_missing: bool) -> str:
    """Say who waits for whom."""
    tag = f"tag {each.tag}" if each.tag >= 0 else "of a monitored_barrier"
    many = f"{each.count} message{'s' * (each.count != 1)} ({tag})"
    if each.peer < 0:
        return f"rank {each.rank} waits for {many} from any rank; nobody has sent that"
    if each.sends:
        why = "left no dump" if peer_is_missing else "has no receive for that"
        return f"rank {each.rank} sends {many} to rank {each.peer}, which {why}"
    why = "left no dump" if peer_is_missing else "has not sent that"
    return f"rank {each.rank} waits for {many} from rank {each.peer}, which {why}"


def as_dict(reading: Reading) -> dict[str, Any]:
    """Return a reading for programs."""
    difference = reading.difference
    return {
        "id": reading.id,
        "name": reading.name,
        "job_ranks": reading.job_ranks,
        "problem": reading.problem,
        "conclusions": list(conclusions(reading)),
        "missing": reading.missing,
        "behind": reading.behind,
        "difference": difference
        and {
            "sequence": difference.sequence,
            "calls": [{"call": call, "ranks": ranks} for call, ranks in difference.calls],
        },
        "places": [{**vars(place), "ranks": ranks} for place, ranks in reading.places],
        "errors": [{"code": c, "text": t, "ranks": ranks} for c, t, ranks in reading.errors],
        "unmatched": [vars(each) for each in reading.unmatched],
        "spread_s": reading.spread_ns * _NS,
    }


def _same(reading: Reading) -> bool:
    return reading.job_ranks == tuple(range(len(reading.job_ranks)))


def _verb(ranks: Sequence[int]) -> str:
    return "is" if len(ranks) == 1 else "are"


def _ranks(ranks: Sequence[int]) -> str:
    return f"rank {ranks[0]}" if len(ranks) == 1 else f"ranks {_numbers(ranks)}"


def _numbers(ranks: Sequence[int]) -> str:
    """Return "0-3, 7"."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(
        str(run[0]) if len(run) == 1 else f"{run[0]}{'-' if len(run) > 2 else ', '}{run[-1]}"
        for run in runs
    )
