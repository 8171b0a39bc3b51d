"""The figures of the page: what Bokeh draws, empty until a board fills them."""

from __future__ import annotations

from typing import Any

from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, Span
from bokeh.plotting import figure

from dasktune.row import COLOURS

RANKED = ("#e4572e", "#f0932b", "#e2b714")
"""Of the best three."""
CLASSES = ("#3b4cc0", "#6a8bef", "#9abbe0", "#e0b089", "#ee8468", "#c8252c")
"""From the worst to the best sixth, in parallel coordinates."""

_LINE: dict[str, Any] = {"x": [], "y": []}


class Figure:
    """A figure and the sources that its glyphs draw.

    Attributes
    ----------
    plot : bokeh.plotting.figure
        The figure.
    sources : dict of str to ColumnDataSource
        By what they draw.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.plot = figure(
            name=name,
            sizing_mode="stretch_width",
            background_fill_alpha=0,
            border_fill_alpha=0,
            outline_line_color=None,
            toolbar_location="right",
            output_backend="canvas",
            **options,
        )
        self.plot.toolbar.logo = None
        self.plot.toolbar.autohide = True
        self.sources: dict[str, ColumnDataSource] = {}

    def source(self, name: str, columns: tuple[str, ...] = ("x", "y")) -> ColumnDataSource:
        """Make the source of a glyph."""
        self.sources[name] = ColumnDataSource({column: [] for column in columns})
        return self.sources[name]

    def legend_above(self) -> None:
        """Put the legend above the plot, where it hides nothing."""
        legend: Legend = self.plot.legend[0]
        legend.orientation = "horizontal"
        legend.background_fill_alpha = 0
        legend.border_line_color = None
        legend.label_text_font_size = "9pt"
        legend.padding = legend.margin = 2
        self.plot.add_layout(legend, "above")


def curves_figure() -> Figure:
    """Make the figure of the learning curves: all in grey, and who runs, failed or leads."""
    drawn = Figure(
        "curves", height=330, tools="pan,box_zoom,wheel_zoom,reset,save", x_axis_label="epoch"
    )
    plot = drawn.plot
    plot.line(
        source=drawn.source("ended"), line_color="#9aa3ad", line_alpha=0.45, legend_label="ended"
    )
    for state, alpha in (("failed", 0.8), ("running", 0.7)):
        plot.line(
            source=drawn.source(state),
            line_color=COLOURS[state],
            line_alpha=alpha,
            legend_label=state,
        )
    for rank, colour in reversed(list(enumerate(RANKED, 1))):
        plot.line(
            source=drawn.source(f"rank{rank}"),
            line_color=colour,
            line_width=2.4,
            legend_label=f"no. {rank}",
        )
    columns = ("x", "y", "trial", "state", "colour")
    heads = plot.scatter(
        source=drawn.source("heads", columns), size=5, color="colour", line_color=None, alpha=0.9
    )
    tips = [("trial", "@trial"), ("epoch", "@x{0}"), ("value", "@y{0.[00000]}"), ("", "@state")]
    plot.add_tools(HoverTool(renderers=[heads], tooltips=tips, mode="mouse"))
    drawn.legend_above()
    return drawn


def best_figure(metric: str) -> Figure:
    """Make the figure of the best so far, over the time since the run began."""
    drawn = Figure(
        "best", height=366, tools="pan,box_zoom,wheel_zoom,reset,save", x_axis_label="seconds"
    )
    plot = drawn.plot
    plot.yaxis.axis_label = metric
    columns = ("x", "y", "trial")
    dots = plot.scatter(
        source=drawn.source("ended", columns),
        size=5,
        color=COLOURS["done"],
        alpha=0.5,
        line_color=None,
        legend_label="a trial",
    )
    plot.step(
        source=drawn.source("best"),
        mode="after",
        line_color=RANKED[0],
        line_width=2.4,
        legend_label="best so far",
    )
    tips = [("trial", "@trial"), ("value", "@y{0.[00000]}"), ("after", "@x{0.0} s")]
    plot.add_tools(HoverTool(renderers=[dots], tooltips=tips))
    drawn.legend_above()
    return drawn


def parallel_figure() -> Figure:
    """Make the figure of the parallel coordinates."""
    drawn = Figure(
        "parallel",
        height=300,
        tools="save",
        y_range=(-0.12, 1.08),
        x_range=(-0.3, 1.3),
        x_axis_location="above",
    )
    plot = drawn.plot
    plot.yaxis.visible = False
    plot.grid.visible = False
    plot.xaxis.ticker = FixedTicker(ticks=[])
    plot.xaxis.major_label_text_font_size = "10pt"
    plot.xaxis.axis_line_color = None
    plot.xaxis.major_tick_line_color = None
    for index, colour in enumerate(CLASSES):
        best = index == len(CLASSES) - 1
        plot.line(
            source=drawn.source(f"class{index}"),
            line_color=colour,
            line_alpha=0.9 if best else 0.55,
            line_width=1.8 if best else 1.1,
            legend_label={0: "worst sixth", len(CLASSES) - 1: "best sixth"}.get(index, ""),
        )
    plot.legend[0].items = [i for i in plot.legend[0].items if i.label.value]
    plot.text(
        source=drawn.source("marks", ("x", "y", "text")),
        text="text",
        x_offset=5,
        text_font_size="8.5pt",
        text_baseline="middle",
        background_fill_color="#ffffff",
        background_fill_alpha=0.75,
    )
    drawn.legend_above()
    return drawn


def uprights(count: int) -> list[Span]:
    """Make the upright lines of so many axes."""
    return [
        Span(
            location=index, dimension="height", line_color="#c5ccd3", line_width=1, level="underlay"
        )
        for index in range(count)
    ]
