"""The plan: a table of targets, each with its state and the reason for it. Pure data."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from dasktune.config import TrialSpec
from dasktune.cost import Cost
from dasktune.dag import Dag
from dasktune.errors import UsageError, did_you_mean
from dasktune.markup import box, table
from dasktune.outcome import Outcome
from dasktune.search import Rung

GOALS = ("all", "preprocessed", "trained", "collated")


class State(enum.Enum):
    """Whether a target is to be made."""

    DONE = "done"
    STALE = "stale"
    PENDING = "pending"
    """It depends on a result that is being made: if that comes out as before, this is done."""


@dataclass(frozen=True)
class Target:
    """One row of the plan.

    Attributes
    ----------
    name : str
        ``preprocessed``, ``trained/<trial>``, ``trained``, ``collated`` or ``all``.
    needs : tuple of str
        The targets it is made of.
    state : State
        Whether it is to be made.
    reason : str
        Why, in one line; empty when done.
    outcome : Outcome or None
        What there is of it, when done. The key of a target that is not done yet may depend on
        results that do not exist.
    force : bool
        Whether it is made even if a good result is found (``-B``, ``-W``).
    spec : TrialSpec or None
        The trial, for ``trained/<trial>``.
    budget : int
        Epochs up to which a search trains it; 0 without a search.
    begins : int
        The epoch from whose checkpoint its training would go on.
    """

    name: str
    needs: tuple[str, ...] = ()
    state: State = State.DONE
    reason: str = ""
    outcome: Outcome | None = None
    force: bool = False
    spec: TrialSpec | None = None
    budget: int = 0
    begins: int = 0

    @property
    def phony(self) -> bool:
        """Whether it has no recipe of its own: ``all`` and ``trained``."""
        return self.name in ("all", "trained")

    @property
    def verb(self) -> str:
        """What makes it, for people: ``train lr=0.1-3fa2b1c4``."""
        if self.spec is not None:
            upto = f" to epoch {self.budget}" if self.budget else ""
            return f"train {self.spec.id}{upto}"
        return {"preprocessed": "preprocess", "collated": "collate"}.get(self.name, self.name)


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes
    ----------
    goals : tuple of str
        Targets, in the order given.
    always_make : bool
        ``-B``: make all that the goals need.
    old, new : frozenset of str
        ``-o``: never make these; ``-W``: as if these had just changed.
    """

    goals: tuple[str, ...] = ("all",)
    always_make: bool = False
    old: frozenset[str] = frozenset()
    new: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RungState:
    """A rung of a search: how much of it is there.

    Attributes
    ----------
    rung : Rung
        What it is.
    trials : int
        Most trials of it: configs times replicates.
    done, todo : int
        Trials that are trained, and that are decided on and to be trained.
    epochs : int
        Epochs that one trial needs from the rung before.
    """

    rung: Rung
    trials: int
    done: int
    todo: int
    epochs: int

    def to_json(self) -> dict[str, Any]:
        """Give a JSON-able form."""
        place = {"bracket": self.rung.bracket, "rung": self.rung.rung, "epochs": self.rung.budget}
        return {**place, "trials": self.trials, "done": self.done, "todo": self.todo}


@dataclass(frozen=True)
class Plan:
    """The targets that the goals need, in the order in which make would visit them.

    Attributes
    ----------
    name : str
        The pipeline's name.
    request : Request
        What was asked for.
    targets : dict of str to Target
        By name, prerequisites first.
    specs : tuple of TrialSpec
        All trials of the sweep, in the order of the design.
    earlier_seconds : float or None
        Median of how long trials took before, in seconds.
    rungs : tuple of RungState
        Of a search: what may follow, beyond the targets that are known by now.
    epoch_seconds : float or None
        Of a search: how long an epoch took.
    cost : Cost or None
        Of a sweep whose trials are trained for a number of epochs: how many are left.
    """

    name: str
    request: Request
    targets: dict[str, Target]
    specs: tuple[TrialSpec, ...] = field(repr=False)
    earlier_seconds: float | None = None
    rungs: tuple[RungState, ...] = ()
    epoch_seconds: float | None = None
    cost: Cost | None = None

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self.targets)}

    def position(self, name: str) -> int:
        """Tell the how manyth target one is, from 0."""
        return self._positions[name]

    def waiting(self) -> list[str]:
        """Name the targets that have, or stand for, something to be made; ``all`` stands aside."""
        return [
            name for name, t in self.targets.items() if t.state is not State.DONE and name != "all"
        ]

    def to_run(self) -> list[Target]:
        """List the targets with a recipe that are, or may be, to be made."""
        return [t for t in self.targets.values() if t.state is not State.DONE and not t.phony]

    @property
    def up_to_date(self) -> bool:
        """Whether nothing is to be done."""
        return not self.to_run()

    def trials(self) -> list[Target]:
        """List the trials among the targets."""
        return [t for t in self.targets.values() if t.spec is not None]

    def count(self, state: State) -> int:
        """Count the trials in a state."""
        return sum(t.state is state for t in self.trials())

    def epochs_left(self) -> int:
        """Tell how many epochs a search trains from now on, at most."""
        return sum(max(0, r.trials - r.done) * r.epochs for r in self.rungs)

    def epochs_in_all(self) -> int:
        """Tell how many epochs a whole search is, at most."""
        return sum(r.trials * r.epochs for r in self.rungs)

    def seconds_left(self, jobs: int) -> float | None:
        """Estimate how long the trials will take, from how long earlier ones took.

        Parameters
        ----------
        jobs : int
            Trials at a time.

        Returns
        -------
        float or None
            Seconds; None if no trial was ever trained.
        """
        if self.rungs:
            epoch = self.epoch_seconds
            return None if epoch is None else self.epochs_left() * epoch / max(1, jobs)
        if self.cost is not None and self.cost.each is not None:
            return self.cost.seconds(jobs)
        if self.earlier_seconds is None:
            return None
        waves = -(-(self.count(State.STALE) + self.count(State.PENDING)) // max(1, jobs))
        return waves * self.earlier_seconds

    def visualize(self) -> Dag:
        """Draw the targets, coloured by whether they are done, out of date or pending."""
        states = {t.name: t.state.value for t in self.targets.values() if not t.phony}
        return Dag((), [spec.id for spec in self.specs], states)

    def _repr_html_(self) -> str:
        rows = []
        for name in ("preprocessed", "trained", "collated"):
            targets = self.trials() if name == "trained" else [self.targets.get(name)]
            found = [t for t in targets if t is not None]
            reasons = Counter(t.reason or "up to date" for t in found)
            words = "; ".join(f"{n} {reason}" for reason, n in reasons.most_common(4))
            rows.append((name, len(found), words))
        note = "nothing to be done" if self.up_to_date else f"{len(self.to_run())} targets to make"
        return box(f"Plan of {self.name}", note, table(rows))

    def to_json(self) -> dict[str, Any]:
        """Give the table in a JSON-able form."""
        rungs = [rung.to_json() for rung in self.rungs]
        return {
            **({"rungs": rungs, "epochs_left": self.epochs_left()} if rungs else {}),
            **({"epochs_left": self.cost.total} if self.cost is not None else {}),
            "pipeline": self.name,
            "goals": list(self.request.goals),
            "up_to_date": self.up_to_date,
            "trials": {state.value: self.count(state) for state in State},
            "targets": [
                {
                    "name": t.name,
                    "state": t.state.value,
                    "reason": t.reason,
                    "key": t.outcome.key if t.outcome else None,
                    "needs": list(t.needs),
                }
                for t in self.targets.values()
            ],
        }


def named(word: str, trials: Sequence[str]) -> list[str]:
    """List the trials that a word may name: by the id, by all of it but the hash, by its begin."""
    matches = [trial for trial in trials if trial == word]
    matches = matches or [trial for trial in trials if trial.rpartition("-")[0] == word]
    return matches or [trial for trial in trials if trial.startswith(word)]


def resolve_goal(goal: str, specs: Sequence[TrialSpec]) -> str:
    """Find the target that a goal names; a trial may be named by a unique beginning of its id.

    Raises
    ------
    UsageError
        If there is none.
    """
    if goal in GOALS:
        return goal
    if goal.startswith("trained/"):
        word = goal.removeprefix("trained/")
        matches = named(word, [spec.id for spec in specs])
        if len(matches) == 1:
            return f"trained/{matches[0]}"
        if matches:
            raise UsageError(f"'{goal}' is the beginning of {len(matches)} trials; write more.")
    near = [*GOALS, *(f"trained/{spec.id}" for spec in specs[:2000])]
    raise UsageError(f"No rule to make target '{goal}'." + did_you_mean(goal, near))
