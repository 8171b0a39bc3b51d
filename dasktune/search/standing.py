"""Standings: scores, best first. Of several objectives, by fronts."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import TypeAlias

from dasktune.config import Config
from dasktune.pareto import order

Score: TypeAlias = "float | tuple[float, ...]"
"""Larger is better; of several objectives a value each."""


def ranked(scores: Sequence[Score], count: int | None = None) -> list[int]:
    """Rank scores: give their positions, the best first; of equal ones the earlier first.

    Parameters
    ----------
    scores : sequence of float or tuple of float
        With several objectives, see `dasktune.pareto.order`.
    count : int, optional
        How many; all if not given.
    """
    numbers = [score for score in scores if not isinstance(score, tuple)]
    if len(numbers) == len(scores):
        return sorted(range(len(numbers)), key=lambda i: -numbers[i])[:count]
    return order([vector(score) for score in scores], count)


def vector(score: Score) -> tuple[float, ...]:
    """Give a score as a value an objective."""
    return score if isinstance(score, tuple) else (score,)


class Standing:
    """The configs of a rung by their scores, as they come in."""

    def __init__(self) -> None:
        self._ranked: list[tuple[float, int, Config]] = []
        self._place: dict[Config, tuple[float, int]] = {}
        self._scores: list[tuple[int, Config, tuple[float, ...]]] = []  # of several objectives
        self._order: list[Config] = []
        self._known = 0  # places that `_order` holds for the scores of now

    def __contains__(self, config: Config) -> bool:
        return config in self._place

    def put(self, config: Config, score: Score, number: int) -> None:
        """Take a score; of equal ones the lower number stands first."""
        if isinstance(score, tuple):
            self._place[config] = (0.0, number)
            insort(self._scores, (number, config, score), key=lambda item: item[0])
            self._known = 0
            return
        # In place by bisection: a rung may hold thousands.
        place = (-score, number)
        self._place[config] = place
        insort(self._ranked, (*place, config), key=_place)

    def first(self, count: int) -> list[Config]:
        """Give the best ones."""
        if not self._scores:
            return [config for _, _, config in self._ranked[:count]]
        if self._known < count:
            chosen = order([score for _, _, score in self._scores], count)
            self._order = [self._scores[i][1] for i in chosen]
            self._known = count
        return self._order[:count]

    def place(self, config: Config) -> int:
        """Tell the place of a config, from 1."""
        if self._scores:
            return self.first(len(self._scores)).index(config) + 1
        return bisect_left(self._ranked, self._place[config], key=_place) + 1


def _place(item: tuple[float, int, Config]) -> tuple[float, int]:
    return item[:2]
