"""Parallel coordinates: a line a trial, an axis a hyperparameter, and one for the objective."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
_MOST_AXES = 10
_MOST_TICKS = 6
_APART = 0.07  # of the height, between two marks
_LOG_FROM = 30.0  # largest over smallest, from which an axis is logarithmic


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes
    ----------
    name : str
        The hyperparameter.
    heights : array
        Where each trial crosses it, from 0 to 1; NaN where it has no such value.
    ticks : list of (float, str)
        Heights and texts of its marks.
    """

    name: str
    heights: Array
    ticks: list[tuple[float, str]]


def axis(name: str, values: Sequence[Any]) -> Axis | None:
    """Lay out an axis, or give None for a hyperparameter that does not vary."""
    known = [v for v in values if v is not None and v == v]
    distinct = list(dict.fromkeys(known))
    if len(distinct) < 2:
        return None
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in distinct)
    finite = numeric and all(math.isfinite(v) for v in distinct)
    if not finite:
        order = {v: i / (len(distinct) - 1) for i, v in enumerate(distinct)}
        heights = np.array([order.get(v, np.nan) if v is not None else np.nan for v in values])
        step = -(-len(distinct) // _MOST_TICKS)
        return Axis(name, heights, [(order[v], _short(v)) for v in distinct[::step]])
    low, high = min(distinct), max(distinct)
    log = low > 0 and high / low >= _LOG_FROM
    scale = math.log if log else float
    first, span = scale(low), scale(high) - scale(low)

    def height(value: Any) -> float:
        if value is None or value != value:
            return math.nan
        return (scale(value) - first) / span

    marks = sorted(distinct)
    if len(marks) > _MOST_TICKS:
        marks = [low, high]
    ticks: list[tuple[float, str]] = []
    for mark in marks:
        if not ticks or height(mark) - ticks[-1][0] > _APART:
            ticks.append((height(mark), _short(mark)))
    return Axis(name, np.array([height(v) for v in values]), ticks)


def axes(
    table: Sequence[dict[str, Any]], objectives: Mapping[str, Sequence[float | None]]
) -> list[Axis]:
    """Lay out the axes of a sweep: hyperparameters that vary, then the objectives.

    Parameters
    ----------
    table : sequence of dict
        The hyperparameters of each trial.
    objectives : mapping of str to sequence of float or None
        Each trial's values, by what the objectives are called.
    """
    names = list(dict.fromkeys(name for row in table for name in row))
    found = [axis(name, [row.get(name) for row in table]) for name in names]
    varied = [a for a in found if a is not None][:_MOST_AXES]
    for name, column in objectives.items():
        values = axis(name, [v if v is None or math.isfinite(v) else None for v in column])
        varied += [values] if values is not None else []
    return varied


def lines(laid: Sequence[Axis], chosen: Array) -> tuple[Array, Array]:
    """Give the lines of some trials as one line, with NaN between them."""
    if not laid or not len(chosen):
        return np.empty(0, np.float32), np.empty(0, np.float32)
    y = np.full((len(chosen), len(laid) + 1), np.nan, np.float32)
    for index, one in enumerate(laid):
        y[:, index] = one.heights[chosen]
    x = np.tile(np.arange(len(laid) + 1, dtype=np.float32), len(chosen))
    return x, y.ravel()


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 14 else text[:13] + "…"
