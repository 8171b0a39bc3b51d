"""Sharing: a sweep as an array of jobs, from the preprocessed data to the collation."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dasktune.collate import collate
from dasktune.commit import write_atomically
from dasktune.dispatch.dispatch import Dispatch
from dasktune.dispatch.share import Shares, noted, units_of
from dasktune.errors import StoreError
from dasktune.outcome import Outcome, TargetFailed
from dasktune.plan import Plan, Request, State
from dasktune.run import Options, groups_of, make
from dasktune.runfolder import RunFolder
from dasktune.summary import Summary
from dasktune.sweep import Sweep
from dasktune.watch import Observer


@dataclass
class Array:
    """A sweep that is made by an array of jobs.

    Parameters
    ----------
    dispatch : Dispatch
        Its folder.
    sweep : Sweep
        What is made.
    options : Options
        How, as for `dasktune.run.make`.
    observe : callable
        Takes the events of what this process makes.
    """

    dispatch: Dispatch
    sweep: Sweep
    options: Options
    observe: Observer

    @property
    def run(self) -> RunFolder:
        """The folder of the run that all its jobs share."""
        return RunFolder(self.sweep.store.run(self.dispatch.name))

    def prepare(self) -> Summary:
        """Preprocess, and cut what is to be trained into shares."""
        summary = make(self.sweep, Request(goals=("preprocessed",)), self.options, self.observe)
        if summary.exit_code == 0:
            self.run.create()
            self._cut(1)
            self._note_progress(self._progress(self.sweep.plan()))
        return summary

    def prepared(self) -> bool:
        """Say whether what is to be trained was cut into shares."""
        try:
            Shares.load(self.dispatch.path)
        except StoreError:
            return False
        return True

    def _cut(self, number: int) -> int:
        """Cut what is left into shares, and give how many there are."""
        plan = self.sweep.plan()
        data = plan.targets["preprocessed"].outcome
        assert data is not None
        told = noted(self.dispatch.path)
        tried = {name: t for name, t in plan.targets.items() if not _final(told.get(name))}
        plan = replace(plan, targets=tried)
        options, count = self.options, self.dispatch.order().count
        tasks = self.sweep.tasks(
            plan,
            self.dispatch.name,
            keep_going=options.keep_going,
            ignore_errors=options.ignore_errors,
            tolerance=options.tolerance,
        )
        groups = groups_of(self.sweep, plan, tasks, options, count)
        units = units_of(plan, tasks.train, groups)
        Shares(data, tuple(units), number).save(self.dispatch.path)
        return len(units)

    def finish(self, send: Callable[[int], None]) -> Summary | None:
        """Collate; or send another array, if the last one has got on and something is left.

        Parameters
        ----------
        send : callable
            Sends an array of so many jobs.

        Returns
        -------
        Summary or None
            None if another array goes on.
        """
        told = noted(self.dispatch.path)
        plan = self.sweep.plan()
        left = [
            target
            for target in plan.trials()
            if target.state is not State.DONE and not _final(told.get(target.name))
        ]
        gave_up = ""
        if left and not self.run.stopping():
            far = self._progress(plan)
            if far > self._progress_before():
                units = self._cut(Shares.load(self.dispatch.path).round + 1)
                send(max(1, min(units, self.dispatch.order().count)))
                self._note_progress(far)  # now, since this job may be started again until then
                return None
            gave_up = f"{len(left)} trials are left, none of which got on; submit again to go on"
        summary = make(self.sweep, None, self.options, self.observe, drive=_collating(told))
        if gave_up:
            summary.gave_up = summary.gave_up or gave_up
        if not summary.interrupted:  # or this job may be started again
            self.run.remove()
            self._clean()
        for name, outcome in told.items():
            if outcome.status == "ok" and name in plan.targets:
                summary.outcomes.setdefault(name, outcome)
                summary.ended.append(outcome)
        return summary

    def _clean(self) -> None:
        """Remove what only the array's jobs need."""
        path = self.dispatch.path
        for name in os.listdir(path):
            if name.startswith("claims-"):
                shutil.rmtree(f"{path}/{name}", ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}/shares.pickle")

    def _progress(self, plan: Plan) -> int:
        """Tell how far the trials of this sweep are."""
        told = noted(self.dispatch.path)
        ended = sum(
            target.state is State.DONE or _final(told.get(target.name)) for target in plan.trials()
        )
        return ended * 10**9 + sum(target.begins for target in plan.trials())

    def _progress_before(self) -> int:
        """Tell how far they were when the jobs of this array were sent."""
        try:
            with open(f"{self.dispatch.path}/progress") as file:
                return int(file.read())
        except (OSError, ValueError):
            return -1

    def _note_progress(self, far: int) -> None:
        write_atomically(f"{self.dispatch.path}/progress", str(far).encode())


def _final(outcome: Outcome | None) -> bool:
    """Say whether a trial need not be tried again."""
    return outcome is not None and outcome.status in ("failed", "stopped")


def _collating(told: Mapping[str, Outcome]) -> Callable[..., None]:
    """Give what drives a run that only collates what is there."""

    def drive(
        sweep: Sweep,
        plan: Plan,
        tasks: Any,
        options: Options,
        run: RunFolder,
        took: Callable[[Outcome], None],
        watch: Observer,
    ) -> None:
        outcomes = []
        for target in plan.trials():
            outcome = target.outcome
            if outcome is None:
                outcome = told.get(target.name) or Outcome(target.name, "", status="skipped")
                if outcome.status != "skipped":
                    took(outcome)
            outcomes.append(outcome)
        failed = any(outcome.status == "failed" for outcome in outcomes)
        if failed and not options.ignore_errors:
            return
        try:
            outcome = collate(tasks.collate, outcomes, emit=watch)
        except TargetFailed as failure:
            outcome = failure.outcome
        if outcome.status != "skipped":
            took(outcome)

    return drive
