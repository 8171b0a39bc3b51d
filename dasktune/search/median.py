"""Median stopping: a config goes on for as long as it is no worse than the median."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dasktune.config import Config
from dasktune.search.draws import Draws
from dasktune.search.standing import Score, vector
from dasktune.search.strategy import Ask, Rung, Search, Strategy, whole


@dataclass(frozen=True)
class MedianStopping(Strategy):
    """The median stopping rule (Golovin et al., KDD 2017, "Google Vizier", section 3.2.2).

    All configs are looked at every `every` epochs. One goes on if its best value so far is no
    worse than the median, over the configs that came as far, of their running averages. What was
    left may go on later, when the median has become worse. With several objectives, one goes on
    that is no worse than the median in any of them. Who comes in first counts, so that
    the answer may differ with the number of workers.

    Parameters
    ----------
    n_trials : int
        Configs in all.
    every : int, default 1
        Epochs between two looks.
    min_trials : int, default 3
        Configs that must have come as far before one is left.
    max_epochs : int, optional
        The longest budget; the pipeline's number of epochs if not given.
    seed : int, default 0
        Of the configs that are drawn.
    """

    n_trials: int
    every: int = 1
    min_trials: int = 3
    max_epochs: int | None = None
    seed: int = 0
    synchronous: ClassVar[bool] = False
    multiobjective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name, least in (("n_trials", 1), ("every", 1), ("min_trials", 1), ("seed", 0)):
            whole(name, getattr(self, name), least)
        if self.max_epochs is not None:
            whole("max_epochs", self.max_epochs, 1)

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List a rung a look."""
        budgets = [*range(self.every, max_epochs, self.every), max_epochs]
        return [Rung(0, i, self.n_trials, budget) for i, budget in enumerate(budgets)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        budgets = [rung.budget for rung in self.rungs(max_epochs)]
        return _Median(draws.upto(self.n_trials), budgets, self.min_trials)


class _Median(Search):
    """The scores of each config, look by look."""

    def __init__(self, configs: list[Config], budgets: list[int], least: int) -> None:
        self._configs = configs
        self._budgets = budgets
        self._least = least
        self._next = 0
        self._asked: dict[Config, int] = {}  # looks asked for
        self._scores: dict[Config, dict[int, tuple[float, ...]]] = {}
        self._best: dict[Config, tuple[float, ...]] = {}
        self._failed: dict[Config, int] = {}
        self._waiting: dict[Config, None] = {}  # between two looks
        self._averages: list[dict[Config, tuple[float, ...]]] = [{} for _ in budgets]
        self._medians: dict[int, tuple[float, ...]] = {}

    def ask(self, room: int) -> list[Ask]:
        """Ask for what may go on, then for new ones."""
        asks: list[Ask] = []
        for config in list(self._waiting):
            if len(asks) == room:
                return asks
            if self._goes_on(config):
                asks.append(self._ask(config, self._asked[config]))
        while len(asks) < room and self._next < len(self._configs):
            config = self._configs[self._next]
            self._next += 1
            if config not in self._asked:
                asks.append(self._ask(config, 0))
        return asks

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score; also of what an earlier run has asked for."""
        config, look = ask.config, ask.rung
        self._asked[config] = max(look + 1, self._asked.get(config, 0))
        if score is None:
            self._failed[config] = ask.budget
            self._waiting.pop(config, None)
            return
        known = self._scores.setdefault(config, {})
        known[look] = vector(score)
        best = self._best.get(config, known[look])
        self._best[config] = tuple(map(max, best, known[look]))
        so_far = [values for earlier, values in known.items() if earlier <= look]
        self._averages[look][config] = tuple(map(statistics.fmean, zip(*so_far, strict=True)))
        self._medians.pop(look, None)
        if self._asked[config] == look + 1 < len(self._budgets):
            self._waiting[config] = None
        else:
            self._waiting.pop(config, None)

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        if config in self._failed:
            return f"no score at {self._failed[config]} epochs"
        if config in self._waiting:
            return f"worse than the median at {self._budgets[self._asked[config] - 1]} epochs"
        return "longest budget" if self._asked.get(config) == len(self._budgets) else ""

    def past(self) -> Iterator[Ask]:
        """List all looks at all configs."""
        for config in self._configs:
            for look, budget in enumerate(self._budgets):
                yield Ask(config, budget, 0, look)

    def _ask(self, config: Config, look: int) -> Ask:
        self._waiting.pop(config, None)
        self._asked[config] = look + 1
        return Ask(config, self._budgets[look], 0, look)

    def _goes_on(self, config: Config) -> bool:
        look = self._asked[config] - 1
        averages = self._averages[look]
        if len(averages) < self._least:
            return True
        if look not in self._medians:
            columns = zip(*averages.values(), strict=True)
            self._medians[look] = tuple(map(statistics.median, columns))
        pairs = zip(self._best[config], self._medians[look], strict=True)
        return any(best >= median for best, median in pairs)
