"""Spaces and designs: which trials a sweep consists of, and clear errors for what cannot be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dasktune as dt
from dasktune.config import TrialSpec
from dasktune.domain import Choice
from dasktune.errors import SpaceError, UsageError


def configs(design):
    """List the configs of a design as dicts."""
    return [dict(trial.config) for trial in design.trials()]


def test_a_grid_varies_the_last_hyperparameter_fastest_and_replicates_innermost():
    """In the order of declaration."""
    trials = (
        dt.Space(a=dt.choice(1, 2), b=dt.choice("x", "y"), seed=dt.replicates(2)).grid().trials()
    )
    assert [t.axes() for t in trials[:3]] == [
        {"a": 1, "b": "x", "seed": 0},
        {"a": 1, "b": "x", "seed": 1},
        {"a": 1, "b": "y", "seed": 0},
    ]
    assert len(trials) == 8


def test_conditional_hyperparameters_exist_only_where_their_condition_holds():
    """Also when the parent is declared later."""
    space = dt.Space(
        momentum=dt.choice(0.5, 0.9).when(optimizer="sgd"), optimizer=dt.choice("sgd", "adam")
    )
    assert configs(space.grid()) == [
        {"momentum": 0.5, "optimizer": "sgd"},
        {"momentum": 0.9, "optimizer": "sgd"},
        {"optimizer": "adam"},
    ]
    for config in configs(space.random(50)):
        assert ("momentum" in config) == (config["optimizer"] == "sgd")


def test_predicates_rule_configs_out_of_every_design():
    """Grid, random, quasi-random."""
    space = dt.Space(a=dt.integers(0, 9), b=dt.integers(0, 9)).where(lambda c: c.a < c["b"])
    for design in (space.grid(), space.random(20), space.sobol(20)):
        assert all(c["a"] < c["b"] for c in configs(design))
    assert len(space.grid().trials()) == 45


@pytest.mark.parametrize("kind", ["random", "sobol", "latin_hypercube"])
def test_a_sampled_design_is_reproducible_and_stays_in_its_domains(kind):
    """The same seed gives the same trials; another gives others."""
    space = dt.Space(
        lr=dt.log_uniform(1e-4, 1), n=dt.integers(1, 100, log=True), c=dt.choice(*"abc")
    )
    first, again, other = (getattr(space, kind)(30, seed) for seed in (0, 0, 1))
    assert first.trials() == again.trials() != other.trials()
    for config in configs(first):
        assert 1e-4 <= config["lr"] <= 1
        assert 1 <= config["n"] <= 100
    assert len(first.trials()) == 30
    assert {config["c"] for config in configs(first)} == set("abc")


@pytest.mark.parametrize("kind", ["random", "sobol"])
def test_a_larger_sample_keeps_the_smaller_one(kind):
    """So that growing a sweep trains only what is new."""
    space = dt.Space(lr=dt.uniform(0, 1), b=dt.uniform(5, 6))
    few, many = getattr(space, kind)(5).trials(), getattr(space, kind)(21).trials()
    assert many[:5] == few


def test_overriding_one_hyperparameter_of_a_random_design_leaves_the_others():
    """Each has its own stream of random numbers."""
    design = dt.Space(a=dt.uniform(0, 1), b=dt.uniform(0, 1)).random(5)
    assert [c["b"] for c in configs(design.override({"a": ["0.5"]}))] == [
        c["b"] for c in configs(design)
    ]


def test_an_explicit_design_is_checked_and_narrowed():
    """Constants may be left out."""
    space = dt.Space(a=dt.choice(1, 2, 3), b=7, seed=dt.replicates([4]))
    design = space.explicit([{"a": 1}, {"a": 3, "b": 8}])
    assert configs(design) == [{"a": 1, "b": 7}, {"a": 3, "b": 8}]
    assert configs(design.override({"a": ["3"]})) == [{"a": 3, "b": 8}]
    with pytest.raises(UsageError, match="none of the explicit configs"):
        design.override({"a": ["2"]})
    with pytest.raises(SpaceError, match=r"config 1 of explicit\(\) has 'c'"):
        space.explicit([{"a": 1}, {"c": 1}]).trials()
    with pytest.raises(SpaceError, match="lacks a value for 'a'"):
        space.explicit([{"b": 1}]).trials()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: dt.choice(), "at least one value, but got none"),
        (lambda: dt.choice(1, 1), "different values, but got 1 twice"),
        (lambda: dt.choice([1, 2]), r"choice\(\*\[1, 2\]\)"),
        (lambda: dt.choice(len), "Name it by a string"),
        (lambda: dt.uniform(1, 0), r"low < high, but got low=1, high=0"),
        (lambda: dt.uniform(0, math.inf), "finite number, but got inf"),
        (lambda: dt.log_uniform(0, 1), "0 < low, but got low=0.0"),
        (lambda: dt.uniform(0, 1, points=0), "at least 1, but got 0"),
        (lambda: dt.integers(3, 1), "low <= high, but got low=3, high=1"),
        (lambda: dt.integers(1.5, 2), "low to be an int, but got 1.5"),
        (lambda: dt.integers(0, 5, log=True), "low >= 1"),
        (lambda: dt.replicates(0), "at least one, but got 0"),
        (lambda: dt.replicates([1, 1]), "different values"),
        (lambda: dt.folds(0), r"folds\(\) needs at least one, but got 0"),
        (lambda: dt.folds([0.5]), r"folds\(\) needs whole numbers, but got 0.5"),
        (lambda: dt.Space(), "at least one hyperparameter"),
        (lambda: dt.Space(a=[1, 2]), r"Write a=choice\(1, 2\)"),
        (lambda: dt.Space(epoch=1), "identifier other than"),
        (lambda: dt.Space(a=dt.replicates(1), b=dt.replicates(1)), "at most one replicates"),
        (lambda: dt.Space(a=dt.folds(2), b=dt.folds(2)), "at most one folds"),
        (lambda: dt.Space(a=dt.choice(1).when(k=1), k=dt.folds(2)), "depend on the replicate 'k'"),
        (lambda: dt.Space(a=dt.choice(1).when(bb=1), b=1), "Did you mean 'b'"),
        (lambda: dt.Space(a=dt.choice(1).when(b=1), b=dt.choice(1).when(a=1)), "circle: a -> b"),
        (lambda: dt.Space(a=dt.uniform(0, 1)).grid().trials(), "points=…"),
        (lambda: dt.Space(a=1).where(lambda c: False).grid().trials(), "rule out every config"),
        (lambda: dt.Space(a=1).where(lambda c: False).random(3).trials(), "only 0 of 3"),
        (lambda: dt.Space(a=1).where(lambda c: c.b).grid().trials(), "predicate of where"),
        (lambda: dt.Space(a=1).where(lambda c: "yes").grid().trials(), "True or False"),
        (lambda: dt.Space(a=1).random(0), "n must be an int of at least 1, but got 0"),
        (lambda: dt.Space(a=1).explicit([]), "at least one config"),
    ],
)
def test_what_cannot_be_says_rule_value_and_fix(make, words):
    """One clear sentence."""
    with pytest.raises(SpaceError, match=words):
        make()


def test_a_points_value_is_the_number_that_a_user_types():
    """0.001, not 0.0009999999999999998."""
    assert dt.log_uniform(1e-5, 1e-1, points=5).points() == (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
    assert dt.uniform(0, 1, points=11).points()[3] == 0.3


@given(st.floats(0, 1, exclude_max=True))
def test_every_domain_contains_what_it_maps_from_the_unit_interval(u):
    """For any number in it."""
    assert -2 <= dt.uniform(-2, 3).from_unit(u) <= 3
    assert 1e-6 <= dt.log_uniform(1e-6, 1e6).from_unit(u) <= 1e6
    assert dt.integers(-3, 9, step=2).from_unit(u) in range(-3, 10, 2)
    assert 1 <= dt.integers(1, 7, log=True).from_unit(u) <= 7
    assert dt.choice("a", 2, None).from_unit(u) in ("a", 2, None)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.tuples(inner, inner),
    max_leaves=3,
)


@given(st.dictionaries(st.sampled_from("abcd"), values, min_size=1), st.randoms())
def test_a_trial_is_known_by_its_content_and_not_by_order(config, draw):
    """Id and seed do not depend on the order of the names."""
    shuffled = list(config.items())
    draw.shuffle(shuffled)
    one, two = TrialSpec(dt.Config(config)), TrialSpec(dt.Config(dict(shuffled)))
    assert one.seed == two.seed
    assert one.id[-8:] == two.id[-8:]
    assert 0 <= one.seed < 2**32


def test_ids_and_seeds_are_stable_and_types_are_told_apart():
    """These very values; a change of the scheme would retrain every sweep."""
    trial = TrialSpec(dt.Config({"lr": 0.1, "hidden": 64}), {"seed": 0})
    assert (trial.id, trial.seed) == ("lr=0.1,hidden=64,seed=0-5dc7dafd", 32722474)
    ids = {TrialSpec(dt.Config({"a": value})).id[-8:] for value in (1, 1.0, True, "1", None, (1,))}
    assert len(ids) == 6
    assert TrialSpec(dt.Config({"a": -0.0})).seed == TrialSpec(dt.Config({"a": 0.0})).seed


def test_common_replicates_share_their_random_numbers():
    """For paired comparisons; otherwise each trial has its own."""
    for common, count in ((True, 2), (False, 4)):
        space = dt.Space(a=dt.choice(1, 2), seed=dt.replicates(2, common=common))
        assert len({trial.seed for trial in space.grid().trials()}) == count


def test_folds_are_an_axis_beside_the_replicates():
    """Each pair of a seed and a fold is a trial; the seed of a trial is its own."""
    space = dt.Space(seed=dt.replicates(2), a=dt.choice(1, 2), fold=dt.folds(3))
    design = space.grid()
    trials = design.trials()
    assert design.describe() == "full grid of 2 configs x 2 seed x 3 fold"
    assert [t.replicate for t in trials[:4]] == [
        {"seed": 0, "fold": 0},
        {"seed": 0, "fold": 1},
        {"seed": 0, "fold": 2},
        {"seed": 1, "fold": 0},
    ]
    assert len({t.seed for t in trials}) == len({t.id for t in trials}) == 12
    narrowed = design.override({"fold": ["2"], "seed": ["1"]})
    assert [t.axes() for t in narrowed.trials()] == [
        {"a": 1, "seed": 1, "fold": 2},
        {"a": 2, "seed": 1, "fold": 2},
    ]
    assert {t.id for t in narrowed.trials()} < {t.id for t in trials}


def test_numpy_scalars_are_plain_values():
    """A grid from np.logspace is a grid of floats."""
    domain = dt.choice(*np.logspace(-2, 0, 3))
    assert isinstance(domain, Choice)
    assert {type(value) for value in domain.values} == {float}


def test_a_config_is_an_immutable_mapping():
    """Read as a mapping or as attributes; a missing name says what there is."""
    config = dt.Config({"lr": 0.1})
    assert (config["lr"], config.lr, len(config)) == (0.1, 0.1, 1)
    assert config == {"lr": 0.1} == dt.Config({"lr": 0.1})
    assert dt.Config({"lr": 1}) != dt.Config({"lr": 1.0})
    with pytest.raises(AttributeError, match="cannot be changed"):
        config.lr = 1
    with pytest.raises(AttributeError, match="no hyperparameter 'rl' in this config; it has lr"):
        _ = config.rl
