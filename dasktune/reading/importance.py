"""Importance: which hyperparameters the objective depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dasktune.errors import UsageError
from dasktune.ranking import by_first
from dasktune.reading.statistics import robust_limits, varied
from dasktune.reading.study import study_of
from dasktune.results import config_numbers

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LEAST = 4
"""Configurations with a value below which an importance means nothing."""
MOST = 400
"""Configurations that are looked at: fANOVA's time grows faster than their number."""


def importance(dataset: xr.Dataset) -> pd.Series[float]:
    """Give each hyperparameter's share of the objective's variance over the configurations.

    By fANOVA (Optuna's), of the means over the replicates; values far worse than most count as
    the worst of those, so that it is not about the diverged trials alone. Hyperparameters that
    have one value, or that only some configurations have, get none. Of more than 400
    configurations 400 are looked at, drawn at random, the same each time.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.

    Returns
    -------
    pandas.Series
        By hyperparameter, the largest first; shares of 1.

    Raises
    ------
    UsageError
        If Optuna is not installed, or there are too few configurations.
    """
    import pandas as pd

    dataset = by_first(dataset)
    values = dataset["objective"].values
    finite = np.isfinite(values)
    count = len(np.unique(config_numbers(dataset)[finite]))
    names = [n for n in varied(dataset) if n not in dataset.attrs.get("conditional", ())]
    if count < LEAST or not names:
        raise UsageError(
            f"importance needs at least {LEAST} configurations with a value and a hyperparameter "
            f"that varies in all of them, but there are {count} and {len(names)}."
        )
    limits = robust_limits(values, dataset)
    if limits:  # a diverged trial must not be all the variance that there is
        dataset = dataset.assign_coords(objective=dataset["objective"].clip(*limits))
    if np.ptp(values[finite]) == 0:
        raise UsageError("importance needs different values, but all trials have the same.")
    study = study_of(_some(dataset))
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    found = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0), params=names)
    return pd.Series(found, name="importance", dtype=float).sort_values(ascending=False)


def _some(dataset: xr.Dataset) -> xr.Dataset:
    """Give the trials of as many configurations as are looked at."""
    configs = config_numbers(dataset)
    count = int(configs.max()) + 1
    if count <= MOST:
        return dataset
    chosen = np.random.default_rng(0).choice(count, MOST, replace=False)
    return dataset.isel(trial=np.flatnonzero(np.isin(configs, chosen)))
