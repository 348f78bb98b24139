"""The search inside a node: one channel after the other, depth first, near and unused links first.

What it may spend is a number of visited seats, never a time, so that every rank finds the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from distos_coll.layout.kinds import Hop, Kind
from distos_coll.layout.ledger import Ledger, Sort
from distos_coll.layout.stretch import Stretch
from distos_coll.topology.path_type import PathType

_OF_ONE_CHANNEL = 1 << 9
_AFTER_A_FAILURE = 1 << 6
"""Visits after which a channel is given up. NCCL allows 2^14 for all of them."""

_MANY = 17


@dataclass
class Budget:
    left: int

    def spend(self, visits: int = 1) -> bool:
        """Whether so much was left."""
        if self.left < visits:
            self.left = 0
            return False
        self.left -= visits
        return True


@dataclass
class Search:
    """Lays channels of one bandwidth into a ledger."""

    kind: Kind
    ledger: Ledger
    gbps: float
    budget: Budget
    furthest: PathType = PathType.DIS
    """From a seat to a port."""
    widest: PathType = PathType.DIS
    """From a seat to another."""
    turns: bool = False
    """Ports must be as near the other way round."""
    hasty: bool = False
    """Give a channel up soon; after one was."""

    def channel(self, first: int, entry: int | None, exits: Sequence[int]) -> Stretch | None:
        """Find a way through all seats and take it; from a port to one of several, or a ring that
        begins with a seat.
        """
        allowed = _AFTER_A_FAILURE if self.hasty else _OF_ONE_CHANNEL
        budget = Budget(min(self.budget.left, allowed))
        before = budget.left
        found = None
        for start, hop in self._starts(first, entry):
            if hop is not None and not self.ledger.takes(hop.uses, self.gbps):
                continue
            found = self._from(start, entry, exits, budget)
            if found is not None or budget.left <= 0:
                break
            if hop is not None:
                self.ledger.give_back(hop.uses, self.gbps)
        self.budget.left -= before - max(budget.left, 0)
        self.hasty |= found is None
        return found

    def _starts(self, first: int, entry: int | None) -> Sequence[tuple[int, Hop | None]]:
        if entry is None:
            return [(first, None)]
        near = [
            (s, way) for s in range(self.kind.size) if (way := self._beyond(s, entry, out=False))
        ]
        busy = self.ledger.share
        near.sort(key=lambda each: (each[1].type, busy(each[1].uses), each[0]))
        return near

    def _beyond(self, slot: int, port: int, *, out: bool) -> Hop | None:
        """From a seat to a port, or the other way, if they are near enough."""
        out_, into = self.kind.outward(slot, port), self.kind.inward(port, slot)
        hop, back = (out_, into) if out else (into, out_)
        if hop is None or hop.type > self.furthest:
            return None
        if self.turns and (back is None or back.type > self.furthest):
            return None
        return hop

    def _from(
        self, start: int, entry: int | None, exits: Sequence[int], budget: Budget
    ) -> Stretch | None:
        order, seen = [start], {start}
        taken: list[Hop] = []
        last = self._last(start, entry, exits)
        if self.kind.size > 1 and not last:
            return None
        waiting: list[Iterator[int]] = [self._next(start, seen, last)]
        while waiting:
            if len(order) == self.kind.size:
                end = self._end(order, entry, exits)
                if end is not None:
                    return Stretch(tuple(order), entry, None if entry is None else end)
            slot = next(waiting[-1], None) if len(order) < self.kind.size else None
            if slot is None:
                waiting.pop()
                seen.discard(order.pop())
                if taken:
                    self.ledger.give_back(taken.pop().uses, self.gbps)
                continue
            # Of many seats each choice of the next looks at many.
            if not budget.spend(1 + self.kind.size // _MANY):
                break
            hop = self.kind.hop(order[-1], slot)
            if self.ledger.takes(hop.uses, self.gbps):
                taken.append(hop)
                order.append(slot)
                seen.add(slot)
                waiting.append(self._next(slot, seen, last))
        for hop in taken:
            self.ledger.give_back(hop.uses, self.gbps)
        return None

    def _last(self, start: int, entry: int | None, exits: Sequence[int]) -> set[int]:
        """Seats from which the way may end."""
        kind = self.kind

        def may_end(slot: int) -> bool:
            if entry is None:
                ways: list[Hop | None] = [kind.hop(slot, start)]
            else:
                ways = [self._beyond(slot, port, out=True) for port in exits]
            return any(way is not None and self.ledger.fits(way.uses, self.gbps) for way in ways)

        return {slot for slot in range(kind.size) if slot != start and may_end(slot)}

    def _next(self, slot: int, seen: set[int], last: set[int]) -> Iterator[int]:
        """Seats to go on to: the nearest; of these those that nothing leads to yet, those that have
        the fewest ways on (as Warnsdorff's knight does), those over the emptiest way.
        """
        kind, size, ledger = self.kind, self.kind.size, self.ledger
        left = last - seen
        # The only one that is left to end with waits for the end.
        kept = left if len(left) == 1 and len(seen) + 1 < size else set()

        def options(other: int) -> int:
            around = kind.around(other)
            if len(around) == 1:
                return 0  # the same for all
            nearest = around[0][1]
            return sum(further not in seen for further in nearest)

        def rate(other: int) -> tuple[bool, int, float, int]:
            uses = kind.hop(slot, other).uses
            fresh = ledger.is_fresh(uses, Sort.NVLINK)
            return not fresh, options(other), ledger.share(uses), (other - slot) % size

        for path_type, others in kind.around(slot):
            if path_type > self.widest:
                return
            free = (other for other in others if other not in seen and other not in kept)
            yield from sorted(free, key=rate)

    def _end(self, order: Sequence[int], entry: int | None, exits: Sequence[int]) -> int | None:
        """Close the ring, or leave by a port; return its number."""
        kind = self.kind
        if entry is None:
            closing = kind.hop(order[-1], order[0]).uses if len(order) > 1 else ()
            return 0 if self.ledger.takes(closing, self.gbps) else None
        near = [(p, way) for p in exits if (way := self._beyond(order[-1], p, out=True))]
        near.sort(key=lambda each: (each[1].type, self.ledger.share(each[1].uses)))
        for port, hop in near:
            if self.ledger.takes(hop.uses, self.gbps):
                return port
        return None
