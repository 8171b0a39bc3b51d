"""Successive halving: train many a little, keep the best share, train those for longer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from dasktune.config import Config
from dasktune.search.draws import Draws
from dasktune.search.standing import Score, ranked
from dasktune.search.strategy import Ask, Rung, Search, Strategy, whole


def steps(max_epochs: int, min_epochs: int, eta: int) -> int:
    """Give the largest ``s`` with ``min_epochs * eta**s <= max_epochs``."""
    count = 0
    while min_epochs * eta ** (count + 1) <= max_epochs:
        count += 1
    return count


def ladder(max_epochs: int, eta: int, count: int) -> list[int]:
    """List the budgets of ``count + 1`` rungs, the last of which is the longest budget."""
    return [max_epochs // eta ** (count - i) for i in range(count + 1)]


@dataclass(frozen=True)
class SuccessiveHalving(Strategy):
    """Successive halving (Jamieson & Talwalkar, AISTATS 2016, arXiv 1502.07943).

    Of the ``n`` configs of the first rung the best ``1 / eta`` are trained ``eta`` times as
    long, and so on up to `max_epochs`. Each rung is decided when all of it is known, so that
    the answer is the same with any number of workers.

    Parameters
    ----------
    n : int, optional
        Configs to begin with (n); ``eta**s``, of which one is left at the end, if not given.
    max_epochs : int, optional
        The longest budget (R); the pipeline's number of epochs if not given.
    min_epochs : int, default 1
        The shortest budget is at least this (r).
    eta : int, default 3
        One of how many goes on (the Greek letter; 2 in the paper's title).
    seed : int, default 0
        Of the configs that are drawn.

    Notes
    -----
    With ``s = floor(log_eta(R / r))`` there are ``s + 1`` rungs; rung ``i`` has
    ``n_i = floor(n * eta**-i)`` configs, trained for ``r_i = floor(R * eta**(i - s))`` epochs.
    """

    n: int | None = None
    max_epochs: int | None = None
    min_epochs: int = 1
    eta: int = 3
    seed: int = 0
    multiobjective: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.n is not None:
            whole("n", self.n, 1)
        check_ladder(self.max_epochs, self.min_epochs, self.eta, self.seed)

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List its rungs."""
        count = steps(max_epochs, self.min_epochs, self.eta)
        n = self.eta**count if self.n is None else self.n
        return bracket_rungs(0, n, ladder(max_epochs, self.eta, count), self.eta)

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        rungs = self.rungs(max_epochs)
        return Brackets([Bracket(draws.upto(rungs[0].configs), rungs, self.eta)])


def check_ladder(max_epochs: int | None, min_epochs: int, eta: int, seed: int) -> None:
    """Refuse what makes no ladder of budgets."""
    if max_epochs is not None:
        whole("max_epochs", max_epochs, 1)
    whole("min_epochs", min_epochs, 1)
    whole("eta", eta, 2)
    whole("seed", seed, 0)


def bracket_rungs(bracket: int, n: int, budgets: Sequence[int], eta: int) -> list[Rung]:
    """List the rungs of a bracket: at least one config in each."""
    return [Rung(bracket, i, max(1, n // eta**i), b) for i, b in enumerate(budgets)]


class Bracket:
    """One successive halving on its way.

    Parameters
    ----------
    configs : sequence of Config
        Those of the first rung.
    rungs : sequence of Rung
        Its rungs; if there are fewer configs than the first has, each has fewer.
    eta : int
        One of how many goes on.
    """

    def __init__(self, configs: Sequence[Config], rungs: Sequence[Rung], eta: int) -> None:
        self._rungs = bracket_rungs(rungs[0].bracket, len(configs), [r.budget for r in rungs], eta)
        self._rung = 0
        self._waiting: list[Config] = list(configs)  # those of this rung that are not asked for
        self._order: list[Config] = list(configs)
        self._scores: dict[Config, Score | None] = {}
        self._fates: dict[Config, str] = {}

    def ask(self) -> list[Ask]:
        """Ask for the whole rung, once the one before is complete."""
        if not self._waiting and self._order and len(self._scores) == len(self._order):
            self._decide()
        rung = self._rungs[self._rung]
        asked = [Ask(c, rung.budget, rung.bracket, rung.rung) for c in self._waiting]
        self._waiting = []
        return asked

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score of this rung."""
        self._scores[ask.config] = score

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        return self._fates.get(config, "")

    def _decide(self) -> None:
        rung = self._rungs[self._rung]
        good = [config for config in self._order if self._scores[config] is not None]
        chosen = ranked([score for c in good if (score := self._scores[c]) is not None])
        standing = [good[i] for i in chosen]
        last = self._rung + 1 == len(self._rungs)
        kept = [] if last else standing[: self._rungs[self._rung + 1].configs]
        places = {config: place for place, config in enumerate(standing, 1)}
        for config in self._order:
            if self._scores[config] is None:
                self._fates[config] = f"no score at {rung.budget} epochs"
            elif last:
                self._fates[config] = "longest budget"
            elif places[config] > len(kept):
                place = f"rank {places[config]} of {len(self._order)}"
                self._fates[config] = f"{place} at {rung.budget} epochs, {len(kept)} go on"
        if not last:
            self._rung += 1
        self._order = kept
        self._waiting = list(kept)
        self._scores = {}


class Brackets(Search):
    """Brackets side by side: none waits for another."""

    def __init__(self, brackets: Sequence[Bracket]) -> None:
        self._brackets = brackets

    def ask(self, room: int) -> list[Ask]:
        """Ask for all rungs that are decided."""
        return [ask for bracket in self._brackets for ask in bracket.ask()]

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score."""
        self._brackets[ask.bracket].tell(ask, score)

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer; the last bracket that had it knows best."""
        fates = [fate for bracket in self._brackets if (fate := bracket.fate(config))]
        return "longest budget" if "longest budget" in fates else (fates[-1] if fates else "")
