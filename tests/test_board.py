"""The board: what is known of a run, from its events alone."""

from __future__ import annotations

import json
import math

import pytest

from dasktune.board import Board
from dasktune.outcome import Outcome

START = 1000.0


@pytest.fixture
def board(project):
    """Give the board of the toy pipeline's four trials."""
    sweep = project.sweep()
    return Board.of(sweep.plan(), sweep.pipeline.objective, "r", str(project.root), START)


@pytest.fixture
def several(project):
    """Give the board of the same trials, judged by two objectives."""
    project.edit('objective="max score"', 'objective=("max score", "min noise")')
    sweep = project.sweep()
    return Board.of(sweep.plan(), sweep.pipeline.objective, "r", str(project.root), START)


def report(trial, epoch, value, time, epochs=4, **others):
    """Make a report's event."""
    metrics = {"score": value, **others}
    event = {"event": "report", "trial": trial, "epoch": epoch, "epochs": epochs}
    return {**event, "metrics": metrics, "time": time}


def started(trial, time):
    """Make the event of a start."""
    return {"event": "started", "target": f"trained/{trial}", "worker": "w", "time": time}


def ended(trial, **how):
    """Make the event of an end."""
    return {"event": "finished", "outcome": Outcome(f"trained/{trial}", "k", **how)}


def test_trials_are_counted_by_state(board):
    """From waiting to how they ended."""
    a, b, c, d = board.rows
    assert board.counts() == {"waiting": 4}
    for trial in (a, b, c):
        board.take(started(trial, START), START)
    board.take(ended(a, value=1.0, seconds=2.0), START + 2)
    board.take(ended(b, status="failed", error="oh"), START + 2)
    board.take(ended(d, value=3.0, made=False), START + 2)
    assert board.counts() == {"done": 1, "kept": 1, "running": 1, "failed": 1}
    assert [row.error for row in board.failures()] == ["oh"]
    board.take({"event": "over", "how": "ended"}, START + 3)
    assert board.counts() == {"done": 1, "kept": 1, "failed": 1, "interrupted": 1}


def test_the_best_so_far_goes_only_up_and_ignores_what_is_no_number(board):
    """NaN is never the best; kept trials count from the start."""
    a, b, c, d = board.rows
    board.rows[d].state = "kept"
    board.take(ended(a, value=math.nan), START + 1)
    board.take(ended(b, value=1.0), START + 2)
    board.take(ended(c, value=0.5), START + 3)
    known = {"value": 2.0, "values": [], "seconds": 1.0, "epochs": 3}
    board.take({"event": "kept", "trials": {d: known}}, START + 4)
    assert board.best == [(START + 2, 1.0, b), (START, 2.0, d)]


def test_time_left_comes_from_measured_epochs(board):
    """Two of four epochs at 3 s each, and two trials that wait, two at a time."""
    a, b, *_ = board.rows
    assert board.seconds_left(START) is None
    for trial in (a, b):
        board.take(started(trial, START), START)
        for epoch in range(2):
            board.take(report(trial, epoch, 0.0, START + 3 * (epoch + 1)), START + 7)
    assert board.seconds_left(START + 7) == pytest.approx((2 * 6 + 2 * 12) / 2)


def test_time_left_is_never_less_than_what_the_slowest_running_needs(board):
    """The last trial alone decides."""
    a, b, c, d = board.rows
    for trial in (a, b, c):
        board.take(started(trial, START), START)
        board.take(ended(trial, value=1.0, seconds=1.0), START + 1)
    board.take(started(d, START), START)
    board.take(report(d, 0, 0.0, START + 10), START + 10)
    assert board.seconds_left(START + 10) == pytest.approx(30.0)


def test_it_survives_json_also_with_nan(board):
    """What is written into the run's folder is what is read."""
    a, b, *_ = board.rows
    board.take(started(a, START), START)
    board.take(report(a, 0, 0.0, START + 1), START + 1)
    board.take(ended(b, value=math.nan, seconds=1.0), START + 1)
    board.take({"event": "started", "target": "preprocessed"}, START)
    again = Board.from_json(json.loads(json.dumps(board.to_json())))
    assert repr(again.to_json()) == repr(board.to_json())
    assert again.rows[a].value == 0.0
    small = Board.from_json(json.loads(json.dumps(board.to_json(only_running=True))))
    assert list(small.rows) == [a]
    assert small.counts() == board.counts()
    assert small.seconds_left(START + 2) == board.seconds_left(START + 2)


def test_events_of_unknown_trials_change_nothing(board):
    """Another version, or another run, may tell of them."""
    before = board.to_json()
    board.take(started("nobody", START), START)
    board.take(report("nobody", 0, 1.0, START), START)
    board.take(ended("nobody", value=9.0), START)
    board.take({"event": "from the future"}, START)
    assert board.to_json() == before


def test_with_several_objectives_there_is_a_front_so_far(several):
    """Of those that ended with all values; who is beaten leaves it, also by a later rung."""
    a, b, c, d = several.rows
    for trial, values in ((a, (1.0, 0.5)), (b, (2.0, 0.7)), (c, (0.5, 0.9)), (d, (3.0, None))):
        several.take(started(trial, START), START)
        several.take(ended(trial, value=values[0], values=values), START)
    assert several.leaders() == [(b, (2.0, 0.7)), (a, (1.0, 0.5))]
    several.take({"event": "rung", "trials": {b: {}, c: {}}, "budget": 4}, START)
    assert [name for name, _ in several.leaders()] == [b, a]  # it stands until it is told anew
    again = Board.from_json(json.loads(json.dumps(several.to_json(only_running=True))))
    assert again.leaders() == several.leaders()
    several.take(ended(b, value=0.1, values=(0.1, 9.0)), START)
    assert [name for name, _ in several.leaders()] == [a]
    several.take(ended(c, value=1.0, values=(1.0, 0.5)), START)
    assert [name for name, _ in several.leaders()] == [a, c]  # the same values beat nobody
    known = {"value": 9.0, "values": [9.0, 0.1], "seconds": 1.0, "epochs": 3}
    several.rows[d].state = "kept"
    several.take({"event": "kept", "trials": {d: known}}, START)
    assert several.leaders() == [(d, (9.0, 0.1))]


def test_a_running_trial_shows_all_objectives_that_it_has_reported(several):
    """A row of the curve need not hold them all."""
    a, *_ = several.rows
    several.take(started(a, START), START)
    several.take(report(a, 0, 1.0, START + 1, noise=0.5), START + 1)
    several.take(report(a, 1, 2.0, START + 2), START + 2)
    assert several.rows[a].values == (2.0, 0.5)
    assert Board.from_json(several.to_json()).rows[a].values == (2.0, 0.5)


def test_the_last_notes_are_kept_for_who_looks_later(board):
    """Such as a worker that does not start; a few of them."""
    for number in range(9):
        board.take({"event": "note", "text": f"note {number}"}, START + number)
    again = Board.from_json(json.loads(json.dumps(board.to_json(only_running=True))))
    assert list(again.notes) == [(START + n, f"note {n}") for n in range(4, 9)]
