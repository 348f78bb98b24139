"""At which bandwidth how many channels: all nodes of a layout have equally many, equally fast."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from distos_coll.errors import InternalError
from distos_coll.layout.bounds import candidates, ladder
from distos_coll.layout.inside import How, Laid, Solver
from distos_coll.layout.policy import CrossNic
from distos_coll.topology.path_type import PathType

_PARTS = (4, 2, 8, 1, 3, 6, 12, 16)
_SPLITS = (2, 3, 4, 6, 8)
_CHANNELS_WHEN_SPLIT = 32
_BETTER = 1.001
_ENOUGH = 0.97


@dataclass(frozen=True)
class Choice:
    """What each kind of node has at one bandwidth; of more channels than all have the first."""

    laid: tuple[Laid, ...]

    @property
    def gbps(self) -> float:
        return self.laid[0].gbps

    @property
    def channels(self) -> int:
        return min(len(each.stretches) for each in self.laid)

    @property
    def total(self) -> float:
        return self.gbps * self.channels

    @property
    def type_inter(self) -> PathType:
        return max(each.type_inter for each in self.laid)

    @property
    def type_intra(self) -> PathType:
        return max(each.type_intra for each in self.laid)

    def rate(self) -> tuple[float, int, int, int, int]:
        """The larger, the better."""
        covered = sum(each.covered for each in self.laid)
        types = -self.type_inter, -self.type_intra
        return round(self.total, 3), covered, *types, -self.channels


class Chooser:
    def __init__(self, solvers: Sequence[Solver], cross: CrossNic) -> None:
        self.solvers = solvers
        self.cross = cross
        ways = [solver.distances() for solver in solvers]
        self._distances = [sorted({each for way in ways for each in way[i]}) for i in (0, 1)]
        self._carried = min(solver.kind.channel_gbps for solver in solvers)
        nearest = max(way[0][0] for way in ways)
        beside = max(way[1][0] for way in ways)
        strict = How(cross, nearest, beside), How(cross, nearest), How(cross)
        self._hows = tuple(dict.fromkeys(strict))
        self.best = self._first()

    def _first(self) -> Choice:
        """The fallback of the slowest; others have one channel of its bandwidth, too."""
        found = [solver.fallback for solver in self.solvers]
        laid = [each for each in found if each is not None]
        if len(laid) < len(found):
            raise InternalError("a node that no channel can pass")
        slowest = min(each.gbps for each in laid)
        return Choice(tuple(replace(each, gbps=slowest) for each in laid))

    def choose(self) -> Choice:
        kinds = [solver.kind for solver in self.solvers]
        tried = sorted(
            {gbps for kind in kinds for gbps in candidates(kind)},
            key=lambda gbps: (-round(self._most(gbps), 3), -gbps),
        )
        # Whole links first: what they are shared out into without a rest needs no search.
        whole = [gbps for parts in (1, 2) for kind in kinds for gbps in ladder(kind, parts)]
        for gbps in dict.fromkeys([*whole, *tried]):
            if self._most(gbps) < self.best.total / _BETTER:
                continue
            if self.is_enough and gbps <= self.best.gbps:
                continue  # as much in fewer channels is all that could be better
            if not self._has(0.4):
                break
            self._keep([solver.quick(gbps) for solver in self.solvers])
        # Narrow channels fit into what is left of links, so their number is a good mark for others.
        for parts in () if self.is_enough else _PARTS:
            for gbps in dict.fromkeys(g for kind in kinds for g in ladder(kind, parts)):
                for how in self._hows:
                    if self._most(gbps) > self.best.total * _BETTER and self._has(0.05):
                        self._search(gbps, how, int(self.best.total * _BETTER / gbps) + 1)
        self._release()
        self._coarsen()
        self._tidy()
        self._spread()
        self._release()
        self._reroute()
        return self.best

    def _has(self, share: float) -> bool:
        """Whether so much of the budget is left: every step leaves some to those that follow."""
        return all(solver.budget.left > share * solver.whole for solver in self.solvers)

    @property
    def visited(self) -> int:
        """Seats, on the kind of node that took most."""
        return max(solver.visited for solver in self.solvers)

    @property
    def is_enough(self) -> bool:
        """Where all GPUs have switches any order is as good, and a search would find little."""
        split = min(solver.kind.policy.most_channels for solver in self.solvers) // 2
        if not self._is_full() and self.best.channels <= split:
            return False
        most = self.ceiling
        for kind in (solver.kind for solver in self.solvers):
            if kind.switched_gbps is None or kind.size < 2:
                return False
            # A channel that comes in and goes out passes one link less than it has seats.
            links = kind.size - 1 if kind.ports else kind.size
            most = min(most, kind.switched_gbps * kind.size / links)
        return self.best.total >= _ENOUGH * most

    @cached_property
    def ceiling(self) -> float:
        """No layout has more."""
        every = {gbps for solver in self.solvers for gbps in candidates(solver.kind)}
        return max(map(self._most, every), default=self.best.total)

    def _most(self, gbps: float) -> float:
        return gbps * min(solver.bounds.channels(gbps) for solver in self.solvers)

    def _search(self, gbps: float, how: How, need: int) -> bool:
        found = []
        for solver in self.solvers:
            laid = solver.searched(gbps, how, need)
            if laid is None:
                laid = solver.quick(gbps)
            if laid is None or len(laid.stretches) < need:
                return False
            found.append(laid)
        return self._keep(found)

    def _coarsen(self) -> None:
        """The same bandwidth in fewer channels."""
        for parts in reversed(_SPLITS):
            if self.best.channels % parts == 0:
                gbps, need = self.best.gbps * parts, self.best.channels // parts
                if gbps <= self._carried and any(self._search(gbps, h, need) for h in self._hows):
                    return

    def _tidy(self) -> None:
        """The same bandwidth over nearer ports and hops."""
        for far in self._distances[0]:
            for wide in self._distances[1]:
                better = (far, wide) < (self.best.type_inter, self.best.type_intra)
                if better and self._search(
                    self.best.gbps, How(self.cross, far, wide), self.best.channels
                ):
                    return

    def _keep(self, found: Sequence[Laid | None]) -> bool:
        laid = tuple(each for each in found if each is not None)
        if len(laid) < len(self.solvers):
            return False
        choice = Choice(laid)
        if choice.rate() > self.best.rate():
            self.best = choice
            return True
        return False

    def _spread(self) -> None:
        """Cut channels into several that go different ways, where that brings links into use that
        had none.
        """
        whole, channels = self.best.gbps, self.best.channels
        for parts in (1, *_SPLITS):
            need = channels * parts
            if self._is_full() or (parts > 1 and need > _CHANNELS_WHEN_SPLIT):
                break
            gbps = whole / parts
            self._keep([solver.quick(gbps) for solver in self.solvers])
            for how in self._hows:
                self._search(gbps, how, need)

    def _is_full(self) -> bool:
        pairs = zip(self.solvers, self.best.laid, strict=True)
        return all(solver.is_full(laid) for solver, laid in pairs)

    def _release(self) -> None:
        for solver in self.solvers:
            solver.release()

    def _reroute(self) -> None:
        """Halve all channels, and send one half of some by ports that none passes; again, as long
        as that brings more ports into use.
        """
        most = min(solver.kind.policy.most_channels for solver in self.solvers)
        better = True
        while better and not self._is_full() and 2 * self.best.channels <= most:
            better = self._keep(
                [
                    solver.halved(laid, self.best.channels, self._hows[-1])
                    for solver, laid in zip(self.solvers, self.best.laid, strict=True)
                ]
            )
