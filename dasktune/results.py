"""Results: reading a collated dataset, and finding the best in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from dasktune.errors import StampError, StoreError, UsageError
from dasktune.objective import SECONDS, Objective
from dasktune.stamp import read_stamp

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ON_TRIAL = (
    *("objective", "status", "failure", "error", "seconds", "finished"),
    *("worker", "device", "key", "training_seconds"),
)
"""Coordinates on ``trial`` that are no hyperparameters."""

OF_A_SEARCH = ("spent", "stopped", "parent", "began")
"""Those that the dataset of a search has besides, with ``budget``, and tables show."""

VARYING = ("seconds", "training_seconds", "finished", "worker", "device")
"""Those of them that differ from run to run."""


def open_results(path: str | os.PathLike[str]) -> xr.Dataset:
    """Open a collated dataset.

    Parameters
    ----------
    path : path
        ``dist/<pipeline>``, its ``collated.zarr``, or any copy of it.

    Returns
    -------
    xarray.Dataset
        In memory, with dimensions ``trial`` and ``epoch``.

    Raises
    ------
    StoreError
        If there is no such dataset, or it cannot be read.
    """
    import xarray as xr

    folder = os.fspath(path)
    if os.path.isdir(f"{folder}/collated.zarr"):
        folder = f"{folder}/collated.zarr"
    if not os.path.exists(f"{folder}/zarr.json"):
        raise StoreError(f"no collated dataset at {folder}.{_advice(folder)}")
    _check_files(folder)
    try:
        dataset: xr.Dataset = xr.open_zarr(folder, chunks=None, consolidated=False).load()
    except Exception as error:
        text = " ".join(str(error).split())
        raise StoreError(f"the dataset {folder} cannot be read: {text}") from error
    if "trial" not in dataset.dims or "objective" not in dataset.attrs:
        raise StoreError(f"{folder} is a Zarr store, but not one that dasktune collated.")
    needed = [*_NEEDED, *dataset.attrs.get("hyperparameters", [""])]
    missing = [name for name in needed if name not in dataset.coords]
    if missing:
        raise StoreError(
            f"{folder} is by another version of dasktune: it has no {missing[0]!r}. "
            "Collate again with 'dasktune make collated'."
        )
    return dataset


_NEEDED = ("objective", "status", "error", "seconds", "worker", "device", "key")


def _advice(folder: str) -> str:
    """Tell what to do about a folder that holds no dataset."""
    general = (
        " Make one with 'dasktune make', or name the folder dist/<pipeline> or a collated.zarr."
    )
    if not os.path.isdir(folder):
        return general
    inside = sorted(
        name for name in os.listdir(folder) if os.path.isdir(f"{folder}/{name}/trained")
    )
    if inside:
        return " It holds those of pipelines; name one: " + ", ".join(
            os.path.join(folder, name) for name in inside[:5]
        )
    return general


def _check_files(folder: str) -> None:
    """Make sure that no file of a collation is missing or cut off: Zarr would read fill values.

    Only a collation in its store has a stamp that lists its files; a copy of it has not.
    """
    home = os.path.dirname(os.path.realpath(folder))
    try:
        stamp = read_stamp(f"{home}/.stamp")
    except StampError as error:
        raise StoreError(f"{error} Run 'dasktune make collated'.") from None
    for path, size, _ in stamp.body.get("files", []) if stamp is not None else []:
        try:
            found = os.stat(f"{home}/{path}").st_size
        except OSError:
            found = -1
        if found != size:
            what = "is missing" if found < 0 else f"has {found} bytes instead of {size}"
            raise StoreError(
                f"the dataset {folder} is damaged: {path} {what}. "
                "Collate again with 'dasktune make -B -o trained collated'."
            )


def objective_of(dataset: xr.Dataset) -> Objective:
    """Give the objective that a dataset was collated with."""
    return Objective.parse(dataset.attrs["objective"])


def hyperparameters(dataset: xr.Dataset) -> list[str]:
    """List the hyperparameters of a dataset, without the replicate."""
    replicate = list(dataset.attrs.get("replicate", []))
    return [name for name in dataset.attrs["hyperparameters"] if name not in replicate]


def config_numbers(dataset: xr.Dataset) -> Any:
    """Number the configurations: an int a trial, the same for all replicates of one."""
    import numpy as np
    import pandas as pd

    names = hyperparameters(dataset)
    if not names:
        return np.zeros(dataset.sizes["trial"], dtype=int)
    table = pd.DataFrame({name: dataset[name].values for name in names})
    numbers = table.groupby(names, dropna=False, sort=False).ngroup().to_numpy()
    return _by_parents(dataset, numbers) if "parent" in dataset.coords else numbers


def _by_parents(dataset: xr.Dataset, numbers: Any) -> Any:
    """Tell apart equal configurations that began from checkpoints of different ones."""
    import numpy as np

    rows = {str(trial): row for row, trial in enumerate(dataset["trial"].values)}
    parents = [rows.get(str(parent), -1) for parent in dataset["parent"].values]
    began = dataset["began"].values.tolist()
    found: dict[tuple[int, ...], int] = {}
    told = np.full(len(numbers), -1)
    for row in np.argsort(began, kind="stable"):  # parents first
        line = (int(numbers[row]), began[row], int(told[parents[row]]) if parents[row] >= 0 else -1)
        told[row] = found.setdefault(line, len(found))
    return told


def config_of(dataset: xr.Dataset, index: int, *, replicate: bool = True) -> dict[str, Any]:
    """Give the hyperparameters of a trial by its position, without those that do not exist."""
    names = dataset.attrs["hyperparameters"] if replicate else hyperparameters(dataset)
    config = {name: dataset[name].values[index] for name in names}
    config = {k: v.item() if hasattr(v, "item") else v for k, v in config.items()}
    for name in dataset.attrs.get("conditional", ()):
        if name in config and (config[name] == "" or config[name] != config[name]):
            del config[name]
    return config


def seconds_of(dataset: xr.Dataset) -> Any:
    """Give how long each training takes from its first epoch to its last, as an objective.

    What was collated before there was ``training_seconds`` tells the time of the last stretch.
    """
    return dataset["training_seconds" if "training_seconds" in dataset.coords else SECONDS].values


def trials_table(dataset: xr.Dataset) -> pd.DataFrame:
    """Give a row a trial: hyperparameters, each metric's last value, status, cost.

    Returns
    -------
    pandas.DataFrame
        In the order of the dataset.
    """
    import pandas as pd

    columns: dict[str, Any] = {"trial": dataset["trial"].values}
    for name in dataset.attrs["hyperparameters"]:
        columns[name] = dataset[name].values
    for name, variable in dataset.data_vars.items():
        if variable.dims == ("trial", "epoch"):
            columns[str(name)] = last_values(variable)
        elif variable.dims == ("trial",):
            columns[str(name)] = variable.values
    for name in ("budget", "objective", *ON_TRIAL[1:], *OF_A_SEARCH):
        if name in dataset.coords:
            columns[name] = dataset[name].values
    return pd.DataFrame(columns)


def without_repetition(table: pd.DataFrame) -> pd.DataFrame:
    """Drop ``training_seconds`` from a table for people where nothing went on from a checkpoint."""
    same = "training_seconds" in table and table["training_seconds"].equals(table["seconds"])
    return table.drop(columns="training_seconds") if same else table


def last_values(curves: xr.DataArray) -> Any:
    """Give the last value of each trial's curve: that of the row it reported last.

    A curve that ends in NaN has diverged; but an epoch that was not reported is NaN as well,
    so that the last finite value is taken, and NaN where there is none.
    """
    import numpy as np

    values = curves.values
    if not values.size:
        return np.full(len(values), np.nan)
    reported = np.isfinite(values)
    last = values.shape[1] - 1 - np.argmax(reported[:, ::-1], axis=1)
    return values[np.arange(len(values)), last]


def to_grid(dataset: xr.Dataset) -> xr.Dataset:
    """Unstack the trials of a full grid: one dimension a hyperparameter instead of ``trial``.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.

    Returns
    -------
    xarray.Dataset
        With a dimension for each hyperparameter (and the replicate) that has more than one
        value; points that are not in the dataset are NaN.

    Raises
    ------
    UsageError
        If two trials fall on one point.
    """
    import numpy as np

    axes = [n for n in dataset.attrs["hyperparameters"] if len(np.unique(dataset[n].values)) > 1]
    if not axes:
        return dataset
    plain = dataset.assign_coords(trial_id=("trial", dataset["trial"].values)).drop_vars("trial")
    indexed = plain.set_index(trial=axes)
    if not indexed.indexes["trial"].is_unique:
        raise UsageError(f"two trials have the same {', '.join(axes)}; this is no grid.")
    return indexed.unstack("trial")
