"""ASHA: successive halving that waits for nobody."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dasktune.config import Config
from dasktune.search.draws import Draws
from dasktune.search.halving import check_ladder, ladder, steps
from dasktune.search.standing import Score, Standing
from dasktune.search.strategy import Ask, Rung, Search, Strategy, whole


@dataclass(frozen=True)
class ASHA(Strategy):
    """Asynchronous successive halving (Li et al., MLSys 2020, arXiv 1810.05934), promoting.

    Whenever there is room, the best config that is among the first ``1 / eta`` of its rung so far
    is promoted, from the highest rung that has one; else a new config starts at the bottom. A
    config that was passed over may be promoted later, when others came in below it; it then
    goes on from its checkpoint. Which are promoted depends on who comes in first, so that the
    answer may differ with the number of workers.

    Parameters
    ----------
    n_trials : int
        Configs that start at the bottom, in all.
    max_epochs : int, optional
        The longest budget (R); the pipeline's number of epochs if not given.
    min_epochs : int, default 1
        The shortest budget is at least this (r; the paper's s is then 0).
    eta : int, default 3
        One of how many goes on from rung to rung.
    seed : int, default 0
        Of the configs that are drawn.

    Notes
    -----
    Algorithm 2 of the paper: `ask` is ``get_job``. It ends when all `n_trials` have come in and
    nothing can be promoted. With several objectives it is MO-ASHA (Schmucker et al., 2021, arXiv
    2106.12639): a rung is ranked by non-dominated fronts, each by an epsilon net.
    """

    n_trials: int
    max_epochs: int | None = None
    min_epochs: int = 1
    eta: int = 3
    seed: int = 0
    synchronous: ClassVar[bool] = False
    multiobjective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        whole("n_trials", self.n_trials, 1)
        check_ladder(self.max_epochs, self.min_epochs, self.eta, self.seed)

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List its rungs, with what is usual: early promotions may be more."""
        budgets = ladder(max_epochs, self.eta, steps(max_epochs, self.min_epochs, self.eta))
        return [Rung(0, i, max(1, self.n_trials // self.eta**i), b) for i, b in enumerate(budgets)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        budgets = [rung.budget for rung in self.rungs(max_epochs)]
        return _ASHA(draws.upto(self.n_trials), budgets, self.eta)


class _ASHA(Search):
    """The rungs, as they fill."""

    def __init__(self, configs: list[Config], budgets: list[int], eta: int) -> None:
        self._configs = configs
        self._budgets = budgets
        self._eta = eta
        self._next = 0
        self._number = {config: i for i, config in enumerate(configs)}
        self._asked: list[set[Config]] = [set() for _ in budgets]
        self._standings = [Standing() for _ in budgets]
        self._failed: dict[Config, int] = {}
        self._told: list[int] = [0 for _ in budgets]

    def ask(self, room: int) -> list[Ask]:
        """Ask for as many as there is room for."""
        asks: list[Ask] = []
        while len(asks) < room:
            ask = self._job()
            if ask is None:
                break
            asks.append(ask)
        return asks

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score; also of what an earlier run has asked for."""
        self._asked[ask.rung].add(ask.config)
        self._told[ask.rung] += 1
        if score is None:
            self._failed[ask.config] = ask.budget
            return
        self._standings[ask.rung].put(ask.config, score, self._number[ask.config])

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        if config in self._failed:
            return f"no score at {self._failed[config]} epochs"
        highest = max((k for k, asked in enumerate(self._asked) if config in asked), default=-1)
        if highest < 0:
            return ""
        if highest == len(self._budgets) - 1:
            return "longest budget"
        standing = self._standings[highest]
        if config not in standing:
            return ""
        rank = f"rank {standing.place(config)} of {self._told[highest]}"
        return f"{rank} at {self._budgets[highest]} epochs"

    def past(self) -> Iterator[Ask]:
        """List all rungs of all configs."""
        for config in self._configs:
            for rung, budget in enumerate(self._budgets):
                yield Ask(config, budget, 0, rung)

    def _job(self) -> Ask | None:
        for rung in reversed(range(len(self._budgets) - 1)):
            above = self._asked[rung + 1]
            for config in self._standings[rung].first(self._told[rung] // self._eta):
                if config not in above:
                    above.add(config)
                    return Ask(config, self._budgets[rung + 1], 0, rung + 1)
        while self._next < len(self._configs):
            config = self._configs[self._next]
            self._next += 1
            if config not in self._asked[0]:
                self._asked[0].add(config)
                return Ask(config, self._budgets[0], 0, 0)
        return None
