"""The course of a search: what it asks for, what of that is there, what it was told.

The stamp of each (trial, budget) is the search's memory. A course is made anew from what the
files say by every plan and every run, so that there is nothing else to keep.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dasktune.config import Config, Parent, TrialSpec
from dasktune.errors import SearchError
from dasktune.history import History
from dasktune.outcome import Outcome
from dasktune.pipeline import Pipeline
from dasktune.record import Record
from dasktune.search import Ask
from dasktune.search.draws import Draws
from dasktune.search.standing import Score


@dataclass(frozen=True)
class Result:
    """What became of a trial at a budget.

    Attributes
    ----------
    outcome : Outcome
        With the value at the budget.
    budget : int
        That of the result, which may be a longer one: its curve begins with that of a shorter.
    """

    outcome: Outcome
    budget: int


Find = Callable[[TrialSpec, int, bool], Result | None]
"""Finds the result of a trial at a budget; or at a longer one, unless just this one is meant."""


@dataclass(frozen=True)
class Job:
    """One trial that is to be trained up to a budget.

    Attributes
    ----------
    spec : TrialSpec
        The trial.
    ask : Ask
        What it is for.
    """

    spec: TrialSpec
    ask: Ask

    @property
    def budget(self) -> int:
        """Epochs in all."""
        return self.ask.budget


@dataclass(frozen=True)
class _Wish:
    """What was asked for, and what it waits for."""

    ask: Ask
    specs: tuple[TrialSpec, ...]
    missing: set[str]


class Course:
    """A search, on its way over what the files say.

    Parameters
    ----------
    pipeline : Pipeline
        With the strategy.
    find : callable
        Finds the result of a trial at a budget.
    record : Record, optional
        Of a strategy that remembers.

    Attributes
    ----------
    results : dict of Result
        What became of each (trial's id, budget).
    """

    def __init__(self, pipeline: Pipeline, find: Find, record: Record | None = None) -> None:
        assert pipeline.search is not None
        self._pipeline = pipeline
        self._find = find
        draws = Draws.of(pipeline.design, pipeline.search.seed, endless=pipeline.endless)
        draws.objectives = len(pipeline.objective.all)
        self._search = pipeline.search.start(draws, pipeline.max_epochs)
        self._wishes: dict[tuple[str, int], list[_Wish]] = {}
        self._places: dict[tuple[str, int], Ask] = {}
        self._specs: dict[str, TrialSpec] = {}
        self._parents: dict[str, Parent | None] = {}
        self.results: dict[tuple[str, int], Result] = {}
        self._record = record
        self._numbers: dict[Config, int] = {}
        self._left: list[Job] = []  # what an earlier run has asked for and not been told
        self._take_up()
        if record is not None:
            self._repeat(record)

    def ask(self, room: int = 1) -> list[Job]:
        """Give what is to be trained next, after what is found was told.

        Parameters
        ----------
        room : int
            Trainings for which there is room; a synchronous search gives more.
        """
        jobs, self._left = self._left, []
        while asks := self._search.ask(max(1, room - len(jobs))):
            for ask in asks:
                jobs += self._take(ask)
            assert self._pipeline.search is not None
            if not self._pipeline.search.synchronous and len(jobs) >= room:
                break
        return jobs

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Take what became of a job: a result, or a failure."""
        result = Result(outcome, job.budget)
        if outcome.status == "ok" and not outcome.made:
            # A result of another run, which may have had other objectives.
            result = self._find(job.spec, job.budget, False) or result
        self._conclude(job.spec.id, job.budget, result)

    def found(self, job: Job) -> bool:
        """Look once more for the result of a job that had to wait."""
        found = self._find(job.spec, job.budget, False)
        if found is not None:
            self._conclude(job.spec.id, job.budget, found)
        return found is not None

    def _conclude(self, name: str, budget: int, result: Result) -> None:
        place = (name, budget)
        self.results[place] = result
        for wish in self._wishes.pop(place, ()):
            wish.missing.discard(name)
            if not wish.missing:
                self._tell(wish)

    @property
    def complete(self) -> bool:
        """Whether all that was asked for was told; the search is over if it asks no more."""
        return not self._wishes

    def _take_up(self) -> None:
        """Tell of what an earlier run may have asked for, as far as the files say that it did.

        A budget was asked for if its very own result is there, and so was all before it.
        """
        past = list(self._search.past())
        reached: dict[Config, int] = {}
        for ask in past:
            specs = self._pipeline.design.replicated(ask.config, ask.replicates, ask.parent)
            if all([self._found(spec, ask.budget, exactly=True) for spec in specs]):
                reached[ask.config] = max(ask.budget, reached.get(ask.config, 0))
        for ask in past:
            if ask.budget <= reached.get(ask.config, 0):
                self._take(ask, begin=False)

    def _take(self, ask: Ask, *, begin: bool = True) -> list[Job]:
        """Look for what is asked for; tell it if it is all there, else give what is missing.

        What may have been asked for before, if it is not there, is left until it is asked for.
        """
        search = self._pipeline.search
        if search is not None and search.exploits and not self._pipeline.budget_of(ask.config):
            raise SearchError(
                f"{type(search).__name__} goes on from checkpoints, but the training of "
                f"{ask.config} begins anew for each number of epochs. Take a schedule that does "
                "not stretch over them (constant or step), or fix its horizon."
            )
        specs = self._pipeline.design.replicated(ask.config, ask.replicates, ask.parent)
        missing = [s for s in specs if not self._found(s, ask.budget)]
        if missing and not begin:
            return []
        for spec in specs:
            self._specs.setdefault(spec.id, spec)
            self._parents[spec.id] = ask.parent
            before = self._places.setdefault((spec.id, ask.budget), ask)
            if ask.bracket < before.bracket:
                self._places[spec.id, ask.budget] = ask
        wish = _Wish(ask, specs, {spec.id for spec in missing})
        if self._record is not None and ask.config not in self._numbers:
            self._numbers[ask.config] = len(self._numbers)
            self._record.note(ask.config)
        if not missing:
            self._tell(wish)
        jobs = []
        for spec in missing:
            waiting = self._wishes.setdefault((spec.id, ask.budget), [])
            if not waiting:
                jobs.append(Job(spec, ask))  # else it is trained for another wish
            waiting.append(wish)
        return jobs

    def _repeat(self, record: Record) -> None:
        """Do again what an earlier run has done, as far as the results are there."""
        steps: list[Config | int] = []
        asks: list[Ask] = []
        told: set[int] = set()
        self._record = None  # until all is known that is to be in it
        for step in record.steps():
            if isinstance(step, Config):
                if not self._pipeline.space.allows(step):
                    break  # the predicates have changed
                self._numbers[step] = len(asks)
                asks.append(self._search.again(step))
                for spec in self._pipeline.design.replicated(step):
                    self._specs.setdefault(spec.id, spec)  # in this order, whoever came in first
            else:
                specs = self._pipeline.design.replicated(asks[step].config)
                if step in told or not all([self._found(s, asks[step].budget) for s in specs]):
                    continue
                told.add(step)
                self._take(asks[step])
            steps.append(step)
        record.restart(steps)
        self._record = record
        for number, ask in enumerate(asks):
            if number not in told:
                self._left += self._take(ask)

    def _tell(self, wish: _Wish) -> None:
        self._search.tell(wish.ask, self._score(wish))
        if self._record is not None:
            self._record.note(self._numbers[wish.ask.config])

    def _found(self, spec: TrialSpec, budget: int, *, exactly: bool = False) -> bool:
        place = (spec.id, budget)
        if place in self.results:
            return True
        found = self._find(spec, budget, exactly)
        if found is not None:
            self.results[place] = found
        return found is not None

    def _score(self, wish: _Wish) -> Score | None:
        """Give the mean over the replicates, in their order; None if one has no value."""
        objectives = self._pipeline.objective.all
        means = []
        outcomes = [self.results[spec.id, wish.ask.budget].outcome for spec in wish.specs]
        for number, objective in enumerate(objectives):
            values = [_values(outcome)[number : number + 1] for outcome in outcomes]
            known = [v for some in values for v in some if v is not None and math.isfinite(v)]
            if len(known) < len(outcomes):
                return None
            means.append(objective.sign * math.fsum(known) / len(known))
        return tuple(means) if len(objectives) > 1 else means[0]

    def counts(self) -> Counter[tuple[int, int]]:
        """Count the results of each (bracket, budget)."""
        return Counter(
            (ask.bracket, ask.budget)
            for place, ask in self._places.items()
            if place in self.results
        )

    def trials(self) -> Iterator[tuple[TrialSpec, Outcome | None, History]]:
        """List the trials that were asked for, with their longest good result."""
        budgets: dict[str, list[int]] = {name: [] for name in self._specs}
        for name, budget in self._places:
            budgets[name].append(budget)
        fates: dict[tuple[Config, Parent | None], str] = {}
        for name, spec in self._specs.items():
            results = [r for b in budgets[name] if (r := self.results.get((name, b))) is not None]
            found = {r.budget: r.outcome for r in results if r.outcome.status == "ok"}
            good = sorted(found.items())
            bad = [r.outcome for r in results if r.outcome.status in ("failed", "stopped")]
            asked = spec.config, self._parents.get(name)
            if asked not in fates:
                fates[asked] = self._search.fate_of(*asked)
            stopped = fates[asked]
            if bad and good:
                stopped = f"{stopped}: {bad[0].error}"
            reached = [b for b in budgets[name] if (name, b) in self.results] if good else []
            place = self._places[name, max(reached)] if reached else None
            history = History(
                place.bracket if place else -1,
                place.rung if place else -1,
                stopped,
                tuple((b, o.key) for b, o in good),
            )
            outcome = good[-1][1] if good else (bad[0] if bad else None)
            yield spec, outcome, history


def _values(outcome: Outcome) -> Sequence[float | None]:
    """Give the values of all objectives."""
    return outcome.values or (outcome.value,)
