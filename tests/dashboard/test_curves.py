"""Curves, thinned out: bounded, and true at both ends."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dasktune.dashboard.curves import MOST_POINTS, Curves


def points(curves, trial):
    """Give the points of one trial."""
    x, y = curves.lines([trial])
    there = np.isfinite(y)
    return x[there], y[there]


@settings(deadline=None)
@given(st.integers(1, 3000), st.sampled_from([1, 100, 5000]))
def test_a_long_curve_keeps_its_ends_and_stays_within_its_points(epochs, trials):
    """Every point is one that was reported, in order, and none is far from the next."""
    curves = Curves(trials)
    for epoch in range(1, epochs + 1):
        curves.put(trials - 1, epoch, epoch * 2.0)
    x, y = points(curves, trials - 1)
    assert (y == x * 2).all()
    assert x[0] == 1
    assert x[-1] == epochs
    assert (np.diff(x) > 0).all()
    most = max(16, MOST_POINTS // trials)
    assert len(x) <= most
    if len(x) > 1:
        assert np.diff(x).max() <= max(1, epochs / min(most, 200) * 4)


def test_curves_are_parted_by_nan():
    """So that one line draws them all."""
    curves = Curves(3)
    for trial, value in ((0, 1.0), (2, 2.0)):
        for epoch in (1, 2):
            curves.put(trial, epoch, value)
    x, y = curves.lines([0, 2])
    np.testing.assert_array_equal(y, [1, 1, np.nan, 2, 2, np.nan])
    np.testing.assert_array_equal(x, [1, 2, np.nan, 1, 2, np.nan])
    assert len(curves.lines([])[0]) == 0
    np.testing.assert_array_equal(curves.heads()[1], [1, np.nan, 2])


def test_a_trial_that_is_trained_anew_begins_anew():
    """Its worker died; and a row that is told twice counts as it was told last."""
    curves = Curves(1)
    for epoch in (1, 2, 3):
        curves.put(0, epoch, 1.0)
    curves.put(0, 1, 5.0)
    curves.put(0, 2, 6.0)
    curves.put(0, 2, 7.0)
    x, y = points(curves, 0)
    assert x.tolist() == [1, 2]
    assert y.tolist() == [5, 7]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 60)), min_size=1, max_size=8))
def test_a_search_may_add_trials_and_no_curve_loses_its_ends(rungs):
    """Room is made a rung at a time, and all together stay within their points."""
    curves, trials, ends = Curves(2), 2, {}
    for added, epochs in rungs:
        trials += added
        curves.grow(trials)
        for trial in (0, trials - 1):
            start = ends.get(trial, 0)
            for epoch in range(start + 1, start + epochs + 1):
                curves.put(trial, epoch, epoch * 2.0)
            ends[trial] = start + epochs
    for trial, end in ends.items():
        x, y = points(curves, trial)
        assert (y == x * 2).all()
        assert (x[0], x[-1]) == (1, end)
        assert (np.diff(x) > 0).all()
        assert len(x) <= max(16, MOST_POINTS // trials)


def test_a_smaller_number_of_trials_takes_nothing_away():
    """A rung of trials that are there already."""
    curves = Curves(3)
    curves.put(2, 1, 1.0)
    curves.grow(2)
    assert points(curves, 2)[1].tolist() == [1]
