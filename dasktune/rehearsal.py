"""A rehearsal: a trial trained for a while to see how fast it is. Nothing of it is kept."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

from dasktune.capture import capture
from dasktune.config import TrialSpec
from dasktune.job import open_splits
from dasktune.outcome import Outcome
from dasktune.recipe import recipe_pipeline
from dasktune.seeding import seed_everything, threads
from dasktune.store import Store
from dasktune.traintask import TrainTask
from dasktune.trial import Interrupted, Trial


class _Rehearsed(Trial):
    """Notes the times of its reports, and ends at a report when there are enough."""

    def __init__(self, spec: TrialSpec, times: list[float], enough: Callable[[], bool]) -> None:
        super().__init__(spec)
        self._times = times
        self._enough = enough

    def report(self, **metrics: Any) -> None:
        """Note the time of a report."""
        super().report(**metrics)
        self._times.append(time.time())
        if self._enough():
            raise Interrupted(0)


def rehearse(
    task: TrainTask, data: Outcome, *, until: float = 0.0, reports: int = 2
) -> tuple[float, ...]:
    """Train a trial, over and over if it is short, and give the times of its reports.

    Parameters
    ----------
    task : TrainTask
        What to train. It has no checkpoints here, and nothing is committed.
    data : Outcome
        What became of the preprocessed data.
    until : float
        The time of day, in seconds since the epoch, before which it does not end.
    reports : int
        Reports before which it does not end.

    Returns
    -------
    tuple of float
        In seconds since the epoch.
    """
    times: list[float] = []

    def enough() -> bool:
        return len(times) >= reports and time.time() >= until

    store = Store(task.root)
    pipeline = recipe_pipeline(store, task.sources, "train", task.code)
    with capture(os.devnull), threads(pipeline.threads):
        splits = open_splits(store, data, task.staging)
        while not enough():
            before = len(times)
            seed_everything(task.spec.seed)
            try:
                pipeline.train(_Rehearsed(task.spec, times, enough), splits, **task.variables)
            except Interrupted:
                break
            if len(times) == before:
                break  # it reports nothing, which is an error where it counts
    return tuple(times)
