"""The page: what one browser is shown of a sweep, brought up to date as it can take it.

Two rules keep the scheduler free. An update is sent only when the browser has told that it has
drawn the last one, so a slow or sleeping browser gets few, and nothing piles up. And the pause
after an update is so many times its cost that all browsers together take at most `SHARE` of the
scheduler's time.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import numpy as np
from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS, Div, Select

from dasktune.board import Board
from dasktune.dashboard.figures import (
    CLASSES,
    RANKED,
    best_figure,
    curves_figure,
    parallel_figure,
    uprights,
)
from dasktune.dashboard.head import head
from dasktune.dashboard.parallel import axes, lines
from dasktune.dashboard.plugin import Dashboard, Followed
from dasktune.dashboard.sheets import Sheet, column
from dasktune.dashboard.style import style, template
from dasktune.dashboard.workers import worker_rows
from dasktune.row import COLOURS, Row

SHARE = 0.02
"""Of the scheduler's time that all browsers together may take."""
EVERY = 1.0
"""Least number of seconds between two updates."""
SELDOM = 30.0
"""Most seconds between two updates."""
MOST_ROWS = 5000
"""Trials that the table holds."""
_LOOK_EVERY = 250  # milliseconds


def open_page(scheduler: Any, dashboard: Dashboard, extra: dict[str, Any], doc: Any) -> None:
    """Set up the page for a browser that opened it."""
    page = Page(scheduler, dashboard)
    page.update()
    for root in page.roots():
        doc.add_root(root)
    page.greet(doc)
    doc.title = "dasktune"
    doc.template = template()
    doc.template_variables.update(extra)
    dashboard.sessions += 1
    doc.add_periodic_callback(page.update_when_due, _LOOK_EVERY)

    def closed(context: Any) -> None:
        dashboard.sessions -= 1

    doc.on_session_destroyed(closed)


class Page:
    """What one browser is shown.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        For the workers.
    dashboard : Dashboard
        For the runs.
    """

    def __init__(self, scheduler: Any, dashboard: Dashboard) -> None:
        self._scheduler = scheduler
        self._dashboard = dashboard
        self._shown: Followed | None = None
        self._chosen = ""  # the run that was chosen; the newest one if none was
        self._version = -1
        self._metric = ""
        self._next = 0.0
        self._cost = 0.0  # seconds of an update, smoothed
        self.trials = Sheet("trials", most_rows=16)
        self.workers = Sheet("workers", most_rows=12)
        self._tick = ColumnDataSource({"n": [0]})
        self._drawn = ColumnDataSource({"n": [0]})
        self._acknowledge = CustomJS(
            args={
                "tick": self._tick,
                "drawn": self._drawn,
                "sheets": [self.trials.table, self.workers.table],
            },
            # A table redraws itself when its number of rows changes, not when its numbers do.
            code="for (const sheet of sheets) sheet.view.change.emit();"
            "requestAnimationFrame(() => { drawn.data = {n: [tick.data.n[0]]} })",
        )
        self._tick.js_on_change("data", self._acknowledge)
        self.head = Div(
            name="head",
            sizing_mode="stretch_width",
            stylesheets=[style("head")],
            tags=[self._tick, self._drawn],
        )
        self.choose = Select(name="metric", options=[], width=220, stylesheets=[style("select")])
        self.choose.on_change("value", self._choose)
        self.runs = Select(
            name="run",
            title="Sweep",
            options=[("", "the newest")],
            value="",
            visible=False,
            width=420,
            stylesheets=[style("select")],
        )
        self.runs.on_change("value", self._choose_run)
        self.curves = curves_figure()
        self.best = best_figure("")
        self.parallel = parallel_figure()

    def roots(self) -> list[Any]:
        """List what the template embeds."""
        figures = [drawn.plot for drawn in (self.curves, self.best, self.parallel)]
        return [self.head, self.runs, self.choose, *figures, self.trials.table, self.workers.table]

    def greet(self, doc: Any) -> None:
        """Let the browser tell that it is there: a document may have changed before it came."""
        doc.js_on_event(DocumentReady, self._acknowledge)

    def update_when_due(self) -> None:
        """Bring the page up to date, if it is time and the browser has drawn the last update."""
        now = time.monotonic()
        if now < self._next or self._drawn.data["n"][0] != self._tick.data["n"][0]:
            return
        started = time.thread_time()
        self.update()
        self._tick.data = {"n": [self._tick.data["n"][0] + 1]}
        self._cost += 0.3 * (time.thread_time() - started - self._cost)
        pause = self._cost * max(1, self._dashboard.sessions) / SHARE
        self._next = now + min(max(EVERY, pause), SELDOM)

    def update(self) -> None:
        """Bring the page up to date."""
        runs = self._dashboard.runs
        self._offer_runs(runs)
        followed = runs.get(self._chosen) or (next(reversed(runs.values())) if runs else None)
        self._show_workers(followed)
        if followed is None:
            self.head.text = "<h1>dasktune</h1>No sweep has run on this scheduler yet."
            return
        new = followed is not self._shown
        if new:
            self._shown, self._version, self._metric = followed, -1, ""
        if followed.version == self._version and followed.board.over:
            return
        board = followed.board
        rows = list(board.rows.values())
        self.head.text = head(board, time.time())
        self._show_trials(board, rows, new)
        if followed.version != self._version:
            self._version = followed.version
            self._offer_metrics(followed)
            self._show_curves(followed, rows)
            self._show_best(board, rows)
            self._show_parallel(board, rows)

    def _choose_run(self, attribute: str, old: str, new: str) -> None:
        self._chosen, self._next = new, 0.0

    def _offer_runs(self, runs: Mapping[str, Followed]) -> None:
        """Let a browser choose among the runs, where there is a choice."""
        if self._chosen not in runs:
            self._chosen = ""
        options = [("", "the newest"), *((name, _named(runs[name].board)) for name in runs)]
        if options != self.runs.options:
            self.runs.options = options
            self.runs.visible = len(runs) > 1
        if self.runs.value != self._chosen:
            self.runs.value = self._chosen

    def _choose(self, attribute: str, old: str, new: str) -> None:
        if new and new != self._metric and self._shown is not None:
            self._metric, self._next = new, 0.0
            self._version = -1

    def _offer_metrics(self, followed: Followed) -> None:
        metrics = list(followed.curves)
        objective = followed.board.objective.metric
        if not self._metric or self._metric not in metrics:
            self._metric = objective if objective in metrics else (metrics or [""])[0]
        if metrics != self.choose.options:
            self.choose.options = metrics
            self.choose.value = self._metric

    def _show_curves(self, followed: Followed, rows: list[Row]) -> None:
        curves = followed.curves.get(self._metric)
        sources = self.curves.sources
        if curves is None:
            for name in sources:
                sources[name].data = {key: [] for key in sources[name].data}
            return
        self.curves.plot.yaxis.axis_label = self._metric
        ranked = _ranked(followed.board, rows)[: len(RANKED)]
        shown: dict[str, list[int]] = {"running": [], "failed": [], "ended": []}
        for index, row in enumerate(rows):
            shown[row.state if row.state in shown else "ended"].append(index)
        for rank in range(len(RANKED)):
            shown[f"rank{rank + 1}"] = ranked[rank : rank + 1]
        for name, chosen in shown.items():
            x, y = curves.lines(chosen)
            sources[name].data = {"x": x, "y": y}
        x, y = curves.heads()
        there = np.flatnonzero(np.isfinite(y))
        heads: dict[str, Any] = {"x": x[there], "y": y[there]}
        heads["trial"] = [rows[i].id for i in there]
        heads["state"] = [rows[i].state for i in there]
        heads["colour"] = [COLOURS[rows[i].state] for i in there]
        sources["heads"].data = heads

    def _show_best(self, board: Board, rows: list[Row]) -> None:
        unit, word = _unit(time.time() - board.started)
        self.best.plot.xaxis.axis_label = word
        self.best.plot.yaxis.axis_label = board.objective.metric
        good = [r for r in rows if r.state in ("done", "kept")]
        ended = [r for r in good if r.ended is not None and r.value is not None]
        sources = self.best.sources
        sources["ended"].data = {
            "x": np.array([((r.ended or 0) - board.started) / unit for r in ended]),
            "y": np.array([r.value for r in ended], float),
            "trial": [r.id for r in ended],
        }
        steps = [((when - board.started) / unit, value) for when, value, _ in board.best]
        if steps and ended:
            last = max((r.ended or 0) - board.started for r in ended) / unit
            steps.append((max(last, steps[-1][0]), steps[-1][1]))
        sources["best"].data = {"x": [x for x, _ in steps], "y": [y for _, y in steps]}

    def _show_parallel(self, board: Board, rows: list[Row]) -> None:
        values = [row.value if row.state in ("done", "kept") else None for row in rows]
        laid = axes([row.axes for row in rows], values, board.objective.metric)
        ranked = np.array(_ranked(board, rows), int)
        parts = np.array_split(ranked, len(CLASSES))[::-1]  # the best is drawn last
        for index, part in enumerate(parts):
            x, y = lines(laid, part)
            self.parallel.sources[f"class{index}"].data = {"x": x, "y": y}
        marks = [(i, height, text) for i, one in enumerate(laid) for height, text in one.ticks]
        self.parallel.sources["marks"].data = {
            "x": [i for i, _, _ in marks],
            "y": [height for _, height, _ in marks],
            "text": [text for _, _, text in marks],
        }
        plot, names = self.parallel.plot, [one.name for one in laid]
        if list(plot.xaxis[0].major_label_overrides.values()) != names:
            plot.xaxis.ticker.ticks = list(range(len(names)))
            plot.xaxis.major_label_overrides = dict(enumerate(names))
            plot.x_range.update(start=-0.15, end=len(names) - 0.55)
            plot.center = [g for g in plot.center if "Span" not in type(g).__name__]
            for upright in uprights(len(names)):
                plot.add_layout(upright)

    def _show_trials(self, board: Board, rows: list[Row], new: bool) -> None:
        rows = rows[:MOST_ROWS]
        names = {address: str(w.name) for address, w in self._scheduler.workers.items()}
        data: dict[str, Any] = {
            "state": [row.state for row in rows],
            "epoch": np.array([row.epoch or np.nan for row in rows], float),
            "value": np.array([np.nan if r.value is None else r.value for r in rows], float),
            "seconds": np.array([row.seconds or np.nan for row in rows], float),
            "worker": [names.get(row.worker, row.worker) for row in rows],
            "log": [_log_link(board, row) for row in rows],
        }
        if not new and len(rows) == len(self.trials.source.data["trial"]):
            self.trials.show(data)
            return
        varied = list(dict.fromkeys(name for row in rows for name in row.axes))
        columns = [column("trial", "trial", "text", 200), column("state", "state", "state", 90)]
        for name in varied:
            values = [row.axes.get(name) for row in rows]
            numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
            data[f"axis {name}"] = values if numeric else [str(v) for v in values]
            width = max(70, 9 * len(name) + 14)
            columns.append(column(f"axis {name}", name, "small" if numeric else "text", width))
        data["trial"] = [row.id for row in rows]
        columns += [
            column("epoch", "epoch", "whole", 60),
            column("value", board.objective.metric, "number", 90),
            column("seconds", "seconds", "seconds", 70),
            column("worker", "worker", "text", 70),
            column("log", "log", "log", 40),
        ]
        self.trials.show(data, columns)

    def _show_workers(self, followed: Followed | None) -> None:
        data, gpus = worker_rows(self._scheduler, followed.board if followed else None)
        if (
            gpus == any(c.field == "gpu" for c in self.workers.table.columns)
            and self.workers.table.columns
        ):
            self.workers.show(data)
            return
        columns = [
            column("worker", "worker", "text", 90),
            column("host", "host", "text", 110),
            column("trial", "trains", "text", 300),
            column("cpu", "CPU %", "percent", 60),
            column("memory", "memory", "bytes", 80),
        ]
        if gpus:
            columns += [
                column("gpu", "GPU", "text", 120),
                column("gpu_use", "GPU %", "percent", 60),
                column("gpu_memory", "GPU memory", "bytes", 90),
                column("gpu_total", "of", "bytes", 90),
            ]
        self.workers.show(data, columns)


def _named(board: Board) -> str:
    """Name a run for people, who know when they started which pipeline."""
    started = time.strftime("%H:%M:%S", time.localtime(board.started))
    how = "over" if board.over else "running"
    return f"{board.pipeline}, started {started}, {sum(board.counts().values())} trials, {how}"


def _ranked(board: Board, rows: list[Row]) -> list[int]:
    """List the trials that ended with a value, the best first."""
    sign = -1 if board.objective.direction == "max" else 1
    ended = [
        (sign * row.value, index)
        for index, row in enumerate(rows)
        if row.state in ("done", "kept") and row.value is not None and row.value == row.value
    ]
    return [index for _, index in sorted(ended)]


def _unit(seconds: float) -> tuple[float, str]:
    if seconds < 300:
        return 1.0, "seconds"
    return (60.0, "minutes") if seconds < 3 * 3600 else (3600.0, "hours")


def _log_link(board: Board, row: Row) -> str:
    if row.state == "waiting":
        return ""
    return f"dasktune-log?run={quote(board.run)}&trial={quote(row.id)}"
