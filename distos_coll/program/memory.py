"""Memory of ranks in the machine: what is in it, and who is using it.

The machine is the same for numbers and for symbols; an Algebra says what an element is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from distos_coll.errors import PlanError

Elements = Any
"""A slice of a backing: list or numpy array, whatever the algebra works on."""


class ProgramFault(PlanError):
    """A PlanError that already says which rank, lane and instruction it is about."""


class Algebra(Protocol):
    """What elements are and how they combine."""

    def unwritten(self, n: int) -> Elements:
        """Memory that nobody has written."""

    def zeros(self, n: int) -> Elements:
        """Memory whose contents mean nothing but may be sent."""

    def take(self, data: Elements, start: int, stop: int) -> Elements:
        """A copy; PlanError if something in it was never written."""

    def reduce(self, inputs: Sequence[Elements]) -> Elements:
        """In order, from left to right."""

    def finalize(self, elements: Elements) -> Elements: ...


@dataclass(eq=False)
class Use:
    """A transfer that has not finished: it reads or writes [start, stop) of a backing."""

    backing: "Backing"
    start: int
    stop: int
    writes: bool
    what: str

    def release(self) -> None:
        self.backing.uses.remove(self)


@dataclass(frozen=True)
class _Access:
    start: int
    stop: int
    who: int
    round: int
    """How many rounds `who` had committed: it is over when `who` has committed another."""
    writes: bool


@dataclass(eq=False)
class Backing:
    """A piece of memory of one rank. Input and output share one when a call is in place."""

    owner: int
    data: Elements
    uses: list[Use] = field(default_factory=list)
    # Of memory that others access directly: who did what in which round.
    accesses: list[_Access] = field(default_factory=list)
    exposed: bool = False
    returned: bool = False


@dataclass(frozen=True)
class View:
    """A buffer as a call binds it."""

    backing: Backing
    base: int
    length: int

    def span(self, off: int, n: int) -> tuple[int, int]:
        if off < 0 or off + n > self.length:
            raise PlanError(
                f"elements {off} to {off + n} are outside the buffer, which has {self.length}"
            )
        return self.base + off, self.base + off + n


class Observer(Protocol):
    """How far a rank has seen others get in the window; see window.py."""

    rank: int
    arrived: int
    observed: dict[int, int]


def load(algebra: Algebra, view: View, off: int, n: int, observer: Observer) -> Elements:
    start, stop = view.span(off, n)
    _check_idle(view.backing, start, stop, writes=False)
    _check_order(view.backing, start, stop, observer, writes=False)
    return algebra.take(view.backing.data, start, stop)


def store(view: View, off: int, elements: Elements, observer: Observer) -> None:
    start, stop = view.span(off, len(elements))
    _check_idle(view.backing, start, stop, writes=True)
    write(view.backing, start, elements, observer)


def write(backing: Backing, start: int, elements: Elements, observer: Observer) -> None:
    """Writes, after checking that no other rank may still be using it."""
    stop = start + len(elements)
    _check_order(backing, start, stop, observer, writes=True)
    backing.data[start:stop] = elements


def check_there(view: View) -> None:
    """Before another rank accesses the memory."""
    if view.backing.returned:
        owner = view.backing.owner
        raise PlanError(f"uses memory of rank {owner}, which has returned from the call")


def check_returned(view: View, observer: Observer) -> None:
    """When a call returns, its caller may overwrite the buffers."""
    view.backing.returned = True
    for access in view.backing.accesses:
        if not _is_over(access, observer):
            raise PlanError(
                f"returns while rank {access.who} may still use its exposed memory; end with a "
                "round and await_all"
            )


def _is_over(access: _Access, observer: Observer) -> bool:
    return access.who == observer.rank or observer.observed.get(access.who, 0) > access.round


def _check_order(
    backing: Backing, start: int, stop: int, observer: Observer, *, writes: bool
) -> None:
    """Of two ranks of which one writes, the later must have seen the other go on.

    Whatever the timing: rounds are compared, not moments, so that the order in which the machine
    runs them does not matter.
    """
    if not backing.exposed:
        return
    for access in backing.accesses:
        apart = access.stop <= start or stop <= access.start
        if apart or not (writes or access.writes) or _is_over(access, observer):
            continue
        raise PlanError(
            f"{'writes' if writes else 'reads'} memory of rank {backing.owner} that rank "
            f"{access.who} {'writes' if access.writes else 'reads'}, without having waited for it"
        )
    backing.accesses.append(_Access(start, stop, observer.rank, observer.arrived, writes))


def occupy(view: View, off: int, n: int, *, writes: bool, what: str) -> Use:
    """Marks memory as used by a transfer in flight."""
    start, stop = view.span(off, n)
    _check_idle(view.backing, start, stop, writes=writes)
    use = Use(view.backing, start, stop, writes, what)
    view.backing.uses.append(use)
    return use


def same_place(a: View, a_off: int, b: View, b_off: int) -> bool:
    return a.backing is b.backing and a.base + a_off == b.base + b_off


def check_overlap(dst: View, dst_off: int, src: View, src_off: int, n: int) -> None:
    """Kernels take equal or disjoint memory."""
    if dst.backing is src.backing:
        distance = abs((dst.base + dst_off) - (src.base + src_off))
        if 0 < distance < n:
            raise PlanError("source and destination overlap partially")


def _check_idle(backing: Backing, start: int, stop: int, *, writes: bool) -> None:
    for use in backing.uses:
        if use.start < stop and start < use.stop and (writes or use.writes):
            verb = "writes" if writes else "reads"
            state = "being received into" if use.writes else "being sent or reduced"
            raise PlanError(f"{verb} memory that is {state} by {use.what}")
