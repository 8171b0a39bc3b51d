"""Curves as they come, thinned out to a fixed size, so that a thousand can be drawn at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

MOST_POINTS = 40_000
"""Points that all curves of a metric have together, at most."""


class Curves:
    """One metric of all trials: a row of points a trial.

    A row that is full loses every other point, and takes half as many from then on. Its first
    and its newest point are always there.

    Parameters
    ----------
    trials : int
        How many.
    """

    def __init__(self, trials: int) -> None:
        points = _points(trials)
        self._x = np.full((trials, points + 1), np.nan, np.float32)  # the last parts the curves
        self._y = np.full((trials, points + 1), np.nan, np.float32)
        self._filled = [0] * trials
        self._stride = [1] * trials
        self._points = points

    def grow(self, trials: int) -> None:
        """Make room for more trials, which come after those that are there.

        The points of a trial become fewer if all together would be too many; a curve's first
        and its newest point stay.
        """
        held = len(self._filled)
        if trials <= held:
            return
        room = max(trials, 2 * held)  # a search adds a few at a time
        points = min(_points(room), self._points)
        grown = []
        for old in (self._x, self._y):
            new = np.full((room, points + 1), np.nan, np.float32)
            for row, filled in enumerate(self._filled):
                count = min(filled, points)
                new[row, :count] = old[row, _spread(filled, count)]
            grown.append(new)
        self._x, self._y = grown
        self._stride = [
            -(-stride * filled // points) if filled > points else stride
            for stride, filled in zip(self._stride, self._filled, strict=True)
        ] + [1] * (room - held)
        self._filled = [min(filled, points) for filled in self._filled] + [0] * (room - held)
        self._points = points

    def put(self, trial: int, epoch: int, value: float) -> None:
        """Add a point; one of an epoch before the newest begins the trial's curve anew."""
        x, y, filled = self._x[trial], self._y[trial], self._filled[trial]
        if filled and epoch < x[filled - 1]:
            x[:], y[:] = np.nan, np.nan
            filled, self._stride[trial] = 0, 1
        newest_may_go = filled >= 2 and x[filled - 1] - x[filled - 2] < self._stride[trial]
        if filled and (newest_may_go or epoch == x[filled - 1]):
            filled -= 1
        elif filled == self._points:
            half = self._points // 2
            for row in (x, y):
                row[:half] = row[: self._points : 2]
                row[half:] = np.nan
            filled = half
            self._stride[trial] *= 2
        x[filled], y[filled] = epoch, value
        self._filled[trial] = filled + 1

    def lines(self, trials: Sequence[int]) -> tuple[Array, Array]:
        """Give the curves of some trials as one line, with NaN between them."""
        if not len(trials):
            return np.empty(0, np.float32), np.empty(0, np.float32)
        longest = max(self._filled[trial] for trial in trials) + 1
        rows = np.asarray(trials)
        return self._x[rows, :longest].ravel(), self._y[rows, :longest].ravel()

    def heads(self) -> tuple[Array, Array]:
        """Give each trial's newest point; NaN where there is none."""
        last = np.maximum(np.array(self._filled) - 1, 0)
        rows = np.arange(len(last))
        return self._x[rows, last], self._y[rows, last]


def _points(trials: int) -> int:
    """Give the points of a trial, an even number, if there are so many trials."""
    return int(np.clip(MOST_POINTS // max(1, trials), 16, 200)) // 2 * 2


def _spread(filled: int, count: int) -> Array:
    """Choose so many of a row's points, from the first to the newest."""
    return np.linspace(0, filled - 1, count).round().astype(int)
