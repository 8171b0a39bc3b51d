"""A worker that is told to leave: its trial goes on elsewhere, and nothing is lost or counted."""

from __future__ import annotations

import os
import signal
import time

import pytest

from dasktune import drain
from dasktune.failure import pace


def test_a_worker_that_is_told_to_leave_moves_its_trial_and_loses_nothing(driver):
    """No epoch is trained twice; curves and weights are those of an undisturbed run."""
    process = driver.start("-j2", "--cluster", "local")
    driver.wait_for("epoch", 5, process)
    told = int(driver.words("epoch")[-1][3])
    os.kill(told, signal.SIGTERM)
    out = driver.finish(process)
    assert "leaves (SIGTERM)" in out
    assert "FAILED" not in out
    epochs = [(word[1], word[2]) for word in driver.words("epoch")]
    assert len(epochs) == len(set(epochs)) == 40
    assert len(driver.words("start")) == 5
    driver.same_as_undisturbed()


def test_the_only_worker_is_replaced_when_it_leaves_again_and_again(driver):
    """More often than a crashing trial would be tried: leaving is no failure."""
    process = driver.start("-j1", "--cluster", "local", "a=1", "epochs=11")
    for times in range(1, 5):
        count = 2 * times
        driver.wait_until(lambda: len(driver.words("start")) >= times, process)  # noqa: B023
        driver.wait_for("epoch", count, process)
        os.kill(int(driver.words("epoch")[-1][3]), signal.SIGUSR1)
    driver.finish(process)
    assert [int(word[2]) for word in driver.words("epoch")] == list(range(11))
    assert len(driver.words("start")) == 5


def test_a_worker_whose_time_is_over_leaves_by_itself(driver, monkeypatch):
    """Trials longer than the worker's life complete, an epoch or more in each life."""
    monkeypatch.setenv("DASK_DASKTUNE__WORKER__DRAIN_AFTER", "6")
    process = driver.start("-j1", "--cluster", "local", "a=1", "epochs=8", PAUSE="1")
    out = driver.finish(process)
    assert "its time is over" in out
    assert [int(word[2]) for word in driver.words("epoch")] == list(range(8))


def test_a_trial_that_keeps_no_checkpoint_finishes_before_its_worker_leaves(driver):
    """It could only start afresh elsewhere."""
    text = driver.file.read_text()
    driver.file.write_text(text.replace("trial.checkpoint(model=model, optimizer=optimizer)", ""))
    process = driver.start("-j2", "--cluster", "local", "a=1,2", "epochs=6")
    driver.wait_for("epoch", 4, process)
    os.kill(int(driver.words("epoch")[-1][3]), signal.SIGTERM)
    driver.finish(process)
    assert len(driver.words("start")) == 2
    assert len(driver.words("epoch")) == 12


def test_a_trial_that_would_not_end_in_the_time_that_is_left_is_not_started(driver, monkeypatch):
    """The worker leaves before its time is over, and the next one starts it."""
    text = driver.file.read_text()
    driver.file.write_text(text.replace("trial.checkpoint(model=model, optimizer=optimizer)", ""))
    # As if a worker were to be ended as soon as it has begun: nothing that was measured fits.
    monkeypatch.setenv("DASK_DASKTUNE__WORKER__DRAIN_AFTER", "1000")
    monkeypatch.setenv("DASK_DASKTUNE__WORKER__GRACE", "-1000")
    out = driver.finish(driver.start("-j1", "--cluster", "local", "a=1,2", "epochs=2"))
    assert "too short for another trial" in out
    assert len({word[2] for word in driver.words("start")}) == 2  # processes
    assert len(driver.words("start")) == 2
    assert len(driver.words("epoch")) == 4


def test_what_waits_for_a_request_is_told_once(fresh):
    """Also where the request came first; not where it was taken back."""
    told: list[str] = []
    drain.when_requested(lambda: told.append("first"))
    drain.when_requested(lambda: told.append("taken back"))()
    assert drain.seconds_left() == float("inf")
    drain.request("SIGTERM")
    drain.request("SIGUSR1")
    drain.when_requested(lambda: told.append("late"))
    assert told == ["first", "late"]
    assert drain.why() == "SIGTERM"
    assert drain.seconds_left() == 0


def test_it_is_too_late_for_what_would_be_cut_off(fresh):
    """What is measured here decides; without a limit it is never too late."""
    assert pace.needed() == 0
    pace.note(60.0, 3, checkpoints=True)
    pace.note(60.0, 0, checkpoints=True)
    assert pace.needed() == 20.0
    pace.forget()
    pace.note(60.0, 3, checkpoints=False)
    assert pace.needed() == 60.0
    assert not drain.too_late_for(1e9)
    drain.leave_at(time.monotonic() + 30, grace=20)
    assert drain.too_late_for(60)
    assert not drain.too_late_for(40)
    assert not drain.too_late_for(0)


@pytest.fixture
def fresh():
    """Leave the flag of this process as it was."""
    drain.reset()
    pace.forget()
    yield
    drain.reset()
    pace.forget()
