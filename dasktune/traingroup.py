"""The node of a group: many trials as one step, each committed by itself.

Whatever keeps a trial from being trained together with the others, it is left to its own node.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from dasktune import drain
from dasktune.capture import capture
from dasktune.commit import staging
from dasktune.failure import pace
from dasktune.failure.leniency import must_be_apart
from dasktune.job import Job, open_splits
from dasktune.outcome import Alone, Outcome, TargetFailed
from dasktune.recipe import recipe_pipeline
from dasktune.seeding import threads
from dasktune.train import train
from dasktune.traintask import TrainTask
from dasktune.trial import Emit


@dataclass(frozen=True)
class GroupTask:
    """Trials that may share a step.

    Attributes
    ----------
    tasks : tuple of TrainTask
        The trials of one run.
    width : int or None
        How many share a step; None to measure what is fastest.
    """

    tasks: tuple[TrainTask, ...]
    width: int | None = None


def train_group(
    group: GroupTask,
    data: Outcome,
    *,
    worker: str = "none",
    emit: Emit = lambda event: None,
) -> tuple[Outcome | Alone, ...]:
    """Train the trials of a group and commit each, unless its result is there.

    Parameters
    ----------
    group : GroupTask
        What to train.
    data : Outcome
        What became of the preprocessed data.
    worker : str, default "none"
        The worker's name, for the record.
    emit : callable
        Takes small events while it trains; ``ended`` as each trial ends.

    Returns
    -------
    tuple of Outcome or Alone
        One a trial, in the group's order. Failures are among them and not raised; `Alone` for
        a trial that is still to be trained, by `dasktune.train.train`.
    """
    node = _GroupNode(group, data, worker, emit)
    node.train()
    alone = node.alone
    return tuple(
        Alone(task.target, alone[task.target])
        if task.target in alone
        else node.outcomes[task.target]
        for task in group.tasks
    )


def part(
    task: TrainTask,
    parts: tuple[Outcome | Alone, ...],
    data: Outcome,
    *,
    worker: str = "none",
    emit: Emit = lambda event: None,
) -> Outcome:
    """Take what became of one trial of a group, or train it if it was left to do so.

    Parameters
    ----------
    task : TrainTask
        The trial.
    parts : tuple of Outcome or Alone
        What `train_group` gave.
    data : Outcome
        What became of the preprocessed data.
    worker : str, default "none"
        The worker's name, for the record.
    emit : callable
        Takes small events while it trains.

    Raises
    ------
    TargetFailed
        If the trial failed, and errors are not ignored.
    """
    outcome = next(outcome for outcome in parts if outcome.target == task.target)
    if isinstance(outcome, Alone):
        return train(task, data, worker=worker, emit=emit, alone=outcome.why)
    if outcome.status == "failed" and not task.ignore_errors:
        raise TargetFailed(outcome)
    return outcome


class _GroupNode:
    """The group in training."""

    def __init__(self, group: GroupTask, data: Outcome, worker: str, emit: Emit) -> None:
        self.group = group
        self.data = data
        self.worker = worker
        self.emit = emit
        self.outcomes: dict[str, Outcome] = {}
        self.alone: dict[str, str] = {}  # why, by target
        self.jobs = {task.target: Job(task, data, worker) for task in group.tasks}

    def train(self) -> None:
        """Train in lockstep those that can be."""
        jobs: list[Job] = []
        for target, job in self.jobs.items():
            known = job.without_training()
            if known is not None:
                self.outcomes[target] = known
            elif why := must_be_apart(job.tries.earlier()):
                self.alone[target] = why
            else:
                jobs.append(job)
        if len(jobs) < 2:
            self.alone.update({job.task.target: "no other trial is left" for job in jobs})
            return
        try:
            self._lockstep(jobs)
        except Exception as error:
            # What is wrong is told by the trials themselves, each in its own log.
            why = f"together it failed with {type(error).__name__}"
            for job in jobs:
                if job.task.target not in self.outcomes:
                    self.alone.setdefault(job.task.target, why)
        finally:
            for job in jobs:
                job.tries.end()

    def _lockstep(self, jobs: Sequence[Job]) -> None:
        first = jobs[0]
        task, store = first.task, first.store
        pipeline = recipe_pipeline(store, task.sources, "train", task.code)
        splits = open_splits(store, self.data, task.staging)
        by_id = {job.task.spec.id: job for job in jobs}
        for job in jobs:
            known = job.begin()
            if known is not None:
                self.outcomes[job.task.target] = known
        jobs = [job for job in jobs if job.task.target not in self.outcomes]
        if not jobs:
            return
        first = jobs[0]
        with (
            first.tries.company(),
            first.tries.watch([job.tries for job in jobs[1:]]) as beat,
            staging(store, f"fused-{first.key}") as scratch,
            capture(f"{scratch}/log.txt", tee=task.tee),
            threads(pipeline.threads),
        ):
            where = {"worker": self.worker, "log": f"{scratch}/log.txt"}
            where["searched"] = task.searched
            versions = {name: job.version for name, job in by_id.items()}
            events = _Events(self.emit, where, versions)
            trials = [job.trial(pipeline, events, beat) for job in jobs]
            started = time.perf_counter()
            for end in pipeline.train.train_together(  # type: ignore[attr-defined]
                trials,
                splits,
                width=self.group.width,
                stopping=lambda: drain.requested() or first.run.stopping(),
                **task.variables,
            ):
                job = by_id[end.trial.id]
                if end.alone:
                    self.alone[job.task.target] = end.alone
                elif end.interrupted:
                    if end.trial.stopped:
                        job.keep_log(f"{scratch}/log.txt")
                    self._end(job, job.interrupted(end.seconds, end.trial))
                else:
                    splits.check_unchanged()
                    self._end(job, self._commit(job, scratch, end, pipeline))
            epochs = max((trial.epochs_trained for trial in trials), default=0)
            pace.note(time.perf_counter() - started, epochs, checkpoints=True)
        for job in jobs:  # those that nobody told of were not started
            if job.task.target not in self.alone:
                skipped = Outcome(job.task.target, job.key, status="skipped", made=False)
                self.outcomes.setdefault(job.task.target, skipped)

    def _commit(self, job: Job, scratch: str, end: Any, pipeline: Any) -> Outcome:
        fused = {"lanes": end.width.lanes, "why": end.width.why}
        try:
            with staging(job.store, job.tries.staged) as folder:
                with contextlib.suppress(FileNotFoundError):  # nothing was printed
                    shutil.copyfile(f"{scratch}/log.txt", f"{folder}/log.txt")
                return job.commit(folder, end.trial, end.model, pipeline, end.seconds, fused)
        except Exception as error:
            if job.tries.superseded():
                return job.passed_over()
            return job.failed(error, end.seconds)

    def _end(self, job: Job, outcome: Outcome) -> None:
        self.outcomes[outcome.target] = outcome
        job.tries.end()
        left = outcome.status == "interrupted" and drain.requested()
        if not left and outcome.status != "skipped":  # else it is not the end
            self.emit({"event": "ended", "outcome": asdict(outcome)})


class _Events:
    """Tells of each trial's start before its first event."""

    def __init__(self, emit: Emit, where: dict[str, str], versions: dict[str, str]) -> None:
        self._emit = emit
        self._where = where
        self._versions = versions
        self._told: set[str] = set()

    def __call__(self, event: dict[str, Any]) -> None:
        if event["trial"] not in self._told:
            self._told.add(event["trial"])
            target = f"trained/{event['trial']}"
            told = {**self._where, "version": self._versions[event["trial"]]}
            self._emit({"event": "started", "target": target, **told})
        self._emit(event)
