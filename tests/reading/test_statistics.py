"""Statistics: against scipy's own, and against what they must not claim."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

import dasktune as dt
from dasktune.reading.statistics import interval, paired, verdict


def sweep(values, *, direction="max", replicate=True):
    """Lay values (config, replicate) out as a dataset."""
    values = np.asarray(values, dtype=float)
    configs, copies = np.meshgrid(*map(np.arange, values.shape), indexing="ij")
    count = values.size
    coords = {"trial": [f"t{i}" for i in range(count)], "a": ("trial", configs.ravel())}
    coords["seed"] = ("trial", copies.ravel())
    texts = dict.fromkeys(("status", "error", "worker", "device", "key"), ("trial", ["ok"] * count))
    coords |= {"objective": ("trial", values.ravel()), "seconds": ("trial", np.ones(count))} | texts
    names = ["a", "seed"]
    attrs = {"pipeline": "p", "objective": f"{direction} score", "hyperparameters": names}
    attrs["replicate"] = ["seed"] if replicate else []
    score = (("trial", "epoch"), values.reshape(-1, 1))
    return xr.Dataset({"score": score}, {**coords, "epoch": [0]}, attrs)


def test_the_interval_is_students_t():
    """As scipy computes it."""
    values = [0.91, 0.93, 0.96, 0.9]
    found = interval(values)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_one_value_has_no_interval_and_values_that_are_none_do_not_count():
    """Better no interval than a wrong one."""
    assert np.isnan(interval([1.0, np.nan, np.inf]).low)
    assert interval([1.0, np.nan, np.inf]).n == 1
    assert np.isnan(interval([]).mean)


def test_the_paired_difference_is_scipys():
    """The p-value and the interval."""
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 6))
    found, expected = paired(first, second), stats.ttest_rel(first, second)
    assert found.p == pytest.approx(expected.pvalue)
    bounds = expected.confidence_interval(0.95)
    assert (found.interval.low, found.interval.high) == pytest.approx((bounds.low, bounds.high))


def test_pairs_of_which_one_is_missing_are_left_out():
    """A failed replicate."""
    found = paired([1.0, 2.0, np.nan, 4.0], [0.0, 1.5, 1.0, 3.0])
    assert found.interval.n == 3


@pytest.mark.parametrize(("second", "told"), [([1.0, 1.0], False), ([0.5, 0.5], True)])
def test_differences_without_spread(second, told):
    """Equal is not told apart; always the same bit worse is."""
    assert paired([1.0, 1.0], second).told is told


def test_the_best_is_that_with_the_best_mean_and_not_the_luckiest_trial():
    """One lucky seed does not win."""
    dataset = sweep([[0.9, 0.9, 0.9], [0.2, 0.2, 0.99]])
    found = verdict(dataset)
    assert found.config == {"a": 0}
    assert found.interval.n == 3
    best = dt.best(dataset)
    assert (best.config["a"], best.value, best.mean) == (0, 0.9, pytest.approx(0.9))


def test_pairing_over_seeds_tells_what_the_spread_alone_hides():
    """Seeds that are hard for both do not count against the difference."""
    hard = np.array([0.0, 0.2, 0.4, 0.6])
    found = verdict(sweep([hard + 0.011, hard + np.array([0.0, 0.001, 0.0, 0.001])]))
    assert found.difference.told
    assert found.notes == []
    assert found.interval.high - found.interval.low > 0.5


def test_a_runner_up_within_the_noise_is_said_to_be_so():
    """With the interval of the difference, and the number of others."""
    values = [[0.90, 0.94, 0.92], [0.91, 0.92, 0.92], [0.93, 0.90, 0.92], [0.1, 0.1, 0.1]]
    found = verdict(sweep(values))
    assert not found.difference.told
    assert "the runner-up (a=1) cannot be told apart from it" in found.notes[0]
    assert "paired over 3 values of seed" in found.notes[0]
    assert found.notes[1] == "2 of 3 others cannot be told apart from it"


def test_a_small_objective_is_better_where_it_is_minimised():
    """The same, upside down."""
    found = verdict(sweep([[0.3, 0.31], [0.1, 0.11]], direction="min"))
    assert found.config == {"a": 1}
    assert found.runner_up == {"a": 0}


def test_without_replicates_it_is_said_that_nobody_can_tell():
    """And how to change that."""
    dataset = sweep([[0.9], [0.8]], replicate=False)
    assert "add seed=replicates(3)" in verdict(dataset).notes[0]


def test_missing_replicates_of_the_best_are_told():
    """The mean of the survivors is not that of all."""
    found = verdict(sweep([[0.99, np.nan, np.nan], [0.9, 0.9, 0.9]]))
    assert found.notes[0] == "only 1 of 3 of its replicates have a value"
    assert "too few replicates" in found.notes[1]


def test_no_value_no_verdict():
    """Every trial diverged."""
    dataset = sweep([[np.nan, np.inf]])
    assert verdict(dataset) is None
    assert dt.best(dataset) is None


def test_ten_thousand_configurations():
    """None is compared with itself."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(10_000, 3)) * 0.001 + np.arange(10_000)[:, None] / 1000
    found = verdict(sweep(values))
    assert found.config == {"a": 9_999}
    assert found.configs == 10_000
    assert found.alike < 50
