"""Style: colours, sizes and the axes that all figures share.

Each colour of text, lines and series is one of its own, so that the report can put a CSS variable
in its place and the same figure reads well on a dark page.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dasktune.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, MUTED, GRID = "#1b2330", "#66707f", "#dde1e7"
SERIES = ("#1d5fd1", "#c2570c", "#0b7a55", "#7a35c9", "#b91c4b")
QUIET = "#9aa4b2"
"""Of what is not to draw attention."""
MARK = "#4a8af4"
"""Of a layer of marks, which may be a picture: it shows on white and on black."""
PAPER = "#fefefd"
"""Behind text that lies on lines."""
BEST = "#e0218a"
"""Of the best."""
MANY = 150
"""Marks above which a layer is a picture within the SVG: a file with 100,000 paths is of no use."""

FALLBACKS = ("Noto Sans CJK JP", "WenQuanYi Zen Hei", "Unifont", "Noto Sans")
"""For letters that DejaVu Sans does not have, where these are installed."""

_RC: dict[str, Any] = {
    "font.size": 9.5,
    "font.family": ["DejaVu Sans"],
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "dasktune",
    "svg.fonttype": "path",
}


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Draw in this style; matplotlib's own settings stay as they are.

    Raises
    ------
    UsageError
        If matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError(
            "figures need matplotlib. Install it with: pip install 'dasktune[plot]'."
        ) from error
    from matplotlib.font_manager import fontManager

    there = {font.name for font in fontManager.ttflist}
    family = [*_RC["font.family"], *(name for name in FALLBACKS if name in there)]
    with matplotlib.rc_context(_RC | {"font.family": family}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font")  # it shows as a box
        yield


def literal(text: str) -> str:
    """Write a text so that matplotlib takes nothing in it for mathematics."""
    return text.replace("$", r"\$")


def canvas(
    rows: int = 1, columns: int = 1, *, width: float = 8.2, height: float = 3.6
) -> tuple[Figure, list[Axes]]:
    """Give a figure with a grid of axes, in a list by rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
    grid = figure.subplots(rows, columns, squeeze=False)
    return figure, [axes for row in grid for axes in row]


def colour_map() -> Any:
    """Give the colours from worst to best: both ends show on white and on black."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = ["#8f9bb3", "#5b8def", "#00a38d", "#84b83a", "#f09a00"]
    return LinearSegmentedColormap.from_list("dasktune", stops)


def colour_bar(figure: Figure, mappable: Any, axes: Any, label: str) -> None:
    """Add a colour bar without a frame."""
    bar = figure.colorbar(mappable, ax=axes, pad=0.02, fraction=0.04, aspect=30)
    bar.outline.set_visible(False)
    bar.set_label(label)
