"""Selection: which trials, in which order, grouped by what."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.domain import literal
from dasktune.errors import UsageError, did_you_mean
from dasktune.objective import SECONDS, Objective
from dasktune.ranking import with_front
from dasktune.results import last_values, seconds_of, trials_table

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def where(dataset: xr.Dataset, condition: str) -> xr.Dataset:
    """Keep the trials that meet a condition.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    condition : str
        A comparison of columns of the table of trials, such as ``"lr > 0.01 and hidden == 64"``
        (as `pandas.DataFrame.query` takes it), or ``"hidden=32,64"`` as on the command line
        of ``make``.

    Raises
    ------
    UsageError
        If it names a column that does not exist, or cannot be read.
    """
    import numpy as np
    import pandas as pd

    table = trials_table(dataset)
    short = re.fullmatch(r"\s*(\w+)\s*=(?!=)\s*(.*)", condition)
    try:
        if short:
            check_columns([short[1]], list(table.columns))
            mask = _among(table[short[1]], short[2])
        else:
            mask = table.eval(condition, engine="python")
    except pd.errors.UndefinedVariableError as error:
        name = re.findall(r"'(\w+)'", str(error))[0]
        raise UsageError(
            f"--where {condition!r}: no column {name!r} in the results."
            + (did_you_mean(name, list(table.columns)) or " Write a text in quotes.")
        ) from None
    except UsageError:
        raise
    except Exception as error:
        text = " ".join(str(error).split())
        raise UsageError(
            f"--where {condition!r} cannot be read ({text}). "
            "Write for instance --where 'lr>0.01 and hidden==64'."
        ) from None
    if not isinstance(mask, pd.Series) or mask.dtype != bool:
        raise UsageError(
            f"--where {condition!r} gives no yes or no for each trial. "
            "Write a comparison, for instance --where 'lr>0.01'."
        )
    return dataset.isel(trial=np.flatnonzero(mask.to_numpy()))


def sort_table(table: pd.DataFrame, column: str, *, descending: bool) -> pd.DataFrame:
    """Sort a table by one of its columns.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    check_columns([column], list(table.columns))
    return table.sort_values(column, ascending=not descending, na_position="last", kind="stable")


def group_table(dataset: xr.Dataset, names: Sequence[str]) -> pd.DataFrame:
    """Group the trials by hyperparameters: the objective's mean and spread over all the others.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    names : sequence of str
        Columns of the table of trials.

    Returns
    -------
    pandas.DataFrame
        A row a group, best first: ``mean``, ``sd``, ``low`` and ``high`` (the 95 % interval of
        the mean), ``min``, ``max``, ``n`` (trials with a value), ``failed`` (those without)
        and ``seconds``.

    Raises
    ------
    UsageError
        If there is no such column.
    """
    from dasktune.ranking import summarise

    table = trials_table(dataset)
    check_columns(names, list(table.columns))
    return summarise(table[list(names)], dataset)


def with_objective(dataset: xr.Dataset, text: str) -> xr.Dataset:
    """Judge the trials by another metric.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    text : str
        Such as ``"min val_loss"``, or several, such as ``"max val_accuracy, min seconds"``.

    Raises
    ------
    UsageError
        If there is no such metric.
    """
    objective = Objective.parse(text)
    for one in objective.all:
        if one.metric != SECONDS:
            metric(dataset, one.metric)
    changed = dataset.drop_vars("front", errors="ignore")
    if objective.metric == SECONDS:
        values = seconds_of(dataset)
    else:
        values = last_values(dataset[objective.metric])
    values = np.where(dataset["status"].values == "ok", values, np.nan)
    changed = changed.assign_coords(objective=("trial", values))
    changed.attrs["objective"] = str(objective)
    return with_front(changed)


def metric(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """Give a metric's curves.

    Raises
    ------
    UsageError
        If there is no such metric, or it is not one number an epoch.
    """
    known = metrics(dataset)
    if name in dataset.coords and dataset[name].dims == ("trial", "epoch"):
        return dataset[name]  # the schedule of a hyperparameter
    if name not in known:
        raise UsageError(f"no metric {name!r} in the results." + did_you_mean(name, known))
    return dataset[name]


def metrics(dataset: xr.Dataset) -> list[str]:
    """List the metrics that are one number an epoch."""
    return [str(n) for n, v in dataset.data_vars.items() if v.dims == ("trial", "epoch")]


def check_columns(names: Sequence[str], known: Sequence[str]) -> None:
    """Make sure that columns exist.

    Raises
    ------
    UsageError
        With what was perhaps meant.
    """
    for name in names:
        if name not in known:
            raise UsageError(f"no column {name!r} in the results." + did_you_mean(name, [*known]))


def _among(column: pd.Series[Any], texts: str) -> pd.Series[Any]:
    """Find the rows whose value is one of some, typed as for ``make``."""
    words = re.split(r",(?![^(\[]*[)\]])", texts)
    if column.dtype.kind in "fiu":
        return column.isin([literal(word) for word in words])
    return column.astype(str).isin(words)
