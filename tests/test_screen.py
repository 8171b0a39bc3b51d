"""The screen: a board drawn for the terminal, wide and narrow."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dasktune.board import Board
from dasktune.notebook import board_html
from dasktune.objective import Objective
from dasktune.outcome import Outcome
from dasktune.row import Row
from dasktune.screen import best_text, draw


def board(objective: str, ends: int) -> Board:
    """Give a board of trials that have ended, one that failed and one that runs."""
    made = Board("p", "r", "/nowhere", Objective.parse(objective), 0.0)
    for name in (*(f"x={i}" for i in range(ends)), "x=bad", "x=now"):
        made.add(Row(name))
    for i in range(ends):
        values = (float(i), float(i) ** 2)
        made.take(end(f"x={i}", value=values[0], values=values), 1.0)
    made.take(end("x=bad", status="failed", failure="hang", error="no report for 3 s"), 1.0)
    made.take({"event": "started", "target": "trained/x=now", "worker": "w"}, 1.0)
    metrics = {"accuracy": 0.25, "latency": 12.5}
    report = {"event": "report", "trial": "x=now", "epoch": 0, "epochs": 3, "metrics": metrics}
    made.take(report, 2.0)
    return made


def end(trial: str, **how):
    """Make the event of an end."""
    return {"event": "finished", "outcome": Outcome(f"trained/{trial}", "k", seconds=1.0, **how)}


def text(board: Board, width: int, **how) -> str:
    """Draw a board as text."""
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(draw(board, 3.0, width, **how))
    return console.export_text()


def test_several_objectives_are_all_shown_and_the_best_is_a_front():
    """A few of it, from one end to the other."""
    shown = text(board("max accuracy, min latency", 9), 110)
    assert "accuracy 0.25, latency 12.5" in shown
    assert "front so far  9 trials" in shown
    few = [line.split() for line in shown.splitlines() if line.startswith("  accuracy")]
    assert [line[-1] for line in few] == ["x=8", "x=6", "x=4", "x=2", "x=0"]
    assert "best so far" not in shown
    assert best_text(board("max accuracy, min latency", 3)) == (
        "front of 3: accuracy 2 to 0, latency 0 to 4"
    )


def test_a_narrow_terminal_shows_the_first_objective_alone():
    """And the line of a trial stays one line."""
    shown = text(board("max accuracy, min latency", 2), 50)
    (line,) = [line for line in shown.splitlines() if "x=now" in line]
    assert "accuracy 0.25" in line
    assert "latency" not in line


def test_sixty_columns_have_room_for_epoch_and_value():
    """Also where a trial began from another's checkpoint; the name gives way."""
    drawn = Board("toy", "r", "/nowhere", Objective.parse("max val_accuracy"), 0.0)
    origin = {"trial": "lr=0.1-0badcafe", "epoch": 3, "content": "c"}
    drawn.add(Row("lr=0.001,hidden=64,depth=3,seed=0-3fa2b100", origin=origin))
    begin = {"event": "started", "target": f"trained/{next(iter(drawn.rows))}", "device": "cuda:0"}
    drawn.take(begin, 1.0)
    report = {"trial": next(iter(drawn.rows)), "epoch": 3, "epochs": 40}
    drawn.take({"event": "report", **report, "metrics": {"val_accuracy": 0.91234}}, 2.0)
    console = Console(width=60, file=io.StringIO())
    console.print(draw(drawn, 3.0, 60))
    text = console.file.getvalue()
    assert "epoch 4/40  val_accuracy 0.9123  from 0badcafe" in text
    assert max(map(len, text.splitlines())) <= 60


def test_one_objective_has_a_best_and_nothing_more():
    """As ever."""
    shown = text(board("max accuracy", 3), 100)
    assert "best so far  accuracy 2  x=2" in shown
    assert "front" not in shown
    assert best_text(board("max accuracy", 0)) == ""


def test_failures_are_told_with_their_kind():
    """In the counts, and where it is asked for with the error."""
    made = board("max accuracy", 1)
    assert "1 failed (1 hang)" in text(made, 100)
    assert "hang" not in text(made, 80)
    assert "no report" not in text(made, 100)
    assert "failed  x=bad  hang: no report for 3 s" in text(made, 100, failures=True)


@pytest.mark.parametrize("objective", ["max accuracy", "max accuracy, min latency"])
def test_a_notebook_shows_the_same(objective):
    """In tables."""
    shown = board_html(board(objective, 9), 3.0)
    several = "," in objective
    assert ("front so far, of 9" in shown) == several
    assert (">12.5<" in shown) == several
    assert ("best accuracy" in shown) != several
    assert ">hang<" in shown
