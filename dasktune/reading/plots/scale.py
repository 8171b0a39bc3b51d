"""Scale: where values lie on an axis, whatever they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.reading.plots.style import literal

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

FEW = 12
"""Different values up to which an axis names each."""
ROOM = 26
"""Letters that lie side by side below one of three axes."""
MOST = 10
"""Turned labels that do."""


@dataclass(frozen=True)
class Scale:
    """A hyperparameter's axis.

    Attributes
    ----------
    name : str
        The hyperparameter.
    places : array
        Where each trial lies: a number, or a category's place; NaN where it does not exist.
    log : bool
        Whether the axis is logarithmic.
    ticks : list of float
        Places of the values, if they are few; else empty.
    labels : list of str
        The values there.
    categories : bool
        Whether places are an order only: of texts, and of unevenly spaced numbers.
    """

    name: str
    places: Any
    log: bool
    ticks: list[float]
    labels: list[str]
    categories: bool

    @property
    def units(self) -> Any:
        """The places, stretched to run from 0 to 1."""
        places = np.log(self.places) if self.log else self.places
        low, high = np.nanmin(places), np.nanmax(places)
        return (places - low) / (high - low) if high > low else np.full(len(places), 0.5)

    def unit_ticks(self) -> tuple[list[float], list[str]]:
        """Give the ticks of an axis from 0 to 1."""
        if self.ticks:
            where = Scale(self.name, np.array(self.ticks), self.log, [], [], False).units
            return [float(place) for place in where], self.labels
        ends = [float(np.nanmin(self.places)), float(np.nanmax(self.places))]
        middle = float(np.exp(np.mean(np.log(ends)))) if self.log else sum(ends) / 2
        return [0.0, 0.5, 1.0], [_number(value) for value in (ends[0], middle, ends[1])]

    def apply(self, axes: Axes, which: str = "x") -> None:
        """Set up an axis of a plot."""
        axis = axes.xaxis if which == "x" else axes.yaxis
        if self.log:
            (axes.set_xscale if which == "x" else axes.set_yscale)("log")
        if self.categories or (self.ticks and len(self.ticks) <= 6):
            axis.set_ticks(self.ticks, self.labels)
            axis.set_minor_locator(_no_ticks())
            if which == "x":
                fit_labels(axes, self.labels)
        if self.categories:
            limits = (-0.5, len(self.ticks) - 0.5)
            (axes.set_xlim if which == "x" else axes.set_ylim)(*limits)
        (axes.set_xlabel if which == "x" else axes.set_ylabel)(self.name)


def fit_labels(axes: Axes, labels: list[str]) -> None:
    """Turn the labels below an axis that would run into each other, and leave out some of many."""
    if max(map(len, labels), default=0) * len(labels) <= ROOM:
        return
    for place, text in enumerate(axes.get_xticklabels()):
        text.set(rotation=45, ha="right", rotation_mode="anchor", fontsize=8)
        text.set_visible(place % -(-len(labels) // MOST) == 0)


def scale_of(dataset: xr.Dataset, name: str) -> Scale:
    """Lay a hyperparameter's values out on an axis."""
    values = dataset[name].values
    domain = json.loads(dataset.attrs.get("sweep", "{}")).get("space", {}).get(name, {})
    if values.dtype.kind in "if":
        places = values.astype(float)
        found = np.unique(places[np.isfinite(places)])
        positive = bool(len(found)) and found[0] > 0
        log = positive and bool(domain.get("log", len(found) > 2 and found[-1] >= 10 * found[0]))
        few = len(found) <= FEW
        labels = [_number(value) for value in found] if few else []
        if few and len(found) > 2 and not _even(np.log(found) if log else found):
            order = np.searchsorted(found, places).astype(float)
            order[~np.isfinite(places)] = np.nan
            return Scale(name, order, False, list(map(float, range(len(found)))), labels, True)
        ticks = [float(value) for value in found] if few else []
        return Scale(name, places, log, ticks, labels, False)
    texts = np.array([str(value) for value in values], dtype=object)
    conditional = name in dataset.attrs.get("conditional", ())
    declared = [str(v) for v in domain.get("values", [])]
    found_words = set(texts) - ({""} if conditional else set())
    words = sorted(found_words, key=lambda word: (_at(declared, word), word))
    index = {word: float(place) for place, word in enumerate(words)}
    places = np.array([index.get(text, np.nan) for text in texts])
    labels = [literal(word[:18]) for word in words]
    return Scale(name, places, False, list(index.values()), labels, True)


def _even(places: Any) -> bool:
    """Say whether values are about evenly spaced; else an axis gives each the same room."""
    gaps = np.diff(places)
    return bool(gaps.max() < 3 * gaps.min())


def _number(value: float) -> str:
    """Write a number as briefly as can be: 0.001, 1e-4, 0.0215."""
    plain = f"{value:.3g}"
    mantissa, _, exponent = f"{value:.2g}".partition("e")
    if not exponent:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
    brief = f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return brief if len(brief) < len(plain) > 5 and float(brief) == float(plain) else plain


def _at(order: list[str], word: str) -> int:
    return order.index(word) if word in order else len(order)


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()
