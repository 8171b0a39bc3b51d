"""The table of trials: a row a trial, with what it is, how it stands, and its log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np
from bokeh.models import TableColumn

from dasktune.board import Board
from dasktune.dashboard.sheets import Sheet, column
from dasktune.failure.kind import worded
from dasktune.objective import SECONDS
from dasktune.row import Row
from dasktune.screen import begun_from

MOST_ROWS = 5000
"""Trials that the table holds."""


class TrialSheet(Sheet):
    """The table of trials; its columns follow from the board."""

    def __init__(self) -> None:
        super().__init__("trials", most_rows=16)
        self._shape: Any = None  # on what the columns, and what is in most of them, depend

    def fill(self, board: Board, rows: Sequence[Row], workers: Mapping[str, str]) -> None:
        """Show the trials of a board.

        Parameters
        ----------
        board : Board
            Whose trials they are.
        rows : sequence of Row
            The trials.
        workers : mapping of str to str
            Names of workers by their addresses.
        """
        rows = rows[:MOST_ROWS]
        data: dict[str, Any] = {
            "state": [row.state for row in rows],
            "epoch": _numbers(row.epoch or None for row in rows),
            "seconds": _numbers(row.seconds or None for row in rows),
            "worker": [workers.get(row.worker, row.worker) for row in rows],
            "log": [log_link(board, row) for row in rows],
        }
        for place in range(len(board.objective.all)):
            values = [row.values for row in rows]
            data[f"value {place}"] = _numbers(v[place] if place < len(v) else None for v in values)
        parents = [begun_from(row) for row in rows]
        descend = any(parents)
        if descend:
            data["parent"] = parents
        failures = [worded(row.failure, row.error) * (row.state == "failed") for row in rows]
        failed = any(failures)
        if failed:
            data["failure"] = failures
        shape = (board.run, len(rows), descend, failed)
        if shape == self._shape:
            self.show(data)
            return
        self._shape = shape
        data["trial"] = [row.id for row in rows]
        axes = _axes(rows)
        data |= {f"axis {name}": values for name, values in axes.items()}
        self.show(data, self._columns(board, axes, descend=descend, failed=failed))

    def _columns(
        self, board: Board, axes: Mapping[str, Sequence[Any]], *, descend: bool, failed: bool
    ) -> list[TableColumn]:
        columns = [column("trial", "trial", "hint", 200), column("state", "state", "state", 90)]
        for name, values in axes.items():
            kind = "small" if _numeric(values) else "text"
            columns.append(column(f"axis {name}", name, kind, max(70, 9 * len(name) + 14)))
        columns.append(column("epoch", "epoch", "whole", 60))
        for place, objective in enumerate(board.objective.all):
            columns.append(column(f"value {place}", objective.metric, "number", 90))
        if descend:
            columns.append(column("parent", "began", "hint", 150))
        if failed:
            columns.append(column("failure", "failure", "hint", 150))
        if SECONDS not in [objective.metric for objective in board.objective.all]:
            columns.append(column("seconds", "seconds", "seconds", 70))
        return [
            *columns,
            column("worker", "worker", "text", 70),
            column("log", "log", "log", 40),
        ]


def log_link(board: Board, row: Row) -> str:
    """Give the address of a trial's log, seen from the page; none before it has started."""
    if row.state == "waiting":
        return ""
    return _log_link(board.run, row.id)


@lru_cache(maxsize=4 * MOST_ROWS)  # asked for at every update
def _log_link(run: str, trial: str) -> str:
    return f"dasktune-log?run={quote(run)}&trial={quote(trial)}"


def _axes(rows: Sequence[Row]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for name in dict.fromkeys(name for row in rows for name in row.axes):
        values = [row.axes.get(name) for row in rows]
        found[name] = values if _numeric(values) else [str(v) for v in values]
    return found


def _numeric(values: Sequence[Any]) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)


def _numbers(values: Any) -> np.ndarray[Any, Any]:
    return np.array([np.nan if value is None else value for value in values], float)
