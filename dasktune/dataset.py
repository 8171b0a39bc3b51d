"""The dataset: what the stamps of trials hold, laid out along named dimensions."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.config import TrialSpec
from dasktune.curve import numbers_of
from dasktune.errors import DataError, MetricError, did_you_mean
from dasktune.failure.kind import Kind
from dasktune.objective import SECONDS, Objective
from dasktune.outcome import Outcome
from dasktune.provenance import versions
from dasktune.stamp import Stamp

if TYPE_CHECKING:
    import xarray as xr


def dataset_of(
    specs: Sequence[TrialSpec],
    outcomes: Sequence[Outcome],
    stamps: Sequence[Stamp | None],
    objective: Objective,
    pipeline: str,
    facts: dict[str, Any] | None = None,
    stopped: dict[str, Any] | None = None,
) -> xr.Dataset:
    """Lay what the stamps of trials hold out as one dataset.

    Parameters
    ----------
    specs, outcomes, stamps : sequence
        The trials, what became of them, and their stamps (None without one), in one order.
    objective, pipeline, facts
        Kept in the dataset's attributes.
    stopped : dict of str to dict, optional
        The curves of trials that were stopped by request, which have no stamp.

    Returns
    -------
    xarray.Dataset
        Dimensions ``trial`` and ``epoch`` (and those that a metric brings). Metrics are
        variables of float64, NaN where a trial has no such epoch or failed; one that was
        stopped has its curve up to there, and no ``objective``. Hyperparameters,
        the replicate, ``status``, ``error``, ``failure`` (its kind), ``seconds``, ``finished``,
        ``worker``, ``device``, ``key`` and ``objective`` (the value) are coordinates on ``trial``;
        and ``training_seconds``, how long it took from its first epoch on, where ``seconds``
        is what the last stretch took.
    """
    import xarray as xr

    bodies: list[dict[str, Any] | None] = [s.body if s is not None else None for s in stamps]
    whole = [body["result"]["curve"] if body else None for body in bodies]
    parts = stopped or {}
    curves = [curve or parts.get(s.id) for curve, s in zip(whole, specs, strict=True)]
    epochs = max((curve["epochs"] for curve in curves if curve), default=0)
    variables = _metrics(curves, epochs)
    axes = [spec.axes() for spec in specs]
    names = list(dict.fromkeys(name for of_trial in axes for name in of_trial))
    coords: dict[str, Any] = {
        "trial": ("trial", _text([spec.id for spec in specs])),
        "epoch": ("epoch", np.arange(epochs)),
    }
    for name in names:
        coords[name] = ("trial", _column([of_trial.get(name, _ABSENT) for of_trial in axes]))
    objectives = _values(whole, objective)
    found = list(zip(outcomes, stamps, strict=True))
    places = [body["place"] if body else {} for body in bodies]
    ours = {
        "objective": ("trial", objectives),
        "status": ("trial", _text([o.status for o in outcomes])),
        "error": ("trial", _text([o.error for o in outcomes])),
        "failure": ("trial", _text(_failures(outcomes, objectives))),
        "seconds": (
            "trial",
            np.array([o.seconds if s is None else s.seconds for o, s in found]),
        ),
        "training_seconds": (
            "trial",
            np.array([o.seconds if s is None else s.training_seconds for o, s in found]),
        ),
        "finished": ("trial", _times([body.get("finished") if body else None for body in bodies])),
        "worker": ("trial", _text([str(p.get("worker", "")) for p in places])),
        "device": ("trial", _text([str(p.get("device", "")) for p in places])),
        "key": ("trial", _text([o.key for o in outcomes])),
    }
    if "training_seconds" in {*names, *variables}:  # a pipeline's own, from before
        del ours["training_seconds"]
    coords |= ours
    replicate = next((list(spec.replicate) for spec in specs if spec.replicate), [])
    attrs = {
        "pipeline": pipeline,
        "objective": str(objective),
        "hyperparameters": names,
        "conditional": [name for name in names if any(name not in of_trial for of_trial in axes)],
        "replicate": replicate,
        "versions": json.dumps(versions()),
        "trained_with": json.dumps(_distinct([b.get("versions", {}) for b in bodies if b])),
        "sweep": json.dumps(facts or {}),
    }
    return xr.Dataset(variables, coords, attrs)


def _failures(outcomes: Sequence[Outcome], objectives: np.ndarray[Any, Any]) -> list[str]:
    """Give the kind of each trial's failure; a trial that is well may have come to NaN."""
    return [
        str(Kind.NAN) if outcome.status == "ok" and np.isnan(value) else str(outcome.failure)
        for outcome, value in zip(outcomes, objectives, strict=True)
    ]


def _distinct(found: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
    """Count the trials that each set of versions trained, the most used first."""
    counts = Counter(json.dumps(versions, sort_keys=True) for versions in found)
    return [{"versions": json.loads(text), "trials": n} for text, n in counts.most_common()]


def _times(seconds: Sequence[float | None]) -> np.ndarray[Any, Any]:
    milliseconds = [np.datetime64("NaT") if s is None else round(s * 1000) for s in seconds]
    return np.array(milliseconds, dtype="datetime64[ms]").astype("datetime64[ns]")


def _values(curves: Sequence[dict[str, Any] | None], objective: Objective) -> np.ndarray[Any, Any]:
    """Give each trial's last value of the objective's metric.

    It is looked up in the curve: the objective is no part of a trial's key, so that a stamp may
    have been written when another metric was the objective.
    """
    known = {name for curve in curves if curve for name in curve["columns"]}
    for metric in [o.metric for o in objective.all if o.metric != SECONDS]:
        if known and metric not in known:
            raise MetricError(
                f"no trial reported the objective's metric {metric!r}."
                + did_you_mean(metric, sorted(known))
            )
    values = np.full(len(curves), np.nan)
    for index, curve in enumerate(curves):
        value = objective.last(curve) if curve else None
        if value is not None:
            values[index] = value
    return values


def _metrics(curves: Sequence[dict[str, Any] | None], epochs: int) -> dict[str, Any]:
    names = list(dict.fromkeys(name for curve in curves if curve for name in curve["columns"]))
    variables: dict[str, Any] = {}
    for name in names:
        dims: list[str] = next((c["dims"][name] for c in curves if c and name in c["dims"]), [])
        block: np.ndarray[Any, Any] | None = None
        for index, curve in enumerate(curves):
            column = curve["columns"].get(name) if curve else None
            if column is None:
                continue
            rows = _rows(column, dims)
            if block is None:
                block = np.full((len(curves), epochs, *rows.shape[1:]), np.nan)
            if rows.shape[1:] != block.shape[2:]:
                raise DataError(
                    f"the metric {name!r} has the shape {rows.shape[1:]} in one trial and "
                    f"{block.shape[2:]} in another; a metric must have one shape in all trials."
                )
            block[index, : len(rows)] = rows
        variables[name] = (("trial", "epoch", *dims), block)
    return variables


def _rows(column: list[Any], dims: list[str]) -> np.ndarray[Any, Any]:
    if not dims:
        return np.array(column, dtype=np.float64)  # None is NaN, and a word is read
    shape = next(numbers_of(value).shape for value in column if isinstance(value, list))
    rows = np.full((len(column), *shape), np.nan)
    for row, value in zip(rows, column, strict=True):
        if value is not None:
            row[...] = numbers_of(value)
    return rows


_ABSENT: Any = object()


def _column(values: list[Any]) -> np.ndarray[Any, Any]:
    """Make a coordinate of hyperparameters: numbers if all are, else texts."""
    present = [value for value in values if value is not _ABSENT]
    kinds = {type(value) for value in present}
    complete = len(present) == len(values)
    if kinds == {bool} and complete:
        return np.array(values, dtype=bool)
    if kinds == {int} and complete and all(abs(value) < 2**63 for value in present):
        return np.array(values, dtype=np.int64)
    if kinds and kinds <= {int, float}:
        return np.array([np.nan if v is _ABSENT else float(v) for v in values])
    return _text(["" if v is _ABSENT else _word(v) for v in values])


def _word(value: Any) -> str:
    return "x".join(_word(item) for item in value) if isinstance(value, tuple) else str(value)


def _text(values: list[str]) -> np.ndarray[Any, Any]:
    # Of variable length: a fixed one has no specification in Zarr v3.
    return np.array(values, dtype=object)
