"""Racing: more and more replicates, for those configs that are not told to be worse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from dasktune.config import Config
from dasktune.errors import SearchError
from dasktune.search.draws import Draws
from dasktune.search.standing import Score
from dasktune.search.strategy import ALL, Ask, Rung, Search, Strategy, finite, one_of, whole

TESTS = ("friedman", "t")


@dataclass(frozen=True)
class Race(Strategy):
    """Racing over replicates: F-race (Birattari et al., GECCO 2002).

    As in irace (López-Ibáñez et al., Operations Research Perspectives 3, 2016), all configs are
    trained with the first few replicates. Then those are dropped that are statistically worse
    than the best, the others get one more, and so on. It decides when all that is asked for is
    known, so that the answer is the same with any number of workers. The space must have
    `replicates`; with ``common=True`` the pairs have random numbers in common.

    Parameters
    ----------
    seeds : int
        The most replicates of a config, numbered from 0.
    first : int, default 5
        Replicates before the first test.
    alpha : float, default 0.05
        The level of each test.
    test : {"friedman", "t"}
        Friedman's test over the ranks in each replicate, and Conover's comparisons with the best
        after it (of two configs, Wilcoxon's signed ranks); or paired t-tests with the best, by
        Holm's correction.
    n : int, optional
        Configs; all of the design if not given.
    max_epochs : int, optional
        The budget of each; the pipeline's number of epochs if not given.
    seed : int, default 0
        Of the configs that are drawn.

    Raises
    ------
    SearchError
        If an argument cannot be.
    """

    replicating: ClassVar[bool] = True

    seeds: int
    first: int = 5
    alpha: float = 0.05
    test: str = "friedman"
    n: int | None = None
    max_epochs: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("first", 2), ("seed", 0)):
            whole(name, getattr(self, name), least)
        whole("seeds", self.seeds, self.first)
        for name in ("n", "max_epochs"):
            if getattr(self, name) is not None:
                whole(name, getattr(self, name), 1)
        if not finite(self.alpha) or not 0 < self.alpha < 1:
            raise SearchError(f"alpha must be between 0 and 1, but got {self.alpha!r}.")
        one_of("test", self.test, TESTS)

    @property
    def all_configs(self) -> bool:  # type: ignore[override]
        """Whether all configs of the design take part."""
        return self.n is None

    @property
    def shortens(self) -> bool:  # type: ignore[override]
        """Whether it trains for less than the longest budget: never."""
        return False

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List a rung a replicate."""
        return [Rung(i, i, self.n or ALL, max_epochs, i + 1, known=i) for i in range(self.seeds)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        return _Race(draws.upto(self.n or 10**9), max_epochs, self)


class _Race(Search):
    """The race, replicate by replicate."""

    def __init__(self, configs: Sequence[Config], budget: int, strategy: Race) -> None:
        self._left = list(configs)
        self._budget = budget
        self._strategy = strategy
        self._scores: dict[Config, list[float | None]] = {config: [] for config in configs}
        self._told: dict[tuple[Config, int], float | None] = {}
        self._fates: dict[Config, str] = {}
        self._asked = 0  # replicates of each that is left
        self._open = 0  # asks that are not told
        self._ended = not configs

    def ask(self, room: int) -> list[Ask]:
        """Ask for the next replicate of all that are left, once the ones before are known."""
        if self._ended or self._open:
            return []
        if self._asked:
            self._decide()
            if self._ended:
                return []
        before, self._asked = self._asked, max(self._asked + 1, self._strategy.first)
        asks = [
            Ask(config, self._budget, i, i, (i,))
            for i in range(before, self._asked)
            for config in self._left
        ]
        self._open = len(asks)
        return asks

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take the score of a replicate."""
        assert not isinstance(score, tuple)
        self._open -= 1
        self._told[ask.config, ask.replicates[0]] = score

    def fate(self, config: Config) -> str:
        """Say why a config got no more replicates."""
        return self._fates.get(config, "")

    def _decide(self) -> None:
        """Drop what is worse than the best."""
        count = self._asked
        rows: dict[Config, list[float]] = {}
        for config in self._left:
            scores = [self._told[config, i] for i in range(count)]
            good = [score for score in scores if score is not None]
            if len(good) == count:
                rows[config] = good
            else:
                self._fates[config] = f"no score in replicate {scores.index(None)}"
        configs = list(rows)
        worse = told_worse(list(rows.values()), self._strategy.alpha, self._strategy.test)
        for number in worse:
            self._fates[configs[number]] = f"told to be worse after {count} replicates"
        self._left = [config for number, config in enumerate(configs) if number not in worse]
        self._ended = len(self._left) < 2 or count >= self._strategy.seeds
        if self._ended:
            alone = len(self._left) == 1
            words = "won" if alone else f"one of {len(self._left)} that cannot be told apart"
            for config in self._left:
                self._fates[config] = f"{words} after {count} replicates"


def told_worse(rows: Sequence[Sequence[float]], alpha: float, test: str) -> set[int]:
    """Tell which configs are statistically worse than the best.

    Parameters
    ----------
    rows : sequence of sequence of float
        The scores of each config, replicate by replicate; larger is better.
    alpha : float
        The level.
    test : {"friedman", "t"}
        See `Race`.

    Returns
    -------
    set of int
        Their positions.
    """
    import numpy as np

    scores = np.asarray(rows, dtype=float)
    if len(scores) < 2:
        return set()
    if test == "t":
        return _by_t(scores, alpha)
    return _by_wilcoxon(scores, alpha) if len(scores) == 2 else _by_ranks(scores, alpha)


def _by_ranks(scores: Any, alpha: float) -> set[int]:
    """Friedman's test, then each config against the best (Conover 1999, chapter 5.8)."""
    import numpy as np
    from scipy import stats

    k, n = scores.shape
    ranks = stats.rankdata(-scores, axis=0)
    sums, squares = ranks.sum(axis=1), float((ranks**2).sum())
    spread = squares - n * k * (k + 1) ** 2 / 4
    if spread <= 0:
        return set()  # all are equal in each replicate
    statistic = (k - 1) * ((sums - n * (k + 1) / 2) ** 2).sum() / spread
    if statistic <= stats.chi2.ppf(1 - alpha, k - 1):
        return set()
    freedom = (n - 1) * (k - 1)
    error = max(0.0, 2 * (n * squares - float((sums**2).sum())) / freedom)
    reach = stats.t.ppf(1 - alpha / 2, freedom) * math.sqrt(error)
    return set(np.flatnonzero(sums - sums.min() > reach).tolist())


def _by_wilcoxon(scores: Any, alpha: float) -> set[int]:
    from scipy import stats

    differences = scores[0] - scores[1]
    if not differences.any():
        return set()
    p = stats.wilcoxon(differences, zero_method="zsplit").pvalue
    return {int(differences.mean() > 0)} if p < alpha and differences.mean() else set()


def _by_t(scores: Any, alpha: float) -> set[int]:
    """Paired t-tests with the best, by Holm's correction."""
    import numpy as np
    from scipy import stats

    n = scores.shape[1]
    best = int(np.argmax(scores.mean(axis=1)))
    differences = scores[best] - scores
    mean, deviation = differences.mean(axis=1), differences.std(axis=1, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(mean) / (deviation / math.sqrt(n)), n - 1)
    p = np.where(deviation > 0, p, np.where(mean > 0, 0.0, 1.0))
    others = [i for i in np.argsort(p, kind="stable").tolist() if i != best]
    worse: set[int] = set()
    for place, number in enumerate(others):
        if p[number] >= alpha / (len(others) - place):
            break
        worse.add(number)
    return worse
