"""Trackers: every trial as a run of TensorBoard or MLflow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import UsageError
from dasktune.reading.selection import metrics
from dasktune.results import config_of

if TYPE_CHECKING:
    import xarray as xr


def save_tensorboard(dataset: xr.Dataset, folder: str) -> None:
    """Write event files: a folder a trial, a scalar a metric and epoch, and its HParams.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    folder : str
        ``tensorboard --logdir`` opens it. It must not hold anything yet: event files add up.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import summary_v2 as hparams
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    _must_be_new(folder)
    names = metrics(dataset)
    columns = {name: dataset[name].values for name in names}
    times = _times(dataset)
    for row, trial in enumerate(dataset["trial"].values):
        writer = EventFileWriter(os.path.join(folder, str(trial)))
        config = {name: _plain(value) for name, value in config_of(dataset, row).items()}
        for summary in (
            hparams.hparams_pb(config, trial_id=str(trial), start_time_secs=times[row][0]),
        ):
            writer.add_event(Event(wall_time=times[row][0], step=0, summary=summary))
        for name in names:
            column = columns[name][row]
            for epoch in np.flatnonzero(np.isfinite(column)):
                value = Summary.Value(tag=name, simple_value=float(column[epoch]))
                wall = _at(times[row], epoch, len(column))
                writer.add_event(
                    Event(wall_time=wall, step=int(epoch), summary=Summary(value=[value]))
                )
        writer.close()


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
    from mlflow.entities import Metric, Param, RunTag
    from mlflow.tracking import MlflowClient

    _must_be_new(folder)
    os.makedirs(folder, exist_ok=True)
    root = os.path.abspath(folder)
    client = MlflowClient(tracking_uri=f"sqlite:///{root}/mlflow.db")
    experiment = client.create_experiment(
        str(dataset.attrs["pipeline"]), artifact_location=f"file://{root}/artifacts"
    )
    names = metrics(dataset)
    times = _times(dataset)
    for row, trial in enumerate(dataset["trial"].values):
        start = times[row][0]
        run = client.create_run(experiment, start_time=int(start * 1000), run_name=str(trial))
        found = []
        for name in names:
            column = dataset[name].values[row]
            found += [
                Metric(name, float(column[epoch]), int(start * 1000), int(epoch))
                for epoch in np.flatnonzero(np.isfinite(column))
            ]
        params = [Param(name, str(value)) for name, value in config_of(dataset, row).items()]
        failed = str(dataset["status"].values[row]) != "ok"
        tags = [RunTag("error", str(dataset["error"].values[row]))] if failed else []
        for start_at in range(0, max(len(found), 1), 900):  # MLflow takes 1,000 a call
            first = start_at == 0
            client.log_batch(
                run.info.run_id,
                metrics=found[start_at : start_at + 900],
                params=params if first else [],
                tags=tags if first else [],
            )
        status = "FAILED" if failed else "FINISHED"
        client.set_terminated(run.info.run_id, status, end_time=int(times[row][1] * 1000))


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


def _at(times: tuple[float, float], epoch: Any, epochs: int) -> float:
    begun, ended = times
    return begun + (ended - begun) * (int(epoch) + 1) / epochs


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (bool, int, float)) else str(value)
