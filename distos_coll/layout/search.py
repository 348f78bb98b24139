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
        ways = ((slot, self.kind.inward(entry, slot)) for slot in range(self.kind.size))
        near = [(s, hop) for s, hop in ways if hop is not None and hop.type <= self.furthest]
        busy = self.ledger.share
        near.sort(key=lambda way: (way[1].type, busy(way[1].uses), way[0]))
        return near

    def _from(
        self, start: int, entry: int | None, exits: Sequence[int], budget: Budget
    ) -> Stretch | None:
        order, seen = [start], {start}
        taken: list[Hop] = []
        waiting: list[Iterator[int]] = [self._next(start, seen)]
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
            if not budget.spend():
                break
            hop = self.kind.hop(order[-1], slot)
            if self.ledger.takes(hop.uses, self.gbps):
                taken.append(hop)
                order.append(slot)
                seen.add(slot)
                waiting.append(self._next(slot, seen))
        for hop in taken:
            self.ledger.give_back(hop.uses, self.gbps)
        return None

    def _next(self, slot: int, seen: set[int]) -> Iterator[int]:
        """Seats to go on to: the nearest, then those that nothing leads to yet, then the emptiest
        way.
        """
        kind, size, ledger = self.kind, self.kind.size, self.ledger

        def rate(other: int) -> tuple[bool, float, int]:
            uses = kind.hop(slot, other).uses
            fresh = ledger.is_fresh(uses, Sort.NVLINK)
            return not fresh, ledger.share(uses), (other - slot) % size

        for path_type, others in kind.around(slot):
            if path_type > self.widest:
                return
            yield from sorted((other for other in others if other not in seen), key=rate)

    def _end(self, order: Sequence[int], entry: int | None, exits: Sequence[int]) -> int | None:
        """Close the ring, or leave by a port; return its number."""
        kind = self.kind
        if entry is None:
            closing = kind.hop(order[-1], order[0]).uses if len(order) > 1 else ()
            return 0 if self.ledger.takes(closing, self.gbps) else None
        ways = [(port, kind.outward(order[-1], port)) for port in exits]
        near = [(p, hop) for p, hop in ways if hop is not None and hop.type <= self.furthest]
        for port, hop in sorted(
            near, key=lambda way: (way[1].type, self.ledger.share(way[1].uses))
        ):
            if self.ledger.takes(hop.uses, self.gbps):
                return port
        return None
