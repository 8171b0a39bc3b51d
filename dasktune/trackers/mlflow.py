"""MLflow: an experiment named after the pipeline, a run a trial."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Set
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from dasktune.trackers.tracker import Rows, at

DATABASE = "sqlite:///mlflow.db"
MOST = 900
"""Metrics in one call; MLflow takes 1,000."""

_STATUS = {"ok": "FINISHED", "failed": "FAILED"}


def live(where: str, pipeline: str, run: str) -> MLflow:
    """Track a run: in the store that is named, else in that of the environment, else in a file."""
    return MLflow(where or os.environ.get("MLFLOW_TRACKING_URI", DATABASE), pipeline, run)


class MLflow:
    """Writes to an MLflow store.

    Parameters
    ----------
    uri : str
        The store: a server's address, or ``sqlite:///FILE``, which ``mlflow ui
        --backend-store-uri`` opens.
    experiment : str
        The experiment's name.
    run : str
        The run of dasktune, kept as a tag of each trial's; none if empty.
    artifacts : str, optional
        Where a new experiment would keep artifacts.
    """

    def __init__(self, uri: str, experiment: str, run: str = "", artifacts: str = "") -> None:
        logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(experiment)
        if found is None:
            where = artifacts or None
            self._experiment = self._client.create_experiment(experiment, artifact_location=where)
        else:
            self._experiment = found.experiment_id
        self._tags = {"dasktune.run": run} if run else {}
        self._runs: dict[str, str] = {}
        self._waiting: dict[str, list[Metric]] = {}

    def start(self, trial: str, axes: Mapping[str, Any], when: float) -> None:
        """Create a trial's run, or open it again."""
        if trial in self._runs:
            self._client.update_run(self._runs[trial], status="RUNNING")
            return
        run = self._client.create_run(
            self._experiment, start_time=_milliseconds(when), run_name=trial, tags=self._tags
        )
        self._runs[trial] = run.info.run_id
        params = [Param(name, str(value)) for name, value in axes.items()]
        self._client.log_batch(run.info.run_id, params=params)

    def report(self, trial: str, epoch: int, metrics: Mapping[str, float], when: float) -> None:
        """Keep metrics for the next call."""
        waiting = self._waiting.setdefault(trial, [])
        at = _milliseconds(when)
        waiting += [Metric(name, float(value), at, epoch) for name, value in metrics.items()]
        if len(waiting) >= MOST:
            self._send(trial)

    def complete(self, trial: str, rows: Rows, seen: Set[int], times: tuple[float, float]) -> None:
        """Add the epochs that are missing."""
        for index, (epoch, metrics) in enumerate(rows):
            if epoch not in seen:
                self.report(trial, epoch, metrics, at(times, index, len(rows)))

    def end(self, trial: str, status: str, error: str, when: float) -> None:
        """Close a trial's run."""
        if trial not in self._runs:
            return
        self._send(trial)
        if error:
            self._client.log_batch(self._runs[trial], tags=[RunTag("error", error)])
        word = _STATUS.get(status, "KILLED")
        self._client.set_terminated(self._runs[trial], word, end_time=_milliseconds(when))

    def flush(self) -> None:
        """Send what waits."""
        for trial in list(self._waiting):
            self._send(trial)

    def close(self) -> None:
        """Send what waits."""
        self.flush()

    def _send(self, trial: str) -> None:
        waiting = self._waiting.pop(trial, [])
        for first in range(0, len(waiting), MOST):
            if trial in self._runs:
                self._client.log_batch(self._runs[trial], metrics=waiting[first : first + MOST])


def _milliseconds(when: float) -> int:
    return int(when * 1000)
