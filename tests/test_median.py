"""Median stopping: against its plain definition, and the tree that finds who goes on."""

from __future__ import annotations

import statistics

from hypothesis import given, settings
from hypothesis import strategies as st

import dasktune as dt
from dasktune.search import Ask
from dasktune.search.contract import StrategyContract
from dasktune.search.draws import Draws
from dasktune.search.standing import vector
from dasktune.search.tournament import Tournament

SPACE = dt.Space(a=dt.integers(0, 999))
EPOCHS = 5


def draws():
    """Give the configs of an integer."""
    return Draws.of(SPACE.random(1), 0, endless=True)


class Plain:
    """Median stopping by its definition: everything is looked at anew for each decision."""

    def __init__(self, configs, budgets, least):
        self.coming, self.budgets, self.least = list(configs), budgets, least
        self.asked, self.scores, self.waiting = {}, {}, []

    def ask(self, room):
        """Ask for those that wait and are no worse than the median, then for new ones."""
        going = [config for config in self.waiting if self.goes_on(config)][:room]
        self.waiting = [config for config in self.waiting if config not in going]
        asks = [(config, self.asked[config]) for config in going]
        while len(asks) < room and self.coming:
            config = self.coming.pop(0)
            if config not in self.asked:
                asks.append((config, 0))
        self.asked |= {config: look + 1 for config, look in asks}
        return [Ask(config, self.budgets[look], 0, look) for config, look in asks]

    def tell(self, ask, score):
        """Take a score."""
        self.asked[ask.config] = ask.rung + 1
        self.waiting = [config for config in self.waiting if config != ask.config]
        if score is not None:
            self.scores.setdefault(ask.config, []).append(vector(score))
            if ask.rung + 1 < len(self.budgets):
                self.waiting.append(ask.config)

    def goes_on(self, config):
        """Compare the best so far with the median of the running averages, in each objective."""
        look = self.asked[config]
        came = [scores[:look] for scores in self.scores.values() if len(scores) >= look]
        if len(came) < self.least:
            return True
        averages = [tuple(map(statistics.fmean, zip(*scores, strict=True))) for scores in came]
        medians = map(statistics.median, zip(*averages, strict=True))
        best = map(max, zip(*self.scores[config], strict=True))
        return any(b >= m for b, m in zip(best, medians, strict=True))


@given(data=st.data(), objectives=st.integers(1, 3), least=st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_it_decides_as_its_plain_definition_does(data, objectives, least):
    """Whoever comes in first, with equal scores and failures, and after an earlier run."""
    count = data.draw(st.integers(1, 20))
    strategy = dt.MedianStopping(n_trials=count, min_trials=least)
    search = strategy.start(draws(), EPOCHS)
    plain = Plain(draws().upto(count), list(range(1, EPOCHS + 1)), least)
    value = st.integers(0, 9).map(float) | st.floats(0, 9)
    scores = value if objectives == 1 else st.tuples(*[value] * objectives)
    reached = {config: data.draw(st.integers(0, EPOCHS)) for config in draws().upto(count // 4)}
    for ask in search.past():
        if ask.budget <= reached.get(ask.config, 0):
            score = data.draw(scores)
            search.tell(ask, score)
            plain.tell(ask, score)
    flying = []
    while True:
        room = data.draw(st.integers(1, 4))
        asks = search.ask(room)
        assert asks == plain.ask(room)
        flying += asks
        if not flying:
            break
        ask = flying.pop(data.draw(st.integers(0, len(flying) - 1)))
        score = data.draw(scores | st.none())
        search.tell(ask, score)
        plain.tell(ask, score)
    left = {config for config in draws().upto(count) if "median" in search.fate(config)}
    assert left == set(plain.waiting)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6), st.integers(0, 6))),
)
def test_a_tournament_finds_the_first_that_reaches_a_bar(points, rounds):
    """In any of its values, while points are taken out; without a bar the first of all."""
    tournament = Tournament()
    assert tournament.first(None) is None
    assert [tournament.add(point) for point in points] == list(range(len(points)))
    there = dict(enumerate(points))
    for taken, *bar in rounds:
        if there.pop(taken, None) is not None:
            tournament.drop(taken)
        reaching = [i for i, (x, y) in there.items() if x >= bar[0] or y >= bar[1]]
        assert tournament.first(tuple(bar)) == (min(reaching) if reaching else None)
        assert tournament.first(None) == (min(there) if there else None)


def test_median_stopping_leaves_what_is_worse_than_the_median():
    """Of the running averages of all that came as far; the median itself goes on."""
    search = dt.MedianStopping(n_trials=3).start(draws(), 3)
    first = search.ask(3)
    for ask, score in zip(first, (1.0, 2.0, 3.0), strict=True):
        search.tell(ask, score)
    second = search.ask(3)
    assert [ask.config for ask in second] == [first[1].config, first[2].config]
    assert {ask.budget for ask in second} == {2}
    assert search.fate(first[0].config) == "worse than the median at 1 epochs"
    for ask, score in zip(second, (0.0, 9.0), strict=True):
        search.tell(ask, score)  # two came so far, of which none is left
    assert [ask.budget for ask in search.ask(3)] == [3, 3]


def test_median_stopping_leaves_what_is_worse_in_all_objectives():
    """What is better than the median in one of them goes on."""
    search = dt.MedianStopping(n_trials=3).start(draws(), 3)
    first = search.ask(3)
    for ask, score in zip(first, ((0.0, 0.0), (9.0, 0.5), (2.0, 2.0)), strict=True):
        search.tell(ask, score)
    assert [ask.config for ask in search.ask(3)] == [first[1].config, first[2].config]


class TestMedianStopping(StrategyContract):
    """The contract."""

    strategy = dt.MedianStopping(n_trials=12, every=5)
