"""The window of one domain in the machine: a few slots a member, used in rounds
(docs/decisions/0001).
"""

from dataclasses import dataclass, field

from distos_coll._vocabulary import Buffer
from distos_coll.errors import PlanError
from distos_coll.program.memory import Algebra, Elements, View

DEPTH = 32
"""Rounds whose slots may be in use at a time, as in cpp/exec/window.h; there large slots have room
for fewer.
"""


@dataclass(eq=False)
class Member:
    rank: int
    arrived: int = 0
    """Rounds that this member has committed."""
    open: bool = False
    slots: list[Elements] = field(default_factory=lambda: [[] for _ in range(DEPTH)])
    exposed: list[View | None] = field(default_factory=lambda: [None] * DEPTH)
    offered: dict[Buffer, View] = field(default_factory=dict)
    """Registered memory of the operation that runs."""
    knowledge: list[int] = field(default_factory=lambda: [0] * DEPTH)
    observed: dict[int, int] = field(default_factory=dict)
    """For each rank the rounds that this member has seen it commit."""


class Window:
    def __init__(self, algebra: Algebra, ranks: tuple[int, ...]) -> None:
        self._algebra = algebra
        self.members = [Member(rank) for rank in ranks]

    def may_open(self, me: Member) -> bool:
        if me.open:
            raise PlanError("opens a round before the last one was committed")
        return all(self._has_reached(me, each, me.arrived + 2 - DEPTH) for each in self.members)

    def all_arrived(self, me: Member) -> bool:
        return all(self.has_arrived(me, other) for other in self.members)

    def has_arrived(self, me: Member, other: Member) -> bool:
        """In the round that `me` committed last."""
        return self._has_reached(me, other, me.arrived)

    @staticmethod
    def _has_reached(me: Member, other: Member, rounds: int) -> bool:
        if other.arrived < rounds:
            return False
        me.observed[other.rank] = max(me.observed.get(other.rank, 0), rounds)
        return True

    def open(self, me: Member, slot: int) -> None:
        me.open = True
        me.slots[me.arrived % DEPTH] = self._algebra.unwritten(slot)
        me.exposed[me.arrived % DEPTH] = None

    def put(self, me: Member, off: int, elements: Elements) -> None:
        self._require_open(me)
        slot = me.slots[me.arrived % DEPTH]
        if off < 0 or off + len(elements) > len(slot):
            raise PlanError(
                f"elements {off} to {off + len(elements)} are outside the slot of {len(slot)}"
            )
        slot[off : off + len(elements)] = elements

    def expose(self, me: Member, view: View) -> None:
        self._require_open(me)
        me.exposed[me.arrived % DEPTH] = view
        view.backing.exposed = True

    def offer(self, me: Member, views: dict[Buffer, View]) -> None:
        self._require_open(me)
        me.offered = {buffer: views[buffer] for buffer in (Buffer.INPUT, Buffer.OUTPUT)}
        for view in me.offered.values():
            view.backing.exposed = True

    def commit(self, me: Member, knowledge: int) -> None:
        self._require_open(me)
        me.knowledge[me.arrived % DEPTH] = knowledge
        me.open = False
        me.arrived += 1
        me.observed[me.rank] = me.arrived

    def require_round(self, me: Member) -> None:
        if me.open or me.arrived == 0:
            raise PlanError("needs a committed round")

    def member(self, index: int) -> Member:
        if not 0 <= index < len(self.members):
            raise PlanError(f"member {index} is not in the domain, which has {len(self.members)}")
        return self.members[index]

    def pull(self, me: Member, other: Member, off: int, n: int) -> Elements:
        slot = other.slots[(me.arrived - 1) % DEPTH]
        if off < 0 or off + n > len(slot):
            raise PlanError(f"elements {off} to {off + n} are outside the slot of {len(slot)}")
        return self._algebra.take(slot, off, off + n)

    def exposed_by(self, me: Member, other: Member) -> View:
        view = other.exposed[(me.arrived - 1) % DEPTH]
        if view is None:
            raise PlanError(f"rank {other.rank} exposed nothing in this round")
        return view

    def knowledge_of(self, me: Member, other: Member) -> int:
        return other.knowledge[(me.arrived - 1) % DEPTH]

    @staticmethod
    def _require_open(me: Member) -> None:
        if not me.open:
            raise PlanError("needs an open round")
