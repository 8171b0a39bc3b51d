"""The collate node: the metrics of all trials, as one labelled dataset."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune.commit import link_atomically, publish, readable_errors, staging
from dasktune.config import TrialSpec
from dasktune.curve import numbers_of
from dasktune.errors import DataError, MetricError, StampError, did_you_mean
from dasktune.failure import Kind
from dasktune.fingerprint import tree_digest
from dasktune.history import History, coordinates
from dasktune.keys import collate_key
from dasktune.objective import Objective
from dasktune.outcome import Outcome, TargetFailed
from dasktune.preprocess import list_files
from dasktune.provenance import place, versions
from dasktune.recipe import recipe_pipeline
from dasktune.runfolder import RunFolder
from dasktune.stamp import Stamp
from dasktune.store import Store
from dasktune.trial import Emit

if TYPE_CHECKING:
    import xarray as xr

TARGET = "collated"


@dataclass(frozen=True)
class CollateTask:
    """All that the collate node needs to know, apart from what became of the trials.

    Attributes
    ----------
    root, run : str
        The store's folder and the run's name.
    pipeline : str
        The pipeline's name.
    sources, code : str
        Digests of the user's sources and of the collate recipe's code (``""`` without one).
    objective : Objective
        What makes a trial the best.
    specs : tuple of TrialSpec
        The trials, in the order of the design.
    facts : dict
        What a reader of the dataset wants to know of the sweep: see `dasktune.facts`.
    force : bool
        Whether to collate even if a result is there (``-B``).
    ignore_errors : bool
        ``-i``: collate what is there, with failed trials as NaN.
    histories : tuple of History
        What a search did with each trial; empty without a search.
    handed : str
        The file from which to take the trials, and what became of them, where they are too many
        for a message; else ``""``.
    """

    root: str
    run: str
    pipeline: str
    sources: str
    code: str
    objective: Objective
    specs: tuple[TrialSpec, ...] = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict)
    force: bool = False
    ignore_errors: bool = False
    histories: tuple[History, ...] = field(default=(), repr=False)
    handed: str = ""


def collate(
    task: CollateTask,
    outcomes: Sequence[Outcome],
    *,
    worker: str = "none",
    emit: Emit = lambda event: None,
    debug: bool = False,
) -> Outcome:
    """Reduce the trials to one dataset and commit it, unless a good one is there.

    Raises
    ------
    TargetFailed
        If the user's collate recipe failed.
    """
    store, run = Store(task.root), RunFolder(Store(task.root).run(task.run))
    if task.handed:
        specs, outcomes = run.take_over(task.handed)
        task = replace(task, specs=specs)
    key = collate_key(task.code, task.objective, outcomes, task.histories)
    final = store.collated(key)
    waits = (
        ("skipped", "interrupted") if task.ignore_errors else ("skipped", "interrupted", "stopped")
    )
    if any(o.status in waits for o in outcomes):
        return Outcome(TARGET, key, status="skipped", made=False)
    try:
        stamp = None if task.force else store.stamp(final)
    except StampError:
        stamp = None
    if stamp is not None:
        show(store, key)
        return Outcome(TARGET, key, stamp.digest, made=False, seconds=stamp.seconds)
    if run.stopping():
        return Outcome(TARGET, key, status="skipped", made=False)
    emit({"event": "started", "target": TARGET, "worker": worker})
    started = time.perf_counter()
    try:
        facts = {**task.facts, "sources": task.sources}
        dataset = assemble(store, task.specs, outcomes, task.objective, task.pipeline, facts)
        if task.histories:
            dataset = _with_histories(store, dataset, task)
        if task.code:
            recipe = recipe_pipeline(store, task.sources, "collate", task.code).collate
            assert recipe is not None
            dataset = _derived(recipe(dataset))
        with staging(store, key) as folder:
            with readable_errors(store):
                _write(f"{folder}/results.zarr", dataset)
            files = list_files(folder)
            digest = tree_digest((path, sha) for path, _, sha in files)
            body = {
                "files": files,
                "sources": task.sources,
                "trials": len(outcomes),
                "parts": {"code": task.code, "objective": str(task.objective)},
                "place": place(worker),
                "versions": versions(),
                "finished": time.time(),
            }
            seconds = time.perf_counter() - started
            stamp = Stamp.of("collate", TARGET, key, digest, seconds, body)
            stamp = publish(store, folder, final, stamp, replace=task.force)
        show(store, key)
        return Outcome(TARGET, key, stamp.digest, seconds=seconds)
    except Exception as error:
        if debug:
            raise
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        seconds = time.perf_counter() - started
        outcome = Outcome(TARGET, key, status="failed", seconds=seconds, error=text)
        if task.ignore_errors:
            return outcome
        raise TargetFailed(outcome) from error


def _with_histories(store: Store, dataset: xr.Dataset, task: CollateTask) -> xr.Dataset:
    found = coordinates(store, [spec.id for spec in task.specs], task.histories)
    seconds = found.pop("seconds")[1]
    own = dataset["seconds"].values  # of the longest budget, or of a failure
    found["seconds"] = ("trial", np.where(seconds > 0, seconds, own))
    # A metric of the user's with such a name goes first.
    return dataset.assign_coords({n: v for n, v in found.items() if n not in dataset.data_vars})


def show(store: Store, key: str) -> None:
    """Point ``collated.zarr`` at a collation, for people."""
    with readable_errors(store):
        link_atomically(store.view, collation(key))


def collation(key: str) -> str:
    """Name the dataset of a collation, seen from the store's folder."""
    return f"collated/{key}/results.zarr"


def assemble(
    store: Store,
    specs: Sequence[TrialSpec],
    outcomes: Sequence[Outcome],
    objective: Objective,
    pipeline: str,
    facts: dict[str, Any] | None = None,
) -> xr.Dataset:
    """Read the trials' stamps into one dataset.

    Parameters
    ----------
    store : Store
        Where the stamps are.
    specs, outcomes : sequence
        The trials and what became of them, in the same order.
    objective : Objective
        Kept in the dataset's attributes.
    pipeline : str
        The pipeline's name, likewise.
    facts : dict, optional
        What else is known of the sweep, likewise.

    Returns
    -------
    xarray.Dataset
        See `dataset_of`.
    """
    stamps: list[Stamp | None] = []
    for spec, outcome in zip(specs, outcomes, strict=True):
        stamp = None
        if outcome.status == "ok":
            stamp = store.stamp(store.trained(spec.id, outcome.key))
            if stamp is None:
                raise StampError(f"the result of {outcome.target} is gone; run again.")
        stamps.append(stamp)
    stopped = {
        spec.id: store.failure(spec.id, outcome.key).get("curve")
        for spec, outcome in zip(specs, outcomes, strict=True)
        if outcome.status == "stopped"
    }
    return dataset_of(specs, outcomes, stamps, objective, pipeline, facts, stopped)


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
        ``worker``, ``device``, ``key`` and ``objective`` (the value) are coordinates on ``trial``.
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
    places = [body["place"] if body else {} for body in bodies]
    objectives = _values(whole, objective)
    coords |= {
        "objective": ("trial", objectives),
        "status": ("trial", _text([o.status for o in outcomes])),
        "error": ("trial", _text([o.error for o in outcomes])),
        "failure": ("trial", _text(_failures(outcomes, objectives))),
        "seconds": (
            "trial",
            np.array(
                [
                    o.seconds if s is None else s.seconds
                    for o, s in zip(outcomes, stamps, strict=True)
                ]
            ),
        ),
        "finished": ("trial", _times([body.get("finished") if body else None for body in bodies])),
        "worker": ("trial", _text([str(p.get("worker", "")) for p in places])),
        "device": ("trial", _text([str(p.get("device", "")) for p in places])),
        "key": ("trial", _text([o.key for o in outcomes])),
    }
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
    if known and objective.metric not in known:
        names = sorted(known)
        raise MetricError(
            f"no trial reported the objective's metric {objective.metric!r}."
            + did_you_mean(objective.metric, names)
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
        return np.array([numbers_of(value) for value in column], dtype=np.float64)
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


def _derived(dataset: Any) -> xr.Dataset:
    import xarray as xr

    if not isinstance(dataset, xr.Dataset):
        raise DataError(
            "collate() must give back the xarray.Dataset that it got, with more variables, but "
            f"gave {type(dataset).__name__}."
        )
    return dataset


def _write(path: str, dataset: xr.Dataset) -> None:
    dataset = dataset.drop_encoding()
    chunks = {
        str(name): {"chunks": variable.shape}
        for name, variable in dataset.variables.items()
        if variable.ndim and 0 < variable.nbytes <= 256 * 1024**2
    }
    dataset.to_zarr(path, mode="w", zarr_format=3, consolidated=False, encoding=chunks)
