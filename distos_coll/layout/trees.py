"""Trees take the way of rings, from the port to the last seat: a chain inside each node.

A reduction climbs the chain and a broadcast descends it; each is counted alone, as models price
them, who halve what both get together.
"""

from collections.abc import Sequence
from itertools import pairwise

from distos_coll.layout.kinds import Hop, Kind
from distos_coll.layout.ledger import Ledger, summed
from distos_coll.layout.stretch import Stretch


def _down(kind: Kind, stretch: Stretch) -> tuple[list[Hop], list[Hop]]:
    """Hops of a broadcast: inside the node, and beyond it; on to other nodes it leaves again."""
    order, port = stretch.order, stretch.entry
    within = [kind.hop(a, b) for a, b in pairwise(order)]
    return within, _beyond(kind, order[0], port)


def _up(kind: Kind, stretch: Stretch) -> tuple[list[Hop], list[Hop]]:
    order, port = stretch.order, stretch.entry
    within = [kind.hop(b, a) for a, b in pairwise(order)]
    return within, _beyond(kind, order[0], port)


def _beyond(kind: Kind, head: int, port: int | None) -> list[Hop]:
    """Of both trees together a node sends once and receives once."""
    if port is None:
        return []
    ways = (kind.inward(port, head), kind.outward(head, port))
    return [hop for hop in ways if hop is not None]


def tree_ledger(
    kind: Kind, stretches: Sequence[Stretch], intra: float, inter: float
) -> tuple[Ledger, Ledger]:
    """What broadcasts take, and what reductions take."""
    found = []
    for way in (_down, _up):
        ledger = Ledger(kind.directions)
        for stretch in stretches:
            within, beyond = way(kind, stretch)
            for hops, gbps in ((within, intra), (beyond, inter)):
                for hop in hops:
                    ledger.take(hop.uses, gbps)
        found.append(ledger)
    return found[0], found[1]


def tree_speeds(kind: Kind, stretches: Sequence[Stretch], gbps: float) -> tuple[float, float]:
    """What a channel gets inside the node and between nodes: there as a ring if links allow, here
    what is left.
    """
    most = max(kind.channel_gbps, gbps)
    passed = []
    for way in (_down, _up):
        hops = [way(kind, stretch) for stretch in stretches]
        within = summed(hop.uses for inside, _ in hops for hop in inside)
        beyond = summed(hop.uses for _, outside in hops for hop in outside)
        passed.append((within, beyond))
    known = kind.directions.known
    # Where ports share links with hops, both at the same bandwidth must fit.
    inter = min(
        [gbps]
        + [
            known[n].gbps / (within.get(n, 0.0) + factor)
            for within, beyond in passed
            for n, factor in beyond.items()
        ]
    )
    intra = min(
        [most]
        + [
            (known[n].gbps - inter * beyond.get(n, 0.0)) / factor
            for within, beyond in passed
            for n, factor in within.items()
        ]
    )
    return intra, min(inter, intra)
