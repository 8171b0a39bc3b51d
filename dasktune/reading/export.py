"""Export: the results for other programs."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dasktune.errors import StoreError, UsageError
from dasktune.results import trials_table

if TYPE_CHECKING:
    import xarray as xr

_ENDINGS = {
    "netcdf": ".nc",
    "optuna": "-optuna.log",
    "tensorboard": "-tensorboard",
    "mlflow": "-mlflow",
}
_EXTRAS = {"parquet": "export", "optuna": "search"}


def file_name(dataset: xr.Dataset, kind: str) -> str:
    """Name the file that an export writes if none is named: after the pipeline."""
    return f"{dataset.attrs['pipeline']}{_ENDINGS.get(kind, f'.{kind}')}"


def export(dataset: xr.Dataset, path: str, kind: str) -> None:
    """Write a dataset for other programs.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    path : str
        The file to write; a folder for TensorBoard and MLflow.
    kind : {"csv", "json", "parquet", "netcdf", "optuna", "tensorboard", "mlflow"}
        CSV, JSON and Parquet get the table of trials, NetCDF the whole dataset with curves, an
        Optuna study a trial a configuration, TensorBoard and MLflow a run a trial.

    Raises
    ------
    UsageError
        If the library that writes this kind is not installed.
    StoreError
        If the file cannot be written.
    """
    from dasktune.reading.study import save_study
    from dasktune.reading.trackers import save_mlflow, save_tensorboard

    writers: dict[str, Callable[[], Any]] = {
        "csv": lambda: trials_table(dataset).to_csv(path, index=False),
        "json": lambda: trials_table(dataset).to_json(path, orient="records", date_format="iso"),
        "parquet": lambda: trials_table(dataset).to_parquet(path, index=False),
        "netcdf": lambda: _for_netcdf(dataset).to_netcdf(path),
        "optuna": lambda: save_study(dataset, path),
        "tensorboard": lambda: save_tensorboard(dataset, path),
        "mlflow": lambda: save_mlflow(dataset, path),
    }
    try:
        writers[kind]()
    except ImportError as error:
        extra = _EXTRAS.get(kind, kind)
        raise UsageError(
            f"--to {kind} needs a library that is not installed ({error.name}). "
            f"Install it with: pip install 'dasktune[{extra}]'."
        ) from error
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        where = os.fspath(error.filename) if error.filename else path
        raise StoreError(f"cannot write {where}: {error.strerror or error}.") from error


def _for_netcdf(dataset: xr.Dataset) -> xr.Dataset:
    """Give the dataset with no type that NetCDF 3 lacks."""
    fixed = dataset.copy()
    for word in (*map(str, dataset.variables), *map(str, dataset.dims)):
        try:
            word.encode("latin-1")
        except UnicodeEncodeError as error:
            raise UsageError(
                f"NetCDF 3 has no letter for {word[error.start]!r} in the name {word!r}. "
                "Take --to parquet or --to csv, or open the Zarr store itself."
            ) from error
    for name, variable in dataset.variables.items():
        if variable.dtype.kind == "U":
            fixed[name] = variable.astype("S")
        elif variable.dtype.kind == "b":
            fixed[name] = variable.astype("int8")
        elif variable.dtype == "int64":
            large = bool((abs(variable) >= 2**31).any())
            fixed[name] = variable.astype("float64" if large else "int32")
    fixed.attrs = {
        key: value if isinstance(value, str) else _text(value)
        for key, value in dataset.attrs.items()
    }
    return fixed


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
