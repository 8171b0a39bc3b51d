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
        points = int(np.clip(MOST_POINTS // max(1, trials), 16, 200)) // 2 * 2
        self._x = np.full((trials, points + 1), np.nan, np.float32)  # the last parts the curves
        self._y = np.full((trials, points + 1), np.nan, np.float32)
        self._filled = [0] * trials
        self._stride = [1] * trials
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
