"""The train node: one trial, from its place in the plan to its committed stamp.

A plain function of plain data. It runs in a Dask worker, under GNU make, or in this process.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dasktune.capture import capture
from dasktune.commit import publish, readable_errors, staging, write_atomically
from dasktune.config import TrialSpec, Value
from dasktune.curve import Curve
from dasktune.data import open_data
from dasktune.errors import DasktuneError, MetricError, StampError, TrialCrashed, did_you_mean
from dasktune.fingerprint import digest as digest_of
from dasktune.fingerprint import key as key_of
from dasktune.keys import train_parts
from dasktune.model import save_model
from dasktune.outcome import Outcome, TargetFailed
from dasktune.pipeline import Pipeline
from dasktune.provenance import place, versions
from dasktune.recipe import recipe_pipeline
from dasktune.runfolder import MAX_ATTEMPTS, RunFolder
from dasktune.seeding import seed_everything, threads
from dasktune.stamp import Stamp
from dasktune.store import Store
from dasktune.trial import Emit, Interrupted, Trial


@dataclass(frozen=True)
class TrainTask:
    """All that a train node needs to know, apart from the preprocessed data's digest.

    Attributes
    ----------
    root : str
        The store's folder.
    run : str
        The run's name.
    sources : str
        Digest of the user's sources.
    code : str
        Digest of the train recipe's code.
    spec : TrialSpec
        The trial.
    variables : dict
        The train recipe's variables.
    force : bool
        Whether to train even if a result is there (``-B``).
    ignore_errors, keep_going : bool
        ``-i`` and ``-k``.
    tee : bool
        Whether what the trial prints is shown in the terminal as well.
    """

    root: str
    run: str
    sources: str
    code: str
    spec: TrialSpec
    variables: dict[str, Value] = field(default_factory=dict)
    force: bool = False
    ignore_errors: bool = False
    keep_going: bool = False
    tee: bool = False

    @property
    def target(self) -> str:
        """The target's name."""
        return f"trained/{self.spec.id}"


def train(
    task: TrainTask,
    data: Outcome,
    *,
    worker: str = "none",
    emit: Emit = lambda event: None,
    debug: bool = False,
) -> Outcome:
    """Train one trial and commit its result, unless a good one is there.

    Parameters
    ----------
    task : TrainTask
        What to train.
    data : Outcome
        What became of the preprocessed data.
    worker : str, default "none"
        The worker's name, for the record.
    emit : callable
        Takes small events while it trains.
    debug : bool, default False
        Let an exception of the train function through as it is.

    Returns
    -------
    Outcome
        With ``status`` ``"ok"``, ``"skipped"`` or ``"interrupted"``; ``"failed"`` with `-i`.

    Raises
    ------
    TargetFailed
        If the recipe failed, and errors are not ignored.
    """
    store, run = Store(task.root), RunFolder(Store(task.root).run(task.run))
    spec = task.spec
    parts = train_parts(spec, task.code, task.variables, data.digest)
    key = key_of("train", parts)
    final = store.trained(spec.id, key)
    if data.status != "ok":
        return Outcome(task.target, key, status="skipped", made=False)
    if not task.force:
        try:
            stamp = store.stamp(final)
        except StampError:
            stamp = None
        if stamp is not None:
            return outcome_of(stamp, made=False)
    if run.stopping():
        return Outcome(task.target, key, status="skipped", made=False)

    name = f"{spec.id}-{key}"
    started = time.perf_counter()
    emit({"event": "started", "target": task.target, "worker": worker})
    try:
        if run.begin_attempt(name) > MAX_ATTEMPTS:
            raise TrialCrashed(
                f"its worker process died {MAX_ATTEMPTS} times while it trained "
                "(out of memory, a crash in a library, or killed)."
            )
        with staging(store, name) as folder:
            stamp = _make(task, store, folder, key, parts, data, worker, emit)
            stamp = publish(store, folder, final, stamp, replace=task.force)
        shutil.rmtree(store.checkpoint(spec.id, key), ignore_errors=True)
        shutil.rmtree(store.failed(spec.id, key), ignore_errors=True)
        return outcome_of(stamp, made=True)
    except Interrupted:
        seconds = time.perf_counter() - started
        return Outcome(task.target, key, status="interrupted", seconds=seconds)
    except Exception as error:
        seconds = time.perf_counter() - started
        outcome = Outcome(
            task.target, key, status="failed", seconds=seconds, error=_one_line(error)
        )
        _record_failure(store, spec.id, key, outcome, error)
        if debug:
            raise
        if task.ignore_errors:
            return outcome
        if not task.keep_going:
            run.stop(outcome.target)
        raise TargetFailed(outcome) from None
    finally:
        run.end_attempt(name)


def _make(
    task: TrainTask,
    store: Store,
    folder: str,
    key: str,
    parts: dict[str, Any],
    data: Outcome,
    worker: str,
    emit: Emit,
) -> Stamp:
    pipeline = recipe_pipeline(store, task.sources, "train", task.code)
    spec = task.spec
    trial = Trial(
        spec,
        checkpoint_folder=store.checkpoint(spec.id, key),
        checkpoint_every=pipeline.checkpoint_every,
        stop_flag=RunFolder(store.run(task.run)).interrupt_flag,
        emit=emit,
    )
    with readable_errors(store):
        Path(folder, "log.txt").touch()
    started = time.perf_counter()
    with capture(f"{folder}/log.txt", tee=task.tee) as log, threads(pipeline.threads):
        try:
            splits = open_splits(store, data)
            seed_everything(spec.seed)
            model = pipeline.train(trial, splits, **task.variables)
            splits.check_unchanged()
            value = _value(pipeline, trial.curve)
        except Interrupted:
            raise
        except BaseException as error:
            error.__traceback__ = _without_own_frames(error)
            traceback.print_exception(error, file=log)
            _keep_log(store, spec.id, key, folder)
            raise
    seconds = time.perf_counter() - started
    with readable_errors(store):
        model_digest = save_model(folder, model)
    result = {"value": _json_number(value), "curve": trial.curve.to_json(), "model": model_digest}
    body = {
        "parts": parts,
        "sources": task.sources,
        "axes": {name: value for name, value in spec.axes().items()},
        "variables": dict(task.variables),
        "result": result,
        "resumed_at": trial.resumed_at,
        "place": place(worker),
        "versions": versions(),
        "finished": time.time(),
    }
    return Stamp.of("train", task.target, key, digest_of(result), seconds, body)


def open_splits(store: Store, data: Outcome) -> Any:
    """Open the preprocessed splits that an outcome stands for."""
    folder = store.preprocessed(data.key)
    stamp = store.stamp(folder)
    if stamp is None:
        raise StampError(f"the preprocessed data {folder} is gone; run again to make it.")
    return open_data(f"{folder}/data.zarr", stamp.digest, tuple(stamp.body["splits"]))


def outcome_of(stamp: Stamp, *, made: bool) -> Outcome:
    """Tell what became of a trial from its stamp."""
    value = stamp.body["result"]["value"]
    return Outcome(
        stamp.target,
        stamp.key,
        stamp.digest,
        made=made,
        seconds=stamp.seconds,
        value=None if value is None else float(value),
    )


def _value(pipeline: Pipeline, curve: Curve) -> float:
    metric = pipeline.objective.metric
    value = curve.last(metric)
    if value is None:
        names = curve.names()
        raise MetricError(
            f"train() must report the objective's metric {metric!r} as a number at least once, "
            f"but reported {', '.join(names) or 'nothing'}." + did_you_mean(metric, names)
        )
    return value


def _json_number(value: float) -> float | str:
    return value if abs(value) < float("inf") else str(value)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if len(text) > 500:
        text = text[:500] + "…"
    if isinstance(error, DasktuneError):
        return text
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def _without_own_frames(error: BaseException) -> Any:
    """Drop the frame of this module from a traceback: the user's code comes first."""
    frame = error.__traceback__
    return frame.tb_next if frame is not None and frame.tb_next is not None else frame


def _keep_log(store: Store, trial: str, key: str, folder: str) -> None:
    failed = store.failed(trial, key)
    try:
        os.makedirs(failed, exist_ok=True)
        shutil.copyfile(f"{folder}/log.txt", f"{failed}/log.txt")
    except OSError:
        return  # the failure itself matters more than its log


def _record_failure(
    store: Store, trial: str, key: str, outcome: Outcome, error: BaseException
) -> None:
    failed = store.failed(trial, key)
    tree = {
        "target": outcome.target,
        "error": outcome.error,
        "type": type(error).__name__,
        "seconds": outcome.seconds,
        "when": time.time(),
    }
    try:
        os.makedirs(failed, exist_ok=True)
        write_atomically(f"{failed}/error.json", json.dumps(tree).encode())
    except OSError:
        return
