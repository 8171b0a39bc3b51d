"""Submitting large sweeps in parts: the same targets, order and results as in one piece."""

from __future__ import annotations

import os
import re
from types import SimpleNamespace

import pytest
import xarray as xr
from distributed import Client, LocalCluster

import dasktune as dt
from dasktune import submission
from dasktune.graph import build
from dasktune.outcome import Outcome
from dasktune.plan import Request
from dasktune.run import Options, make
from dasktune.submission import outcomes_of

A = [str(number) for number in range(1, 11)]


@pytest.fixture
def in_parts(monkeypatch):
    """Take any sweep for a large one, with three nodes in flight and four trials in each."""
    monkeypatch.setattr(submission, "WHOLE", 0)
    monkeypatch.setattr(submission, "LEAST", 3)
    monkeypatch.setattr(submission, "AHEAD", 2)
    monkeypatch.setattr(submission.Submission, "_together", lambda self, left: 4)


@pytest.fixture(scope="module")
def client():
    """Give a client of one worker in this process, which trains one trial at a time."""
    with (
        LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            processes=False,
            protocol="tcp://",
            host="127.0.0.1",
            resources={"GPU": 1},
            dashboard_address=None,
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def trials(project, a=A):
    """Name the trials in the plan's order, as the toy pipeline logs them."""
    ids = [spec.id for spec in project.sweep(a=a).pipeline.trials()]
    return [f"train {re.sub('-[0-9a-f]{8}$', '', name)}" for name in ids]


def test_a_large_sweep_gives_the_same_in_the_same_order(project, in_parts, client):
    """Trained from left to right on one worker; the dataset is equal bit for bit."""
    events = []
    summary = make(project.sweep(a=A), options=Options(client), observe=events.append)
    assert summary.exit_code == 0, summary.failures()
    assert project.ran() == ["preprocess", *trials(project)]
    assert {"started", "finished"} <= {event["event"] for event in events}
    assert len(summary.made()) == 22
    parts = project.dataset()
    project.make("--store", "other", f"a={','.join(A)}")
    whole = dt.open_results(project.folder / "other" / "toy")
    varying = ["seconds", "training_seconds", "worker", "finished"]
    xr.testing.assert_identical(parts.drop_vars(varying), whole.drop_vars(varying))


def test_what_is_done_is_kept_and_what_is_new_is_added(project, in_parts, client):
    """The collation gets the older results through the same file."""
    make(project.sweep(a=A[:2]), options=Options(client))
    project.ran()
    assert make(project.sweep(a=A), options=Options(client)).exit_code == 0
    assert project.ran() == trials(project, A[2:])
    assert project.dataset().sizes["trial"] == 20
    assert make(project.sweep(a=A[:5]), options=Options(client)).exit_code == 0
    assert project.ran() == []
    assert project.dataset().sizes["trial"] == 10


def test_a_failure_stops_the_parts_behind_it(project, in_parts, client):
    """Nothing after it begins, and what was before it is kept."""
    (project.folder / "fail-2-3").touch()
    summary = make(project.sweep(a=A), options=Options(client))
    assert summary.exit_code == 2
    assert [o.error.partition(" (")[0] for o in summary.failures()] == [
        "RuntimeError: told to fail"
    ]
    assert project.ran() == ["preprocess", *trials(project)[:3]]
    assert not (project.root / "collated.zarr").exists()
    (project.folder / "fail-2-3").unlink()
    assert make(project.sweep(a=A), options=Options(client)).exit_code == 0
    assert project.ran() == trials(project)[2:]


def test_keep_going_and_ignore_errors_in_parts(project, in_parts, client):
    """A failed trial fails none of those that share its node."""
    (project.folder / "fail-2-3").touch()
    summary = make(project.sweep(a=A), options=Options(client, keep_going=True))
    assert summary.exit_code == 2
    assert project.ran() == ["preprocess", *trials(project)]
    assert len(summary.failures()) == 1
    assert not (project.root / "collated.zarr").exists()
    assert make(project.sweep(a=A), options=Options(client, ignore_errors=True)).exit_code == 0
    assert project.ran() == [trials(project)[2]]
    assert list(project.dataset().status.values).count("failed") == 1


def test_failing_preprocessing_starts_no_trial(project, in_parts, client):
    """There is nothing to train on."""
    project.edit('note("preprocess")', 'note("preprocess") or 1 / 0')
    summary = make(project.sweep(a=A), options=Options(client, keep_going=True))
    assert summary.exit_code == 2
    assert project.ran() == ["preprocess"]
    assert [o.target for o in summary.failures()] == ["preprocessed"]


def test_only_the_trained_goal_collates_nothing(project, in_parts, client):
    """The barrier is reached, and nothing behind it is made."""
    summary = make(project.sweep(a=A), Request(goals=("trained",)), Options(client))
    assert summary.exit_code == 0
    assert project.ran() == ["preprocess", *trials(project)]
    assert not (project.root / "collated.zarr").exists()


def test_no_more_nodes_are_in_flight_than_there_is_room_for(project, in_parts, client, monkeypatch):
    """The scheduler never holds the whole sweep."""
    held = []
    end = submission.Submission._end

    def look(self, future, result):
        held.append(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))
        end(self, future, result)

    monkeypatch.setattr(submission.Submission, "_end", look)
    assert make(project.sweep(a=A), options=Options(client)).exit_code == 0
    assert len(held) == 8  # preprocessing, five nodes of four trials, the barrier, the collation
    assert 0 < max(held) <= 3


CRASH = """
def train(trial, data, epochs=2):
    if trial.config.a == 3 and trial.config.b == 4:
        os._exit(1)
    old_train(trial, data, epochs)


def old_train(trial, data, epochs=2):"""


def test_a_crash_in_a_shared_node_is_told_of_its_trial_alone(project, in_parts):
    """The worker process dies three times under one trial of four; the others finish."""
    project.edit("def train(trial, data, epochs=2):", CRASH)
    summary = make(project.sweep(a=A), options=Options("local", jobs=1, keep_going=True))
    assert summary.exit_code == 2
    (failure,) = summary.failures()
    assert failure.target.startswith("trained/a=3,b=4-")
    assert "died 3 times" in failure.error
    stamps = os.listdir(project.root / "trained")
    assert len(stamps) == 19
    assert sorted(project.ran()[1:]) == sorted(set(trials(project)) - {"train a=3,b=4"})


def test_short_trials_share_a_node_and_keep_their_resources(project):
    """One node with the resources for every three trials, in the plan's order."""
    project.make("preprocessed")
    sweep = project.sweep(a=A)
    plan = sweep.plan()
    names = [target.name for target in plan.trials()]
    nodes = build(plan, sweep.tasks(plan, "r"), only=names, together=3)
    assert list(nodes) == names
    keys = list(dict.fromkeys(node.key for node in nodes.values()))
    assert len(keys) == 7
    assert all("-and-2-more" in key for key in keys[:6])
    layers = {name: layer for node in nodes.values() for name, layer in node.dask.layers.items()}
    assert {str(layer.annotations["resources"]) for layer in layers.values()} == {"{'GPU': 1.0}"}
    priorities = [layers[key].annotations["priority"] for key in keys]
    assert priorities == sorted(priorities, reverse=True)


def test_a_result_counts_though_the_worker_that_held_it_has_left_since():
    """The future is lost again then; what became of the target is known all the same."""
    lost = SimpleNamespace(status="lost")
    outcome = Outcome("trained/a=1", "key", "digest")
    assert outcomes_of(lost, outcome, ["trained/a=1"]) == [outcome]
    assert outcomes_of(lost, (outcome,), ["trained/a=1", "trained/a=2"]) == [outcome]
    assert outcomes_of(lost, (outcome,), ["trained"]) == []
