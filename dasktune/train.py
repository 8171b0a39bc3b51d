"""The train node: one trial, from its place in the plan to its committed stamp.

A plain function of plain data. It runs in a Dask worker, under GNU make, or in this process.
"""

from __future__ import annotations

import time
from dataclasses import asdict

from dasktune.capture import capture
from dasktune.commit import staging
from dasktune.failure import pace
from dasktune.job import Job, Superseded, open_splits
from dasktune.outcome import Outcome, TargetFailed
from dasktune.pipeline import Pipeline
from dasktune.recipe import recipe_pipeline
from dasktune.seeding import seed_everything, threads
from dasktune.traintask import TrainTask
from dasktune.trial import Emit, Interrupted, Trial


def train(
    task: TrainTask,
    data: Outcome,
    *,
    worker: str = "none",
    emit: Emit = lambda event: None,
    debug: bool = False,
    alone: str = "",
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
    alone : str, optional
        Why it is not trained together with others, for the record.

    Returns
    -------
    Outcome
        With ``status`` ``"ok"``, ``"skipped"``, ``"interrupted"`` or ``"stopped"``; ``"failed"``
        with `-i`.

    Raises
    ------
    TargetFailed
        If the recipe failed, and errors are not ignored.
    """
    job = Job(task, data, worker)
    known = job.without_training()
    if known is not None:
        return known
    outcome: Outcome | None = None
    while outcome is None:
        outcome = _attempt(job, emit, debug, alone)
    if outcome.status not in ("interrupted", "skipped"):
        emit({"event": "ended", "outcome": asdict(outcome)})
    if outcome.status == "failed" and not task.ignore_errors:
        raise TargetFailed(outcome)
    return outcome


def _attempt(job: Job, emit: Emit, debug: bool, alone: str) -> Outcome | None:
    """Try once; None if it is to be tried again."""
    started = time.perf_counter()
    trial: Trial | None = None
    try:
        known = job.begin()
        if known is not None:
            return known
        with (
            job.tries.company() as welcome,
            staging(job.store, job.tries.staged) as folder,
            job.tries.watch() as beat,
        ):
            if not welcome:
                raise Interrupted
            where = {"worker": job.worker, "log": f"{folder}/log.txt"}
            told = {**where, "version": job.version, "searched": job.task.searched}
            emit({"event": "started", "target": job.task.target, **told})
            pipeline = recipe_pipeline(job.store, job.task.sources, "train", job.task.code)
            trial = job.trial(pipeline, emit, beat)
            return _train(job, pipeline, trial, folder, alone)
    except Interrupted:
        return job.interrupted(time.perf_counter() - started, trial)
    except Superseded:
        return job.passed_over()
    except Exception as error:
        if job.tries.superseded():
            return job.passed_over()
        if not debug and job.tries.forgives(error):
            text = f"{job.task.target} is tried again after {job.tries.past[-1].evidence}"
            emit({"event": "note", "text": text})
            return None
        outcome = job.failed(error, time.perf_counter() - started)
        if debug:
            emit({"event": "ended", "outcome": asdict(outcome)})
            raise
        return outcome
    finally:
        job.tries.end()
        if trial is not None:
            seconds = time.perf_counter() - started
            pace.note(seconds, trial.epochs_trained, checkpoints=trial.can_be_left)


def _train(job: Job, pipeline: Pipeline, trial: Trial, folder: str, alone: str) -> Outcome:
    task = job.task
    started = time.perf_counter()
    with capture(f"{folder}/log.txt", tee=task.tee) as log, threads(pipeline.threads):
        try:
            splits = open_splits(job.store, job.data, task.staging)
            seed_everything(task.spec.seed)
            model = pipeline.train(trial, splits, **task.variables)
            splits.check_unchanged()
            pipeline.objective.reported(trial.curve.last, trial.curve.names())
        except Interrupted:
            if trial.stopped:
                job.keep_log(log.name)
            raise
        except BaseException as error:
            if not job.tries.superseded():
                job.log_failure(error, log)
            raise
    seconds = time.perf_counter() - started
    fused = {"lanes": 1, "why": alone} if alone else None
    return job.commit(folder, trial, model, pipeline, seconds, fused)
