"""A tournament: of points in a row, the first that reaches a bar."""

from __future__ import annotations

from typing import TypeAlias

Point: TypeAlias = "tuple[float, ...]"


class Tournament:
    """Points in the order in which they came, as a tree of maxima.

    Each node holds the largest values below it, so that to add a point, to take one out and to
    find the first one that reaches a bar take a step a level.
    """

    def __init__(self) -> None:
        self._tree: list[Point | None] = [None, None]  # children of i: 2i and 2i + 1; 1 is the top
        self._count = 0

    def add(self, point: Point) -> int:
        """Add a point at the end, and give its place, from 0."""
        leaves = len(self._tree) // 2
        if self._count == leaves:
            self._tree = [None] * (2 * leaves) + self._tree[leaves:] + [None] * leaves
            for node in range(2 * leaves - 1, 0, -1):
                self._play(node)
        self._count += 1
        self._put(self._count - 1, point)
        return self._count - 1

    def drop(self, place: int) -> None:
        """Take a point out."""
        self._put(place, None)

    def first(self, bar: Point | None) -> int | None:
        """Give the place of the first point that is at least `bar` in one of its values.

        Of the first of all, if there is no bar.
        """
        if not _reaches(self._tree[1], bar):
            return None
        node, leaves = 1, len(self._tree) // 2
        while node < leaves:
            node *= 2
            if not _reaches(self._tree[node], bar):
                node += 1
        return node - leaves

    def _put(self, place: int, point: Point | None) -> None:
        node = place + len(self._tree) // 2
        self._tree[node] = point
        while node > 1:
            node //= 2
            self._play(node)

    def _play(self, node: int) -> None:
        one, other = self._tree[2 * node : 2 * node + 2]
        if one is not None and other is not None:
            self._tree[node] = tuple(map(max, one, other))
        else:
            self._tree[node] = one if other is None else other


def _reaches(point: Point | None, bar: Point | None) -> bool:
    if point is None or bar is None:
        return point is not None
    return any(value >= least for value, least in zip(point, bar, strict=True))
