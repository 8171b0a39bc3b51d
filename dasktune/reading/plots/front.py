"""The Pareto front: what the configurations give of several objectives, two at a time."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import UsageError
from dasktune.ranking import leaderboard
from dasktune.reading.plots.style import BEST, MANY, QUIET, canvas
from dasktune.results import objective_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def front(dataset: xr.Dataset) -> Figure:
    """Draw every configuration by its mean values, and those that no other beats in all."""
    several = objective_of(dataset)
    if not several.others:
        raise UsageError(
            f"a front needs several objectives, but there is one: {several}. Name them, as in "
            f"--objective '{several}, min seconds'."
        )
    board = leaderboard(dataset)
    first = board["front"].to_numpy() == 1
    known = board["front"].to_numpy() > 0
    if not known.any():
        raise UsageError("no configuration has a value of all objectives.")
    columns = [("mean", several.first), *((f"mean {o.metric}", o) for o in several.others)]
    pairs = list(itertools.combinations(columns, 2))
    across = min(2, len(pairs))
    rows = math.ceil(len(pairs) / across)
    width = 8.2 if across > 1 else 6.4
    figure, grid = canvas(rows, across, height=3.4 * rows + 0.4, width=width)
    for axes, ((up, one), (right, other)) in zip(grid, pairs, strict=False):
        x, y = board[right].to_numpy(), board[up].to_numpy()
        axes.scatter(
            x[known & ~first], y[known & ~first], s=18, color=QUIET, alpha=0.7, linewidth=0,
            label="dominated", rasterized=int(known.sum()) > MANY,
        )  # fmt: skip
        if len(columns) == 2:
            _steps(axes, x[first], y[first], other.sign)
        axes.scatter(x[first], y[first], s=34, color=BEST, zorder=5, label="Pareto front")
        positive = x[known]
        if (positive > 0).all() and positive.max() > 20 * positive.min():
            axes.set_xscale("log")
        axes.set(
            xlabel=f"{other.metric} ({other.direction})", ylabel=f"{one.metric} ({one.direction})"
        )
    for axes in grid[len(pairs) :]:
        axes.set_visible(False)
    grid[0].legend(loc="best")
    return figure


def _steps(axes: Any, x: Any, y: Any, x_sign: int) -> None:
    """Draw the border of what is beaten: a staircase through the front."""
    order = np.argsort(x, kind="stable")
    # A point beats what lies on the worse side of it: to the right, if less is better.
    where = "post" if x_sign < 0 else "pre"
    axes.step(x[order], y[order], where=where, color=BEST, linewidth=1.2, alpha=0.7)
