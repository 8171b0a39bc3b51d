"""Trackers after the fact: every trial of a dataset as a run of TensorBoard or MLflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from dasktune.errors import UsageError
from dasktune.reading.selection import metrics
from dasktune.results import config_of
from dasktune.trackers.tracker import at

if TYPE_CHECKING:
    import xarray as xr

    from dasktune.trackers.tracker import Tracker


def save_tensorboard(dataset: xr.Dataset, folder: str) -> None:
    """Write event files: a folder a trial, a scalar a metric and epoch, and its HParams.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    folder : str
        ``tensorboard --logdir`` opens it. It must not hold anything yet: event files add up.
    """
    from dasktune.trackers.tensorboard import TensorBoard

    _must_be_new(folder)
    _tell(dataset, TensorBoard(folder))


def save_mlflow(dataset: xr.Dataset, folder: str) -> None:
    """Write an MLflow store: an experiment named after the pipeline, a run a trial.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    folder : str
        ``mlflow ui --backend-store-uri`` opens ``sqlite:///FOLDER/mlflow.db``. It must not hold
        anything yet.
    """
    from dasktune.trackers.mlflow import MLflow

    _must_be_new(folder)
    os.makedirs(folder, exist_ok=True)
    root = os.path.abspath(folder)
    pipeline = str(dataset.attrs["pipeline"])
    _tell(dataset, MLflow(f"sqlite:///{root}/mlflow.db", pipeline, artifacts=f"{root}/artifacts"))


def _tell(dataset: xr.Dataset, tracker: Tracker) -> None:
    """Tell a tracker of each trial as if it were trained now."""
    columns = {name: dataset[name].values for name in metrics(dataset)}
    times = _times(dataset)
    for row, trial in enumerate(map(str, dataset["trial"].values)):
        tracker.start(trial, config_of(dataset, row), times[row][0])
        for epoch in range(dataset.sizes["epoch"]):
            known = {
                name: float(column[row][epoch])
                for name, column in columns.items()
                if np.isfinite(column[row][epoch])
            }
            if known:
                when = at(times[row], epoch, dataset.sizes["epoch"])
                tracker.report(trial, epoch, known, when)
        error = str(dataset["error"].values[row])
        tracker.end(trial, str(dataset["status"].values[row]), error, times[row][1])
    tracker.close()


def _must_be_new(folder: str) -> None:
    if os.path.isdir(folder) and os.listdir(folder):
        raise UsageError(f"{folder} holds something already; name a new folder with --output.")


def _times(dataset: xr.Dataset) -> list[tuple[float, float]]:
    """Give when each trial began and ended, in seconds since 1970."""
    seconds = np.nan_to_num(dataset["seconds"].values)
    ended = np.zeros(len(seconds))
    if "finished" in dataset.coords:
        finished = dataset["finished"].values.astype("datetime64[ms]")
        known = ~np.isnat(finished)
        ended[known] = finished[known].astype(np.int64) / 1000
    return [(float(end - took), float(end)) for end, took in zip(ended, seconds, strict=True)]
