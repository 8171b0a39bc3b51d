"""The contract of strategies, as a test class; subclass it to test one of your own."""

from __future__ import annotations

import random
from collections.abc import Callable

from dasktune.config import Config
from dasktune.search.draws import Draws
from dasktune.search.strategy import Ask, Search, Strategy


class StrategyContract:
    """What the driver relies on; a test runner such as pytest finds the ``test_`` methods.

    Attributes
    ----------
    strategy : Strategy
        The strategy under test; set by a subclass.
    max_epochs : int, default 27
        The longest budget.

    Examples
    --------
    >>> class TestMine(StrategyContract):
    ...     strategy = MyStrategy(n=20)  # doctest: +SKIP
    """

    strategy: Strategy
    max_epochs: int = 27

    def draws(self) -> Draws:
        """Give configs to begin with."""
        drawn = random.Random(self.strategy.seed)
        return Draws(Config({"x": drawn.random(), "y": drawn.random()}) for _ in range(10_000))

    def score(self, ask: Ask) -> float | None:
        """Score a training: better for longer, and for values in the middle."""
        x, y = float(str(ask.config["x"])), float(str(ask.config["y"]))
        return -((x - 0.5) ** 2) - (y - 0.1) ** 2 - 0.1 / ask.budget

    def play(
        self,
        search: Search,
        order: random.Random,
        room: int = 3,
        score: Callable[[Ask], float | None] | None = None,
    ) -> list[Ask]:
        """Run a search to its end; trainings end in a random order. Give what it asked for."""
        flying: list[Ask] = []
        asked: list[Ask] = []
        while True:
            asks = search.ask(room - len(flying)) if room > len(flying) else []
            asked += asks
            flying += asks
            if not flying:
                return asked
            assert len(asked) < 10_000, "the search does not end"
            ask = flying.pop(order.randrange(len(flying)))
            search.tell(ask, (score or self.score)(ask))

    def start(self) -> Search:
        """Start a search."""
        return self.strategy.start(self.draws(), self.max_epochs)

    def test_it_asks_for_budgets_in_bounds(self) -> None:
        """Whole epochs, at least one, at most the longest budget; and for something."""
        asked = self.play(self.start(), random.Random(0))
        assert asked
        assert all(type(ask.budget) is int for ask in asked)
        assert all(1 <= ask.budget <= self.max_epochs for ask in asked)

    def test_it_asks_for_nothing_twice(self) -> None:
        """The same config and replicates, from the same parent, to the same budget."""
        asked = self.play(self.start(), random.Random(0))
        told = {(ask.config, ask.replicates, ask.parent, ask.budget, ask.bracket) for ask in asked}
        assert len(told) == len(asked)

    def test_it_is_deterministic(self) -> None:
        """The same answers in the same order lead to the same wishes."""
        asked = self.play(self.start(), random.Random(1))
        assert self.play(self.start(), random.Random(1)) == asked

    def test_a_synchronous_one_does_not_depend_on_the_order(self) -> None:
        """With any number of workers."""
        if not self.strategy.synchronous:
            return
        first = set(self.play(self.start(), random.Random(1), room=1))
        assert set(self.play(self.start(), random.Random(2), room=8)) == first

    def test_its_rungs_are_the_most_that_it_asks_for(self) -> None:
        """So that a plan can say beforehand what it may cost; asynchronous ones may err."""
        if not self.strategy.synchronous:
            return
        asked = self.play(self.start(), random.Random(0))
        epochs = sum(rung.configs for rung in self.strategy.rungs(self.max_epochs))
        assert len(asked) <= epochs

    def test_it_ends_whatever_fails(self) -> None:
        """All of it, or some."""
        self.play(self.start(), random.Random(0), score=lambda ask: None)
        some = random.Random(0)
        self.play(
            self.start(),
            random.Random(0),
            score=lambda ask: None if some.random() < 0.3 else self.score(ask),
        )

    def test_it_says_why_a_config_was_left(self) -> None:
        """Of each that it asked for; and nothing of others."""
        search = self.start()
        asked = self.play(search, random.Random(0))
        assert all(search.fate(ask.config) for ask in asked)
        assert search.fate(Config({"x": 2.0, "y": 2.0})) == ""

    def test_an_earlier_run_is_taken_up(self) -> None:
        """What a first run was told is told to a second one, which asks for none of it again."""
        first, done = self.start(), {}
        for _ in range(5):
            for ask in first.ask(1)[:1]:
                done[ask.config, ask.budget] = self.score(ask)
                first.tell(ask, done[ask.config, ask.budget])
        if self.strategy.synchronous:
            return  # it asks again, and the files answer
        second = self.start()
        for config, budget in done if self.strategy.remembers else ():
            second.tell(second.again(config), done[config, budget])
        for ask in second.past():
            if (ask.config, ask.budget) in done:
                second.tell(ask, done[ask.config, ask.budget])
        asked = self.play(second, random.Random(0))
        assert not {(ask.config, ask.budget) for ask in asked} & done.keys()
