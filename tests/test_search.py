"""Strategies by themselves: what they ask for, given what they were told."""

from __future__ import annotations

import dataclasses
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dasktune as dt
from dasktune.errors import SearchError, UsageError
from dasktune.search import Ask, Strategy
from dasktune.search.contract import StrategyContract
from dasktune.search.draws import Draws
from dasktune.search.naming import strategy_of
from dasktune.search.racing import told_worse

SPACE = dt.Space(a=dt.integers(0, 999))


def draws(seed=0):
    """Give the configs of an integer."""
    return Draws.of(SPACE.random(1, seed), seed, endless=True)


def play(search, score, order, room=1):
    """Run a search: of what is in training, the next to end is chosen by a random order."""
    flying, asked = [], []
    while True:
        asks = search.ask(room)
        asked += asks
        flying += asks
        if not flying:
            return asked
        ask = flying.pop(order.randrange(len(flying)))
        search.tell(ask, score(ask))


def test_hyperbands_brackets_are_those_of_the_paper():
    """R = 81, eta = 3: n_i and r_i of all five brackets, by algorithm 1 of Li et al."""
    table: dict[int, list[tuple[int, int]]] = {}
    for rung in dt.Hyperband(max_epochs=81, eta=3).rungs(81):
        table.setdefault(4 - rung.bracket, []).append((rung.configs, rung.budget))
    assert table == {
        4: [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        3: [(34, 3), (11, 9), (3, 27), (1, 81)],
        2: [(15, 9), (5, 27), (1, 81)],
        1: [(8, 27), (2, 81)],
        0: [(5, 81)],
    }


def test_budgets_are_whole_epochs_for_any_longest_one():
    """Rounded down, as the paper's r_i; at least one; the last is the longest."""
    assert [r.budget for r in dt.SuccessiveHalving().rungs(40)] == [1, 4, 13, 40]
    assert [r.budget for r in dt.SuccessiveHalving(min_epochs=5).rungs(40)] == [13, 40]
    assert [r.budget for r in dt.Hyperband(eta=2).rungs(1)] == [1]


@pytest.mark.parametrize("strategy", [dt.SuccessiveHalving(n=20), dt.Hyperband(eta=2)])
@given(st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_a_synchronous_search_does_not_depend_on_who_comes_in_first(strategy, order):
    """It decides only on complete rungs."""

    def score(ask):
        return ask.config.a % 97 + ask.budget / 100

    first = strategy.start(draws(), 9)
    second = strategy.start(draws(), 9)
    asked = play(first, score, random.Random(0))
    again = play(second, score, order)
    assert set(asked) == set(again)
    assert {a.config: first.fate(a.config) for a in asked} == {
        a.config: second.fate(a.config) for a in asked
    }


def test_successive_halving_keeps_the_best_share_of_each_rung():
    """And says of the others at which rank they were left."""
    search = dt.SuccessiveHalving(n=9).start(draws(), 9)
    asked = play(search, lambda ask: float(ask.config.a), random.Random(1))
    rungs = [[a.config.a for a in asked if a.rung == rung] for rung in range(3)]
    ranked = sorted(rungs[0], reverse=True)
    assert sorted(rungs[1], reverse=True) == ranked[:3]
    assert rungs[2] == ranked[:1]
    fates = {ask.config.a: search.fate(ask.config) for ask in asked}
    assert fates[ranked[0]] == "longest budget"
    assert fates[ranked[1]] == "rank 2 of 3 at 3 epochs, 1 go on"
    assert fates[ranked[-1]] == "rank 9 of 9 at 1 epochs, 3 go on"


def test_equal_scores_go_on_in_the_order_in_which_they_were_drawn():
    """Whoever comes in first."""
    search = dt.SuccessiveHalving(n=9).start(draws(), 9)
    configs = draws().upto(9)
    asked = play(search, lambda ask: 1.0, random.Random(1))
    assert [ask.config for ask in asked if ask.rung == 1] == configs[:3]


def test_a_config_without_a_score_does_not_go_on():
    """Even if no other is left; the rung waits for it nevertheless."""
    search = dt.SuccessiveHalving(n=3, eta=3).start(draws(), 3)
    asks = search.ask(1)
    for ask in asks[:2]:
        search.tell(ask, None)
    assert search.ask(1) == []
    search.tell(asks[2], 0.0)
    assert [ask.config for ask in search.ask(1)] == [asks[2].config]
    assert search.fate(asks[0].config) == "no score at 1 epochs"
    search = dt.SuccessiveHalving(n=3, eta=3).start(draws(), 3)
    for ask in search.ask(1):
        search.tell(ask, None)
    assert search.ask(1) == []


def test_brackets_share_the_configs_of_a_small_space():
    """Each bracket has as many as there are."""
    small = Draws.of(dt.Space(a=dt.choice(1, 2, 3)).grid(), 0)
    search = dt.Hyperband().start(small, 9)
    first = search.ask(1)
    assert len(first) == 9
    assert len({ask.config for ask in first}) == 3


def test_asha_promotes_by_algorithm_2_of_its_paper():
    """The best of the first third of a rung, from the highest rung; else a new config."""
    search = dt.ASHA(n_trials=5).start(draws(), 9)
    by_number = {config: i for i, config in enumerate(draws().upto(5))}

    def step(score):
        (ask,) = search.ask(1)
        search.tell(ask, score)
        return by_number[ask.config], ask.budget

    assert [step(1.0), step(3.0), step(2.0)] == [(0, 1), (1, 1), (2, 1)]
    assert step(3.0) == (1, 3)
    assert [step(4.0), step(2.0)] == [(3, 1), (3, 3)]  # the best is another one by now
    assert step(0.0) == (4, 1)
    assert search.ask(1) == []
    assert search.fate(draws().upto(5)[2]) == "rank 3 of 5 at 1 epochs"


def test_asha_asks_for_as_many_as_there_is_room():
    """And ends when nothing is left to promote."""
    search = dt.ASHA(n_trials=27).start(draws(), 27)
    assert len(search.ask(8)) == 8
    search = dt.ASHA(n_trials=27).start(draws(), 27)
    asked = play(search, lambda ask: float(ask.config.a), random.Random(3), room=4)
    assert len([ask for ask in asked if ask.rung == 0]) == 27
    best = max(draws().upto(27), key=lambda config: config.a)
    assert Ask(best, 27, 0, 3) in asked


def test_asha_goes_on_from_what_an_earlier_run_has_done():
    """Nothing that was told is asked for again."""
    first = dt.ASHA(n_trials=9).start(draws(), 9)
    done = {}
    for _ in range(7):
        (ask,) = first.ask(1)
        done[ask] = float(ask.config.a)
        first.tell(ask, done[ask])
    second = dt.ASHA(n_trials=9).start(draws(), 9)
    for ask in second.past():
        if ask in done:
            second.tell(ask, done[ask])
    asked = play(second, lambda ask: float(ask.config.a), random.Random(0))
    assert not set(asked) & done.keys()
    assert len({ask.config for ask in [*asked, *done]}) == 9


def test_a_strategy_of_another_package_is_found_by_its_entry_point(monkeypatch):
    """In any case; and what is no strategy is refused."""
    found = {"Mine": dt.SuccessiveHalving, "Other": dict}

    class Point:
        def __init__(self, name):
            self.name = name

        def load(self):
            return found[self.name]

    monkeypatch.setattr(
        "dasktune.search.naming.entry_points", lambda group: [Point(name) for name in found]
    )
    assert strategy_of("mine(n=3)") == dt.SuccessiveHalving(n=3)
    with pytest.raises(UsageError, match="is no Strategy"):
        strategy_of("other")


def test_draws_are_different_and_begin_alike():
    """However many are taken; those of a grid are all of it, in an order of the seed's."""
    small = dt.Space(a=dt.integers(0, 9))
    assert len(Draws.of(small.random(1), 0, endless=True).upto(1000)) == 10
    assert draws().upto(20)[:5] == draws().upto(5)
    assert draws(1).upto(5) != draws().upto(5)
    grid = Draws.of(small.grid(), 0).upto(99)
    assert sorted(config.a for config in grid) == list(range(10))
    assert [config.a for config in grid] != list(range(10))
    listed = small.explicit([{"a": 3}, {"a": 4}])
    assert len(Draws.of(listed, 0).upto(5)) == 2


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (dt.Hyperband, {"eta": 1}),
        (dt.Hyperband, {"max_epochs": 0}),
        (dt.Hyperband, {"eta": 2.5}),
        (dt.SuccessiveHalving, {"n": 0}),
        (dt.ASHA, {"n_trials": True}),
        (dt.ASHA, {"n_trials": 3, "seed": -1}),
        (dt.Optuna, {"n_trials": 0}),
    ],
)
def test_arguments_that_cannot_be_are_refused(kind, words):
    """With the rule and the value."""
    with pytest.raises(SearchError, match="must be an int of at least"):
        kind(**words)


def test_a_sampler_that_is_not_there_is_refused():
    """With what was perhaps meant."""
    with pytest.raises(SearchError, match="Did you mean 'cmaes'"):
        dt.Optuna(n_trials=3, sampler="cmae")


def test_a_strategy_is_read_as_it_is_written():
    """A name alone, or with arguments; 'none' is none."""
    assert strategy_of("hyperband") == dt.Hyperband()
    assert strategy_of("ASHA(9, max_epochs=27)") == dt.ASHA(n_trials=9, max_epochs=27)
    assert str(dt.ASHA(n_trials=9, eta=4)) == "ASHA(n_trials=9, eta=4)"
    assert strategy_of("none") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hyperbond", "Did you mean 'Hyperband'"),
        ("Hyperband(", "--search takes a strategy"),
        ("3", "--search takes a strategy"),
        ("hyperband(max_epochs=R)", "with plain values"),
        ("asha", "missing 1 required positional argument: 'n_trials'"),
        ("hyperband(steps=3)", "unexpected keyword argument 'steps'"),
        ("hyperband(eta=3, eta=4)", "each argument once"),
        ("hyperband(**{'eta': 3})", "each argument once and by name"),
        ("hyperband(eta={[]: 1})", "with plain values"),
        ("-" * 5000 + "1", "--search takes a strategy"),
    ],
)
def test_a_strategy_that_cannot_be_read_is_refused(text, message):
    """With what it could be."""
    with pytest.raises(UsageError) as error:
        strategy_of(text)
    assert message in str(error.value)


GOOD: dict[type[Strategy], dict[str, int]] = {
    dt.ASHA: {"n_trials": 3},
    dt.Hyperband: {},
    dt.MedianStopping: {"n_trials": 3},
    dt.Optuna: {"n_trials": 3},
    dt.PBT: {"population": 3, "every": 1},
    dt.Patience: {"patience": 1},
    dt.Race: {"seeds": 5},
    dt.ReplicateBest: {"best": 1, "seeds": 2},
    dt.SuccessiveHalving: {},
}
NONSENSE = [-1, "x", b"x", 10**30, math.nan, math.inf, (1,), [1], {}, {1, 2}, 3j, object()]


@pytest.mark.parametrize("kind", GOOD)
def test_nonsense_is_refused_whichever_argument_it_is(kind):
    """With its name; seeds may be large, names of hyperparameters any, gains any number."""
    fine = {"seed": (10**30,), "explore": ("x",), "least": (10**30,)}
    for field in dataclasses.fields(kind):
        for value in NONSENSE:
            if any(value is known or value == known for known in fine.get(field.name, ())):
                continue
            with pytest.raises(SearchError) as error:
                kind(**{**GOOD[kind], field.name: value})
            named = "a strategy" if field.name == "first" and kind is dt.ReplicateBest else ""
            assert (named or field.name) in str(error.value)
            assert "\n" not in str(error.value)


@pytest.mark.parametrize("strategy", [dt.SuccessiveHalving(n=9), dt.ASHA(n_trials=9)])
def test_with_several_objectives_both_ends_of_the_front_go_on(strategy):
    """By non-dominated fronts, and not by the first objective alone."""
    search = strategy.start(draws(), 9)

    def score(ask):
        return (ask.config.a, -ask.config.a) if ask.config.a > 300 else (-1e6, -1e6)

    asked = play(search, score, random.Random(0), room=9)
    gone_on = {ask.config.a for ask in asked if ask.budget > 1}
    front = sorted(ask.config.a for ask in asked if ask.budget == 1 and ask.config.a > 300)
    assert len(front) > 3
    assert {front[0], front[-1]} <= gone_on <= set(front)
    fates = {ask.config.a: search.fate(ask.config) for ask in asked}
    assert fates[min(fates)].startswith("rank ")


def race(values, **options):
    """Race configs whose score in replicate i is a value, and give fates and counts by config."""
    configs = draws().upto(len(values))
    search = dt.Race(n=len(values), **options).start(draws(), 9)
    counts = dict.fromkeys(range(len(values)), 0)
    while asks := search.ask(1):
        for ask in asks:
            number = configs.index(ask.config)
            counts[number] += 1
            search.tell(ask, values[number](ask.replicates[0]))
    return counts, [search.fate(config) for config in configs]


def noise(number, replicate):
    """Draw a number that is the same each time."""
    return random.Random(f"{number}/{replicate}").gauss(0.0, 0.1)


@pytest.mark.parametrize("test", ["friedman", "t"])
def test_a_race_drops_what_is_told_to_be_worse(test):
    """And goes on with what cannot be told apart, to the last replicate."""
    values = [
        lambda i: noise(0, i) + 1.0,
        lambda i: noise(1, i) + 1.0,
        *(lambda i, n=n: noise(n, i) + 0.1 * n - 2 for n in range(2, 8)),
    ]
    counts, fates = race(values, seeds=12, first=5, test=test)
    assert counts[0] == counts[1] == 12
    assert all(counts[number] < 12 for number in range(2, 8))
    assert counts[2] == 5
    assert fates[2] == "told to be worse after 5 replicates"
    assert fates[0] == "one of 2 that cannot be told apart after 12 replicates"


def test_a_race_ends_when_one_is_left():
    """Without training it any more; what fails is out."""
    values = [
        lambda i: noise(0, i) + 1.0,
        lambda i: noise(1, i),
        lambda i: noise(2, i) if i else None,
        lambda i: noise(3, i) - 1,
    ]
    counts, fates = race(values, seeds=40, first=4, test="t")
    assert fates[2] == "no score in replicate 0"
    assert fates[0].startswith("won after ")
    assert counts[0] < 40
    counts, fates = race([lambda i: 1.0] * 3, seeds=6, first=3)
    assert set(counts.values()) == {6}


def test_friedmans_test_is_that_of_scipy_and_conovers_that_of_the_book():
    """Conover 1999, example 1 of chapter 5.8: grasses on twelve lawns, of which two fall behind."""
    import numpy as np
    from scipy import stats

    ranks = np.array(
        [
            [4, 3, 2, 1],
            [4, 2, 3, 1],
            [3, 1.5, 1.5, 4],
            [3, 1, 2, 4],
            [4, 2, 1, 3],
            [2, 2, 2, 4],
            [1, 3, 2, 4],
            [2, 4, 1, 3],
            [3.5, 1, 2, 3.5],
            [4, 1, 3, 2],
            [4, 2, 3, 1],
            [3.5, 1, 2, 3.5],
        ]
    )
    assert stats.friedmanchisquare(*ranks.T).statistic == pytest.approx(8.0973, abs=1e-3)
    # Sums of ranks 38, 23.5, 24.5, 34; two of them differ if by more than 11.49.
    assert told_worse(-ranks.T, 0.05, "friedman") == {0}
    assert told_worse(-ranks.T, 0.04, "friedman") == set()


@pytest.mark.parametrize(
    ("kind", "words", "message"),
    [
        (dt.Race, {"seeds": 3}, "seeds must be an int of at least 5"),
        (dt.Race, {"seeds": 9, "alpha": 1.0}, "alpha must be between"),
        (dt.Race, {"seeds": 9, "test": "freedman"}, "Did you mean 'friedman'"),
        (dt.Patience, {"patience": 0}, "patience must be an int"),
        (dt.Patience, {"patience": 1, "least": -1.0}, "least must be a number of at least 0"),
    ],
)
def test_a_race_or_a_patience_that_cannot_be_is_refused(kind, words, message):
    """With the rule and the value."""
    with pytest.raises(SearchError, match=message):
        kind(**words)


def test_patience_stops_what_does_not_become_better():
    """After so many epochs, counted from its best; each config by itself."""
    configs = draws().upto(2)
    search = dt.Patience(2, n=2).start(draws(), 9)
    curves = [[1, 5, 4, 3, 9, 9, 9, 9, 9], [1, 2, 3, 4, 4.5, 5, 5.05, 5.05, 6]]
    asked = play(
        search, lambda ask: curves[configs.index(ask.config)][ask.budget - 1], random.Random(0)
    )
    assert max(ask.budget for ask in asked if ask.config == configs[0]) == 4
    assert max(ask.budget for ask in asked if ask.config == configs[1]) == 9
    assert search.fate(configs[0]) == "no better for 2 epochs at 4 epochs"
    assert search.fate(configs[1]) == "longest budget"
    search = dt.Patience(2, n=1).start(draws(), 9)
    play(search, lambda ask: (0.0, float(ask.budget)), random.Random(0))
    assert search.fate(configs[0]) == "longest budget"


PLANE = dt.Space(x=dt.uniform(0.0, 1.0), y=dt.log_uniform(0.001, 1.0), z=dt.constant(1))


class TestOptuna(StrategyContract):
    """The contract."""

    strategy = dt.Optuna(n_trials=20)

    def draws(self):
        """Give what has a space, which a sampler needs."""
        return Draws.of(PLANE.random(1), 0, endless=True)


@pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "nsga2", "qmc", "random"])
def test_a_sampler_that_is_done_again_proposes_the_same(sampler):
    """After any number of steps, one at a time."""
    strategy = dt.Optuna(n_trials=14, sampler=sampler)

    def score(ask):
        return -((ask.config.x - 0.3) ** 2)

    def start():
        return strategy.start(Draws.of(PLANE.random(1), 0, endless=True), 9)

    through = play(start(), score, random.Random(0))
    assert len({ask.config for ask in through}) == 14
    again = start()
    for ask in through[:12]:
        again.tell(again.again(ask.config), score(ask))
    assert play(again, score, random.Random(0)) == through[12:]


def test_a_sampler_minds_conditions_and_predicates():
    """A hyperparameter that does not exist is not in the config; what is ruled out never is."""
    space = dt.Space(
        kind=dt.choice("sgd", "adam", (1, 2)),
        momentum=dt.uniform(0.0, 1.0).when(kind="sgd"),
        depth=dt.integers(1, 9),
    ).where(lambda config: config.depth > 3)
    strategy = dt.Optuna(n_trials=25)
    search = strategy.start(Draws.of(space.random(1), 0, endless=True), 3)
    asked = play(search, lambda ask: float(ask.config.depth), random.Random(0))
    assert len(asked) == 25
    assert all(space.allows(ask.config) for ask in asked)
    assert all(("momentum" in ask.config) == (ask.config.kind == "sgd") for ask in asked)
    assert {ask.config.kind for ask in asked} == {"sgd", "adam", (1, 2)}


def test_a_sampler_ends_when_a_small_space_is_all_tried():
    """Nothing is asked twice."""
    space = dt.Space(a=dt.choice(1, 2, 3))
    search = dt.Optuna(n_trials=10).start(Draws.of(space.random(1), 0, endless=True), 3)
    asked = play(search, lambda ask: float(ask.config.a), random.Random(0), room=2)
    assert sorted(ask.config.a for ask in asked) == [1, 2, 3]


def test_what_was_asked_for_stands_even_if_a_sampler_would_propose_another():
    """As after an update of Optuna."""
    search = dt.Optuna(n_trials=4).start(Draws.of(PLANE.random(1), 0, endless=True), 9)
    mine = [dt.Config({"x": x, "y": 0.5, "z": 1}) for x in (0.25, 0.75)]
    for config in mine:
        search.tell(search.again(config), config["x"])
    asked = play(search, lambda ask: 0.0, random.Random(0))
    assert len(asked) == 2
    assert not {ask.config for ask in asked} & set(mine)


@pytest.mark.parametrize("number", range(5))
def test_leaders_with_equal_scores_do_not_depend_on_who_came_first(number):
    """The strategy is synchronous: the same replicates are asked for with any number of workers."""
    space = dt.Space(a=dt.choice(*range(6)))

    def leaders(order):
        search = dt.ReplicateBest(2, 3).start(Draws.of(space.grid(), 0), 3)
        asks = search.ask(100)
        order.shuffle(asks)
        for ask in asks:
            search.tell(ask, 0.5)
        return [ask.config for ask in search.ask(100)]

    assert leaders(random.Random(number)) == leaders(random.Random(99))


@pytest.mark.parametrize("first", [dt.Race(8, first=3, n=10), dt.PBT(4)])
def test_what_has_no_one_score_for_a_config_is_not_replicated(first):
    """A race asks for one replicate at a time; a population's configs have parents."""
    with pytest.raises(SearchError, match="which does not"):
        dt.ReplicateBest(2, 5, first)


class TestReplicateBest(StrategyContract):
    """The contract."""

    strategy = dt.ReplicateBest(3, 5, dt.SuccessiveHalving(n=20))

    def test_it_asks_for_nothing_twice(self):
        """But for more replicates."""
        asked = self.play(self.start(), random.Random(0))
        assert len(set(asked)) == len(asked)
        assert [len(ask.replicates) for ask in asked if ask.replicates] == [5]


class TestRace(StrategyContract):
    """The contract."""

    strategy = dt.Race(8, first=3, n=10)


class TestPatience(StrategyContract):
    """The contract."""

    strategy = dt.Patience(2, every=2, n=10)


class TestSuccessiveHalving(StrategyContract):
    """The contract."""

    strategy = dt.SuccessiveHalving(n=20)


class TestHyperband(StrategyContract):
    """The contract."""

    strategy = dt.Hyperband()


class TestASHA(StrategyContract):
    """The contract."""

    strategy = dt.ASHA(n_trials=20)
