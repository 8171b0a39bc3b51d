"""The figures of the page: what Bokeh draws, empty until a board fills them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool, Legend, Span
from bokeh.plotting import figure

from dasktune.board import Board
from dasktune.dashboard.curves import Curves
from dasktune.dashboard.parallel import axes, lines
from dasktune.dashboard.sending import send
from dasktune.objective import Objective
from dasktune.pareto import fronts
from dasktune.row import COLOURS, Row
from dasktune.screen import values_text

RANKED = ("#e4572e", "#f0932b", "#e2b714")
"""Of the best three."""
CLASSES = ("#3b4cc0", "#6a8bef", "#9abbe0", "#e0b089", "#ee8468", "#c8252c")
"""From the worst to the best sixth, in parallel coordinates."""
CROWD = 300
"""Lines from which on they are thinner."""


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

    def put(self, name: str, columns: dict[str, Any]) -> None:
        """Put columns into a source; see `send`."""
        send(self.sources[name], columns)

    def label(self, name: str, text: str) -> None:
        """Write another text into the legend, for the glyph of a source; none hides it."""
        renderer = self._renderer(name)
        for item in self.plot.legend[0].items:
            if renderer in item.renderers and item.label.value != text:
                item.label = value(text)
                item.visible = bool(text)

    def glyph(self, name: str) -> Any:
        """Give what draws a source."""
        return self._renderer(name).glyph

    def _renderer(self, name: str) -> Any:
        return next(r for r in self.plot.renderers if r.data_source is self.sources[name])

    def legend_above(self) -> None:
        """Put the legend above the plot, where it hides nothing."""
        legend: Legend = self.plot.legend[0]
        legend.orientation = "horizontal"
        legend.background_fill_alpha = 0
        legend.border_line_color = None
        legend.label_text_font_size = "9pt"
        legend.padding = legend.margin = 2
        self.plot.add_layout(legend, "above")


class CurvesFigure(Figure):
    """The learning curves: all in grey, and who runs, failed or leads."""

    def __init__(self) -> None:
        tools = "pan,box_zoom,wheel_zoom,reset,save"
        super().__init__("curves", height=330, tools=tools, x_axis_label="epoch")
        self._line("ended", "#9aa3ad", 0.45)
        for state, alpha in (("failed", 0.8), ("running", 0.7)):
            self._line(state, COLOURS[state], alpha)
        for rank, colour in reversed(list(enumerate(RANKED))):
            self._line(f"rank{rank}", colour, 1.0, width=2.4)
        columns = ("x", "y", "trial", "state", "colour")
        heads = self.plot.scatter(
            source=self.source("heads", columns), size=5, color="colour", line_color=None, alpha=0.9
        )
        tips = [("trial", "@trial"), ("epoch", "@x{0}"), ("value", "@y{0.[00000]}"), ("", "@state")]
        self.plot.add_tools(HoverTool(renderers=[heads], tooltips=tips, mode="mouse"))
        self.legend_above()

    def _line(self, name: str, colour: str, alpha: float, width: float = 1.0) -> None:
        self.plot.line(
            source=self.source(name),
            line_color=colour,
            line_alpha=alpha,
            line_width=width,
            legend_label=name,
        )

    def show(self, board: Board, rows: Sequence[Row], curves: Curves | None, metric: str) -> None:
        """Draw the curves of a metric; nothing if there are none yet."""
        if curves is None:
            for source in self.sources.values():
                send(source, {key: [] for key in source.data})
            return
        self.plot.yaxis.axis_label = metric
        shown: dict[str, list[int]] = {"running": [], "failed": [], "ended": []}
        for index, row in enumerate(rows):
            shown[row.state if row.state in shown else "ended"].append(index)
        several = board.objective.all[: len(RANKED)] if board.objective.others else ()
        if several:
            leaders = [ranked(rows, {i: one})[:1] for i, one in enumerate(several)]
            words = [f"best {objective.metric}" for objective in several]
        else:
            leaders = [[i] for i in ranked(rows, {0: board.objective})[: len(RANKED)]]
            words = [f"no. {rank + 1}" for rank in range(len(RANKED))]
        for rank in range(len(RANKED)):
            shown[f"rank{rank}"] = leaders[rank] if rank < len(leaders) else []
            self.label(f"rank{rank}", words[rank] if shown[f"rank{rank}"] else "")
        for name, chosen in shown.items():
            x, y = curves.lines(chosen)
            self.put(name, {"x": x, "y": y})
            if not name.startswith("rank"):
                self.label(name, name if np.isfinite(y).any() else "")
        x, y = curves.heads()
        there = np.flatnonzero(np.isfinite(y)).tolist()
        heads: dict[str, Any] = {"x": x[there], "y": y[there]}
        heads["trial"] = [rows[i].id for i in there]
        heads["state"] = [rows[i].state for i in there]
        heads["colour"] = [COLOURS[rows[i].state] for i in there]
        self.put("heads", heads)


class BestFigure(Figure):
    """The best so far over time; of several objectives the front, in the first two of them."""

    def __init__(self) -> None:
        super().__init__("best", height=366, tools="pan,box_zoom,wheel_zoom,reset,save")
        dots = self.plot.scatter(
            source=self.source("ended", ("x", "y", "trial", "text")),
            size=5,
            color=COLOURS["done"],
            alpha=0.5,
            line_color=None,
            legend_label="ended",
        )
        best = {"source": self.source("best"), "line_color": RANKED[0], "line_width": 2.4}
        self.plot.step(mode="after", legend_label="best", **best)
        front = {"source": self.source("front", ("x", "y", "trial", "text"))}
        ring = self.plot.scatter(
            size=9,
            fill_color=None,
            line_color=RANKED[0],
            line_width=2,
            legend_label="front",
            **front,
        )
        tips = [("trial", "@trial"), ("", "@text")]
        self.plot.add_tools(HoverTool(renderers=[dots, ring], tooltips=tips))
        self.legend_above()
        self.label("ended", "a trial")

    def show(self, board: Board, rows: Sequence[Row], now: float) -> None:
        """Draw what has ended."""
        ended = [r for r in rows if r.state in ("done", "kept") and r.value is not None]
        several = bool(board.objective.others)
        self.label("best", "" if several else "best so far")
        self.label("front", "the front" if several else "")
        (self._show_front if several else self._show_best)(board, ended, now)

    def _show_best(self, board: Board, ended: Sequence[Row], now: float) -> None:
        unit, word = _unit(now - board.started)
        self.plot.xaxis.axis_label = word
        self.plot.yaxis.axis_label = board.objective.metric
        ended = [row for row in ended if row.ended is not None]
        times = [((row.ended or 0) - board.started) / unit for row in ended]
        self.put(
            "ended",
            {
                "x": np.array(times, float),
                "y": np.array([row.value for row in ended], float),
                "trial": [row.id for row in ended],
                "text": [
                    f"{values_text(board.objective, row.values)} after {time:.1f} {word}"
                    for row, time in zip(ended, times, strict=True)
                ],
            },
        )
        steps = [((when - board.started) / unit, value) for when, value, _ in board.best]
        if steps and ended:
            steps.append((max(*times, steps[-1][0]), steps[-1][1]))
        self.put("best", {"x": [x for x, _ in steps], "y": [y for _, y in steps]})
        self.put("front", {"x": [], "y": [], "trial": [], "text": []})

    def _show_front(self, board: Board, ended: Sequence[Row], now: float) -> None:
        first, second = board.objective.all[:2]
        self.plot.xaxis.axis_label = str(first)
        self.plot.yaxis.axis_label = str(second)
        whole = [row for row in ended if len(row.values) > 1 and row.values[1] is not None]
        points = [(row.id, row.values) for row in whole]
        for name, shown in (("ended", points), ("front", board.leaders())):
            self.put(
                name,
                {
                    "x": np.array([values[0] for _, values in shown], float),
                    "y": np.array([values[1] for _, values in shown], float),
                    "trial": [trial for trial, _ in shown],
                    "text": [values_text(board.objective, values) for _, values in shown],
                },
            )
        self.put("best", {"x": [], "y": []})


class ParallelFigure(Figure):
    """The parallel coordinates, coloured from the worst to the best sixth."""

    def __init__(self) -> None:
        super().__init__(
            "parallel",
            height=300,
            tools="save",
            y_range=(-0.12, 1.08),
            x_range=(-0.3, 1.3),
            x_axis_location="above",
        )
        plot = self.plot
        plot.yaxis.visible = False
        plot.grid.visible = False
        plot.xaxis.ticker = FixedTicker(ticks=[])
        plot.xaxis.major_label_text_font_size = "10pt"
        plot.xaxis.axis_line_color = None
        plot.xaxis.major_tick_line_color = None
        for index, colour in enumerate(CLASSES):
            plot.line(
                source=self.source(f"class{index}"),
                line_color=colour,
                line_alpha=0.9 if index == len(CLASSES) - 1 else 0.55,
                legend_label=f"class{index}",
            )
            self.label(f"class{index}", "")
        plot.text(
            source=self.source("marks", ("x", "y", "text")),
            text="text",
            x_offset=5,
            text_font_size="8.5pt",
            text_baseline="middle",
            background_fill_color="#ffffff",
            background_fill_alpha=0.75,
        )
        self.legend_above()

    def show(self, board: Board, rows: Sequence[Row]) -> None:
        """Draw a line a trial that has ended."""
        objectives = board.objective.all
        names = [str(o) if len(objectives) > 1 else o.metric for o in objectives]
        values = {
            name: [_value(row, i) if row.state in ("done", "kept") else None for row in rows]
            for i, name in enumerate(names)
        }
        laid = axes([row.axes for row in rows], values)
        order = np.array(ranked(rows, dict(enumerate(objectives))), int)
        parts = np.array_split(order, len(CLASSES))[::-1]  # the best is drawn last
        crowded = len(order) > CROWD
        for index, part in enumerate(parts):
            x, y = lines(laid, part)
            self.put(f"class{index}", {"x": x, "y": y})
            best = index == len(CLASSES) - 1
            self.glyph(f"class{index}").line_width = (1.8 if best else 1.1) / (3 if crowded else 1)
        self.label("class0", "worst sixth" if len(parts[0]) else "")
        self.label(f"class{len(CLASSES) - 1}", "best sixth" if len(parts[-1]) else "")
        marks = [(i, height, text) for i, one in enumerate(laid) for height, text in one.ticks]
        self.put(
            "marks",
            {
                "x": [i for i, _, _ in marks],
                "y": [height for _, height, _ in marks],
                "text": [text for _, _, text in marks],
            },
        )
        plot, words = self.plot, [one.name for one in laid]
        if list(plot.xaxis[0].major_label_overrides.values()) != words:
            plot.xaxis.ticker.ticks = list(range(len(words)))
            plot.xaxis.major_label_overrides = dict(enumerate(words))
            plot.x_range.update(start=-0.15, end=len(words) - 0.55)
            plot.center = [g for g in plot.center if "Span" not in type(g).__name__]
            for upright in uprights(len(words)):
                plot.add_layout(upright)


def ranked(rows: Sequence[Row], judged: Mapping[int, Objective]) -> list[int]:
    """List the trials that ended with all values, the best first; of several, front by front.

    Parameters
    ----------
    rows : sequence of Row
        The trials.
    judged : mapping of int to Objective
        The objectives by their places among a row's values.
    """
    found: dict[int, list[float]] = {}
    for index, row in enumerate(rows):
        if row.state in ("done", "kept"):
            values = {place: _value(row, place) for place in judged}
            known = {place: v for place, v in values.items() if v is not None and v == v}
            if len(known) == len(judged):
                found[index] = [judged[place].sign * v for place, v in known.items()]
    numbers = dict.fromkeys(found, 1)
    if len(judged) > 1:
        numbers = dict(zip(found, fronts(list(found.values())).tolist(), strict=True))
    return sorted(found, key=lambda index: (numbers[index] or math.inf, -found[index][0]))


def _value(row: Row, place: int) -> float | None:
    return row.values[place] if place < len(row.values) else None


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < 300:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")


def uprights(count: int) -> list[Span]:
    """Make the upright lines of so many axes."""
    return [
        Span(
            location=index,
            dimension="height",
            line_color="#8a939d",  # between light and dark
            line_alpha=0.5,
            line_width=1,
            level="underlay",
        )
        for index in range(count)
    ]
