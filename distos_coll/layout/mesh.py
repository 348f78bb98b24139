"""Many rings at once over links that each join two devices: xGMI, NVLink without switches.

One ring after the other leaves links over that no ring fits into. Here the links are first shared
out into as many permutations as every device has links (a regular bipartite graph has a perfect
matching: König), and then permutations are mixed with each other until they are rings.
"""

from collections.abc import Sequence

from distos_coll.layout.search import Budget

Permutation = list[int]
_TRIES = 600
_COUNTS = 3


class Dice:
    """Numbers that look random and are the same everywhere."""

    def __init__(self) -> None:
        self._state = 12345

    def below(self, n: int) -> int:
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self._state >> 33) % n

    def shuffled(self, n: int) -> list[int]:
        found = list(range(n))
        for i in range(n - 1, 0, -1):
            j = self.below(i + 1)
            found[i], found[j] = found[j], found[i]
        return found


def rings(capacity: Sequence[Sequence[int]], most: int, budget: Budget) -> list[tuple[int, ...]]:
    """Rings through all devices that together use no link more often than `capacity` says: of a
    device to another. As many as were found, at most so many.
    """
    if len(capacity) < 2 or not _is_connected(capacity):
        return []
    low, high = 0, min(most, *map(sum, capacity), *map(sum, zip(*capacity, strict=True)))
    while low < high:  # the most links that all devices can have alike
        count = (low + high + 1) // 2
        budget.spend(count * len(capacity))
        if _regular(capacity, count) is None:
            high = count - 1
        else:
            low = count
    best: list[tuple[int, ...]] = []
    for count in range(low, max(0, low - _COUNTS), -1):
        links = _regular(capacity, count)
        if count <= len(best) or links is None:
            break
        mixed = _mixed(_shared_out(links, count), budget)
        best = max(best, [_walk(p) for p in mixed if _cycles(p) == 1], key=len)
    return best


def _is_connected(capacity: Sequence[Sequence[int]]) -> bool:
    for links in (capacity, list(zip(*capacity, strict=True))):
        seen, waiting = {0}, [0]
        while waiting:
            i = waiting.pop()
            new = {j for j, n in enumerate(links[i]) if n} - seen
            seen |= new
            waiting += new
        if len(seen) < len(capacity):
            return False
    return True


def _regular(capacity: Sequence[Sequence[int]], count: int) -> list[list[int]] | None:
    """Choose links so that each device has `count` out and in."""
    n = len(capacity)
    chosen = [[0] * n for _ in range(n)]
    into = [0] * n
    for start in [i for i in range(n) for _ in range(count)]:
        # A shortest way to a device that lacks one, over what is free, back over what is chosen.
        came: dict[int, int] = {}
        back: dict[int, int] = {start: -1}
        queue, end = [start], -1
        for i in queue:
            for j in range(n):
                if j in came or chosen[i][j] >= capacity[i][j]:
                    continue
                came[j] = i
                if into[j] < count:
                    end = j
                    break
                for k in range(n):
                    if chosen[k][j] and k not in back:
                        back[k] = j
                        queue.append(k)
            if end >= 0:
                break
        if end < 0:
            return None
        into[end] += 1
        j = end
        while j >= 0:
            i = came[j]
            chosen[i][j] += 1
            j = back[i]
            if j >= 0:
                chosen[i][j] -= 1
    return chosen


def _shared_out(links: list[list[int]], count: int) -> list[Permutation]:
    links = [list(row) for row in links]
    found = []
    for _ in range(count):
        permutation = _matching(links, range(len(links)), range(len(links)))
        for i, j in enumerate(permutation):
            links[i][j] -= 1
        found.append(permutation)
    return found


def _matching(
    links: Sequence[Sequence[int]], rows: Sequence[int], columns: Sequence[int]
) -> Permutation:
    """A perfect matching of a regular graph; which one depends on the order of looking."""
    n = len(links)
    owner = [-1] * n

    def place(i: int, seen: set[int]) -> bool:
        for j in columns:
            if links[i][j] and j not in seen:
                seen.add(j)
                if owner[j] < 0 or place(owner[j], seen):
                    owner[j] = i
                    return True
        return False

    for i in rows:
        place(i, set())
    found = [0] * n
    for j, i in enumerate(owner):
        found[i] = j
    return found


def _cycles(permutation: Permutation) -> int:
    seen = [False] * len(permutation)
    count = 0
    for start in range(len(permutation)):
        if not seen[start]:
            count += 1
            at = start
            while not seen[at]:
                seen[at] = True
                at = permutation[at]
    return count


def _mixed(found: list[Permutation], budget: Budget) -> list[Permutation]:
    """Share out the links of two or three permutations anew, and keep what has fewer cycles."""
    n, dice = len(found[0]), Dice()
    cost = [_cycles(p) - 1 for p in found]
    for _ in range(_TRIES):
        broken = [i for i, each in enumerate(cost) if each]
        if not broken or len(found) < 2 or not budget.spend(n):
            break
        chosen = {broken[dice.below(len(broken))]}
        while len(chosen) < min(len(found), 2 + dice.below(2)):
            chosen.add(dice.below(len(found)))
        at = sorted(chosen)
        links = [[0] * n for _ in range(n)]
        for p in at:
            for i, j in enumerate(found[p]):
                links[i][j] += 1
        made = []
        for _ in at:
            permutation = _matching(links, dice.shuffled(n), dice.shuffled(n))
            for i, j in enumerate(permutation):
                links[i][j] -= 1
            made.append(permutation)
        now = [_cycles(p) - 1 for p in made]
        if sum(now) <= sum(cost[p] for p in at):
            for p, permutation, each in zip(at, made, now, strict=True):
                found[p], cost[p] = permutation, each
    return found


def _walk(permutation: Permutation) -> tuple[int, ...]:
    order = [0]
    while permutation[order[-1]] != 0:
        order.append(permutation[order[-1]])
    return tuple(order)
