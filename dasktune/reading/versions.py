"""Versions: results of several versions of the code, or of several runs, along one dimension."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import DataError, UsageError
from dasktune.results import ON_TRIAL

if TYPE_CHECKING:
    import xarray as xr


def by_version(found: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Lay results out along the dimension ``version``, trial beside trial.

    Trials are the same if they have the same hyperparameters and replicate.

    Parameters
    ----------
    found : mapping of str to xarray.Dataset
        Collated datasets by the names of their versions.

    Returns
    -------
    xarray.Dataset
        Dimensions ``version``, ``trial`` and ``epoch``: metrics, ``objective``, ``status``,
        ``seconds``, ``key`` and so forth are of each version, hyperparameters of the trial.
        What a version has not trained is NaN, its ``status`` ``"absent"``.

    Raises
    ------
    UsageError
        If there is none.
    DataError
        If a metric has different dimensions in two of them.
    """
    import xarray as xr

    if not found:
        raise UsageError("there are no versions to be laid out.")
    datasets = list(found.values())
    trials = list(dict.fromkeys(str(t) for d in datasets for t in d["trial"].values))
    place = {trial: row for row, trial in enumerate(trials)}
    rows = [np.array([place[str(t)] for t in d["trial"].values], dtype=int) for d in datasets]
    epochs = max(d.sizes["epoch"] for d in datasets)
    shape = (len(datasets), len(trials))
    coords: dict[str, Any] = {
        "version": ("version", _text(list(found))),
        "trial": ("trial", _text(trials)),
        "epoch": ("epoch", np.arange(epochs)),
    }
    names = list(dict.fromkeys(n for d in datasets for n in d.attrs["hyperparameters"]))
    for name in names:
        coords[name] = ("trial", _of_trials(name, datasets, rows, len(trials)))
    for name in ON_TRIAL:
        known = [d for d in datasets if name in d.coords]
        if known:
            block = _blank(known[0][name].values.dtype, shape, "absent" if name == "status" else "")
            for number, (dataset, at) in enumerate(zip(datasets, rows, strict=True)):
                if name in dataset.coords:
                    block[number, at] = dataset[name].values
            coords[name] = (("version", "trial"), block)
    metrics = [str(n) for d in datasets for n, v in d.data_vars.items() if "trial" in v.dims]
    variables = {n: _metric(n, datasets, rows, shape, epochs) for n in dict.fromkeys(metrics)}
    kept = ("pipeline", "objective", "replicate")
    attrs = {name: datasets[0].attrs[name] for name in kept if name in datasets[0].attrs}
    lacking = [n for n in names if any(n not in d.attrs["hyperparameters"] for d in datasets)]
    conditional = [n for d in datasets for n in d.attrs.get("conditional", ())]
    attrs |= {"hyperparameters": names, "conditional": list(dict.fromkeys(conditional + lacking))}
    return xr.Dataset(variables, coords, attrs)


def _of_trials(name: str, datasets: list[xr.Dataset], rows: list[Any], count: int) -> Any:
    """Give a hyperparameter of all trials, from the versions that have them."""
    values: list[Any] = [None] * count
    for dataset, at in zip(datasets, rows, strict=True):
        if name in dataset.coords:
            for row, value in zip(at, dataset[name].values.tolist(), strict=True):
                values[row] = value
    present = {type(value) for value in values}
    if present <= {int, float, type(None)} and present != {int}:
        return np.array([np.nan if value is None else float(value) for value in values])
    if present in ({int}, {bool}):
        return np.array(values)
    return _text(["" if value is None else str(value) for value in values])


def _metric(
    name: str, datasets: list[xr.Dataset], rows: list[Any], shape: tuple[int, int], epochs: int
) -> tuple[tuple[str, ...], Any]:
    known = [(i, d[name]) for i, d in enumerate(datasets) if name in d.data_vars]
    dims = [str(dim) for dim in known[0][1].dims]
    first = known[0][1].transpose("trial", *[dim for dim in dims if dim != "trial"])
    dims = [str(dim) for dim in first.dims][1:]
    sizes = [epochs if dim == "epoch" else first.sizes[dim] for dim in dims]
    block = _blank(first.values.dtype, (*shape, *sizes), "")
    for number, variable in known:
        if set(variable.dims) != {"trial", *dims} or any(
            variable.sizes[dim] != size
            for dim, size in zip(dims, sizes, strict=True)
            if dim != "epoch"
        ):
            raise DataError(f"the metric {name!r} has other dimensions in another version.")
        values = variable.transpose("trial", *dims).values
        inner = tuple(slice(size) for size in values.shape[1:])
        for row, of_trial in zip(rows[number], values, strict=True):
            block[(number, row, *inner)] = of_trial
    return ("version", "trial", *dims), block


def _blank(dtype: Any, shape: tuple[int, ...], text: str) -> Any:
    if np.dtype(dtype).kind == "M":
        return np.full(shape, np.datetime64("NaT", "ns"))
    if np.dtype(dtype).kind in "fiub":
        return np.full(shape, np.nan)
    return np.full(shape, text, dtype=object)


def _text(values: list[str]) -> Any:
    return np.array(values, dtype=object)
