"""Dumps of several ranks, read together: the reading names whoever is to blame."""

import random

from flight_dumps import ALL_REDUCE, BROADCAST, KEPT, history, message, parsed, raw
from hypothesis import given
from hypothesis import strategies as st

from distos_coll.flight import merge, report
from distos_coll.flight.merge import Reading, Unmatched

CALLS = (ALL_REDUCE, BROADCAST, "barrier of 0 bytes", "all_gather of 16 bytes")


def reading_of(*raws: dict[str, object]) -> Reading:
    [reading] = merge.merge([parsed(each) for each in raws])
    return reading


def said(reading: Reading) -> str:
    return "\n".join(report.lines(reading))


sizes = st.integers(2, 6)
programs = st.lists(st.sampled_from(CALLS), min_size=1, max_size=3 * KEPT // 2)


@given(sizes, programs, st.randoms(use_true_random=False))
def test_ranks_that_are_through_with_the_same_are_well(
    size: int, program: list[str], rng: random.Random
) -> None:
    raws = [raw(rank, size, history(program, len(program))) for rank in range(size)]
    rng.shuffle(raws)
    reading = reading_of(*raws)
    assert not reading.problem
    [(place, ranks)] = reading.places
    assert (place.sequence, place.call, place.state) == (len(program), program[-1], "completed")
    assert ranks == tuple(range(size))
    assert "=> nothing is wrong" in said(reading)


@given(sizes, programs, st.data())
def test_a_rank_that_calls_something_else_is_named(
    size: int, program: list[str], data: st.DataObject
) -> None:
    odd = data.draw(st.integers(0, size - 1))
    # All that follows may be the same again; what is remembered of it is not what matters.
    at = data.draw(st.integers(max(len(program) - KEPT, 0), len(program) - 1))
    other = [*program[:at], "scatter of 3 bytes, root 0", *program[at + 1 :]]
    raws = [raw(rank, size, history(other if rank == odd else program, at)) for rank in range(size)]
    reading = reading_of(*raws)
    assert reading.difference
    assert reading.difference.sequence == at + 1
    calls = dict(reading.difference.calls)
    assert calls["scatter of 3 bytes, root 0"] == (odd,)
    assert calls[program[at]] == tuple(rank for rank in range(size) if rank != odd)
    if size > 2:
        assert reading.difference.calls[0][0] == program[at], "the majority comes first"
    assert f"different calls at #{at + 1}:" in said(reading)
    assert f"rank {odd} called scatter of 3 bytes, root 0" in said(reading)


@given(sizes, programs, st.data())
def test_a_rank_that_does_not_come_is_behind(
    size: int, program: list[str], data: st.DataObject
) -> None:
    late = data.draw(st.integers(0, size - 1))
    came = data.draw(st.integers(0, len(program) - 1))
    raws = [
        raw(rank, size, history(program[:came], came))
        if rank == late
        else raw(rank, size, history(program[: came + 1], came))
        for rank in range(size)
    ]
    reading = reading_of(*raws)
    assert reading.behind == (late,)
    assert not reading.difference
    assert f"=> rank {late} is behind #{came + 1}: " in said(reading)


@given(sizes, programs, st.data())
def test_a_rank_that_is_still_in_what_others_left_is_behind(
    size: int, program: list[str], data: st.DataObject
) -> None:
    program = [*program, ALL_REDUCE]
    late = data.draw(st.integers(0, size - 1))
    raws = [
        raw(rank, size, history(program, len(program) - (2 if rank == late else 1)))
        for rank in range(size)
    ]
    reading = reading_of(*raws)
    assert reading.behind == (late,)
    place = next(place for place, ranks in reading.places if late in ranks)
    assert (place.sequence, place.behind_it) == (len(program) - 1, 1)
    assert "with 1 more called behind it" in said(reading)


def test_one_that_is_further_but_waits_for_nobody_is_no_problem() -> None:
    one, more = history([ALL_REDUCE], 1), history([ALL_REDUCE, BROADCAST], 2)
    assert not reading_of(raw(0, 2, one), raw(1, 2, more)).problem


def test_ranks_without_a_dump_are_missing_and_errors_are_told_once() -> None:
    calls = history([ALL_REDUCE] * 3, 2)
    told = ("timeout", "it took too long")
    reading = reading_of(raw(0, 5, calls, error=told), raw(3, 5, calls, error=told))
    assert reading.missing == (1, 2, 4)
    assert reading.errors == (("timeout", "it took too long", (0, 3)),)
    text = said(reading)
    assert "ranks 1, 2, 4 left no dump: dead, stopped, ended before, or not asked" in text
    assert "ranks 0, 3 are in #3, all_reduce of 4 float32, op sum (ring)" in text
    assert "ranks 0, 3 failed: timeout: it took too long" in text


def test_groups_are_told_apart_by_id_and_the_later_dump_of_a_rank_counts() -> None:
    new = "00000000000000bb"
    earlier = raw(0, 2, history([ALL_REDUCE] * 2, 1), time_ns=10)
    later = raw(0, 2, history([ALL_REDUCE] * 2, 2), time_ns=300_000_010)
    dumps = [later, earlier, raw(1, 2, history([ALL_REDUCE] * 2, 2)), raw(1, 2, group=new)]
    old, other = merge.merge([parsed(each) for each in dumps])
    assert (old.id[-2:], old.problem, old.spread_ns) == ("aa", False, 300_000_010)
    assert (other.id, other.missing) == (new, (0,))
    assert other.places[0][0].sequence == 0
    assert "rank 1 is before the first collective" in said(other)
    assert "the dumps were written within 0.3 s" in said(old)


def test_what_is_forgotten_is_known_by_its_number() -> None:
    reading = reading_of(raw(0, 1, [], last=500))
    assert "rank 0 is through with #500, the last called" in said(reading)


# ---- messages


@given(st.integers(1, 20), st.integers(0, 20), st.integers(0, 3))
def test_sends_and_receives_are_counted_by_pair_and_tag(sent: int, received: int, tag: int) -> None:
    done = min(sent, received)
    state = ["completed"] * done + ["scheduled"] * 20
    noise = message(True, 0, 1, tag + 1, "completed"), message(False, 1, 0, tag + 1, "completed")
    sends = [message(True, 0, 1, tag, state[i]) for i in range(sent)]
    receives = [message(False, 1, 0, tag, state[i]) for i in range(received)]
    reading = reading_of(raw(0, 2, [*sends, noise[0]]), raw(1, 2, [*receives, noise[1]]))
    expected: tuple[Unmatched, ...] = ()
    if sent > received:
        expected = (Unmatched(True, 0, 1, tag, sent - received, waits=True),)
    elif sent < received:
        expected = (Unmatched(False, 1, 0, tag, received - sent, waits=True),)
    assert reading.unmatched == expected
    assert reading.problem == bool(expected)


def test_only_what_waits_is_counted_where_something_is_forgotten() -> None:
    waits = [message(True, 0, 1, 7)]
    ended = [message(False, 1, 0, 7, "completed")] * 3
    reading = reading_of(raw(0, 2, waits, last_message=900), raw(1, 2, ended))
    assert reading.unmatched == (Unmatched(True, 0, 1, 7, 1, waits=True),)
    assert "rank 0 sends 1 message (tag 7) to rank 1, which has no receive for that" in said(
        reading
    )


def test_what_is_on_its_way_to_nobody_yet_is_no_problem() -> None:
    reading = reading_of(raw(0, 2, [message(True, 0, 1, 7, "completed")]), raw(1, 2))
    assert reading.unmatched == (Unmatched(True, 0, 1, 7, 1, waits=False),)
    assert not reading.problem


def test_a_receive_from_any_rank_takes_a_send_of_its_tag() -> None:
    sends = [message(True, 0, 1, 7), message(True, 0, 1, 8)]
    wild = [message(False, 1, -1, 7), message(False, 1, -1, 9)]
    reading = reading_of(raw(0, 2, sends), raw(1, 2, wild))
    assert reading.unmatched == (
        Unmatched(True, 0, 1, 8, 1, waits=True),
        Unmatched(False, 1, -1, 9, 1, waits=True),
    )
    assert "rank 1 waits for 1 message (tag 9) from any rank; nobody has sent that" in said(reading)


def test_a_receive_from_a_rank_without_a_dump_says_so() -> None:
    reading = reading_of(raw(1, 2, [message(False, 1, 0, -5)]))
    assert (
        "rank 1 waits for 1 message (of a monitored_barrier) from rank 0, which left no dump"
        in said(reading)
    )
