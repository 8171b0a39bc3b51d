"""The display of a running sweep in a notebook, which changes in place.

IPython is used where it runs already, and is no dependency.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from dasktune.board import Board
from dasktune.markup import bar, box, table
from dasktune.objective import Objective
from dasktune.row import COLOURS
from dasktune.screen import MOST_RUNNING, begun_from, count_words, duration, some_leaders

EVERY = 0.5
"""Least number of seconds between two changes of the display."""


def in_notebook() -> bool:
    """Say whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def board_html(board: Board, now: float) -> str:
    """Draw a board for a notebook."""
    words = ", ".join(text for text, _ in count_words(board))
    facts = [(name, state) for name, (state, _) in board.stages.items()]
    metrics = [objective.metric for objective in board.objective.all]
    if board.best and len(metrics) == 1:
        _, value, trial = board.best[-1]
        facts.append((f"best {board.objective.metric}", f"{value:.5g}  {trial}"))
    left = None if board.over else board.seconds_left(now)
    if left is not None:
        facts.append(("time left", f"about {duration(left)}"))
    if board.dashboard and not board.over:
        facts.append(("dashboard", board.dashboard))
    running = list(board.running())
    descend = any(row.parent for row in running[:MOST_RUNNING])
    rows = [
        (
            row.id,
            f"{row.epoch}/{row.epochs}" if row.epochs else "",
            *(f"{v:.5g}" if v is not None else "" for v in _filled(row.values, len(metrics))),
            row.device,
            *((begun_from(row),) if descend else ()),
        )
        for row in running[:MOST_RUNNING]
    ]
    if len(running) > MOST_RUNNING:
        rows.append((f"and {len(running) - MOST_RUNNING} more",))
    parts = [bar(board.counts(), COLOURS), table(facts)]
    if rows:
        head = ["running", "epoch", *metrics, "device", *(["began"] if descend else [])]
        parts.append(table(rows, head))
    leaders = some_leaders(board)
    if leaders:
        head = [f"front so far, of {len(board.front.members)}", *metrics]
        cells = [(name, *(f"{value:.5g}" for value in values)) for name, values in leaders]
        parts.append(table(cells, head))
    failed = board.failures()[:5]
    if failed:
        parts.append(table([(row.id, row.failure, row.error) for row in failed], ["failed"]))
    return box(board.pipeline, words, *parts)


def _filled(values: Sequence[float | None], count: int) -> list[float | None]:
    return [*values, *[None] * (count - len(values))]


class Notebook:
    """Shows a run in the cell that started it.

    Parameters
    ----------
    objective : Objective
        For the best so far.
    """

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._board: Board | None = None
        self._handle: Any = None
        self._shown_at = 0.0
        self._lock = threading.Lock()

    def __call__(self, event: dict[str, Any]) -> None:
        """Take an event."""
        with self._lock:
            if event["event"] == "plan":
                plan = event["plan"]
                if plan.up_to_date:
                    return
                self._board = Board.of(plan, self._objective, "", "", time.time())
            if self._board is None:
                return
            self._board.take(event, time.time())
            if time.monotonic() - self._shown_at >= EVERY or event["event"] in ("plan", "over"):
                self._show(self._board)

    def _show(self, board: Board) -> None:
        from IPython.display import HTML, display

        self._shown_at = time.monotonic()
        drawn = HTML(board_html(board, time.time()))
        if self._handle is None:
            self._handle = display(drawn, display_id=True)
        else:
            self._handle.update(drawn)
