"""Results: reading a collated dataset, and finding the best in it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.errors import StoreError, UsageError, did_you_mean
from dasktune.objective import Objective

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ON_TRIAL = ("objective", "status", "error", "seconds", "worker", "device", "key")
"""Coordinates on ``trial`` that are no hyperparameters."""


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
        raise StoreError(
            f"no collated dataset at {folder}. Make one with 'dasktune make', or name the "
            "folder dist/<pipeline> or a collated.zarr."
        )
    try:
        dataset: xr.Dataset = xr.open_zarr(folder, chunks=None, consolidated=False).load()
    except Exception as error:
        raise StoreError(f"the dataset {folder} cannot be read: {error}") from error
    if "trial" not in dataset.dims or "objective" not in dataset.attrs:
        raise StoreError(f"{folder} is a Zarr store, but not one that dasktune collated.")
    return dataset


def objective_of(dataset: xr.Dataset) -> Objective:
    """Give the objective that a dataset was collated with."""
    return Objective.parse(dataset.attrs["objective"])


def hyperparameters(dataset: xr.Dataset) -> list[str]:
    """List the hyperparameters of a dataset, without the replicate."""
    replicate = list(dataset.attrs.get("replicate", []))
    return [name for name in dataset.attrs["hyperparameters"] if name not in replicate]


@dataclass(frozen=True)
class Best:
    """The best trial.

    Attributes
    ----------
    trial : str
        Its id.
    config : dict
        Its hyperparameters and replicate; without those that do not exist at its point.
    value : float
        Its objective.
    key : str
        Its key; its folder is ``trained/<trial>-<key>``.
    """

    trial: str
    config: dict[str, Any]
    value: float
    key: str


def best(dataset: xr.Dataset) -> Best | None:
    """Find the best trial of the best configuration, or None if no trial has a value.

    The best configuration has the best mean over its replicates and folds.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    """
    import numpy as np

    values = dataset["objective"].values
    if not np.isfinite(values).any():
        return None
    finite = np.where(np.isfinite(values), values, np.nan)
    names = hyperparameters(dataset)
    if dataset.attrs.get("replicate") and names:
        import pandas as pd

        keys = [dataset[name].values for name in names]
        means = pd.Series(finite).groupby(keys, dropna=False).transform("mean").values
        top = np.nanmax(means) if objective_of(dataset).direction == "max" else np.nanmin(means)
        finite = np.where(means == top, finite, np.nan)
    upwards = objective_of(dataset).direction == "max"
    index = int(np.nanargmax(finite) if upwards else np.nanargmin(finite))
    row = dataset.isel(trial=index)
    config = {name: row[name].item() for name in dataset.attrs["hyperparameters"]}
    for name in dataset.attrs.get("conditional", ()):
        if config[name] == "" or config[name] != config[name]:
            del config[name]
    return Best(str(row["trial"].item()), config, float(values[index]), str(row["key"].item()))


def leaderboard(dataset: xr.Dataset, count: int | None = None) -> pd.DataFrame:
    """Rank the configurations by their mean objective over the replicates.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    count : int, optional
        How many rows; all if not given.

    Returns
    -------
    pandas.DataFrame
        A row a configuration, best first: the hyperparameters, ``mean``, ``sd`` (over
        replicates, NaN for one), ``n`` (replicates with a value) and ``seconds`` (sum).
    """
    import pandas as pd

    names = hyperparameters(dataset)
    table = pd.DataFrame({name: dataset[name].values for name in names})
    table["_value"] = dataset["objective"].values
    table["seconds"] = dataset["seconds"].values
    grouped = (
        table.groupby(names, dropna=False, sort=False) if names else table.groupby(lambda _: 0)
    )
    board = grouped.agg(
        mean=("_value", "mean"),
        sd=("_value", "std"),
        n=("_value", "count"),
        seconds=("seconds", "sum"),
    ).reset_index(drop=not names)
    ascending = objective_of(dataset).direction == "min"
    board = board.sort_values("mean", ascending=ascending, na_position="last", kind="stable")
    board = board.reset_index(drop=True)
    return board if count is None else board.head(count)


def trials_table(dataset: xr.Dataset) -> pd.DataFrame:
    """Give a row a trial: hyperparameters, each metric's last value, status, cost.

    Returns
    -------
    pandas.DataFrame
        In the order of the design.
    """
    import numpy as np
    import pandas as pd

    columns: dict[str, Any] = {"trial": dataset["trial"].values}
    for name in dataset.attrs["hyperparameters"]:
        columns[name] = dataset[name].values
    for name, variable in dataset.data_vars.items():
        if variable.dims == ("trial", "epoch"):
            values = variable.values
            reported = np.isfinite(values)
            last = values.shape[1] - 1 - np.argmax(reported[:, ::-1], axis=1) if values.size else 0
            final = values[np.arange(len(values)), last] if values.size else np.nan
            columns[str(name)] = final
        elif variable.dims == ("trial",):
            columns[str(name)] = variable.values
    for name in ("status", "error", "seconds", "worker", "device", "key"):
        columns[name] = dataset[name].values
    return pd.DataFrame(columns)


def sort_table(table: pd.DataFrame, column: str, *, descending: bool) -> pd.DataFrame:
    """Sort a table by one of its columns.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    if column not in table.columns:
        raise UsageError(
            f"no column {column!r} in the results." + did_you_mean(column, list(table.columns))
        )
    return table.sort_values(column, ascending=not descending, na_position="last", kind="stable")


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


def export(dataset: xr.Dataset, path: str, kind: str) -> None:
    """Write a dataset for other programs.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    path : str
        The file to write.
    kind : {"csv", "netcdf", "parquet", "json"}
        CSV, Parquet and JSON get the table of trials, NetCDF the whole dataset with curves.

    Raises
    ------
    UsageError
        If the library that writes this kind is not installed.
    """
    try:
        if kind == "csv":
            trials_table(dataset).to_csv(path, index=False)
        elif kind == "parquet":
            trials_table(dataset).to_parquet(path, index=False)
        elif kind == "json":
            with open(path, "w") as file:
                json.dump(json.loads(trials_table(dataset).to_json(orient="records")), file)
        else:
            _for_netcdf(dataset).to_netcdf(path)
    except ImportError as error:
        raise UsageError(
            f"--to {kind} needs a library that is not installed ({error.name}). "
            "Install it with: pip install 'dasktune[export]'."
        ) from error


def _for_netcdf(dataset: xr.Dataset) -> xr.Dataset:
    fixed = dataset.copy()
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "U":
            fixed[name] = variable.astype("S")
        elif variable.dtype.kind == "b":
            fixed[name] = variable.astype("int8")
        elif variable.dtype == "int64":
            fixed[name] = variable.astype("float64" if abs(variable).max() >= 2**31 else "int32")
    fixed.attrs = {
        key: value if isinstance(value, str) else ",".join(value)
        for key, value in dataset.attrs.items()
    }
    return fixed
