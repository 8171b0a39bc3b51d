"""The plugin that follows sweeps on a scheduler and serves their page there."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin

from dasktune.board import Board
from dasktune.dashboard.curves import Curves
from dasktune.events import TOPIC, expand
from dasktune.outcome import Outcome

NAME = "dasktune"
MOST_RUNS = 8
"""Runs whose boards are kept."""
_MOST_LOGGED = 1000

log = logging.getLogger("dasktune.dashboard")


class Followed:
    """What the page shows of one run.

    Attributes
    ----------
    board : Board
        How the run stands.
    curves : dict of str to Curves
        By metric.
    version : int
        Grows with each event.
    client : str
        The client that drives the run; when it is gone, the run is over.
    """

    def __init__(self, board: Board, client: str) -> None:
        self.board = board
        self.client = client
        self.curves: dict[str, Curves] = {}
        self.version = 0
        self._index = {trial: i for i, trial in enumerate(board.rows)}

    def take(self, message: Mapping[str, Any]) -> None:
        """Take a message of this run."""
        now = time.time()
        self.version += 1
        for event in expand(dict(message)):
            if event["event"] == "ended":
                event = {"event": "finished", "outcome": Outcome(**event["outcome"])}
            self.board.take(event, now)
            if event["event"] == "report":
                for metric, value in event["metrics"].items():
                    self._put(event["trial"], metric, event["epoch"] + 1, value)
            elif event["event"] == "kept":
                for trial, known in event["trials"].items():
                    for metric, (epochs, values) in known["curve"].items():
                        for epoch, value in zip(epochs, values, strict=True):
                            self._put(trial, metric, epoch + 1, value)
            elif event["event"] == "rung":
                for trial in event["trials"]:
                    self._index.setdefault(trial, len(self._index))
                for curves in self.curves.values():
                    curves.grow(len(self._index))

    def _put(self, trial: str, metric: str, epoch: int, value: float) -> None:
        index = self._index.get(trial)
        if index is None:
            return
        if metric not in self.curves:
            self.curves[metric] = Curves(len(self._index))
        self.curves[metric].put(index, epoch, value)


class Dashboard(SchedulerPlugin):
    """Follows the sweeps of a scheduler, and adds their page to its dashboard.

    Attributes
    ----------
    runs : dict of str to Followed
        The runs, oldest first.
    mounted : bool
        Whether the scheduler has a dashboard that shows the page.
    pages : set
        What browsers look at; one that is gone stays for a while.
    """

    name = NAME
    idempotent = True

    def __init__(self) -> None:
        self.runs: dict[str, Followed] = {}
        self.mounted = False
        self.pages: set[Any] = set()
        self._app: Any = None
        self._scheduler: Any = None
        self._messages = 0

    async def start(self, scheduler: Any) -> None:
        """Add the page, if the scheduler has a dashboard."""
        self._scheduler = scheduler
        try:
            from dasktune.dashboard.mount import mount
        except ImportError as error:  # no bokeh
            log.info("no page: %s", error)
            return
        self._app = mount(scheduler, self)
        self.mounted = self._app is not None

    def log_event(self, topic: str, msg: Any) -> None:
        """Take a message of a worker or a driver."""
        if topic != TOPIC or not isinstance(msg, Mapping) or "run" not in msg:
            return
        self._messages += 1
        if self._messages % _MOST_LOGGED == 0:
            # Dask would keep a hundred thousand of them; who wanted one has had it.
            with contextlib.suppress(AttributeError):
                self._scheduler._broker.truncate(TOPIC)
        run = msg["run"]
        if msg["event"] == "announced":
            self.runs.pop(run, None)
            self.runs[run] = Followed(Board.from_json(msg["board"]), msg["client"])
            while len(self.runs) > MOST_RUNS:
                del self.runs[next(iter(self.runs))]
        elif run in self.runs:
            self.runs[run].take(msg)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Note that a driver is gone."""
        for followed in self.runs.values():
            if followed.client == client and not followed.board.over:
                followed.take({"event": "over", "how": "its driver is gone"})

    async def close(self) -> None:
        """End the page with the scheduler."""
        if self._app is not None:
            self._app.stop()
