"""The ranking: the best configuration, the leaderboard, and fronts where objectives are several."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dasktune.errors import UsageError, did_you_mean
from dasktune.objective import SECONDS, Objective
from dasktune.pareto import fronts
from dasktune.results import (
    config_numbers,
    config_of,
    hyperparameters,
    last_values,
    objective_of,
    seconds_of,
)

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class Best:
    """The best configuration, and its best trial.

    Attributes
    ----------
    trial : str
        The id of the best replicate of the configuration with the best mean.
    config : dict
        Its hyperparameters and replicate; without those that do not exist at its point.
    value : float
        Its objective.
    key : str
        Its key; its folder is ``trained/<trial>-<key>``.
    mean : float
        The mean over the configuration's replicates.
    """

    trial: str
    config: dict[str, Any]
    value: float
    key: str
    mean: float


def best(dataset: xr.Dataset, objective: str = "") -> Best | None:
    """Find the best configuration by its mean over the replicates, and the best trial of it.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    objective : str, optional
        Which of several objectives counts: its metric, or as ``"max val_accuracy"``.

    Returns
    -------
    Best or None
        None if no trial has a value.

    Raises
    ------
    UsageError
        If there are several objectives, hence a front and no best, and none is named.
    """
    import numpy as np

    if objective:
        dataset = by_objective(dataset, objective)
    elif objective_of(dataset).others:
        several = objective_of(dataset)
        count = len(np.unique(config_numbers(dataset)[front_of(dataset) == 1]))
        raise UsageError(
            f"with several objectives ({several}) there is no best configuration but a front, "
            f"of {count}: see leaderboard(), or name one, as in best({several.metric!r})."
        )
    values = dataset["objective"].values
    finite = np.isfinite(values)
    if not finite.any():
        return None
    sign = objective_of(dataset).sign
    configs = config_numbers(dataset)
    counts = np.bincount(configs[finite], minlength=configs.max() + 1)
    sums = np.bincount(configs[finite], values[finite], minlength=configs.max() + 1)
    means = np.where(counts, sign * sums / np.maximum(counts, 1), -np.inf)
    chosen = int(np.argmax(means))
    score = np.where(finite & (configs == chosen), sign * np.where(finite, values, 0), -np.inf)
    index = int(np.argmax(score))
    row = dataset.isel(trial=index)
    return Best(
        str(row["trial"].item()),
        config_of(dataset, index),
        float(values[index]),
        str(row["key"].item()),
        float(sign * means[chosen]),
    )


def leaderboard(dataset: xr.Dataset, count: int | None = None) -> pd.DataFrame:
    """Rank the configurations by their mean objective over the replicates.

    With several objectives the Pareto front comes first, then the front behind it, and so on.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    count : int, optional
        How many rows; all if not given.

    Returns
    -------
    pandas.DataFrame
        A row a configuration, best first: the hyperparameters, and the columns of `summarise`;
        with replicates also ``rank``, the mean of its ranks among the trials of each replicate;
        with several objectives also ``front``, from 1, 0 for one without a value.
    """
    import pandas as pd

    names = hyperparameters(dataset)
    table = pd.DataFrame({name: dataset[name].values for name in names})
    if "began" in dataset.coords:  # equal ones may have begun from different checkpoints
        table = table.assign(began=dataset["began"].values, _line=config_numbers(dataset))
    board = summarise(table, dataset, _ranks(dataset)).drop(columns="_line", errors="ignore")
    objective = objective_of(dataset)
    if objective.others:
        columns = [("mean", objective), *((f"mean {o.metric}", o) for o in objective.others)]
        points = [[o.sign * value for value in board[name]] for name, o in columns]
        found = fronts(list(zip(*points, strict=True)))
        board.insert(len(names), "front", found)
        order = board["front"].where(board["front"] > 0).sort_values(kind="stable").index
        board = board.loc[order].reset_index(drop=True)
    return board if count is None else board.head(count)


def summarise(
    table: pd.DataFrame, dataset: xr.Dataset, means: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Summarise the objective over the trials that have the same values in a table's columns.

    Parameters
    ----------
    table : pandas.DataFrame
        A row a trial, of what to group by; all trials are one group without any column.
    dataset : xarray.Dataset
        The trials.
    means : mapping of str to array, optional
        Further values, one a trial, whose means are wanted.

    Returns
    -------
    pandas.DataFrame
        A row a group, best first: the table's columns, ``mean``, ``sd`` (NaN for one value),
        ``low`` and ``high`` (the 95 % interval of the mean, by Student's t), ``min``, ``max``,
        ``n`` (trials with a value), ``failed`` (those without) and ``seconds`` (sum). With
        several objectives these are of the first, and the means of the others follow as
        ``mean <metric>``.
    """
    import numpy as np
    from scipy.special import stdtrit  # scipy.stats takes half a second to import

    names = list(table.columns)
    values = dataset["objective"].values
    columns = objective_values(dataset)
    means = dict(means or {}) | {
        f"mean {o.metric}": columns[:, i + 1] for i, o in enumerate(objective_of(dataset).others)
    }
    table = table.assign(
        **means,
        _value=np.where(np.isfinite(values), values, np.nan),
        _seconds=dataset["seconds"].values,
        _one=(dataset["status"].values != "running").astype(int),
    )
    grouped = (
        table.groupby(names, dropna=False, sort=False) if names else table.groupby(lambda _: 0)
    )
    board = grouped.agg(
        mean=("_value", "mean"),
        sd=("_value", "std"),
        min=("_value", "min"),
        max=("_value", "max"),
        n=("_value", "count"),
        failed=("_one", "sum"),
        seconds=("_seconds", "sum"),
        **{name: (name, "mean") for name in means},
    ).reset_index(drop=not names)
    board["failed"] -= board["n"]
    half = stdtrit(np.maximum(board["n"] - 1, 1), 0.975) * board["sd"] / np.sqrt(board["n"])
    board.insert(len(names) + 2, "low", board["mean"] - half)
    board.insert(len(names) + 3, "high", board["mean"] + half)
    ascending = objective_of(dataset).direction == "min"
    board = board.sort_values("mean", ascending=ascending, na_position="last", kind="stable")
    return board.reset_index(drop=True)


def _ranks(dataset: xr.Dataset) -> dict[str, Any]:
    """Rank the trials of each replicate, the best as 1, if there are several replicates."""
    import numpy as np
    import pandas as pd

    axes = [dataset[name].values for name in dataset.attrs.get("replicate", [])]
    if not axes or all(len(np.unique(axis)) < 2 for axis in axes):
        return {}
    values = dataset["objective"].values
    found = pd.Series(np.where(np.isfinite(values), values, np.nan)).groupby(axes)
    return {"rank": found.rank(ascending=objective_of(dataset).direction == "min").to_numpy()}


def objective_values(dataset: xr.Dataset) -> Any:
    """Give the value of each objective: an array (trial, objective), NaN where there is none."""
    import numpy as np

    columns = [dataset["objective"].values]
    good = dataset["status"].values == "ok"
    for objective in objective_of(dataset).others:
        name = objective.metric
        if name == SECONDS:
            values = seconds_of(dataset)
        elif name in dataset:
            values = last_values(dataset[name])
        else:  # no trial has come so far
            values = np.full(len(good), np.nan)
        columns.append(np.where(good, values, np.nan))
    return np.stack(columns, axis=1)


def front_of(dataset: xr.Dataset) -> Any:
    """Number the front of each trial's configuration, by the means over its replicates.

    Returns
    -------
    array of int
        1 for the Pareto front, 2 for the one behind it, and so on; 0 without a value.
    """
    import numpy as np

    values = objective_values(dataset)
    if not len(values):
        return np.zeros(0, dtype=np.int64)
    configs = config_numbers(dataset)
    known = np.isfinite(values).all(axis=1)
    counts = np.bincount(configs[known], minlength=configs.max() + 1)
    means = np.full((len(counts), values.shape[1]), np.nan)
    for column, objective in enumerate(objective_of(dataset).all):
        sums = np.bincount(configs[known], values[known, column], minlength=len(counts))
        means[counts > 0, column] = objective.sign * sums[counts > 0] / counts[counts > 0]
    return fronts(means.tolist())[configs]


def with_front(dataset: xr.Dataset) -> xr.Dataset:
    """Give a dataset the coordinate ``front``, if it has several objectives."""
    if not objective_of(dataset).others:
        return dataset
    return dataset.assign_coords(front=("trial", front_of(dataset)))


def by_first(dataset: xr.Dataset) -> xr.Dataset:
    """Judge a dataset of several objectives by the first; another stays as it is."""
    objective = objective_of(dataset)
    return dataset.assign_attrs(objective=str(objective.first)) if objective.others else dataset


def by_objective(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """Judge a dataset by one of its objectives.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    name : str
        The metric, or the objective as it was written.

    Raises
    ------
    UsageError
        If it is none of them.
    """
    several: tuple[Objective, ...] = objective_of(dataset).all
    for number, objective in enumerate(several):
        if name in (objective.metric, str(objective)):
            values = objective_values(dataset)[:, number]
            changed = dataset.assign_coords(objective=("trial", values))
            return changed.assign_attrs(objective=str(objective))
    raise UsageError(
        f"no objective {name!r} in these results, whose objective is {objective_of(dataset)}."
        + did_you_mean(name, [objective.metric for objective in several])
    )
