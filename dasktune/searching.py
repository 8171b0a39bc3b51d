"""Searching: ask a strategy what to train, train it, tell it, until it asks for nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dasktune import run as running
from dasktune.course import Course, Job
from dasktune.graph import Tasks
from dasktune.outcome import Outcome
from dasktune.placing import check_here, connected
from dasktune.plan import Plan, Request, State, Target
from dasktune.run import Options
from dasktune.runfolder import RunFolder
from dasktune.searchplanner import SearchPlanner
from dasktune.summary import Summary
from dasktune.sweep import Sweep
from dasktune.watch import Observer, Watch

if TYPE_CHECKING:
    from dasktune.flight import Hand


def make(
    sweep: Sweep,
    request: Request | None = None,
    options: Options | None = None,
    observe: Observer | None = None,
) -> Summary:
    """Bring the goals up to date: train the whole design, or what a search asks for.

    Parameters
    ----------
    sweep : Sweep
        What to make.
    request : Request, optional
        The goals and what is forced; ``all`` if not given.
    options : Options, optional
        Where and how to run.
    observe : callable, optional
        Takes the events of the run. In a notebook a display that changes in place, if not given.

    Returns
    -------
    Summary
        What became of it. A failed target is no exception here; see `Summary.exit_code`.

    Raises
    ------
    StoreError
        If the store cannot be written.
    ClusterError
        If there is no cluster, or none that offers the resources.
    """
    drive = None if sweep.pipeline.search is None else _drive
    return running.make(sweep, request, options, observe, drive=drive)


def _drive(
    sweep: Sweep,
    plan: Plan,
    tasks: Tasks,
    options: Options,
    run: RunFolder,
    took: Callable[[Outcome], None],
    watch: Watch,
) -> None:
    """Run the plan of a search."""
    from dasktune.flight import Flight, Here

    drive = _Drive(sweep, plan, tasks, options, run, took, watch)
    if options.cluster == "none":
        check_here(options)
        drive.through(Here(sweep, options, watch))
        return
    with connected(sweep, tasks, options, run, watch) as connection:
        flight = Flight(connection, tasks, options, run)
        try:
            drive.through(flight)
        finally:
            flight.cancel()


class _Drive:
    """One run of a search."""

    def __init__(
        self,
        sweep: Sweep,
        plan: Plan,
        tasks: Tasks,
        options: Options,
        run: RunFolder,
        took: Callable[[Outcome], None],
        watch: Watch,
    ) -> None:
        self.sweep = sweep
        self.plan = plan
        self.tasks = tasks
        self.options = options
        self.run = run
        self.took = took
        self.watch = watch
        self.targets = dict(plan.targets)  # grows while the search asks
        self.flying: dict[str, Job] = {}  # by the trial's id: one budget at a time
        self.later: dict[str, list[Job]] = {}
        self.failed = False
        self.made: list[str] = []  # targets that were trained, once for each budget

    def through(self, hand: Hand) -> None:
        """Make the stages one after the other."""
        data = self._preprocessed(hand)
        if data is None or "trained" not in self.targets:
            return
        planner = self.sweep.planner()
        assert isinstance(planner, SearchPlanner)
        course = planner.course(data, ignoring=self.plan.request.always_make, writing=True)
        self._train(course, hand, data)
        course = self._told_again(course, planner, hand, data)
        good = course.complete and (self.options.ignore_errors or not self.failed)
        if "collated" in self.targets and good and not self.run.stopping():
            self._collate(planner, course, hand)

    def _preprocessed(self, hand: Hand) -> Outcome | None:
        target = self.targets["preprocessed"]
        if target.outcome is not None:
            return target.outcome
        made: list[Outcome] = []

        def took(outcome: Outcome) -> None:
            made.append(outcome)
            self.took(outcome)

        hand.make(replace(self.plan, targets={target.name: target}), self.tasks, took)
        good = [outcome for outcome in made if outcome.status == "ok"]
        return good[0] if good else None

    def _train(self, course: Course, hand: Hand, data: Outcome) -> None:
        """Keep as many trainings in flight as there is room for."""
        while True:
            if not self.run.stopping():
                room = hand.slots + self._ahead(hand) - len(self.flying)
                if room > 0 or self._synchronous:
                    self._start(course.ask(max(1, room)), course, hand, data)
            if not self.flying:
                return
            for budget, outcome in hand.ended():
                self._ended(course, budget, outcome)
            self._start([], course, hand, data)

    def _ahead(self, hand: Hand) -> int:
        """Tell how many trainings a rule is asked for beforehand; a model knows more later."""
        search = self.sweep.pipeline.search
        assert search is not None
        return 0 if search.remembers else hand.ahead

    def _told_again(
        self, course: Course, planner: SearchPlanner, hand: Hand, data: Outcome
    ) -> Course:
        """Let a search that depends on the order look at the results in that of the files.

        So the next plan will, too, and finds nothing to be done.
        """
        search = self.sweep.pipeline.search
        assert search is not None
        while not (search.synchronous or search.remembers or self.failed or self.run.stopping()):
            before = len(self.made)
            planner.forget()
            course = planner.course(data)
            self._train(course, hand, data)
            if len(self.made) == before:
                break
        return course

    @property
    def _synchronous(self) -> bool:
        assert self.sweep.pipeline.search is not None
        return self.sweep.pipeline.search.synchronous

    def _start(self, jobs: Sequence[Job], course: Course, hand: Hand, data: Outcome) -> None:
        """Start jobs, but for those whose trial is in training for another budget."""
        waited = not jobs
        for job in jobs:
            self.later.setdefault(job.spec.id, []).append(job)
        ready: dict[tuple[int, int], list[Job]] = {}
        for name in [name for name in self.later if name not in self.flying]:
            waiting = sorted(self.later.pop(name), key=lambda job: job.budget)
            while waiting and (self.run.stopping() or (waited and course.found(waiting[0]))):
                del waiting[0]
            if waiting:
                self.flying[name] = waiting[0]
                place = (waiting[0].ask.bracket, waiting[0].budget)
                ready.setdefault(place, []).append(waiting[0])
            if waiting[1:]:
                self.later[name] = waiting[1:]
        for chosen in (ready[place] for place in sorted(ready)):
            self._batch(chosen, hand, data)

    def _batch(self, jobs: Sequence[Job], hand: Hand, data: Outcome) -> None:
        from dasktune.flight import Batch

        budget, bracket = jobs[0].budget, jobs[0].ask.bracket
        sweep = self.sweep.at(budget)
        force = self.plan.request.always_make
        targets = {"preprocessed": replace(self.targets["preprocessed"], outcome=data)}
        targets["preprocessed"] = replace(targets["preprocessed"], state=State.DONE)
        for job in jobs:
            name = f"trained/{job.spec.id}"
            reason = f"rung {job.ask.rung} of bracket {job.ask.bracket}"
            targets[name] = Target(
                name, ("preprocessed",), State.STALE, reason, None, force, job.spec, budget
            )
        plan = replace(self.plan, targets=targets)
        train = sweep.train_tasks(
            targets.values(),
            os.path.basename(self.run.path),
            keep_going=self.options.keep_going,
            ignore_errors=self.options.ignore_errors,
            tee=self.options.tee,
            tolerance=self.options.tolerance,
        )
        batch = Batch(sweep, plan, replace(self.tasks, train=train), budget, bracket)
        self.targets.update((name, targets[name]) for name in batch.names)
        whole = replace(self.plan, targets=self.targets)
        axes = {job.spec.id: dict(job.spec.axes()) for job in jobs}
        begin = {job.spec.id: job.spec.origin for job in jobs if job.spec.origin is not None}
        origins = {trial: origin.to_json() for trial, origin in begin.items()}
        rung = {"event": "rung", "trials": axes, "origins": origins, "budget": budget}
        self.watch({**rung, "plan": whole})
        hand.start(batch)

    def _ended(self, course: Course, budget: int, outcome: Outcome) -> None:
        job = self.flying.pop(outcome.target.removeprefix("trained/"))
        if outcome.status != "skipped":
            self.took(outcome)
            self.made.append(outcome.target)
        if outcome.status in ("ok", "failed", "stopped"):
            self.failed |= outcome.status != "ok"
            course.ended(job, outcome)

    def _collate(self, planner: SearchPlanner, course: Course, hand: Hand) -> None:
        specs, outcomes, histories = planner.collation(course)
        names = tuple(outcome.target for outcome in outcomes)
        targets = {
            name: Target(name, (), State.DONE, outcome=outcome, spec=spec)
            for name, outcome, spec in zip(names, outcomes, specs, strict=True)
        }
        targets["trained"] = Target("trained", names)
        targets["collated"] = replace(self.targets["collated"], state=State.STALE, outcome=None)
        collate = replace(self.tasks.collate, specs=specs, histories=histories)
        tasks = replace(self.tasks, collate=collate)
        hand.make(replace(self.plan, targets=targets, specs=specs), tasks, self.took)
