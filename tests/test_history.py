"""Histories: how many epochs were trained for each budget of a trial."""

from __future__ import annotations

import pytest

from dasktune.history import epochs_spent
from dasktune.stamp import Stamp


def stamp(epochs, resumed):
    """Make a stamp of a training that went on from an epoch."""
    body = {"result": {"curve": {"epochs": epochs}}, "resumed_at": resumed}
    return Stamp.of("train", "trained/x", "k", "d", 1.0, body)


@pytest.mark.parametrize(
    ("trainings", "spent"),
    [
        ([(1, 0), (3, 1), (9, 3)], [1, 2, 6]),
        ([(1, 0), (3, 0), (9, 0)], [1, 3, 9]),  # each from the start
        ([(1, 0), (9, 5)], [1, 8]),  # killed at 5, and gone on from there
        ([(2, 0), (2, 2)], [2, 0]),  # ended early, and again
        ([], []),
    ],
)
def test_epochs_are_counted_from_where_a_budget_went_on(trainings, spent):
    """A checkpoint of its own before a kill does not count as another budget's end."""
    assert epochs_spent([stamp(*training) for training in trainings]) == spent
