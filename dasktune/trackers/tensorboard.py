"""TensorBoard: a folder a trial, with its hyperparameters and a scalar a metric and epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping, Set
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import summary_v2 as hparams
from tensorboard.summary.writer.event_file_writer import EventFileWriter

from dasktune.trackers.tracker import Rows, at

FOLDER = "tensorboard"


def live(where: str, pipeline: str, run: str) -> TensorBoard:
    """Track a run: below the folder, a folder for it."""
    return TensorBoard(os.path.join(where or FOLDER, pipeline, run))


class TensorBoard:
    """Writes event files.

    Parameters
    ----------
    folder : str
        ``tensorboard --logdir`` opens it, or one above it.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._writers: dict[str, EventFileWriter] = {}
        self._files: dict[str, list[str]] = {}  # that this object has written
        self._axes: dict[str, Mapping[str, Any]] = {}

    def start(self, trial: str, axes: Mapping[str, Any], when: float) -> None:
        """Open a trial's file; each time that it goes on it has another one."""
        if trial in self._writers:
            return
        writer = self._writers[trial] = EventFileWriter(os.path.join(self._folder, trial))
        self._axes[trial] = axes
        first = trial not in self._files
        self._files.setdefault(trial, []).append(writer._file_name)
        if first:
            config = {name: _plain(value) for name, value in axes.items()}
            summary = hparams.hparams_pb(config, trial_id=trial, start_time_secs=when)
            self._add(trial, Event(wall_time=when, step=0, summary=summary))

    def report(self, trial: str, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """Add a scalar a metric."""
        values = [Summary.Value(tag=name, simple_value=value) for name, value in metrics.items()]
        self._add(trial, Event(wall_time=when, step=epoch, summary=Summary(value=values)))

    def complete(self, trial: str, rows: Rows, seen: Set[int], times: tuple[float, float]) -> None:
        """Write a trial's file anew: TensorBoard drops what it has read if a step goes back."""
        self.end(trial, "", "", times[1])
        for path in self._files.pop(trial, []):
            os.unlink(path)
        self.start(trial, self._axes[trial], times[0])
        for index, (epoch, metrics) in enumerate(rows):
            self.report(trial, epoch, metrics, at(times, index, len(rows)))

    def end(self, trial: str, status: str, error: str, when: float) -> None:
        """Close a trial's file: a sweep may have more trials than a process may have files."""
        writer = self._writers.pop(trial, None)
        if writer is not None:
            writer.close()

    def flush(self) -> None:
        """Write what waits."""
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Close all files."""
        for trial in list(self._writers):
            self.end(trial, "", "", 0.0)

    def _add(self, trial: str, event: Event) -> None:
        if trial in self._writers:
            self._writers[trial].add_event(event)


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (bool, int, float)) else str(value)
