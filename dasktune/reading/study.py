"""An Optuna study of the results: for its dashboard, and for its hyperparameter importances."""

from __future__ import annotations

import datetime
import json
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.errors import UsageError
from dasktune.ranking import objective_values
from dasktune.reading.selection import metrics
from dasktune.results import config_numbers, config_of, hyperparameters, objective_of

if TYPE_CHECKING:
    import xarray as xr


def save_study(dataset: xr.Dataset, path: str) -> None:
    """Write an Optuna study, which ``optuna-dashboard PATH`` opens.

    Parameters
    ----------
    dataset : xarray.Dataset
        A collated dataset.
    path : str
        An Optuna journal; or, if it ends in ``.db``, an SQLite file, which takes ten times as
        long to write. It is replaced.
    """
    optuna = _optuna()
    journal = not path.endswith(".db")
    if os.path.exists(path):
        os.unlink(path)
    if journal:
        backend = optuna.storages.journal.JournalFileBackend(path)
        storage: Any = optuna.storages.JournalStorage(backend)
    else:
        storage = optuna.storages.RDBStorage(f"sqlite:///{os.path.abspath(path)}")
    try:
        _fill(dataset, storage)
    finally:
        if not journal:
            storage.engine.dispose()


def study_of(dataset: xr.Dataset) -> Any:
    """Give the study in memory."""
    return _fill(dataset, _optuna().storages.InMemoryStorage())


def _fill(dataset: xr.Dataset, storage: Any) -> Any:
    """Fill a study with a trial a configuration: its mean over the replicates.

    Optuna knows no replicates. With their mean, its best and its importances are of the
    configurations, and not of the noise; the single values are among the attributes.
    """
    optuna = _optuna()
    objective = objective_of(dataset)
    directions = ["maximize" if o.direction == "max" else "minimize" for o in objective.all]
    study = optuna.create_study(
        storage=storage, study_name=str(dataset.attrs["pipeline"]), directions=directions
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental", for three years now
        study.set_metric_names([o.metric for o in objective.all])
    for name, text in _about(dataset).items():
        study.set_user_attr(name, text)
    study.add_trials(_frozen_trials(dataset, optuna))
    return study


def _about(dataset: xr.Dataset) -> dict[str, str]:
    """Say what the sweep is, a line each: Optuna's dashboard shows them in a table."""
    sweep = json.loads(dataset.attrs.get("sweep", "{}"))
    told = {"file": sweep.get("file"), "about": sweep.get("about"), "design": sweep.get("design")}
    variables = sweep.get("variables", {}).items()
    told["variables"] = ", ".join(f"{name}={value}" for name, value in variables)
    told |= {f"space: {name}": d.get("text") for name, d in sweep.get("space", {}).items()}
    told["partial"] = "the sweep was not over" if "partial" in dataset.attrs else ""
    return {name: str(text) for name, text in told.items() if text}


def _frozen_trials(dataset: xr.Dataset, optuna: Any) -> list[Any]:
    distributions = _distributions(dataset, optuna.distributions)
    configs = config_numbers(dataset)
    order = np.argsort(configs, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(configs[order])) + 1)
    objective = objective_of(dataset)
    curves = dataset[objective.metric].values if objective.metric in metrics(dataset) else None
    values = objective_values(dataset)
    ended = dataset["finished"].values if "finished" in dataset.coords else None
    known = {
        name: dataset[name].values for name in ("trial", "status", "error", "objective", "seconds")
    }
    last = _ended(ended, order, datetime.datetime.now())
    frozen = []
    for group in groups:
        config = config_of(dataset, int(group[0]), replicate=False)
        chosen = {name: _plain(value) for name, value in config.items() if name in distributions}
        finite = values[group][np.isfinite(values[group]).all(axis=1)]
        end = _ended(ended, group, last)
        going = (known["status"][group] == "running").any()
        states = optuna.trial.TrialState
        state = states.RUNNING if going else states.COMPLETE if len(finite) else states.FAIL
        complete = state is states.COMPLETE
        frozen.append(
            optuna.trial.create_trial(
                state=state,
                values=finite.mean(axis=0).tolist() if complete else None,
                params=chosen,
                distributions={name: distributions[name] for name in chosen},
                user_attrs=_attributes(known, group),
                intermediate_values=_mean_curve(curves, group),
            )
        )
        seconds = float(np.nansum(known["seconds"][group]))
        frozen[-1].datetime_complete = None if going else end
        frozen[-1].datetime_start = end - datetime.timedelta(seconds=seconds)
    return frozen


def _ended(ended: Any, group: Any, unknown: datetime.datetime) -> datetime.datetime:
    """Give when the last of some trials ended; of those that failed it is not known."""
    known: Any = ended[group][~np.isnat(ended[group])] if ended is not None else ()
    if not len(known):
        return unknown
    return datetime.datetime.fromtimestamp(known.max().astype("datetime64[us]").astype(int) / 1e6)


def _mean_curve(curves: Any, group: Any) -> dict[int, float]:
    if curves is None:
        return {}
    block = curves[group]
    finite = np.isfinite(block)
    mean = np.where(finite, block, 0).sum(axis=0) / np.maximum(finite.sum(axis=0), 1)
    return {int(epoch): float(mean[epoch]) for epoch in np.flatnonzero(finite.any(axis=0))}


def _attributes(known: dict[str, Any], group: Any) -> dict[str, Any]:
    errors = [str(error) for error in known["error"][group]]
    attributes: dict[str, Any] = {
        "trials": [str(trial) for trial in known["trial"][group]],
        "values": [_json(value) for value in known["objective"][group]],
        "seconds": [_json(value) for value in known["seconds"][group]],
    }
    if any(errors):
        attributes["errors"] = errors
    return attributes


def _distributions(dataset: xr.Dataset, kinds: Any) -> dict[str, Any]:
    """Give each hyperparameter that varies the distribution that holds all its values."""
    domains = json.loads(dataset.attrs.get("sweep", "{}")).get("space", {})
    found = {}
    for name in hyperparameters(dataset):
        values = dataset[name].values
        present = values[~(values == "")] if values.dtype.kind in "OUT" else values
        if present.dtype.kind == "f":
            present = present[np.isfinite(present)]
        domain = domains.get(name, {})
        if not len(present):
            continue
        if present.dtype.kind in "if" and domain.get("domain") not in ("Choice", "Constant"):
            low, high = present.min().item(), present.max().item()
            log = bool(domain.get("log", low > 0 and high >= 100 * low))
            integral = present.dtype.kind == "i"
            kind = kinds.IntDistribution if integral else kinds.FloatDistribution
            found[name] = kind(low, high, log=log and low > 0)
        else:
            choices = sorted({_plain(value) for value in present}, key=lambda v: (str(type(v)), v))
            found[name] = kinds.CategoricalDistribution(choices)
    return found


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return value if isinstance(value, (bool, int, float)) else str(value)


def _json(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise UsageError(
            "an Optuna study needs Optuna. Install it with: pip install 'dasktune[search]'."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
