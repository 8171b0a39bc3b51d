"""Population-based training: the worst go on from the checkpoints of the best, a little changed."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dasktune.config import Config, Parent, Value
from dasktune.domain import Choice, Domain
from dasktune.errors import SearchError, did_you_mean
from dasktune.interval import Integers, Interval
from dasktune.replicate import Replicates
from dasktune.search.draws import Draws
from dasktune.search.standing import Score, ranked
from dasktune.search.strategy import Ask, Rung, Search, Strategy, finite, whole
from dasktune.space import Space

TRIES = 30
"""Times that a config is changed until it is a new and allowed one."""


@dataclass(frozen=True)
class PBT(Strategy):
    """Population-based training (Jaderberg et al., 2017, arXiv 1711.09846), synchronous.

    A population is trained side by side. Every `every` epochs the worst are replaced: each goes
    on from the checkpoint of one of the best, drawn at random (exploit), with its
    hyperparameters, some of which are changed (explore). So a hyperparameter follows a
    schedule that nobody wrote down; the dataset holds it, and each trial's parent.

    It decides when the whole population has come as far, so that the answer is the same with any
    number of workers. `train` must go on from checkpoints (``trial.checkpoint``), and apply the
    hyperparameters after loading one, as `TorchRecipe` does.

    Parameters
    ----------
    population : int
        Trainings side by side, each with all replicates.
    every : int, default 1
        Epochs between two replacements.
    explore : sequence of str, optional
        The hyperparameters that may change; those that are real numbers between bounds if not
        given. What decides the shape of a model cannot change.
    share : float, default 0.2
        The share of the population that is replaced, and the share from which it is: truncation
        selection.
    factors : (float, float), default (0.8, 1.2)
        By one of which a number is multiplied; a choice moves to one of its neighbours.
    resample : float, default 0.25
        The probability with which a value is drawn anew instead.
    max_epochs : int, optional
        The longest budget; the pipeline's number of epochs if not given.
    seed : int, default 0
        Of the configs that are drawn, and of what is changed.

    Raises
    ------
    SearchError
        If an argument cannot be.
    """

    population: int
    every: int = 1
    explore: Sequence[str] = ()
    share: float = 0.2
    factors: tuple[float, float] = (0.8, 1.2)
    resample: float = 0.25
    max_epochs: int | None = None
    seed: int = 0
    multiobjective: ClassVar[bool] = True
    exploits: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, least in (("population", 2), ("every", 1), ("seed", 0)):
            whole(name, getattr(self, name), least)
        if self.max_epochs is not None:
            whole("max_epochs", self.max_epochs, 1)
        for name in ("explore", "factors"):
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        names = (self.explore,) if isinstance(self.explore, str) else self.explore
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise SearchError(f"explore must be names, as in ('lr',), but got {self.explore!r}.")
        object.__setattr__(self, "explore", names)
        if not finite(self.share) or not 0 < self.share <= 0.5:
            raise SearchError(f"share must be above 0 and at most 0.5, but got {self.share!r}.")
        if not finite(self.resample) or not 0 <= self.resample <= 1:
            raise SearchError(f"resample must be between 0 and 1, but got {self.resample!r}.")
        pair = self.factors if isinstance(self.factors, tuple) else ()
        if len(pair) != 2 or not all(finite(factor) and factor > 0 for factor in pair):
            raise SearchError(f"factors must be two numbers above 0, but got {self.factors!r}.")

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List its generations."""
        budgets = [*range(self.every, max_epochs, self.every), max_epochs]
        return [Rung(0, i, self.population, budget) for i, budget in enumerate(budgets)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        if draws.design is None:
            raise SearchError("PBT changes points of a space; it cannot start from given configs.")
        space = draws.design.space
        names = _explored(space, self.explore)
        budgets = [rung.budget for rung in self.rungs(max_epochs)]
        return _Population(draws.upto(self.population), budgets, self, space, names)


@dataclass(frozen=True)
class _Member:
    """One of the population."""

    config: Config
    parent: Parent | None = None


class _Population(Search):
    """The population, generation by generation."""

    def __init__(
        self,
        configs: Sequence[Config],
        budgets: Sequence[int],
        strategy: PBT,
        space: Space,
        names: Sequence[str],
    ) -> None:
        self._members = [_Member(config) for config in configs]
        self._budgets = budgets
        self._strategy = strategy
        self._space = space
        self._names = names
        self._generation = 0
        self._waiting = list(dict.fromkeys(self._members))
        self._scores: dict[_Member, Score | None] = {}
        self._fates: dict[_Member, str] = {}

    def ask(self, room: int) -> list[Ask]:
        """Ask for the whole generation, once the one before is complete."""
        if not self._waiting and self._members and self._scores.keys() >= set(self._members):
            self._decide()
        budget = self._budgets[self._generation]
        asks = [Ask(m.config, budget, 0, self._generation, (), m.parent) for m in self._waiting]
        self._waiting = []
        return asks

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score of this generation."""
        self._scores[_Member(ask.config, ask.parent)] = score

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        fates = [fate for member, fate in self._fates.items() if member.config == config]
        return fates[-1] if fates else ""

    def fate_of(self, config: Config, parent: Parent | None) -> str:
        """Say so of one that began from a checkpoint."""
        return self._fates.get(_Member(config, parent), "")

    def _decide(self) -> None:
        """Replace the worst, unless it was the last generation."""
        scores, budget = self._scores, self._budgets[self._generation]
        good = [m for m in self._members if scores[m] is not None]
        chosen = ranked([score for m in good if (score := scores[m]) is not None])
        standing = [good[i] for i in chosen]
        count = len(self._members)
        cut = min(max(1, int(count * self._strategy.share)), len(standing))
        best = standing[:cut]
        worst = set(standing[max(cut, count - cut) :])
        last = self._generation + 1 == len(self._budgets)
        places = {member: place for place, member in enumerate(standing, 1)}
        following: list[_Member] = []
        known = set(self._members)
        for number, member in enumerate(self._members):
            failed = scores[member] is None
            if failed:
                self._fates[member] = f"no score at {budget} epochs"
            elif last:
                self._fates[member] = "longest budget"
            elif member in worst:
                place = f"rank {places[member]} of {count}"
                self._fates[member] = f"{place} at {budget} epochs, replaced"
            if last or not best:
                continue
            if failed or member in worst:
                drawn = random.Random(f"{self._strategy.seed}/{self._generation}/{number}")
                following.append(self._child(drawn.choice(best), budget, drawn, known))
                known.add(following[-1])
            else:
                following.append(member)
        self._members = following
        if not last:
            self._generation += 1
        self._waiting = list(dict.fromkeys(following))
        self._scores = {}

    def _child(
        self, parent: _Member, epoch: int, drawn: random.Random, known: set[_Member]
    ) -> _Member:
        """Go on from a parent's checkpoint, with a config that is not its own."""
        origin = Parent(parent.config, epoch, parent.parent)
        child = _Member(parent.config, origin)
        for _ in range(TRIES):
            values = dict(parent.config)
            for name in self._names:
                if name in values:
                    values[name] = self._changed(self._space.domains[name], values[name], drawn)
            config = Config(values)
            child = _Member(config, origin)
            if config != parent.config and self._space.allows(config) and child not in known:
                return child
        return child if self._space.allows(child.config) else _Member(parent.config, origin)

    def _changed(self, domain: Domain, value: Value, drawn: random.Random) -> Value:
        anew, factor = drawn.random(), drawn.choice(self._strategy.factors)
        if anew < self._strategy.resample:
            return domain.from_unit(drawn.random())
        if isinstance(domain, Choice):
            at = domain.values.index(value) if value in domain.values else 0
            step = 1 if factor > 1 else -1
            return domain.values[min(max(at + step, 0), len(domain.values) - 1)]
        if isinstance(domain, Integers) and isinstance(value, int):
            steps = max(1, round(abs(value * factor - value) / domain.step))
            moved = value + (steps if factor > 1 else -steps) * domain.step
            return min(max(moved, domain.low), domain.high)
        if isinstance(domain, Interval) and isinstance(value, (int, float)):
            return min(max(value * factor, domain.low), domain.high)
        return value


def _explored(space: Space, names: Sequence[str]) -> list[str]:
    """Check the names of what may change, or list what is a real number between bounds."""
    if not names:
        found = [name for name in space.order if isinstance(space.domains[name], Interval)]
        if not found:
            raise SearchError(
                "PBT changes hyperparameters that are real numbers between bounds, but the space "
                "has none. Name others, as in PBT(8, explore=('batch_size',))."
            )
        return found
    parents = {parent for domain in space.domains.values() for parent in domain.conditions}
    for name in names:
        domain = space.domains.get(name)
        if domain is None:
            raise SearchError(
                f"PBT is to change {name!r}, which the space has not."
                + did_you_mean(name, list(space.order))
            )
        if name in parents or isinstance(domain, Replicates):
            raise SearchError(
                f"PBT cannot change {name!r}, on which others depend or which is no hyperparameter."
            )
    return list(names)
