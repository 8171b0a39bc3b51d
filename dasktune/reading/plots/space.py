"""Figures over the space: parallel coordinates, slices, heat maps, importances, costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import UsageError, did_you_mean
from dasktune.ranking import best
from dasktune.reading.importance import importance as importance_of
from dasktune.reading.plots.scale import Scale, fit_labels, scale_of
from dasktune.reading.plots.style import (
    BEST,
    INK,
    MANY,
    MARK,
    MUTED,
    PAPER,
    QUIET,
    SERIES,
    canvas,
    colour_bar,
    colour_map,
)
from dasktune.reading.statistics import replicate_matrix, robust_limits, varied
from dasktune.results import objective_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

PAIRS = 6
"""Heat maps that one figure shows, unless hyperparameters are named."""


def parallel(dataset: xr.Dataset) -> Figure:
    """Draw every configuration as a line through its hyperparameters to its mean value."""
    from matplotlib.collections import LineCollection

    dataset = _means(dataset)
    scales = [scale_of(dataset, name) for name in _names(dataset, None)]
    values, _ = _values(dataset)
    figure, (axes,) = canvas(width=max(8.2, 1.15 * len(scales) + 2), height=4)
    axes.grid(False)
    shown = np.isfinite(values)
    height, limits = _heights(values, dataset)
    columns = [*(scale.units for scale in scales), height]
    spread = _spread(columns[:-1], scales, len(values))
    lines = np.stack([*spread, height], axis=1)[shown]
    upwards = objective_of(dataset).direction == "max"
    order = np.argsort(height[shown] if upwards else -height[shown])
    ranks = np.linspace(0, 1, len(order))
    shade = colour_map()(ranks if len(order) > 1 else np.ones(1))
    shade[:, 3] = 0.12 + 0.83 * ranks**3 if len(order) > 12 else 0.9
    for at in _segments(lines[order]):
        axes.add_collection(
            LineCollection(
                at[1],
                colors=shade[at[0]],
                linewidths=0.9 if len(order) > 60 else 1.4,
                rasterized=len(order) > MANY,
            )
        )
    titles = [*(scale.name for scale in scales), objective_of(dataset).metric]
    for place in range(len(titles)):
        axes.axvline(place, color=MUTED, linewidth=0.8)
    for place, scale in enumerate(scales):
        for height_, label in zip(*scale.unit_ticks(), strict=True):
            _tick(axes, place, height_, label)
    for share in (0.0, 0.5, 1.0):
        _tick(axes, len(scales), share, f"{limits[0] + share * (limits[1] - limits[0]):.4g}")
    axes.set(xlim=(-0.25, len(titles) - 0.6), ylim=(-0.04, 1.04), yticks=[])
    axes.set_xticks(range(len(titles)), titles, color=INK)
    axes.tick_params(length=0)
    axes.spines[["left", "bottom"]].set_visible(False)
    return figure


def slices(dataset: xr.Dataset, of: Sequence[str] | None = None) -> Figure:
    """Draw the value of every trial against each hyperparameter, with the median of each value."""
    names = _names(dataset, of)
    columns = min(3, len(names))
    rows = math.ceil(len(names) / columns)
    width = 8.2 if columns > 1 else 4.6
    figure, grid = canvas(rows, columns, height=2.6 * rows + 0.3, width=width)
    values, _ = _values(dataset)
    winner = best(dataset)
    limits = robust_limits(values, dataset)
    jitter = np.random.default_rng(0).uniform(-0.14, 0.14, len(values))
    for axes, name in zip(grid, names, strict=False):
        scale = scale_of(dataset, name)
        places = scale.places + jitter if scale.categories else scale.places
        axes.scatter(
            places, values, s=13, color=MARK, alpha=0.55, linewidth=0,
            rasterized=len(values) > MANY,
        )  # fmt: skip
        if scale.ticks and len(values) > len(scale.ticks):
            middles = [_median(values[scale.places == tick]) for tick in scale.ticks]
            axes.plot(
                scale.ticks, middles, color=SERIES[1], linewidth=1.2, marker="_", markersize=12
            )
        if winner is not None:
            row = list(dataset["trial"].values).index(winner.trial)
            axes.scatter(
                places[row : row + 1], values[row : row + 1], s=50, marker="o", zorder=5,
                facecolor="none", edgecolor=BEST, linewidth=1.8,
            )  # fmt: skip
        scale.apply(axes)
        if limits:
            axes.set_ylim(*limits)
    for axes in grid[len(names) :]:
        axes.set_visible(False)
    for row in range(rows):
        grid[row * columns].set_ylabel(objective_of(dataset).metric)
    return figure


def heatmap(dataset: xr.Dataset, of: Sequence[str] | None = None) -> Figure:
    """Draw the median value over two hyperparameters: as cells on a grid, else as points."""
    names = _names(dataset, of)
    if len(names) < 2:
        raise UsageError("a heat map needs two hyperparameters that vary.")
    pairs = list(itertools.combinations(names, 2))[: PAIRS if of is None else None]
    columns = min(3, len(pairs))
    rows = math.ceil(len(pairs) / columns)
    figure, grid = canvas(rows, columns, height=2.7 * rows + 0.5, width=8.2 if columns > 1 else 4.6)
    values, colours = _values(dataset)
    mappable = colours.mappable
    for axes, (first, second) in zip(grid, pairs, strict=False):
        axes.grid(False)
        across, up = scale_of(dataset, first), scale_of(dataset, second)
        if across.ticks and up.ticks:
            _cells(axes, across, up, values, mappable)
        else:
            axes.scatter(
                across.places, up.places, color=colours(values),
                s=16, linewidth=0, rasterized=len(values) > MANY,
            )  # fmt: skip
            across.apply(axes)
            up.apply(axes, "y")
    for axes in grid[len(pairs) :]:
        axes.set_visible(False)
    colour_bar(figure, mappable, grid, objective_of(dataset).metric)
    return figure


def importance(dataset: xr.Dataset) -> Figure:
    """Draw each hyperparameter's share of the variance."""
    shares = importance_of(dataset)[::-1]
    figure, (axes,) = canvas(height=0.36 * len(shares) + 0.8)
    bars = axes.barh(list(shares.index), shares.to_numpy(), color=SERIES[0], height=0.62)
    axes.bar_label(bars, [f" {share:.0%}" for share in shares], color=INK)
    axes.set(xlim=(0, max(1.08 * shares.max(), 0.1)), xlabel="share of the variance (fANOVA)")
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", colors=INK)
    return figure


def cost(dataset: xr.Dataset) -> Figure:
    """Draw what each trial cost against what it gave."""
    values, _ = _values(dataset)
    seconds = dataset["seconds"].values
    shown = np.isfinite(values) & (seconds > 0)
    if not shown.any():
        raise UsageError("no trial has a value and a time.")
    figure, (axes,) = canvas()
    many = int(shown.sum()) > MANY
    axes.scatter(
        seconds[shown], values[shown], s=16, color=QUIET, alpha=0.7, linewidth=0, rasterized=many
    )
    upwards = objective_of(dataset).direction == "max"
    order = np.argsort(seconds[shown], kind="stable")
    ranked = values[shown][order]
    best_yet = np.maximum.accumulate(ranked) if upwards else np.minimum.accumulate(ranked)
    axes.step(
        seconds[shown][order], best_yet, where="post", color=BEST, linewidth=1.5,
        label="best for the time",
    )  # fmt: skip
    if seconds[shown].max() > 20 * seconds[shown].min():
        axes.set_xscale("log")
    limits = robust_limits(values[shown], dataset)
    if limits:
        axes.set_ylim(*limits)
    axes.set(xlabel="seconds of training", ylabel=objective_of(dataset).metric)
    axes.legend(loc="lower right" if upwards else "upper right")
    return figure


def _names(dataset: xr.Dataset, of: Sequence[str] | None) -> list[str]:
    """Give the hyperparameters to draw: those that are named, or those that vary."""
    known = list(dataset.attrs["hyperparameters"])
    for name in of or ():
        if name not in known:
            raise UsageError(
                f"no hyperparameter {name!r} in the results." + did_you_mean(name, known)
            )
    names = list(of or varied(dataset))
    if not names:
        raise UsageError("no hyperparameter varies, so that there is nothing to draw.")
    return names


class _Colours:
    """Colours by value, from worst to best."""

    def __init__(self, values: Any, dataset: xr.Dataset) -> None:
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        finite = values[np.isfinite(values)]
        upwards = objective_of(dataset).direction == "max"
        # The worst tenth shares a colour: most of the colours are for what is worth telling apart.
        low, high = np.quantile(finite, [0.1, 1.0] if upwards else [0.0, 0.9])
        shades = colour_map() if upwards else colour_map().reversed()
        self.mappable = ScalarMappable(Normalize(low, high, clip=True), shades)

    def __call__(self, values: Any) -> Any:
        return self.mappable.to_rgba(values)


def _values(dataset: xr.Dataset) -> tuple[Any, _Colours]:
    values = dataset["objective"].values
    values = np.where(np.isfinite(values), values, np.nan)
    if not np.isfinite(values).any():
        raise UsageError("no trial has a value, so that there is nothing to draw.")
    return values, _Colours(values, dataset)


def _means(dataset: xr.Dataset) -> xr.Dataset:
    """Give one trial a configuration, with the mean over its replicates as its value."""
    values, rows = replicate_matrix(dataset)
    finite = np.isfinite(values)
    counts = finite.sum(axis=1)
    means = np.where(finite, values, 0).sum(axis=1) / np.maximum(counts, 1)
    means[counts == 0] = np.nan
    one = dataset.isel(trial=rows.max(axis=1))
    return one.assign_coords(objective=("trial", means))


def _heights(values: Any, dataset: xr.Dataset) -> tuple[Any, tuple[float, float]]:
    limits = robust_limits(values, dataset) or (float(np.nanmin(values)), float(np.nanmax(values)))
    low, high = limits
    scaled = (values - low) / (high - low) if high > low else np.full(len(values), 0.5)
    return np.clip(scaled, 0, 1), limits


def _spread(columns: list[Any], scales: Sequence[Scale], count: int) -> list[Any]:
    """Move lines that meet in one value apart a little, so that their number shows."""
    jitter = np.random.default_rng(0).uniform(-1, 1, (len(columns), count))
    return [
        column + (0.012 * noise if scale.ticks else 0)
        for column, scale, noise in zip(columns, scales, jitter, strict=True)
    ]


def _segments(lines: Any) -> Any:
    """Give the lines whole, or in the pieces that a missing hyperparameter leaves."""
    whole = np.isfinite(lines).all(axis=1)
    places = np.arange(lines.shape[1])
    if whole.any():
        rows = np.flatnonzero(whole)
        yield rows, [np.column_stack([places, lines[row]]) for row in rows]
    for row in np.flatnonzero(~whole):
        known = np.isfinite(lines[row])
        yield [row], [np.column_stack([places[known], lines[row][known]])]


def _tick(axes: Any, place: float, height: float, label: str) -> None:
    from matplotlib.patheffects import withStroke

    halo = [withStroke(linewidth=2.5, foreground=PAPER)]
    axes.text(
        place + 0.03, height, label, fontsize=8, color=INK, va="center", path_effects=halo, zorder=9
    )


def _cells(axes: Any, across: Scale, up: Scale, values: Any, mappable: Any) -> None:
    """Draw the median of each cell, and write it into cells that have room."""
    table = np.full((len(up.ticks), len(across.ticks)), np.nan)
    for (i, y), (j, x) in itertools.product(enumerate(up.ticks), enumerate(across.ticks)):
        here = values[(across.places == x) & (up.places == y)]
        table[i, j] = _median(here)
    axes.pcolormesh(table, cmap=mappable.cmap, norm=mappable.norm, edgecolors="none")
    axes.set_xticks(np.arange(len(across.ticks)) + 0.5, across.labels)
    axes.set_yticks(np.arange(len(up.ticks)) + 0.5, up.labels)
    axes.tick_params(length=0)
    axes.set(xlabel=across.name, ylabel=up.name)
    fit_labels(axes, across.labels)
    words = {at: f"{value:.3g}" for at, value in np.ndenumerate(table) if np.isfinite(value)}
    if max(map(len, words.values()), default=0) * table.shape[1] <= 26 and table.shape[0] <= 8:
        for (i, j), word in words.items():
            axes.text(
                j + 0.5, i + 0.5, word, ha="center", va="center", fontsize=7.5, color="#101418"
            )


def _median(values: Any) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")
