"""Patience: a config goes on for as long as it gets better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dasktune.config import Config
from dasktune.errors import SearchError
from dasktune.search.draws import Draws
from dasktune.search.standing import Score, vector
from dasktune.search.strategy import ALL, Ask, Rung, Search, Strategy, finite, whole


@dataclass(frozen=True)
class Patience(Strategy):
    """Stops a config that has not become better for some epochs.

    All are looked at every `every` epochs, each by itself, so that the answer is the same with
    any number of workers. One that was stopped is a target at a shorter budget: with more
    patience, or another strategy, it goes on from there. With several objectives, it stops when
    none of them has become better.

    Parameters
    ----------
    patience : int
        Epochs without a better value after which to stop.
    every : int, default 1
        Epochs between two looks.
    least : float, default 0.0
        By how much a value must be better to count.
    n : int, optional
        Configs; all of the design if not given.
    max_epochs : int, optional
        The longest budget; the pipeline's number of epochs if not given.
    seed : int, default 0
        Of the configs that are drawn.
    """

    patience: int
    every: int = 1
    least: float = 0.0
    n: int | None = None
    max_epochs: int | None = None
    seed: int = 0
    multiobjective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, low in (("patience", 1), ("every", 1), ("seed", 0)):
            whole(name, getattr(self, name), low)
        for name in ("n", "max_epochs"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        if not finite(self.least) or not self.least >= 0:
            raise SearchError(f"least must be a number of at least 0, but got {self.least!r}.")

    @property
    def all_configs(self) -> bool:  # type: ignore[override]
        """Whether all configs of the design take part."""
        return self.n is None

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List a rung a look."""
        budgets = [*range(self.every, max_epochs, self.every), max_epochs]
        return [Rung(0, i, self.n or ALL, budget) for i, budget in enumerate(budgets)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        budgets = [rung.budget for rung in self.rungs(max_epochs)]
        return _Patience(draws.upto(self.n or 10**9), budgets, self)


class _Patience(Search):
    """The best value of each config so far, and when it was."""

    def __init__(
        self, configs: Sequence[Config], budgets: Sequence[int], strategy: Patience
    ) -> None:
        self._budgets = budgets
        self._strategy = strategy
        self._ready: list[tuple[Config, int]] = [(config, 0) for config in configs]
        self._best: dict[Config, list[tuple[float, int]]] = {}
        self._fates: dict[Config, str] = {}

    def ask(self, room: int) -> list[Ask]:
        """Ask for the next look at all that go on."""
        asks = [Ask(config, self._budgets[look], 0, look) for config, look in self._ready]
        self._ready = []
        return asks

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score."""
        if score is None:
            self._fates[ask.config] = f"no score at {ask.budget} epochs"
            return
        values = vector(score)
        best = self._best.setdefault(ask.config, [(value, ask.budget) for value in values])
        for number, value in enumerate(values):
            if value > best[number][0] + self._strategy.least:
                best[number] = (value, ask.budget)
        waited = ask.budget - max(when for _, when in best)
        if ask.rung + 1 == len(self._budgets):
            self._fates[ask.config] = "longest budget"
        elif waited >= self._strategy.patience:
            self._fates[ask.config] = f"no better for {waited} epochs at {ask.budget} epochs"
        else:
            self._ready.append((ask.config, ask.rung + 1))

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        return self._fates.get(config, "")
