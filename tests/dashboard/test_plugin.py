"""What the page is told of a run, without any scheduler or browser."""

from __future__ import annotations

from types import SimpleNamespace

from dasktune.board import Board
from dasktune.dashboard.page import SLEEPS, Page
from dasktune.dashboard.plugin import Dashboard
from dasktune.objective import Objective


def announced(run):
    """Give a dashboard that follows a run."""
    board = Board("page", run, "/nowhere", Objective.parse("max score"), 0.0)
    dashboard = Dashboard()
    message = {"event": "announced", "run": run, "board": board.to_json(), "client": "c"}
    dashboard.log_event("dasktune", message)
    return dashboard


def test_trials_that_a_search_adds_have_curves():
    """Those of the first rung, and of later ones, beside what was there before."""
    dashboard = announced("r")
    followed = dashboard.runs["r"]
    for rung, names in enumerate((["a", "b"], ["a", "c"]), 1):
        event = {"event": "rung", "trials": {name: {"lr": 1.0} for name in names}, "budget": rung}
        dashboard.log_event("dasktune", {**event, "run": "r"})
        rows = [[name, rung - 1, rung, {"score": rung * 1.0}, 0.0] for name in names]
        dashboard.log_event(
            "dasktune", {"event": "events", "events": rows, "device": "", "run": "r"}
        )
    assert list(followed.board.rows) == ["a", "b", "c"]
    x, y = followed.curves["score"].lines([0, 1, 2])
    assert y[y == y].tolist() == [1, 2, 1, 2]
    assert x[x == x].tolist() == [1, 2, 1, 2]


def test_a_browser_that_draws_nothing_takes_no_share_of_the_time():
    """One that is gone stays a session for a while; the others need not wait for it."""
    page = Page(SimpleNamespace(workers={}), announced("r"))
    assert page.awake(0.0)
    page.update_when_due()
    sent = page._sent
    assert page.awake(sent + SLEEPS / 2)
    assert not page.awake(sent + 2 * SLEEPS)
    page._drawn.data = dict(page._tick.data)  # as the browser does
    assert page.awake(sent + 2 * SLEEPS)
