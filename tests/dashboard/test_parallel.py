"""Parallel coordinates: axes for what varies, on a scale that fits."""

from __future__ import annotations

import math

import numpy as np

from dasktune.dashboard.parallel import axes, axis, lines


def test_only_what_varies_is_an_axis_and_the_objectives_are_last():
    """A constant tells nothing."""
    table = [{"lr": lr, "act": act, "same": 1} for lr in (0.1, 0.001) for act in ("a", "b")]
    laid = axes(table, {"score": [1.0, None, 3.0, math.inf], "loss": [2.0, 1.0, 1.0, 1.0]})
    assert [one.name for one in laid] == ["lr", "act", "score", "loss"]
    np.testing.assert_array_equal(laid[2].heights, [0, np.nan, 1, np.nan])


def test_values_far_apart_are_on_a_logarithmic_scale():
    """From 30 times on; with marks that do not overlap."""
    one = axis("lr", [0.001, 0.01, 0.1])
    np.testing.assert_allclose(one.heights, [0, 0.5, 1])
    assert [text for _, text in one.ticks] == ["0.001", "0.01", "0.1"]
    np.testing.assert_allclose(axis("n", [10, 20, 30]).heights, [0, 0.5, 1])
    near = axis("score", [0.5, 0.501, 1.0])
    assert [text for _, text in near.ticks] == ["0.5", "1"]


def test_words_flags_and_absent_values_are_categories():
    """A conditional hyperparameter is a gap in the line."""
    one = axis("act", ["relu", None, "gelu", True])
    np.testing.assert_array_equal(one.heights, [0, np.nan, 0.5, 1])
    assert axis("flag", [True, False]).ticks == [(0.0, "True"), (1.0, "False")]
    assert axis("none", [None, float("nan"), 1]) is None


def test_lines_are_parted_by_nan():
    """One line draws all trials."""
    laid = axes([{"a": 1, "b": 1}, {"a": 2, "b": 3}], {"score": [None, None]})
    x, y = lines(laid, np.array([1, 0]))
    np.testing.assert_array_equal(x, [0, 1, 2, 0, 1, 2])
    np.testing.assert_array_equal(y, [1, 1, np.nan, 0, 0, np.nan])
    assert len(lines([], np.array([0]))[0]) == 0
