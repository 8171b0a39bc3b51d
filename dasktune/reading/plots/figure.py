"""Plot: a figure that a notebook shows, and that is saved as PNG, SVG or PDF."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dasktune.errors import StoreError, UsageError, did_you_mean
from dasktune.ranking import by_first
from dasktune.reading.plots import curves, space
from dasktune.reading.plots.front import front
from dasktune.reading.plots.style import styled

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_DRAWN: dict[str, tuple[Callable[..., Figure], tuple[str, ...]]] = {
    "curves": (curves.curves, ("metric",)),
    "parallel": (space.parallel, ()),
    "slices": (space.slices, ("of",)),
    "heatmap": (space.heatmap, ("of",)),
    "importance": (space.importance, ()),
    "progress": (curves.progress, ()),
    "cost": (space.cost, ()),
    "front": (front, ()),
}


class Plot:
    """A figure of results.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        What was drawn.
    kind : str
        Of what kind.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
        To be changed at will, before it is saved.
    """

    def __init__(self, figure: Figure, kind: str) -> None:
        self.figure = figure
        self.kind = kind

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, of the format that its name ends in.

        Raises
        ------
        UsageError
            If matplotlib writes no such format.
        StoreError
            If the file cannot be written.
        """
        ending = os.path.splitext(os.fspath(path))[1].removeprefix(".") or "png"
        known = sorted(self.figure.canvas.get_supported_filetypes())
        if ending not in known:
            raise UsageError(
                f"a figure is saved as .png, .svg or .pdf, but got {os.fspath(path)!r}."
            )
        try:
            with styled():
                self.figure.savefig(path, format=ending, dpi=160)
        except OSError as error:
            raise StoreError(f"cannot write {os.fspath(path)}: {error.strerror}.") from error

    def to_svg(self) -> str:
        """Give the SVG as text, without a background."""
        buffer = io.StringIO()
        with styled():
            self.figure.savefig(
                buffer, format="svg", transparent=True, dpi=150, metadata={"Date": None}
            )
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        with styled():
            self.figure.savefig(buffer, format="png", dpi=110)
        return buffer.getvalue()

    def __repr__(self) -> str:
        return f"<Plot: {self.kind}>"


def plot(dataset: xr.Dataset, kind: str, **options: Any) -> Plot:
    """Draw a figure of results.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    kind : str
        ``"curves"``, ``"parallel"``, ``"slices"``, ``"heatmap"``, ``"importance"``,
        ``"progress"`` or ``"cost"``; of several objectives these show the first, and
        ``"front"`` shows all.
    **options
        ``metric`` for curves; ``of``, a list of hyperparameters, for slices and heat maps.

    Raises
    ------
    UsageError
        If there is no such kind, it does not take the option, or there is nothing to draw.
    """
    if kind not in _DRAWN:
        raise UsageError(f"no figure {kind!r}." + did_you_mean(kind, list(_DRAWN)))
    draw, known = _DRAWN[kind]
    given = {name: value for name, value in options.items() if value is not None}
    for name in given:
        if name not in known:
            takes = f"takes {' and '.join(known)}" if known else "takes no option"
            raise UsageError(f"the figure {kind!r} has no option {name!r}; it {takes}.")
    if kind != "front":
        dataset = by_first(dataset)
    with styled():
        return Plot(draw(dataset, **given), kind)
