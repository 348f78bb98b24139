"""Seeded defects: what verification must find, and that it says where."""

from collections.abc import Callable
from typing import Any

import pytest

from distos_coll._vocabulary import Collective, Need
from distos_coll.errors import PlanError
from distos_coll.program import native
from distos_coll.program.builder import ProgramBuilder
from distos_coll.program.contract import Call
from distos_coll.program.ir import Program
from distos_coll.program.reference import Reference
from distos_coll.program.symbols import select
from distos_coll.program.verify import verify

AR, AG, BC = Collective.ALL_REDUCE, Collective.ALL_GATHER, Collective.BROADCAST


def refused(program: Program, message: str, size: int = 4, **options: Any) -> str:
    """Return what the reference says, after checking that the core says the same."""
    with pytest.raises(PlanError, match=message) as caught:
        verify(program, size, engine=Reference, **options)
    if native.AVAILABLE:
        with pytest.raises(PlanError) as by_core:
            verify(program, size, engine=native.Native, **options)
        assert str(by_core.value) == str(caught.value)
    return str(caught.value)


def gather_ring(change: Callable[[ProgramBuilder], None] | None = None, **knobs: int) -> Program:
    """A right ring all_gather, but for what the knobs change."""
    p = ProgramBuilder("ring", AG)
    right, left = (p.rank + 1) % p.size, (p.rank - 1) % p.size
    p.copy((p.output, p.rank * p.count), (p.input, 0), p.count)
    for s in p.loop(0, p.size - 1 + knobs.get("steps", 0)):
        out, into = (p.rank - s) % p.size, (p.rank - s - 1) % p.size
        with p.group():
            p.send(right, p.output, out * p.count, p.count + knobs.get("send_length", 0))
            if not knobs.get("no_recv"):
                p.recv(left, p.output, into * p.count + knobs.get("shift", 0), p.count)
    if change is not None:
        change(p)
    return p.build()


def test_the_right_one_passes() -> None:
    for size in range(1, 6):
        verify(gather_ring(), size)


def test_missing_recv() -> None:
    text = refused(gather_ring(no_recv=1), "deadlock")
    assert "rank 0, lane 0, instruction 3 send(peer=1, buf=output, off=0, len=1)" in text
    assert "4 ranks, count 1" in text


def test_wrong_length() -> None:
    calls = [Call(AG, 4, count=5)]
    text = "recv.*len=5.*has length 5, but its other side.*len=4"
    refused(gather_ring(send_length=-1), text, calls=calls)
    # With one element nothing at all is sent.
    refused(gather_ring(send_length=-1), "deadlock")


def test_out_of_bounds() -> None:
    refused(gather_ring(shift=1), r"elements 4 to 5 are outside the buffer, which has 4")


def test_too_few_steps_leave_output_unwritten() -> None:
    refused(gather_ring(steps=-1), "leaves nothing in element .*instead of element 0 of rank")


def test_sequential_ring_deadlocks() -> None:
    p = ProgramBuilder("ring", AG)
    p.send((p.rank + 1) % p.size, p.input, 0, p.count)
    p.recv((p.rank - 1) % p.size, p.output, 0, p.count)
    refused(p.build(), "deadlock, nobody can go on. Waiting: .*rank 0.*rank 1")


def test_crossed_events_deadlock() -> None:
    p = ProgramBuilder("events", BC)
    first, second = p.event(), p.event()
    p.wait(first, 1)
    p.signal(second)
    with p.lane(1):
        p.wait(second, 1)
        p.signal(first)
    refused(p.build(), "deadlock.*lane 0, instruction 0 await.*lane 1")


def exchange(double: bool = False, finalize: bool = True, reduce_first: bool = True) -> Program:
    """All-reduce of two ranks."""
    p = ProgramBuilder("exchange", AR)
    other = 1 - p.rank
    with p.group():
        p.send(other, p.input, 0, p.count)
        if reduce_first:
            p.recv_reduce(other, (p.scratch, 0), (p.input, 0), p.count)
        else:
            p.recv(other, p.scratch, 0, p.count)
    p.use_scratch(p.count)
    if double:
        with p.group():
            p.send(other, p.input, 0, p.count)
            p.recv_reduce(other, (p.scratch, 0), (p.scratch, 0), p.count)
    p.copy((p.output, 0), (p.scratch, 0), p.count)
    if finalize:
        p.finalize(p.output, 0, p.count)
    return p.build()


def test_contributions() -> None:
    verify(exchange(), 2)
    refused(exchange(double=True), r"element 0: rank\(s\) \[.\] would count twice", 2)
    refused(exchange(finalize=False), r"leaves element 0 of rank\(s\) \[0, 1\] in", 2)
    refused(exchange(reduce_first=False), r"finalized without rank\(s\) \[.\]", 2)


def test_writing_what_is_being_sent() -> None:
    p = ProgramBuilder("bad", AR)
    other = 1 - p.rank
    p.copy((p.output, 0), (p.input, 0), p.count)
    with p.group():
        p.send(other, p.output, 0, p.count)
        p.recv_reduce(other, (p.output, 0), (p.output, 0), p.count)
    p.finalize(p.output, 0, p.count)
    refused(p.build(), "recv_reduce.*writes memory that is being sent.*instruction 2 send", 2)


def test_lanes_race_for_memory() -> None:
    p = ProgramBuilder("race", BC)
    other = 1 - p.rank
    at_root = p.rank.eq(p.root)
    p.send(select(at_root, other, -1), p.output, 0, p.count)
    p.recv(select(at_root, -1, other), p.output, 0, p.count)
    with p.lane(1):
        p.use_scratch(p.count)
        p.copy((p.scratch, 0), (p.output, 0), p.count)
    refused(p.build(), "lane 1.*(reads memory that is being received|never written)", 2)


def test_reading_the_unwritten() -> None:
    p = ProgramBuilder("bad", AG)
    p.use_scratch(p.count)
    p.copy((p.output, 0), (p.scratch, 0), p.count)
    refused(p.build(), "copy.*reads element 0, which was never written", 1)


def test_reduction_of_different_elements() -> None:
    p = ProgramBuilder("bad", AR)
    other = 1 - p.rank
    with p.group():
        p.send(other, p.input, 0, p.count - 1)
        p.recv_reduce(other, (p.output, 0), (p.input, 1), p.count - 1)
    refused(p.build(), "reduces element . with element .", 2, calls=[Call(AR, 2, count=3)])


def test_partial_overlap() -> None:
    p = ProgramBuilder("bad", AR)
    p.copy((p.output, 0), (p.input, 0), p.count)
    p.copy((p.output, 1), (p.output, 0), p.count - 1)
    refused(p.build(), "overlap partially", 1, calls=[Call(AR, 1, count=3)])


def test_a_peer_that_does_not_exist_and_oneself() -> None:
    p = ProgramBuilder("bad", AG)
    p.send(p.size, p.input, 0, p.count)
    refused(p.build(), "peer 4 does not exist")
    p = ProgramBuilder("bad", AG)
    p.send(p.rank, p.input, 0, p.count)
    refused(p.build(), "cannot send to itself")


def window(collective: Collective = AR) -> ProgramBuilder:
    return ProgramBuilder("window", collective, Need.ONE_DOMAIN)


def test_order_of_ranks() -> None:
    def one_shot(finalize: bool) -> Program:
        p = window()
        with p.round():
            p.put(0, p.input, 0, p.count)
        p.pull_reduce(0, (p.output, 0), (p.input, 0), p.count, finalize=finalize)
        p.finalize(p.output, 0, p.count * (not finalize))
        return p.build()

    def in_order(finalize: bool) -> None:
        calls = [Call(AR, 3, count=2, slot=2)]
        verify(one_shot(finalize), 3, calls=calls, in_rank_order=True)

    in_order(True)
    # Halves would be rounded before they are divided, and once more after it.
    with pytest.raises(PlanError, match="reduces in parts"):
        in_order(False)


def test_fold_keeps_to_its_scratch() -> None:
    def folded(dst: int = 0, missing: int = 0) -> Program:
        p = ProgramBuilder("bad", AR)
        other = 1 - p.rank
        # Nobody sends what a rank's own place would take.
        p.use_scratch(4 - missing * p.rank)
        with p.group():
            p.send(other, p.input, 0, 2)
            p.recv(other, p.scratch, other * 2, 2)
        p.fold(0, (p.scratch, dst), (p.input, 0), 2)
        p.copy((p.output, 0), (p.scratch, dst), 2)
        return p.build()

    calls = [Call(AR, 2, count=2)]
    verify(folded(), 2, calls=calls, in_rank_order=True)
    refused(folded(dst=1), "fold.*overlap partially", 2, calls=calls)
    refused(folded(missing=1), "fold.*outside the buffer, which has 3", 2, calls=calls)


def test_uneven_rounds() -> None:
    p = window(Collective.BARRIER)
    for _ in p.loop(0, 1 + p.rank.eq(0)):
        with p.round():
            pass
    p.await_all()
    refused(p.build(), "deadlock|different numbers of rounds")


def test_window_misuse() -> None:
    p = window()
    p.put(0, p.input, 0, p.count)
    refused(p.build(), "put.*needs an open round")
    p = window()
    with p.round():
        p.put(p.slot, p.input, 0, p.count)
    refused(p.build(), "outside the slot")
    p = window()
    p.pull(0, 0, p.output, 0, p.count)
    refused(p.build(), "pull.*needs a committed round")
    p = window()
    with p.round():
        pass
    p.pull(p.size, 0, p.output, 0, p.count)
    refused(p.build(), "member 4 is not in the domain")
    p = window()
    with p.round():
        pass
    p.pull_reduce(0, (p.output, 0), (p.input, 0), p.count)
    refused(p.build(), "never written")
    p = window()
    with p.round():
        pass
    p.read(0, 0, p.output, 0, p.count)
    refused(p.build(), "exposed nothing")


def one_shot_exposed(end: bool = True) -> Program:
    """Right out of place only: in place it changes what others still read."""
    p = window()
    with p.round():
        p.expose(p.input)
    p.read_reduce(0, (p.output, 0), (p.input, 0), p.count)
    if end:
        with p.round():
            pass
        p.await_all()
    return p.build()


def test_exposed_memory() -> None:
    refused(one_shot_exposed(), "in place", 2)
    refused(one_shot_exposed(end=False), "(returns while rank|which has returned)", 2)


def test_barrier_must_hear_of_everybody() -> None:
    p = ProgramBuilder("half", Collective.BARRIER)
    p.use_scratch(2)
    with p.group():
        p.send((p.rank + 1) % p.size, p.scratch, 0, 1)
        p.recv((p.rank - 1) % p.size, p.scratch, 1, 1)
    verify(p.build(), 2)
    refused(p.build(), r"leaves the barrier without having heard of", 4)


def test_zero_divisor() -> None:
    p = ProgramBuilder("bad", AG)
    p.copy((p.output, 0), (p.input, 0), p.count // (p.size - 2))
    refused(p.build(), "division of . by zero", 2)


def test_needs_are_kept() -> None:
    p = window(Collective.BARRIER)
    refused(p.build(), "one domain", 2, domain_of=(0, 1))


def test_left_over_messages() -> None:
    p = ProgramBuilder("bad", AG)
    p.copy((p.output, p.rank * p.count), (p.input, 0), p.count)
    with p.when(p.rank.eq(0)):
        p.send(1, p.input, 0, p.count)
    refused(p.build(), "deadlock|nothing matches it", 2)
