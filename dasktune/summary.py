"""The summary: what became of a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from dasktune.failure.kind import worded
from dasktune.markup import box, table
from dasktune.outcome import Outcome
from dasktune.plan import Plan, State


@dataclass
class Summary:
    """What became of a run.

    Attributes
    ----------
    plan : Plan
        What was to be done.
    outcomes : dict of str to Outcome
        What became of the targets that were tried, in the order in which they ended.
    ended : list of Outcome
        The same, with each rung of a trial in a search.
    interrupted : int
        The signal that stopped the run, or 0.
    ignore_errors : bool
        Whether failures count as successes.
    gave_up : str
        Why the run stopped before all trials were tried; empty if it did not.
    """

    plan: Plan
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    ended: list[Outcome] = field(default_factory=list)
    interrupted: int = 0
    ignore_errors: bool = False
    gave_up: str = ""

    def failures(self) -> list[Outcome]:
        """List the targets that failed."""
        return [o for o in self.ended if o.status == "failed"]

    def made(self) -> list[Outcome]:
        """List the targets that were made anew."""
        return [o for o in self.ended if o.status == "ok" and o.made]

    def not_remade(self) -> list[str]:
        """List the goals that are not up to date now."""
        return [
            goal
            for goal in self.plan.request.goals
            if any(self._missing(name) for name in self._closure(goal))
        ]

    def stopped(self) -> list[Outcome]:
        """List the trials that were stopped by request, and so are not made."""
        return [o for o in self.outcomes.values() if o.status == "stopped"]

    def kept(self) -> list[str]:
        """List the trials whose result was there already."""
        return [
            target.name
            for target in self.plan.trials()
            if (
                target.state is State.DONE
                if (outcome := self.outcomes.get(target.name)) is None
                else outcome.status == "ok" and not outcome.made
            )
        ]

    def _repr_html_(self) -> str:
        trials = {n: o for n, o in self.outcomes.items() if n.startswith("trained/")}
        made = sum(o.status == "ok" and o.made for o in trials.values())
        rows = [("trained", str(made)), ("kept", str(len(self.kept())))]
        ends = [*self.failures()[:10], *self.stopped()[:10]]
        rows += [(o.target, worded(o.failure, o.error)) for o in ends]
        key = self.collated_key()
        rows.append(("collated", key or "no"))
        return box(f"Summary of {self.plan.name}", f"exit code {self.exit_code}", table(rows))

    @property
    def exit_code(self) -> int:
        """As make's: 0, or 2 after any error."""
        if self.gave_up:
            return 2
        if self.ignore_errors and not self.interrupted:
            return 0
        return 2 if self.failures() or self.interrupted or self.not_remade() else 0

    def collated_key(self) -> str | None:
        """Give the key of the collation that this run made or found, if it has one."""
        outcome = self.outcomes.get("collated")
        if outcome is None and "collated" in self.plan.targets:
            outcome = self.plan.targets["collated"].outcome
        return outcome.key if outcome is not None and outcome.status == "ok" else None

    def _missing(self, name: str) -> bool:
        target = self.plan.targets[name]
        if target.state is State.DONE or target.phony:
            return False
        outcome = self.outcomes.get(name)
        return outcome is None or outcome.status != "ok"

    def _closure(self, goal: str) -> list[str]:
        found, stack = [], [goal]
        seen = {goal}
        while stack:
            name = stack.pop()
            found.append(name)
            for need in self.plan.targets[name].needs:
                if need in self.plan.targets and need not in seen:
                    seen.add(need)
                    stack.append(need)
        return found
