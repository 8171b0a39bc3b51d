"""Learning curves, and how the best came to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import UsageError
from dasktune.reading import selection
from dasktune.reading.plots.style import BEST, INK, MANY, QUIET, SERIES, canvas, literal
from dasktune.reading.statistics import replicate_matrix, robust_limits, short, varied
from dasktune.results import config_of, objective_of

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure


def curves(dataset: xr.Dataset, metric: str | None = None) -> Figure:
    """Draw a metric over the epochs: the five best configurations, and all others in grey.

    A line is the mean over the replicates, its band reaches from the least to the greatest.
    """
    name = metric or objective_of(dataset).metric
    rows = selection.metric(dataset, name).values
    if rows.shape[1] < 2:
        raise UsageError(f"curves need at least two epochs, but {name!r} has {rows.shape[1]}.")
    if not np.isfinite(rows).any():
        raise UsageError("no trial has a value, so that there is nothing to draw.")
    figure, (axes,) = canvas(height=4.2)
    epochs = np.arange(1, rows.shape[1] + 1)
    values, index = replicate_matrix(dataset)
    ranked = _ranked(values, dataset)
    best = [int(config) for config in ranked[: len(SERIES)]]
    leading = {int(row) for config in best for row in index[config] if row >= 0}
    rest = [row for row in range(len(rows)) if row not in leading]
    _lines(axes, epochs, rows[rest])
    for config, colour in zip(reversed(best), reversed(SERIES[: len(best)]), strict=True):
        block = rows[index[config][index[config] >= 0]]
        known = np.isfinite(block).any(axis=0)
        block, at = block[:, known], epochs[known]
        if not len(at):
            continue
        if len(block) > 1:
            low, high = np.nanmin(block, axis=0), np.nanmax(block, axis=0)
            axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
        label = _label(dataset, int(index[config].max()))
        axes.plot(at, np.nanmean(block, axis=0), color=colour, linewidth=1.8, label=label)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="upper center", bbox_to_anchor=(0.5, -0.13))
    axes.set(xlabel="epoch", ylabel=name, xlim=(1, rows.shape[1]))
    _fit(axes, rows, dataset, name)
    return figure


def progress(dataset: xr.Dataset) -> Figure:
    """Draw each trial's value when it ended, and the best so far."""
    if "finished" not in dataset.coords:
        raise UsageError("these results do not tell when trials ended; collate them again.")
    values = dataset["objective"].values
    known = np.isfinite(values) & ~np.isnat(dataset["finished"].values)
    if not known.any():
        raise UsageError("no trial has a value.")
    ended = dataset["finished"].values[known].astype("datetime64[ms]").astype(float) / 1000
    began = (ended - dataset["seconds"].values[known]).min()
    order = np.argsort(ended, kind="stable")
    minutes, unit = _duration(ended[order] - began)
    found = values[known][order]
    upwards = objective_of(dataset).direction == "max"
    best = np.maximum.accumulate(found) if upwards else np.minimum.accumulate(found)
    figure, (axes,) = canvas()
    many = len(found) > MANY
    axes.scatter(
        minutes, found, s=14, color=QUIET, alpha=0.7, linewidth=0, label="a trial", rasterized=many
    )
    axes.step(minutes, best, where="post", color=BEST, linewidth=1.8, label="best so far")
    axes.set(xlabel=f"{unit} since the first trial began", ylabel=objective_of(dataset).metric)
    _fit(axes, found, dataset, "")
    axes.legend(loc="lower right" if upwards else "upper right")
    return figure


def _ranked(values: Any, dataset: xr.Dataset) -> Any:
    finite = np.isfinite(values)
    counts = finite.sum(axis=1)
    means = np.where(finite, values, 0).sum(axis=1) / np.maximum(counts, 1)
    sign = 1 if objective_of(dataset).direction == "max" else -1
    return np.argsort(np.where(counts > 0, -sign * means, np.inf), kind="stable")[
        : (counts > 0).sum()
    ]


def _lines(axes: Any, epochs: Any, rows: Any) -> None:
    """Draw the trials that are not among the best: few as lines, many as a picture of lines."""
    from matplotlib.collections import LineCollection

    many = len(rows) > MANY
    lines = [
        np.column_stack([epochs[np.isfinite(row)], row[np.isfinite(row)]])
        for row in rows
        if np.isfinite(row).sum() > 1
    ]
    if lines:
        alpha = float(np.clip(30 / len(lines), 0.05, 0.6))
        axes.add_collection(
            LineCollection(lines, colors=QUIET, linewidths=0.7, alpha=alpha, rasterized=many)
        )
        axes.plot([], [], color=QUIET, linewidth=1, label=f"{len(lines)} other trials")


def _fit(axes: Any, values: Any, dataset: xr.Dataset, metric: str) -> None:
    """Leave the diverged out of sight, and say so."""
    own = not metric or metric == objective_of(dataset).metric
    flat = np.asarray(values).ravel()
    finite = flat[np.isfinite(flat)]
    if not len(finite):
        return
    limits = robust_limits(flat, dataset) if own else None
    if limits is None:
        margin = 0.05 * (float(np.ptp(finite)) or abs(float(finite[0])) or 1.0)
        axes.set_ylim(float(finite.min()) - margin, float(finite.max()) + margin)
        return
    axes.set_ylim(*limits)
    hidden = int(((finite < limits[0]) | (finite > limits[1])).sum())
    if hidden:
        axes.text(
            0.01,
            0.02,
            f"{hidden} values lie outside",
            transform=axes.transAxes,
            fontsize=8,
            color=INK,
        )


def _label(dataset: xr.Dataset, row: int) -> str:
    config = config_of(dataset, row, replicate=False)
    names = [name for name in varied(dataset) if name in config]
    text = ", ".join(f"{name}={short(config[name])}" for name in names)
    text = text or "the one configuration"
    return literal(text if len(text) <= 100 else text[:99] + "…")


def _duration(seconds: Any) -> tuple[Any, str]:
    longest = float(seconds.max()) if len(seconds) else 0.0
    for unit, size in (("hours", 3600.0), ("minutes", 60.0)):
        if longest > 3 * size:
            return seconds / size, unit
    return seconds, "seconds"
