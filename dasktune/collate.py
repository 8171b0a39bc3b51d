"""The collate node: the metrics of all trials, as one labelled dataset."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from dasktune import descent
from dasktune.arrival import awaited
from dasktune.commit import link_atomically, publish, readable_errors, staging
from dasktune.config import TrialSpec
from dasktune.dataset import dataset_of
from dasktune.errors import DataError, StampError
from dasktune.fingerprint import tree_digest
from dasktune.history import History, coordinates
from dasktune.keys import collate_key
from dasktune.objective import Objective
from dasktune.outcome import Outcome, TargetFailed
from dasktune.preprocess import list_files
from dasktune.provenance import place, versions
from dasktune.ranking import with_front
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
        specs, outcomes = awaited(lambda: run.take_over(task.handed), f"{run.path}/{task.handed}")
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
        dataset = with_front(dataset)
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
    found: dict[str, Any] = dict(
        coordinates(store, [spec.id for spec in task.specs], task.histories)
    )
    seconds = found.pop("seconds")[1]
    own = dataset["seconds"].values  # of the longest budget, or of a failure
    found["seconds"] = ("trial", np.where(seconds > 0, seconds, own))
    budgets = found["budget"][1].tolist()
    found |= descent.coordinates(task.specs, budgets, dataset.sizes["epoch"])
    # A metric of the user's with such a name goes first.
    return dataset.assign_coords({n: v for n, v in found.items() if n not in dataset.data_vars})


def show(store: Store, key: str) -> None:
    """Point ``collated.zarr`` at a collation, for people."""
    with readable_errors(store):
        link_atomically(store.view, collation(key))


def collation(key: str) -> str:
    """Name the dataset of a collation, seen from the store's folder."""
    return f"collated/{key}/results.zarr"


def _told(store: Store, folder: str, digest: str) -> Stamp:
    """Read the stamp that a worker told of; a shared folder may show it late, or an older one."""

    def read() -> Stamp | None:
        stamp = store.stamp(folder)
        return stamp if stamp is not None and stamp.digest == digest else None

    return awaited(read, f"{folder}/.stamp")


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
            stamp = _told(store, store.trained(spec.id, outcome.key), outcome.digest)
        stamps.append(stamp)
    stopped = {
        spec.id: store.failure(spec.id, outcome.key).get("curve")
        for spec, outcome in zip(specs, outcomes, strict=True)
        if outcome.status == "stopped"
    }
    return dataset_of(specs, outcomes, stamps, objective, pipeline, facts, stopped)


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
