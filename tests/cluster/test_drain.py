"""A worker that is told to leave: its trial goes on elsewhere, and nothing is lost or counted."""

from __future__ import annotations

import os
import signal

import pytest

from dasktune import drain


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


@pytest.fixture
def fresh():
    """Leave the flag of this process as it was."""
    drain.reset()
    yield
    drain.reset()
