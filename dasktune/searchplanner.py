"""Planning a search: the rungs that are there, and those that are decided and to be trained."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from dasktune.config import TrialSpec
from dasktune.cost import seconds_an_epoch
from dasktune.course import Course, Result
from dasktune.errors import StampError, UsageError
from dasktune.fingerprint import key as key_of
from dasktune.fingerprint import typed
from dasktune.history import History
from dasktune.keys import collate_key
from dasktune.outcome import Outcome
from dasktune.pipeline import Pipeline
from dasktune.plan import GOALS, Plan, Request, RungState, State, Target
from dasktune.planner import Planner
from dasktune.recipe import Codes
from dasktune.record import Record
from dasktune.replicate import Folds
from dasktune.search.strategy import ALL
from dasktune.store import Store


class SearchPlanner(Planner):
    """Makes the plan of a search, by asking it again what it asks for.

    Parameters
    ----------
    pipeline : Pipeline
        With a strategy.
    name, store, codes, inputs
        As of a `Planner`.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        name: str,
        store: Store,
        codes: Codes,
        inputs: Mapping[str, str],
    ) -> None:
        super().__init__(pipeline, name, store, codes, inputs, specs=())
        assert pipeline.search is not None
        rungs = pipeline.search.rungs(pipeline.max_epochs)
        told = pipeline.variables["train"].get(pipeline.budget)
        known = {*(rung.budget for rung in rungs), pipeline.max_epochs, told}
        self._budgets = sorted(budget for budget in known if isinstance(budget, int))
        self._at: dict[int, Planner] = {}
        self._others: dict[str, set[int]] = {}  # by trial: for how long others have trained it

    def plan(self, request: Request) -> Plan:
        """Make the plan.

        Raises
        ------
        UsageError
            If a goal is a single trial, or ``-o`` or ``-W`` is given: in a search, which trials
            there are follows from results.
        """
        for goal in [*request.goals, *sorted(request.old | request.new)]:
            if goal not in GOALS or goal in request.old | request.new:
                raise UsageError(
                    f"in a search the goals are {', '.join(GOALS)}, without -o and -W, but got "
                    f"'{goal}'. Switch the search off with --search none."
                )
        forced = request.always_make
        base = super().plan(Request(("preprocessed",), always_make=forced))
        if set(request.goals) == {"preprocessed"}:
            return base
        preprocessed = base.targets["preprocessed"]
        data = preprocessed.outcome
        course = self.course(data, ignoring=forced or data is None)
        jobs = {job.spec.id: job for job in reversed(course.ask())}  # the shortest of a trial
        targets = dict(base.targets)
        known = list(course.trials())
        for spec, outcome, _ in known:
            target = Target(f"trained/{spec.id}", ("preprocessed",), outcome=outcome, spec=spec)
            if spec.id in jobs:
                target = replace(target, outcome=None)
                planner = self.at(jobs[spec.id].budget)
                target = (
                    replace(target, state=State.STALE, reason="forced by -B", force=True)
                    if forced
                    else planner._judge_trial(target, spec, preprocessed)
                )
            targets[target.name] = target
        names = tuple(f"trained/{spec.id}" for spec, _, _ in known)
        trained = Target("trained", names)
        targets["trained"] = self._judge_phony(trained, targets)
        if set(request.goals) & {"all", "collated"}:
            collated = Target("collated", ("trained",))
            targets["collated"] = self._judge_collation(collated, course, targets["trained"])
        if "all" in request.goals:
            targets["all"] = self._judge_phony(Target("all", ("collated",)), targets)
        specs = tuple(spec for spec, _, _ in known)
        states = self._states(course, [(job.ask.bracket, job.budget) for job in jobs.values()])
        seconds = self._epoch_seconds(course)
        return Plan(self.name, request, targets, specs, None, states, seconds)

    def course(
        self, data: Outcome | None, *, ignoring: bool = False, writing: bool = False
    ) -> Course:
        """Begin the search, over what the store holds.

        Parameters
        ----------
        data : Outcome or None
            The preprocessed data.
        ignoring : bool
            Whether to look for no results (``-B``).
        writing : bool
            Whether what a model is asked and told is noted.
        """
        assert self.pipeline.search is not None
        if data is None:
            return Course(self.pipeline, lambda spec, budget, exactly: None)
        digest, record = data.digest, None
        if self.pipeline.search.remembers:
            path = self.store.record(self._search_key(digest))
            record = Record(path, writing=writing, afresh=ignoring)
        if ignoring:
            return Course(self.pipeline, lambda spec, budget, exactly: None, record)

        def find(spec: TrialSpec, budget: int, exactly: bool) -> Result | None:
            if exactly and spec.id not in self._listing("trained"):
                return None
            return self.find(spec, budget, digest, exactly=exactly)

        return Course(self.pipeline, find, record)

    def _search_key(self, data: str) -> str:
        """Name what the proposals of a model follow from, apart from their number."""
        search, space = self.pipeline.search, self.pipeline.space
        search = getattr(search, "first", None) or search  # its leaders' replicates do not count
        described = dataclasses.asdict(search)  # type: ignore[arg-type]
        described.pop("n_trials", None)  # it is a total, which may grow
        parts = {
            "strategy": [type(search).__name__, typed(described)],
            "space": {
                name: [type(d).__name__, typed(dataclasses.asdict(d))]
                for name, d in space.domains.items()
            },
            "objective": str(self.pipeline.objective),
            "code": self._code("train"),
            "variables": typed(self.pipeline.variables["train"]),
            "data": data,
        }
        return key_of("search", parts)

    def find(
        self, spec: TrialSpec, budget: int, data: str, *, exactly: bool = False
    ) -> Result | None:
        """Find the result of a trial at a budget, with its value by the objective of now.

        A training that goes on from a shorter one begins as that did, so that it will do, too;
        but where others may begin from its checkpoint at the budget, that must be there.
        """
        goes_on = not exactly and bool(self.pipeline.budget_of(spec.config))
        if goes_on and self.pipeline.search is not None and self.pipeline.search.exploits:
            at = self.at(budget)
            saved = at._saved(spec, at._train_parts(spec, data))
            goes_on = saved is not None and saved.epoch == budget
        for found in self._and_longer(spec, budget, data) if goes_on else [budget]:
            key = key_of("train", self.at(found)._train_parts(spec, data))
            try:
                stamp = self.store.stamp(self.store.trained(spec.id, key))
            except StampError:
                continue
            if stamp is not None:
                values = self.pipeline.objective.values(
                    stamp.body["result"]["curve"],
                    stamp.training_seconds,
                    budget if self.pipeline.budget else None,
                )
                outcome = Outcome(
                    f"trained/{spec.id}",
                    stamp.key,
                    stamp.digest,
                    made=False,
                    seconds=stamp.seconds,
                    value=values[0],
                    values=values,
                )
                return Result(outcome, found)
        return None

    def _and_longer(self, spec: TrialSpec, budget: int, data: str) -> Iterator[int]:
        """Give the budgets whose results will do, the shortest first: rungs, and those of others.

        Another sweep's may be no rung of this search; beyond the longest one none counts. An
        asynchronous search, which is told again in another order, keeps to its own rungs.
        """
        yield budget
        assert self.pipeline.search is not None
        if not self.pipeline.search.synchronous:
            self._others[spec.id] = set()
        if spec.id not in self._others:
            self._others[spec.id] = {
                epochs
                for key in self._listing("trained").get(spec.id, ())
                if 0 < (epochs := self._epochs_of(spec, key, data)) <= self.pipeline.max_epochs
            }
        yield from sorted(b for b in {*self._budgets, *self._others[spec.id]} if b > budget)

    def _epochs_of(self, spec: TrialSpec, key: str, data: str) -> int:
        """Tell for how many epochs a result was trained; 0 if it is of another training."""
        try:
            stamp = self.store.stamp(self.store.trained(spec.id, key))
        except StampError:
            return 0
        epochs = stamp.body["variables"].get(self.pipeline.budget) if stamp is not None else None
        if not isinstance(epochs, int):
            return 0
        ours = key_of("train", self.at(epochs)._train_parts(spec, data))
        return epochs if ours == key else 0

    def forget(self) -> None:
        """Look at the store anew at the next plan."""
        super().forget()
        self._others.clear()

    def at(self, budget: int) -> Planner:
        """Give a planner of the trials at a budget."""
        if budget not in self._at:
            pipeline = self.pipeline.at(budget)
            planner = Planner(pipeline, self.name, self.store, self.codes, self.inputs, ())
            planner._listings = self._listings
            self._at[budget] = planner
        return self._at[budget]

    def collation(
        self, course: Course
    ) -> tuple[tuple[TrialSpec, ...], tuple[Outcome, ...], tuple[History, ...]]:
        """Give what is collated of a search: trials, their results, what was done with them."""
        rows = [(spec, outcome, history) for spec, outcome, history in course.trials() if outcome]
        specs, outcomes, histories = zip(*rows, strict=True) if rows else ((), (), ())
        return specs, outcomes, histories

    def _judge_collation(self, target: Target, course: Course, trained: Target) -> Target:
        exists = self._listing("collated")
        if trained.state is not State.DONE:
            if not exists:
                return replace(target, state=State.STALE, reason="never collated")
            return replace(target, state=State.PENDING, reason="if the search finds something new")
        _, outcomes, histories = self.collation(course)
        key = collate_key(self._code("collate"), self.pipeline.objective, outcomes, histories)
        try:
            stamp = self.store.stamp(self.store.collated(key))
        except StampError:
            return replace(target, state=State.STALE, reason="its stamp is damaged")
        if stamp is None:
            reason = "the set of results changed" if exists else "never collated"
            return replace(target, state=State.STALE, reason=reason)
        outcome = Outcome(target.name, stamp.key, stamp.digest, made=False, seconds=stamp.seconds)
        return replace(target, outcome=outcome)

    def _states(self, course: Course, todo: list[tuple[int, int]]) -> tuple[RungState, ...]:
        assert self.pipeline.search is not None
        axes = self.pipeline.space.replicates.values()
        folds = math.prod(len(axis.values) for axis in axes if isinstance(axis, Folds))
        seeds = math.prod(len(axis.values) for axis in axes if not isinstance(axis, Folds))
        done = course.counts()
        waiting = Counter(todo)
        before: dict[int, int] = {}
        states = []
        rungs = self.pipeline.search.rungs(self.pipeline.max_epochs)
        if any(rung.configs == ALL for rung in rungs):
            configs = len(self.pipeline.trials()) // (folds * seeds)
            rungs = [replace(rung, configs=rung.configs or configs) for rung in rungs]
        for rung in rungs:
            place = (rung.bracket, rung.budget)
            epochs = rung.budget - before.get(rung.bracket, 0)
            before[rung.bracket] = rung.budget
            known = seeds if rung.known is None else rung.known
            copies = folds * (max(0, rung.replicates - known) if rung.replicates else seeds)
            trials = max(rung.configs * copies, done[place] + waiting[place])
            states.append(RungState(rung, trials, done[place], waiting[place], epochs))
        return tuple(states)

    def _epoch_seconds(self, course: Course) -> float | None:
        """Tell how long an epoch took on average, over what was found; else in other trials."""
        found = {(name, r.budget): r.outcome for (name, _), r in course.results.items()}
        longest: dict[str, int] = {}
        for name, budget in found:
            longest[name] = max(longest.get(name, 0), budget)
        seconds = sum(outcome.seconds for outcome in found.values())
        if not found:
            return seconds_an_epoch(self._some_stamps())
        return seconds / max(1, sum(longest.values()))
