"""Trials in training, as the driver of their run tells of them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dasktune.board import Board
from dasktune.config import TrialSpec
from dasktune.look import driver_is_gone
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.reading.ended import KnownSpec
from dasktune.runfolder import run_folders
from dasktune.sofar import dense
from dasktune.store import Store

SILENT = 300.0
"""Seconds after which a driver that tells nothing is gone; it tells something each ten."""


@dataclass(frozen=True)
class Running:
    """A trial in training.

    Attributes
    ----------
    spec : TrialSpec
        The trial.
    version : str
        Of its code, variables and data.
    searched : str
        The variable that a search chooses; empty without one.
    objective : Objective
        The run's.
    seconds : float
        How long it has been in training.
    curve : dict
        So far, as a stamp would hold it.
    """

    spec: TrialSpec
    version: str
    searched: str
    objective: Objective
    seconds: float
    curve: dict[str, Any]

    @property
    def outcome(self) -> Outcome:
        """What became of it: nothing yet."""
        return Outcome(f"trained/{self.spec.id}", "", status="running", seconds=self.seconds)


def read_running(store: Store) -> Iterator[Running]:
    """Read which trials are in training, of the newest run first; a dead driver's are not."""
    for folder in reversed(run_folders(store.root)):
        told = folder.told()
        if told is None or driver_is_gone(told) or told.get("over"):
            continue
        if folder.silent_for() > SILENT:
            continue  # its driver was on another machine, and died there
        curves = folder.told_curves()
        try:
            board = Board.from_json(told)
            for row in board.running():
                yield Running(
                    KnownSpec.of(row.id, row.axes, board.replicate, row.origin),
                    row.version,
                    row.searched,
                    board.objective,
                    max(0.0, time.time() - (row.since or time.time())),
                    dense(curves.get(row.id, {})),
                )
        except (KeyError, TypeError, ValueError, IndexError):
            continue  # another version's, or damaged


def in_training(store: Store) -> bool:
    """Say whether some trial is in training now."""
    return next(read_running(store), None) is not None
