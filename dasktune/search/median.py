"""Median stopping: a config goes on for as long as it is no worse than the median."""

from __future__ import annotations

import statistics
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from dasktune.config import Config
from dasktune.search.draws import Draws
from dasktune.search.standing import Score, vector
from dasktune.search.strategy import Ask, Rung, Search, Strategy, whole
from dasktune.search.tournament import Point, Tournament


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


class _Look:
    """The configs that came as far as a look, and those of them that wait to go on."""

    def __init__(self, least: int) -> None:
        self._least = least
        self._averages: dict[Config, Point] = {}
        self._columns: list[list[float]] = []  # the averages, in order; of each objective
        self._queue = Tournament()
        self._numbers: list[tuple[int, Config]] = []  # by place in the queue
        self._next: tuple[int, Config] | None = None
        self._stale = False  # whether `_next` must be found again

    def put(self, config: Config, average: Point) -> None:
        """Take the running average of a config."""
        self._columns = self._columns or [[] for _ in average]
        before = self._averages.get(config)
        self._averages[config] = average
        for number, column in enumerate(self._columns):
            if before is not None:
                del column[bisect_left(column, before[number])]
            insort(column, average[number])
        self._stale = True

    def wait(self, number: int, config: Config, best: Point) -> int:
        """Let a config wait, and give its place; of several the lower number goes on first."""
        self._numbers.append((number, config))
        self._stale = True
        return self._queue.add(best)

    def leave(self, place: int) -> None:
        """Let the config at a place wait no longer."""
        self._queue.drop(place)
        self._stale = True

    def next(self) -> tuple[int, Config] | None:
        """Give the first of those that wait and are no worse than the median, with its number."""
        if self._stale:
            enough = len(self._averages) >= self._least
            bar = tuple(map(_median, self._columns)) if enough else None
            place = self._queue.first(bar)
            self._next = None if place is None else self._numbers[place]
            self._stale = False
        return self._next


class _Median(Search):
    """The scores of each config, look by look."""

    def __init__(self, configs: list[Config], budgets: list[int], least: int) -> None:
        self._configs = configs
        self._budgets = budgets
        self._next = 0
        self._asked: dict[Config, int] = {}  # looks asked for
        self._scores: dict[Config, dict[int, Point]] = {}
        self._best: dict[Config, Point] = {}
        self._failed: dict[Config, int] = {}
        self._looks = [_Look(least) for _ in budgets]
        self._waiting: dict[Config, tuple[_Look, int]] = {}  # at which look, and its place there
        self._waited = 0

    def ask(self, room: int) -> list[Ask]:
        """Ask for what may go on, then for new ones."""
        asks: list[Ask] = []
        while len(asks) < room:
            first = min((n for look in self._looks if (n := look.next())), default=None)
            if first is None:
                break
            asks.append(self._ask(first[1], self._asked[first[1]]))
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
        self._leave(config)
        if score is None:
            self._failed[config] = ask.budget
            return
        known = self._scores.setdefault(config, {})
        known[look] = vector(score)
        best = self._best.get(config, known[look])
        self._best[config] = tuple(map(max, best, known[look]))
        so_far = [values for earlier, values in known.items() if earlier <= look]
        average = tuple(map(statistics.fmean, zip(*so_far, strict=True)))
        self._looks[look].put(config, average)
        if self._asked[config] == look + 1 < len(self._budgets):
            place = self._looks[look].wait(self._waited, config, self._best[config])
            self._waiting[config] = self._looks[look], place
            self._waited += 1

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
        self._leave(config)
        self._asked[config] = look + 1
        return Ask(config, self._budgets[look], 0, look)

    def _leave(self, config: Config) -> None:
        look, place = self._waiting.pop(config, (None, 0))
        if look is not None:
            look.leave(place)


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
