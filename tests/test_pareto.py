"""Fronts of points: by their definition, and in an order that spreads."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dasktune.pareto import Front, fronts, order


def peeled(points):
    """Peel front after front off, by the definition."""
    table, numbers = np.asarray(points, dtype=float), np.zeros(len(points), dtype=int)
    left, number = set(range(len(table))), 0
    while left:
        number += 1
        front = [
            i
            for i in left
            if not any((table[j] >= table[i]).all() and (table[j] > table[i]).any() for j in left)
        ]
        numbers[front] = number
        left -= set(front)
    return numbers


@pytest.mark.parametrize("values", [1, 2, 3])
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_fronts_are_those_of_the_definition(values, data):
    """Also with equal points, and equal values."""
    row = st.tuples(*[st.integers(0, 4)] * values)
    points = data.draw(st.lists(row, min_size=1, max_size=20))
    assert fronts(points).tolist() == peeled(points).tolist()


def test_many_points_have_the_fronts_that_few_have(monkeypatch):
    """Whether all pairs are compared, or one after the other by bisection."""
    points = np.random.default_rng(0).integers(0, 30, (300, 3)).tolist()
    few = fronts(points)
    monkeypatch.setattr("dasktune.pareto.PAIRS", 0)
    assert fronts(points).tolist() == few.tolist()
    assert few.max() > 5


def test_a_point_without_a_value_is_on_no_front():
    """And comes last."""
    points = [(np.nan, 9.0), (1.0, 1.0), (np.inf, 2.0), (2.0, 0.0)]
    assert fronts(points).tolist() == [0, 1, 0, 1]
    assert order(points) == [3, 1, 0, 2]
    assert fronts([]).tolist() == []


def test_within_a_front_the_first_are_far_apart():
    """From the best in the first value to the other end, then to the middle."""
    points = [(0.0, 10.0), (5.0, 5.2), (8.5, 1.0), (10.0, 0.0), (0.0, 0.0), (1.0, 9.0)]
    assert order(points) == [3, 0, 1, 2, 5, 4]
    assert order(points, 2) == [3, 0]
    scaled = [(1000 * a, b / 7) for a, b in points]
    assert order(scaled) == order(points)


def test_equal_points_stand_in_the_order_in_which_they_came():
    """Whatever their number."""
    assert order([(1.0, 1.0)] * 4) == [0, 1, 2, 3]


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.tuples(st.integers(0, 3), st.integers(0, 3))), max_size=30
    )
)
def test_a_front_that_is_kept_up_to_date_is_that_of_the_definition(puts):
    """Whether points are new, put again, better than before, or worse."""
    front, points = Front(), {}
    for number, point in puts:
        front.put(str(number), point)
        points[str(number)] = point
        first = fronts(list(points.values())) == 1
        expected = {name for name, on_it in zip(points, first, strict=True) if on_it}
        assert set(front.members) == expected
