"""A job: one trial on its way from the plan to its committed stamp."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import time
import traceback
from collections.abc import Callable
from typing import Any

from dasktune.arrival import awaited, patience
from dasktune.checkpoint import drop_passing
from dasktune.commit import publish, readable_errors
from dasktune.data import Data, Staging, open_data
from dasktune.errors import StampError, TrialLost
from dasktune.failedrecord import STOPPED, FailedRecord, one_line, without_own_frames
from dasktune.failure.kind import Kind, cause_of, kind_of
from dasktune.fingerprint import digest as digest_of
from dasktune.fingerprint import key as key_of
from dasktune.keys import lineage, train_parts, version
from dasktune.model import save_card, save_model
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.pipeline import Pipeline
from dasktune.provenance import place, versions
from dasktune.runfolder import RunFolder
from dasktune.stamp import Stamp
from dasktune.store import Store, damaged_file
from dasktune.traintask import TrainTask
from dasktune.trial import Emit, Trial
from dasktune.tries import Tries


class Job:
    """One trial on its way from the plan to its committed stamp.

    Parameters
    ----------
    task : TrainTask
        What to train.
    data : Outcome
        What became of the preprocessed data.
    worker : str
        The worker's name, for the record.

    Attributes
    ----------
    store : Store
        Where the result belongs.
    run : RunFolder
        The run's folder.
    parts : dict
        What goes into the key.
    key : str
        The result's key.
    name : str
        Trial and key.
    checkpoints : str
        The folder of the training's checkpoints.
    tries : Tries
        The tries at it.
    """

    def __init__(self, task: TrainTask, data: Outcome, worker: str) -> None:
        self.task = task
        self.data = data
        self.worker = worker
        self.store = Store(task.root)
        self.run = RunFolder(self.store.run(task.run))
        self.parts = train_parts(task.spec, task.code, task.variables, data.digest)
        self.key = key_of("train", self.parts)
        self.name = f"{task.spec.id}-{self.key}"
        self.checkpoints = self.store.checkpoints(task.spec.id, lineage(self.parts, task.budget))
        self.tries = Tries(
            self.store,
            task.run,
            self.name,
            worker,
            task.tolerance,
            self.checkpoints,
            self._budget,
        )
        self._record = FailedRecord(self.store, task.spec.id, self.key)

    def without_training(self) -> Outcome | None:
        """Tell what became of the trial if it need not, or may not, be trained."""
        skipped = Outcome(self.task.target, self.key, status="skipped", made=False)
        if self.data.status != "ok":
            return skipped
        found = self._found() or self._failed_before()
        if found is not None:
            return found
        return skipped if self.run.stopping() else None

    def _found(self) -> Outcome | None:
        """Look for the result; with ``-B``, for one that this very run has made."""
        try:
            stamp = self.store.stamp(self._final)
        except StampError:
            return None
        if stamp is None:
            return None
        ours = stamp.body.get("run") == self.task.run
        return None if self.task.force and not ours else outcome_of(stamp, made=ours)

    def _failed_before(self) -> Outcome | None:
        """Look for a failure in this very run, whose word a lost worker took with it."""
        record = self.store.failure(self.task.spec.id, self.key)
        if record.get("run") != self.task.run:
            return None
        return Outcome(
            self.task.target,
            self.key,
            status="stopped" if record["type"] == STOPPED else "failed",
            seconds=record["seconds"],
            error=record["error"],
            failure=record["failure"],
            cause=record["cause"],
        )

    def begin(self) -> Outcome | None:
        """Begin to train, unless it turns out that an older attempt has published.

        With ``-B``, the checkpoints of earlier runs are forgotten.

        Raises
        ------
        TrialLost
            If what befell earlier attempts tells that another one is of no use.
        """
        if self.tries.begin():
            found = self._found()
            if found is not None:
                return found
            self.tries.judge()
        if self.task.force and self.run.first_time(os.path.basename(self.checkpoints)):
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        return None

    def trial(self, pipeline: Pipeline, emit: Emit, beat: Callable[[], None]) -> Trial:
        """Give what the train function is given."""
        return Trial(
            self.task.spec,
            origin_folder=self._origin_folder(),
            checkpoint_folder=self.checkpoints,
            checkpoint_every=pipeline.checkpoint_every,
            budget=self._budget,
            stop_flag=self.run.interrupt_flag,
            end_flag=self.run.end_flag(self.task.spec.id),
            emit=emit,
            beat=beat,
            superseded=self.tries.superseded,
        )

    @property
    def _budget(self) -> int | None:
        budget = self.task.variables.get(self.task.budget)
        return budget if isinstance(budget, int) else None

    def _origin_folder(self) -> str:
        """Name the checkpoints of the trial from whose checkpoint this one begins."""
        task, origin = self.task, self.task.spec.origin
        if origin is None or origin.spec is None or task.origin_variables is None:
            return ""
        parts = train_parts(origin.spec, task.code, task.origin_variables, self.data.digest)
        return self.store.checkpoints(origin.trial, lineage(parts, task.budget))

    def commit(
        self,
        folder: str,
        trial: Trial,
        model: Any,
        pipeline: Pipeline,
        seconds: float,
        fused: dict[str, Any] | None = None,
    ) -> Outcome:
        """Write the result into a staging folder, and put it in its place.

        Parameters
        ----------
        folder : str
            The staging folder.
        trial : Trial
            After training, with its curve.
        model : object
            What the train function gave back.
        pipeline : Pipeline
            For the objective.
        seconds : float
            How long it took.
        fused : dict, optional
            How many trials were trained as one, and why.
        """
        trial.check_origin()
        value = pipeline.objective.reported(trial.curve.last, trial.curve.names())
        with readable_errors(self.store):
            model_digest = save_model(folder, model)
            if model is not None:
                save_card(folder, self._card(pipeline))
        result = {
            "value": value if math.isfinite(value) else str(value),
            "curve": trial.curve.to_json(),
            "model": model_digest,
        }
        body = {
            "parts": self.parts,
            "run": self.task.run,
            "sources": self.task.sources,
            "axes": dict(self.task.spec.axes()),
            "variables": dict(self.task.variables),
            "searched": self.task.searched,
            "objective": str(pipeline.objective),
            "result": result,
            "resumed_at": trial.resumed_at,
            "training_seconds": round(trial.seconds_before + seconds, 6),
            "place": place(self.worker),
            "versions": versions(),
            "finished": time.time(),
        }
        if fused:
            body["fused"] = fused
        self.tries.hear()
        if self.tries.past:
            body["setbacks"] = [setback.to_json() for setback in self.tries.past]
        digest = digest_of(result)
        stamp = Stamp.of("train", self.task.target, self.key, digest, seconds, body)
        if self.tries.superseded():
            raise Superseded
        stamp = publish(self.store, folder, self._final, stamp, replace=self.task.force)
        if self.task.budget:
            drop_passing(self.checkpoints)
        else:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
        self._record.remove()
        return outcome_of(stamp, made=True)

    def _card(self, pipeline: Pipeline) -> dict[str, Any]:
        """Say how the model is built again, for people and for `dasktune.kept.load_model`."""
        spec, recipe = self.task.spec, pipeline.train
        return {
            "trial": spec.id,
            "key": self.key,
            "config": dict(spec.config),
            "replicate": dict(spec.replicate),
            "seed": spec.seed,
            "builder": getattr(getattr(recipe, "model", None), "__qualname__", None),
            "sources": self.task.sources,
            "data": self.data.key,
            "versions": versions(),
        }

    @property
    def version(self) -> str:
        """Name what this trial has in common with all others of its sweep."""
        return version(self.parts, self.task.searched)

    def interrupted(self, seconds: float, trial: Trial | None = None) -> Outcome:
        """Tell that the trial was left at its checkpoint, or was stopped by request.

        A stopped trial gets no stamp: its key stands for the whole of its training. What there
        is of it is its checkpoint, and its curve in the record of how it ended.
        """
        if self.tries.superseded():
            return self.passed_over()
        if trial is None or not trial.stopped:
            self.tries.give_back()
            return Outcome(self.task.target, self.key, status="interrupted", seconds=seconds)
        error = f"stopped by request after {len(trial.curve.rows)} epochs"
        outcome = Outcome(
            self.task.target, self.key, status="stopped", seconds=seconds, error=error
        )
        self._write(outcome, type=STOPPED, curve=trial.curve.to_json())
        return outcome

    def passed_over(self) -> Outcome:
        """Tell that this attempt is an old copy: another one tells what becomes of the trial."""
        return Outcome(self.task.target, self.key, status="skipped", made=False)

    def failed(self, error: BaseException, seconds: float) -> Outcome:
        """Record a failure, and stop the run unless it is to go on."""
        outcome = Outcome(
            self.task.target,
            self.key,
            status="failed",
            seconds=seconds,
            error=one_line(error),
            failure=kind_of(error),
            cause=cause_of(error),
        )
        self._write(outcome, type=type(error).__name__)
        if isinstance(error, TrialLost):
            self.keep_log(self.tries.last_log)
        if outcome.failure == Kind.HANG:
            self._record.add_to_log(self.tries.stacks())
        if not self.task.ignore_errors and not self.task.keep_going:
            self.run.stop(outcome.target)
        return outcome

    def _write(self, outcome: Outcome, **how: Any) -> None:
        self.tries.hear()
        past = [setback.to_json() for setback in self.tries.past]
        axes = dict(self.task.spec.axes())
        about = {"run": self.task.run, "axes": axes, "parts": self.parts, "setbacks": past}
        about["searched"] = self.task.searched
        self._record.write(outcome, **about, **how)

    def keep_log(self, log: str) -> None:
        """Keep the log of a trial that gets no stamp."""
        self._record.keep_log(log)

    def log_failure(self, error: BaseException, log: Any) -> None:
        """Write the traceback into the log, and keep the log."""
        error.__traceback__ = without_own_frames(error)
        with contextlib.suppress(OSError):  # the failure itself matters more than its log
            traceback.print_exception(error, file=log)
            log.flush()
        self.keep_log(log.name)

    @property
    def _final(self) -> str:
        return self.store.trained(self.task.spec.id, self.key)


def open_splits(store: Store, data: Outcome, staging: Staging | None = None) -> Data:
    """Open the preprocessed splits that an outcome stands for; without a digest, what is there."""
    folder = store.preprocessed(data.key)
    late = patience(folder) > 0

    def whole() -> Stamp | None:
        """Look for the stamp that was told of, and for the files that it lists."""
        stamp = store.stamp(folder)
        if stamp is None or data.digest not in ("", stamp.digest):
            return None
        return None if late and damaged_file(folder, stamp) else stamp

    return open_data(folder, awaited(whole, f"{folder}/.stamp"), staging)


class Superseded(Exception):
    """An old copy was asked to publish: another attempt has begun."""


def outcome_of(stamp: Stamp, *, made: bool, objective: Objective | None = None) -> Outcome:
    """Tell what became of a trial from its stamp; by an objective, if not that of its run."""
    body, result = stamp.body, stamp.body["result"]
    value = None if result["value"] is None else float(result["value"])
    if objective is not None:
        value = objective.last(result["curve"])
    objective = objective or Objective.parse(body.get("objective", "max value"))
    values = objective.values(result["curve"], stamp.training_seconds)
    return Outcome(
        stamp.target,
        stamp.key,
        stamp.digest,
        made=made,
        seconds=stamp.seconds,
        value=value,
        values=values if objective.others else (),
        failure=Kind.NAN if value is not None and math.isnan(value) else "",
    )
