"""More replicates for the leaders only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dasktune.config import Config
from dasktune.errors import SearchError
from dasktune.search.draws import Draws
from dasktune.search.standing import Score, ranked
from dasktune.search.strategy import ALL, Ask, Rung, Search, Strategy, whole


@dataclass(frozen=True)
class ReplicateBest(Strategy):
    """Trains the best configs of a sweep, or of another search, with more seeds.

    The mean over few seeds picks the lucky ones; more seeds for the leaders tell how much of it
    was luck. The space must have `replicates`.

    Parameters
    ----------
    best : int
        How many configs.
    seeds : int
        How many replicates of each, in all, numbered from 0.
    first : Strategy, optional
        The search that finds them; the whole design is trained if not given.
    """

    best: int
    seeds: int
    first: Strategy | None = None

    def __post_init__(self) -> None:
        whole("best", self.best, 1)
        whole("seeds", self.seeds, 1)
        if self.first is not None and not isinstance(self.first, Strategy):
            raise SearchError(
                f"ReplicateBest follows a strategy, such as ASHA(9), or none, but got "
                f"{self.first!r}."
            )
        if self.first is not None and (self.first.exploits or self.first.replicating):
            raise SearchError(
                f"ReplicateBest follows a search that gives each config one score for all its "
                f"replicates, but got {type(self.first).__name__}, which does not."
            )

    @property
    def max_epochs(self) -> int | None:  # type: ignore[override]
        """The longest budget of the search."""
        return None if self.first is None else self.first.max_epochs

    @property
    def seed(self) -> int:  # type: ignore[override]
        """Of the configs that are drawn."""
        return 0 if self.first is None else self.first.seed

    @property
    def synchronous(self) -> bool:  # type: ignore[override]
        """Whether the search is."""
        return self.first is None or self.first.synchronous

    @property
    def remembers(self) -> bool:  # type: ignore[override]
        """Whether the search does."""
        return self.first is not None and self.first.remembers

    @property
    def all_configs(self) -> bool:  # type: ignore[override]
        """Whether all configs of the design are trained."""
        return self.first is None or self.first.all_configs

    @property
    def shortens(self) -> bool:  # type: ignore[override]
        """Whether the search does."""
        return self.first is not None and self.first.shortens

    @property
    def multiobjective(self) -> bool:  # type: ignore[override]
        """Whether the search is."""
        return self.first is None or self.first.multiobjective

    def rungs(self, max_epochs: int) -> list[Rung]:
        """List the rungs of the search, and the leaders'."""
        found = [Rung(0, 0, ALL, max_epochs)]
        if self.first is not None:
            found = self.first.rungs(max_epochs)
        bracket = max((rung.bracket for rung in found), default=0) + 1
        return [*found, Rung(bracket, 1, self.best, max_epochs, self.seeds)]

    def start(self, draws: Draws, max_epochs: int) -> Search:
        """Start a search."""
        bracket = self.rungs(max_epochs)[-1].bracket
        if self.first is None:
            first: Search = _All(draws.upto(10**9), max_epochs)
        else:
            first = self.first.start(draws, max_epochs)
        return _Replicating(first, self.best, self.seeds, max_epochs, bracket)


class _All(Search):
    """All configs, for the longest budget."""

    def __init__(self, configs: list[Config], budget: int) -> None:
        self._asks = [Ask(config, budget) for config in configs]
        self._configs = set(configs)

    def ask(self, room: int) -> list[Ask]:
        """Ask for all."""
        asks, self._asks = self._asks, []
        return asks

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score."""

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        return "longest budget" if config in self._configs else ""


class _Replicating(Search):
    """The search, then its leaders."""

    def __init__(self, first: Search, best: int, seeds: int, budget: int, bracket: int) -> None:
        self._first = first
        self._best = best
        self._seeds = seeds
        self._budget = budget
        self._bracket = bracket
        self._open = 0
        self._scores: dict[Config, Score] = {}
        self._number: dict[Config, int] = {}  # in the order of asking, which no worker changes
        self._leaders: list[Config] | None = None

    def ask(self, room: int) -> list[Ask]:
        """Ask what the search asks; when it has ended, ask for its leaders."""
        asks = self._first.ask(room) if self._leaders is None else []
        self._open += len(asks)
        for ask in asks:
            self._number.setdefault(ask.config, len(self._number))
        if asks or self._open or self._leaders is not None:
            return asks
        # Equal scores must not be told apart by who came first.
        known = sorted(self._scores, key=lambda config: self._number.get(config, 0))
        chosen = ranked([self._scores[config] for config in known], self._best)
        self._leaders = [known[i] for i in chosen]
        return [
            Ask(config, self._budget, self._bracket, 1, tuple(range(self._seeds)))
            for config in self._leaders
        ]

    def tell(self, ask: Ask, score: Score | None) -> None:
        """Take a score."""
        if ask.bracket == self._bracket:
            return
        self._open = max(0, self._open - 1)
        if score is not None and ask.budget == self._budget:
            self._scores[ask.config] = score
        self._first.tell(ask, score)

    def fate(self, config: Config) -> str:
        """Say why a config was trained no longer."""
        fate = self._first.fate(config)
        leaders = self._leaders or []
        if config not in leaders:
            return fate
        return f"{fate}; replicated as number {leaders.index(config) + 1}"

    def again(self, config: Config) -> Ask:
        """Take a config that an earlier run has asked for."""
        self._open += 1
        self._number.setdefault(config, len(self._number))
        return self._first.again(config)

    def past(self) -> Iterator[Ask]:
        """List what an earlier run may have asked for."""
        for ask in self._first.past():
            before = self._open
            self._open += 1  # which telling takes back
            self._number.setdefault(ask.config, len(self._number))
            yield ask
            self._open = before
