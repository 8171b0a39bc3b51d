"""The page: what one browser is shown of a sweep, brought up to date as it can take it.

Two rules keep the scheduler free. An update is sent only when the browser has told that it has
drawn the last one, so a slow or sleeping browser gets few, and nothing piles up. And the pause
after an update is so many times its cost that all browsers together take at most `SHARE` of the
scheduler's time. What has not changed is not sent, and no table of workers comes more often than
their heart-beats.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from bokeh.events import DocumentReady
from bokeh.models import ColumnDataSource, CustomJS, Div, Select
from distributed.scheduler import heartbeat_interval

from dasktune.board import Board
from dasktune.dashboard.figures import BestFigure, CurvesFigure, ParallelFigure
from dasktune.dashboard.head import head
from dasktune.dashboard.plugin import Dashboard, Followed
from dasktune.dashboard.sheets import Sheet, column
from dasktune.dashboard.style import style, template
from dasktune.dashboard.trials import TrialSheet
from dasktune.dashboard.workers import worker_rows

SHARE = 0.015
"""Of the scheduler's time that all browsers together may take."""
FOLLOWS = 1.5
"""What it costs to send an update and to take the answer, as a multiple of the update itself.

It was measured; it cannot be timed, since the scheduler does other things in between."""
EVERY = 1.0
"""Least number of seconds between two updates."""
SLEEPS = 5.0
"""Seconds without a word after which a browser takes no share."""
SELDOM = 30.0
"""Most seconds between two updates."""
_LOOK_EVERY = 250  # milliseconds
_SHOW_ADDRESS = """
const address = new URL(location);
if (cb_obj.value) address.searchParams.set("run", cb_obj.value);
else address.searchParams.delete("run");
history.replaceState(null, "", address);
"""
"""The browser's address is then one to share."""


def open_page(scheduler: Any, dashboard: Dashboard, extra: dict[str, Any], doc: Any) -> None:
    """Set up the page for a browser that opened it."""
    asked = doc.session_context.request.arguments.get("run", [b""])
    page = Page(scheduler, dashboard, asked[-1].decode(errors="replace"))
    page.update()
    for root in page.roots():
        doc.add_root(root)
    page.greet(doc)
    doc.title = "dasktune"
    doc.template = template()
    doc.template_variables.update(extra)
    dashboard.pages.add(page)
    doc.add_periodic_callback(page.update_when_due, _LOOK_EVERY)

    def closed(context: Any) -> None:
        dashboard.pages.discard(page)

    doc.on_session_destroyed(closed)


class Page:
    """What one browser is shown.

    Parameters
    ----------
    scheduler : distributed.Scheduler
        For the workers.
    dashboard : Dashboard
        For the runs.
    run : str, optional
        The run that is shown; the newest if not given, or as long as it is not known.
    """

    def __init__(self, scheduler: Any, dashboard: Dashboard, run: str = "") -> None:
        self._scheduler = scheduler
        self._dashboard = dashboard
        self._shown: Followed | None = None
        self._chosen = run
        self._offering = False
        self._version = self._ends = -1
        self._metric = ""
        self._next = self._workers_next = 0.0
        self._sent = 0.0
        self._cost = 0.0  # seconds of an update, smoothed
        self.trials = TrialSheet()
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
        self.runs.js_on_change("value", CustomJS(code=_SHOW_ADDRESS))
        self.curves, self.best, self.parallel = CurvesFigure(), BestFigure(), ParallelFigure()

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
        if now < self._next or self._undrawn():
            return
        started = time.thread_time()
        self.update()
        self._tick.data = {"n": [self._tick.data["n"][0] + 1]}
        cost = (1 + FOLLOWS) * (time.thread_time() - started)
        self._cost += 0.3 * (cost - self._cost)
        self._sent = now
        awake = sum(page.awake(now) for page in self._dashboard.pages)
        self._next = now + min(max(EVERY, self._cost * awake / SHARE), SELDOM)

    def awake(self, now: float) -> bool:
        """Say whether the browser draws what it is sent; not if it sleeps, or is gone."""
        return not self._undrawn() or now - self._sent < SLEEPS

    def _undrawn(self) -> bool:
        return bool(self._drawn.data["n"][0] != self._tick.data["n"][0])

    def update(self) -> None:
        """Bring the page up to date."""
        runs = self._dashboard.runs
        self._offer_runs(runs)
        followed = runs.get(self._chosen) or (next(reversed(runs.values())) if runs else None)
        self._show_workers(followed)
        if followed is None:
            self.head.text = "<h1>dasktune</h1>No sweep has run on this scheduler yet."
            return
        if followed is not self._shown:
            self._shown, self._version, self._metric = followed, -1, ""
            self._ends, self._workers_next = -1, 0.0
        if followed.version == self._version and followed.board.over:
            return
        board = followed.board
        rows = list(board.rows.values())
        missed = self._chosen if self._chosen not in runs else ""
        self.head.text = head(board, time.time(), missed)
        names = {address: str(w.name) for address, w in self._scheduler.workers.items()}
        self.trials.fill(board, rows, names)
        if followed.version != self._version:
            self._version = followed.version
            self._offer_metrics(followed)
            self.curves.show(board, rows, followed.curves.get(self._metric), self._metric)
            if board.ends != self._ends:
                self._ends = board.ends
                self.best.show(board, rows, time.time())
                self.parallel.show(board, rows)

    def _choose_run(self, attribute: str, old: str, new: str) -> None:
        if not self._offering:
            self._chosen, self._next = new, 0.0

    def _offer_runs(self, runs: Mapping[str, Followed]) -> None:
        """Let a browser choose among the runs, where there is a choice."""
        options = [("", "the newest"), *((name, _named(runs[name].board)) for name in runs)]
        if options != self.runs.options:
            self.runs.options = options
            self.runs.visible = len(runs) > 1
        chosen = self._chosen if self._chosen in runs else ""
        if self.runs.value != chosen:
            self._offering = True
            self.runs.value = chosen
            self._offering = False

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

    def _show_workers(self, followed: Followed | None) -> None:
        now = time.monotonic()
        if now < self._workers_next:
            return
        self._workers_next = now + heartbeat_interval(len(self._scheduler.workers))
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
