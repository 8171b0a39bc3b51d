"""Fronts: points of several values, larger being better, sorted by which is beaten by which."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

Points = Sequence[Sequence[float]]

PAIRS = 2000
"""Most points of which all pairs are compared at once: four million."""


class Front:
    """The points that no other one dominates, kept up to date as points come.

    A point of several finite values, larger being better, costs a comparison with each member;
    only when a member becomes worse in some value, the points that it beat are looked at again.

    Attributes
    ----------
    members : dict of str to tuple of float
        The points of the front by their names.
    """

    def __init__(self) -> None:
        self.members: dict[str, tuple[float, ...]] = {}
        self._points: dict[str, tuple[float, ...]] = {}

    def put(self, name: str, point: Sequence[float]) -> None:
        """Add a point, or put another one in its place."""
        new, old = tuple(point), self._points.get(name)
        if new == old:
            return
        self._points[name] = new
        again = {name: new}
        if old is not None and self.members.pop(name, ()) and not _dominates(new, old):
            again |= {n: values for n, values in self._points.items() if _dominates(old, values)}
        for known, values in again.items():
            self._weigh(known, values)

    def _weigh(self, name: str, point: tuple[float, ...]) -> None:
        if any(_dominates(member, point) for member in self.members.values()):
            return
        beaten = [other for other, member in self.members.items() if _dominates(point, member)]
        for other in beaten:
            del self.members[other]
        self.members[name] = point


def _dominates(one: Sequence[float], other: Sequence[float]) -> bool:
    """Say whether a point is at least as good as another in all values, and better in one."""
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def fronts(points: Points) -> np.ndarray[Any, Any]:
    """Number the non-dominated front of each point, from 1; the first is the Pareto front.

    One point dominates another if it is at least as good in all values, and better in one. A
    point belongs to the first front no member of which dominates it (Deb et al., IEEE TEVC 6(2),
    2002), which among many points is found by bisection (Zhang et al., ENS-BS, IEEE TEVC 19(2),
    2015).

    Parameters
    ----------
    points : sequence of sequence of float
        A row a point.

    Returns
    -------
    array of int
        0 for a point one of whose values is not finite.
    """
    import numpy as np

    if not len(points):
        return np.zeros(0, dtype=np.int64)
    table = np.asarray(points, dtype=float).reshape(len(points), -1)
    numbers = np.zeros(len(table), dtype=np.int64)
    good = np.flatnonzero(np.isfinite(table).all(axis=1))
    if not len(good):
        return numbers
    unique, place = np.unique(table[good], axis=0, return_inverse=True)
    found = np.zeros(len(unique), dtype=np.int64)
    # In descending order of the first value, then of the second, and so forth: none that comes
    # later dominates one that came before.
    if unique.shape[1] <= 2:
        _two(unique, found)
    elif len(unique) <= PAIRS:
        _pairs(unique, found)
    else:
        _many(unique, found)
    numbers[good] = found[place.reshape(-1)]
    return numbers


def _two(unique: Any, found: Any) -> None:
    """Of two values, the largest second one of a front tells whether it dominates."""
    ends: list[float] = []  # minus the largest last value of each front, ascending
    for row in range(len(unique) - 1, -1, -1):
        value = -float(unique[row, -1])
        front = bisect_right(ends, value)
        if front == len(ends):
            ends.append(value)
        else:
            ends[front] = value
        found[row] = front + 1


def _pairs(unique: Any, found: Any) -> None:
    """Compare all pairs at once, and peel front after front off: of few points the fastest."""
    import numpy as np

    beats = np.ones((len(unique), len(unique)), dtype=bool)
    for column in unique.T:
        # Places compare as the values do, and faster, as they are a quarter as wide.
        _, places = np.unique(column, return_inverse=True)
        places = places.reshape(-1).astype(np.uint16)
        beats &= places[:, None] >= places
    np.fill_diagonal(beats, False)
    above = beats.sum(axis=0, dtype=np.int64)  # that dominate each, and are on no front yet
    front = np.flatnonzero(above == 0)
    while len(front):
        found[front] = found.max() + 1
        above[front] = -1
        above -= beats[front].sum(axis=0, dtype=np.int64)
        front = np.flatnonzero(above == 0)


def _many(unique: Any, found: Any) -> None:
    import numpy as np

    members: list[Any] = []
    for row in range(len(unique) - 1, -1, -1):
        point = unique[row]
        low, high = 0, len(members)
        while low < high:
            middle = (low + high) // 2
            if (members[middle] >= point).all(axis=1).any():
                low = middle + 1
            else:
                high = middle
        if low == len(members):
            members.append(point[None])
        else:
            members[low] = np.concatenate([members[low], point[None]])
        found[row] = low + 1


def order(points: Points, count: int | None = None) -> list[int]:
    """Rank points: front by front, and within a front so that the first few are far apart.

    Within a front it begins with the best in the first value, and goes on with the point that is
    farthest from all that were chosen, each value scaled to its range in the front (the epsilon
    net of MO-ASHA, Schmucker et al., arXiv 2106.12639, after Clarkson 2005). Of equal ones the
    earlier comes first.

    Parameters
    ----------
    points : sequence of sequence of float
        A row a point, larger being better.
    count : int, optional
        How many to rank; all if not given.

    Returns
    -------
    list of int
        Their positions, the best first; those without a finite value at the end, unless `count`
        leaves them out.
    """
    import numpy as np

    table = np.asarray(points, dtype=float).reshape(len(points), len(points[0]) if points else 0)
    numbers = fronts(points)
    wanted = len(table) if count is None else min(count, len(table))
    ranked: list[int] = []
    for number in range(1, int(numbers.max(initial=0)) + 1):
        if len(ranked) >= wanted:
            break
        members = np.flatnonzero(numbers == number)
        ranked += [int(members[i]) for i in _net(table[members], wanted - len(ranked))]
    ranked += [int(i) for i in np.flatnonzero(numbers == 0)]
    return ranked[:wanted]


def _net(front: Any, count: int) -> list[int]:
    import numpy as np

    if len(front) == 1:
        return [0]
    spans = np.ptp(front, axis=0)
    scaled = np.ascontiguousarray((front / np.where(spans > 0, spans, 1.0)).T)
    chosen = [int(np.argmax(front[:, 0]))]
    distances = np.full(len(front), np.inf)
    while len(chosen) < min(count, len(front)):
        distances[chosen[-1]] = -np.inf
        apart = ((scaled - scaled[:, chosen[-1], None]) ** 2).sum(axis=0)
        distances = np.minimum(distances, apart)
        chosen.append(int(np.argmax(distances)))
    return chosen
